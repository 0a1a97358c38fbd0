//! What is wanted of figures, and whether they are so. Verdicts are printed and never fail anything: machines differ.

use serde::Serialize;

use crate::table::{aligned, number};

/// How a figure must stand to what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

/// One wish, and what was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The figure.
    pub what: String,
    /// What it should be.
    pub wanted: Wanted,
    /// What it is; nothing when it was not measured.
    pub measured: Option<f64>,
}

impl Verdict {
    /// Whether it is as wanted.
    pub fn is_met(&self) -> Option<bool> {
        self.measured.map(|measured| match self.wanted {
            Wanted::AtLeast(bound) => measured >= bound,
            Wanted::AtMost(bound) => measured <= bound,
        })
    }

    /// The bound, and the word on it.
    pub fn words(&self) -> [String; 2] {
        let wanted = match self.wanted {
            Wanted::AtLeast(bound) => format!(">= {bound}"),
            Wanted::AtMost(bound) => format!("<= {bound}"),
        };
        let word = self.is_met().map_or("not measured", |met| if met { "ok" } else { "NOT" });
        [wanted, word.to_owned()]
    }
}

/// One row for each wish.
pub fn table(verdicts: &[Verdict]) -> String {
    let cells = |verdict: &Verdict| {
        let [wanted, word] = verdict.words();
        vec![verdict.what.clone(), wanted, number(verdict.measured, 2), word]
    };
    aligned(&["wanted of", "wanted", "measured", ""], verdicts.iter().map(cells).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_without_a_measurement_is_marked() {
        let verdict = |measured| Verdict { what: "x".to_owned(), wanted: Wanted::AtLeast(2.0), measured };
        let text = table(&[verdict(Some(2.0)), verdict(Some(1.9)), verdict(None)]);
        let words: Vec<&str> = text.lines().skip(1).map(|line| line.rsplit("  ").next().unwrap_or("")).collect();
        assert_eq!(words, ["ok", "NOT", "not measured"]);
    }
}
