//! `bench-compare`: what adding and getting cost here and in other systems, in one run on one machine.
//!
//! Each [`system`] runs as its users run it: real processes on 127.0.0.1, spoken to by its own command. [`rounds`]
//! says what is done with it and compares every byte that comes back; it is measured from outside; [`figures`]
//! keeps medians, which [`table`] prints beside what is [`wanted`]. Absent systems are said to be absent and left out.
//!
//! Not here: what single stages cost (the benchmarks beside this directory), and any judgement that could fail a test:
//! figures depend on the machine. Only what breaks, such as bytes that differ, makes the exit code 1; and with
//! `--against` a figure that is worse than that of an earlier build on the same machine ([`against`]).

mod against;
mod content;
mod copy;
mod figures;
mod garage;
mod options;
mod ostrakon;
mod ports;
mod rounds;
mod system;
mod table;
mod tahoe;
mod wanted;

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::Parser;
use ostrakon_benches::{against::Plan, wanted::table as verdict_table};
use ostrakon_tests::{interrupt, process::say};

use crate::{figures::Figures, options::Options, rounds::Rounds};

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match &options.against {
        Some(earlier) => beside_earlier(&options, earlier),
        None => compare(&options),
    };
    match outcome {
        Ok(broken) if broken.is_empty() => ExitCode::SUCCESS,
        Ok(broken) => {
            broken.iter().for_each(|what| say(&format!("BROKEN: {what}")));
            ExitCode::FAILURE
        }
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Measures our own commands of this build and of an earlier one; returns the figures that are worse.
fn beside_earlier(options: &Options, earlier: &Path) -> Result<Vec<String>> {
    interrupt::watch()?;
    let plan = Plan {
        program: "bench-compare",
        against: earlier,
        rounds: options.rounds,
        arguments: options.of_one_round(),
        read: against::figures,
    };
    let comparison = plan.run()?;
    io::stdout().write_all(format!("{}\n", comparison.table()).as_bytes()).context("cannot print the table")?;
    Ok(comparison.worse().into_iter().map(|what| format!("{what} is worse")).collect())
}

/// Measures every system that was chosen and prints the tables; returns what broke on the way.
fn compare(options: &Options) -> Result<Vec<String>> {
    interrupt::watch()?;
    let home = options.scratch()?;
    let rounds = Rounds::new(options, home.path())?;
    let (mut figures, mut broken) = (Figures::default(), Vec::new());
    for system in options.systems() {
        let outcome = rounds.measure(system, &mut figures);
        interrupt::check()?;
        if let Err(error) = outcome {
            // What was measured before it broke stays; the next system may work.
            say(&format!("{system}: {error:#}"));
            broken.push(format!("{system}: {error:#}"));
        }
    }
    let rows = figures.rows();
    let verdicts = wanted::verdicts(&rows);
    let text = format!("{}\n\n{}\n", table::figures(&rows), verdict_table(&verdicts));
    io::stdout().write_all(text.as_bytes()).context("cannot print the tables")?;
    if let Some(path) = &options.json {
        let object = serde_json::json!({ "rounds": options.rounds, "rows": rows, "wanted": verdicts });
        std::fs::write(path, format!("{object:#}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(broken)
}
