//! This build beside an earlier one: the same benchmark program of both is run in turn, round after round, and each
//! figure is compared as a ratio of medians with its spread.
//!
//! In comes the directory where `make keep-baseline` kept the commands of the earlier build, its benchmark program
//! among them: each program drives the commands beside it, so that flags and formats may differ between the builds. Out
//! comes a table, and whether a figure is worse.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{interrupt, process::say};
use serde_json::Value;

use crate::{
    beside, scratch,
    table::{aligned, number},
};

/// A figure may be worse by this much without being called so.
const TOLERANCE: f64 = 1.05;

/// Which of two values of a figure is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// The smaller: seconds, bytes.
    Less,
    /// The greater: transfers a second.
    More,
}

/// One figure of one round.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What was measured, with its unit.
    pub what: String,
    /// Its value.
    pub value: f64,
    /// Which direction is an improvement.
    pub better: Better,
}

/// How to compare two builds.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The name of the benchmark program, which is the one that runs.
    pub program: &'a str,
    /// The directory of the earlier build's commands.
    pub against: &'a Path,
    /// Rounds of each build.
    pub rounds: u32,
    /// Arguments of the program for one round; both builds know them.
    pub arguments: Vec<OsString>,
    /// Reads the figures in what the program wrote for `--json`.
    pub read: fn(&Value) -> Vec<Sample>,
}

/// The values of one figure in all rounds of this build and of the earlier one.
#[derive(Clone, Debug)]
struct Pair {
    better: Better,
    values: [Vec<f64>; 2],
}

/// All figures of two builds.
#[derive(Clone, Debug)]
pub struct Comparison(BTreeMap<String, Pair>);

impl Plan<'_> {
    /// Runs all rounds: this build first in the odd ones, the earlier first in the even ones.
    ///
    /// # Errors
    /// When the earlier build is not there, or one of the programs fails.
    pub fn run(&self) -> Result<Comparison> {
        let programs = [beside()?, fs::canonicalize(self.against)?].map(|place| place.join(self.program));
        for program in &programs {
            let hint = "`make keep-baseline` in its checkout keeps the commands of a build";
            ensure!(program.is_file(), "{} is missing: {hint}", program.display());
        }
        let home = scratch(None)?;
        let mut comparison = Comparison(BTreeMap::new());
        for round in 1..=self.rounds {
            let order = if round % 2 == 1 { [0, 1] } else { [1, 0] };
            for build in order {
                let name = ["this build", "the earlier build"][build];
                say(&format!("==> round {round} of {}: {name}", self.rounds));
                let figures = self.round(&programs[build], home.path().join("figures.json"))?;
                comparison.add(build, figures);
            }
        }
        Ok(comparison)
    }

    fn round(&self, program: &PathBuf, figures: PathBuf) -> Result<Vec<Sample>> {
        let mut command = Command::new(program);
        command.args(&self.arguments).arg("--json").arg(&figures).stdin(Stdio::null()).stdout(Stdio::null());
        // A Ctrl-C reaches it too, and it ends what it started.
        let status = command.status().with_context(|| format!("cannot start {}", program.display()))?;
        interrupt::check()?;
        ensure!(status.success(), "{} ended with {status}", program.display());
        Ok((self.read)(&serde_json::from_slice(&fs::read(figures)?)?))
    }
}

impl Comparison {
    fn add(&mut self, build: usize, samples: Vec<Sample>) {
        for Sample { what, value, better } in samples {
            let pair = self.0.entry(what).or_insert_with(|| Pair { better, values: [vec![], vec![]] });
            pair.values[build].push(value);
        }
    }

    /// The figures that are worse: their names.
    pub fn worse(&self) -> Vec<&str> {
        self.0.iter().filter(|(_, pair)| pair.is_worse()).map(|(what, _)| what.as_str()).collect()
    }

    /// One row for each figure that both builds have.
    pub fn table(&self) -> String {
        let head = ["", "this build", "earlier", "ratio", "spread", ""];
        let cells = |(what, pair): (&String, &Pair)| {
            let [this, earlier] = [0, 1].map(|build| median(&pair.values[build]));
            let verdict = if pair.is_worse() { "WORSE" } else { "ok" };
            let (ratio, spread) = pair.ratio()?;
            Some(vec![
                what.clone(),
                number(this, 3),
                number(earlier, 3),
                number(Some(ratio), 3),
                format!("+-{spread:.3}"),
                verdict.to_owned(),
            ])
        };
        let legend = format!(
            "ratio: of medians, above 1 where this build is worse. spread: of that ratio, from the median deviation of \
             each build's rounds.\nWORSE: above {TOLERANCE}, and by more than the spread above 1."
        );
        format!("{}\n{legend}", aligned(&head, self.0.iter().filter_map(cells).collect()))
    }
}

impl Pair {
    /// The ratio of the medians, above 1 when this build is worse, and its spread.
    fn ratio(&self) -> Option<(f64, f64)> {
        let [this, earlier] = [median(&self.values[0])?, median(&self.values[1])?];
        let ratio = match self.better {
            Better::Less => this / earlier,
            Better::More => earlier / this,
        };
        let spread: f64 = self.values.iter().filter_map(|values| deviation(values)).sum();
        ratio.is_finite().then_some((ratio, ratio * spread))
    }

    fn is_worse(&self) -> bool {
        self.ratio().is_some_and(|(ratio, spread)| ratio > TOLERANCE && ratio - spread > 1.0)
    }
}

/// The value in the middle, or between the two in the middle.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some(f64::midpoint(values[last / 2], values[values.len() / 2]))
}

/// The median distance from the median, as a share of it.
fn deviation(values: &[f64]) -> Option<f64> {
    let middle = median(values)?;
    let distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    Some(median(&distances)? / middle.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_in_the_middle() {
        let check = |values: &[f64], expect| assert_eq!(median(values), expect, "{values:?}");
        check(&[], None);
        check(&[3.0], Some(3.0));
        check(&[9.0, 1.0], Some(5.0));
        check(&[9.0, 1.0, 2.0], Some(2.0));
        check(&[4.0, 1.0, 2.0, 100.0], Some(3.0));
    }

    #[test]
    fn only_what_is_worse_by_more_than_the_noise_is_called_so() {
        let check = |better, this: [f64; 3], earlier: [f64; 3], expect| {
            let pair = Pair { better, values: [this.to_vec(), earlier.to_vec()] };
            assert_eq!(pair.is_worse(), expect, "{pair:?}");
        };
        check(Better::Less, [1.2, 1.2, 1.21], [1.0, 1.01, 1.0], true);
        check(Better::Less, [1.04, 1.04, 1.04], [1.0, 1.0, 1.0], false);
        check(Better::Less, [1.2, 0.9, 1.5], [1.0, 1.3, 0.8], false);
        check(Better::Less, [1.0, 1.0, 1.0], [2.0, 2.0, 2.0], false);
        check(Better::More, [1.0, 1.0, 1.0], [2.0, 2.0, 2.0], true);
        check(Better::More, [2.0, 2.0, 2.0], [1.0, 1.0, 1.0], false);
    }

    #[test]
    fn what_only_one_build_has_is_left_out() {
        let sample = |what: &str, value| Sample { what: what.to_owned(), value, better: Better::Less };
        let mut comparison = Comparison(BTreeMap::new());
        comparison.add(0, vec![sample("add, s", 2.0), sample("new, s", 1.0)]);
        comparison.add(1, vec![sample("add, s", 1.0)]);
        assert_eq!(comparison.worse(), ["add, s"]);
        let table = comparison.table();
        assert!(table.contains("2.000") && table.contains("WORSE") && !table.contains("new, s"), "{table}");
    }
}
