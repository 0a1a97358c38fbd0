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
mod rounds;
mod system;
mod table;
mod tahoe;
mod wanted;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use ostrakon_benches::{against::Plan, program, wanted::table as verdict_table};
use ostrakon_tests::{interrupt, process::say};

use crate::{figures::Figures, options::Options, rounds::Rounds};

fn main() -> ExitCode {
    let options = Options::parse();
    let plan = options.against.as_deref().map(|earlier| Plan {
        program: "bench-compare",
        against: earlier,
        rounds: options.rounds,
        arguments: options.of_one_round(),
        read: against::figures,
    });
    program::run(plan, || compare(&options))
}

/// Measures every system that was chosen and prints the tables; returns what broke on the way.
fn compare(options: &Options) -> Result<Vec<String>> {
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
    let object = || serde_json::json!({ "rounds": options.rounds, "rows": rows, "wanted": verdicts });
    let text = format!("{}\n\n{}", table::figures(&rows), verdict_table(&verdicts));
    program::write(&text, options.json.as_deref().map(|path| (path, object())))?;
    Ok(broken)
}
