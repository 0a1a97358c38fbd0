//! What was measured, beside what is wanted of it.

use ostrakon_benches::{
    against::{Better, Sample},
    table::{aligned, number},
    wanted::{Verdict, Wanted},
};
use serde::Serialize;
use serde_json::Value;

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    /// Of which network, or of none.
    of: &'static str,
    /// What was measured, with its unit.
    what: String,
    measured: Option<f64>,
    wanted: Option<Wanted>,
}

/// What a network's figures are added to.
#[derive(Debug)]
pub(crate) struct Sheet<'a> {
    of: &'static str,
    figures: &'a mut Vec<Figure>,
}

impl<'a> Sheet<'a> {
    /// The sheet of this network.
    pub(crate) const fn new(of: &'static str, figures: &'a mut Vec<Figure>) -> Self {
        Self { of, figures }
    }

    /// Adds a figure that is for information.
    pub(crate) fn add(&mut self, what: impl Into<String>, measured: impl Into<Option<f64>>) {
        self.figures.push(Figure { of: self.of, what: what.into(), measured: measured.into(), wanted: None });
    }

    /// Adds a figure of which something is wanted.
    pub(crate) fn want(&mut self, what: impl Into<String>, measured: impl Into<Option<f64>>, wanted: Wanted) {
        self.figures.push(Figure { of: self.of, what: what.into(), measured: measured.into(), wanted: Some(wanted) });
    }
}

/// One row for each.
pub(crate) fn table(figures: &[Figure]) -> String {
    let cells = |figure: &Figure| {
        let Figure { of, what, measured, wanted } = figure.clone();
        let [wanted, word] = match wanted {
            Some(wanted) => Verdict { what: what.clone(), wanted, measured }.words(),
            None => [String::new(), String::new()],
        };
        let digits = if measured.is_some_and(|measured| measured.abs() >= 100.0) { 0 } else { 2 };
        vec![of.to_owned(), what, number(measured, digits), wanted, word]
    };
    aligned(&["", "", "measured", "wanted", ""], figures.iter().map(cells).collect())
}

/// The figures of which something is wanted, in what one round wrote as JSON.
pub(crate) fn read(written: &Value) -> Vec<Sample> {
    let figures = written["figures"].as_array().map_or(&[][..], Vec::as_slice);
    let sample = |figure: &Value| {
        let better = match figure["wanted"].as_object()? {
            wanted if wanted.contains_key("at-least") => Better::More,
            _ => Better::Less,
        };
        let what = format!("{}: {}", figure["of"].as_str()?, figure["what"].as_str()?);
        Some(Sample { what, value: figure["measured"].as_f64()?, better })
    };
    figures.iter().filter_map(sample).collect()
}

/// The value below which `percent` of these lie; `None` without values.
pub(crate) fn percentile(values: &mut [f64], percent: usize) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let at = (values.len() * percent / 100).min(values.len().checked_sub(1)?);
    values.get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_stands_beside_what_is() {
        let mut figures = Vec::new();
        let mut sheet = Sheet::new("net", &mut figures);
        sheet.want("transfers a second", 20_000.4, Wanted::AtLeast(14_657.0));
        sheet.add("median, s", 0.25);
        sheet.want("CPU", None, Wanted::AtMost(1.0));
        let text = table(&figures);
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert!(lines[0].ends_with("20000  >= 14657  ok"), "{text}");
        assert!(lines[1].trim_end().ends_with("0.25"), "{text}");
        assert!(lines[2].ends_with("not measured"), "{text}");
    }

    #[test]
    fn what_was_written_is_read_with_its_direction() {
        let mut figures = Vec::new();
        let mut sheet = Sheet::new("net", &mut figures);
        sheet.want("transfers a second", 20_000.0, Wanted::AtLeast(1.0));
        sheet.want("CPU", 0.5, Wanted::AtMost(1.0));
        sheet.add("median, s", 0.25);
        let samples = read(&serde_json::json!({ "figures": figures }));
        let seen: Vec<_> = samples.iter().map(|sample| (sample.what.as_str(), sample.value, sample.better)).collect();
        assert_eq!(seen, [("net: transfers a second", 20_000.0, Better::More), ("net: CPU", 0.5, Better::Less)]);
    }

    #[test]
    fn percentiles_are_of_the_values_themselves() {
        let mut values = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!([0, 50, 99, 100].map(|percent| percentile(&mut values, percent)), [1.0, 3.0, 5.0, 5.0].map(Some));
        assert_eq!(percentile(&mut [], 50), None);
    }
}
