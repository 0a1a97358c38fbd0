//! What was measured, beside what is wanted of it.

use serde::Serialize;
use serde_json::Value;

use crate::{
    against::{Better, Sample},
    table::{aligned, number},
    wanted::{Verdict, Wanted},
};

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// Of which network, or of none.
    of: &'static str,
    /// What was measured, with its unit.
    what: String,
    measured: Option<f64>,
    wanted: Option<Wanted>,
}

/// What a network's figures are added to.
#[derive(Debug)]
pub struct Sheet<'a> {
    of: &'static str,
    figures: &'a mut Vec<Figure>,
}

impl<'a> Sheet<'a> {
    /// The sheet of this network.
    pub const fn new(of: &'static str, figures: &'a mut Vec<Figure>) -> Self {
        Self { of, figures }
    }

    /// Adds a figure that is for information.
    pub fn add(&mut self, what: impl Into<String>, measured: impl Into<Option<f64>>) {
        self.figures.push(Figure { of: self.of, what: what.into(), measured: measured.into(), wanted: None });
    }

    /// Adds a figure of which something is wanted.
    pub fn want(&mut self, what: impl Into<String>, measured: impl Into<Option<f64>>, wanted: Wanted) {
        self.figures.push(Figure { of: self.of, what: what.into(), measured: measured.into(), wanted: Some(wanted) });
    }
}

impl Figure {
    /// What is wanted of it, and whether it is so; `None` where nothing is.
    fn verdict(&self) -> Option<Verdict> {
        self.wanted.map(|wanted| Verdict { what: self.what.clone(), wanted, measured: self.measured })
    }
}

/// Those that are not as wanted, or were not measured: what they are, and what is wanted.
pub fn missed(figures: &[Figure]) -> Vec<String> {
    let missed = |figure: &Figure| {
        let verdict = figure.verdict().filter(|verdict| verdict.is_met() != Some(true))?;
        let [wanted, _] = verdict.words();
        let measured = number(figure.measured, 3);
        Some(format!("{}: {} is {measured}, and {wanted} is wanted", figure.of, figure.what))
    };
    figures.iter().filter_map(missed).collect()
}

/// One row for each.
pub fn table(figures: &[Figure]) -> String {
    let cells = |figure: &Figure| {
        let Figure { of, what, measured, .. } = figure.clone();
        let [wanted, word] = figure.verdict().map_or_else(Default::default, |verdict| verdict.words());
        let digits = if measured.is_some_and(|measured| measured.abs() >= 100.0) { 0 } else { 2 };
        vec![of.to_owned(), what, number(measured, digits), wanted, word]
    };
    aligned(&["", "", "measured", "wanted", ""], figures.iter().map(cells).collect())
}

/// The figures of which something is wanted, in what one round wrote as JSON.
pub fn read(written: &Value) -> Vec<Sample> {
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
pub fn percentile(values: &mut [f64], percent: usize) -> Option<f64> {
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
        assert_eq!(missed(&figures), ["net: CPU is -, and <= 1 is wanted"]);
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
