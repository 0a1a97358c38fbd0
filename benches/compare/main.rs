//! `bench-compare`: what adding and getting cost here and in other systems, in one go on one machine.
//!
//! Each [`system`] runs as its users run it: real processes on 127.0.0.1, spoken to by its own command. [`rounds`]
//! says what is done with it and compares every byte that comes back; it is measured from outside; [`figures`]
//! keeps medians, which [`table`] prints beside what is [`wanted`]. Absent systems are said to be absent and left out.
//!
//! Not here: what single stages cost (the benchmarks beside this directory), and any judgement that could fail a test:
//! figures depend on the machine. Only what breaks, such as bytes that differ, makes the exit code 1.

mod content;
mod copy;
mod daemon;
mod figures;
mod garage;
mod options;
mod ostrakon;
mod rounds;
mod system;
mod table;
mod tahoe;
mod wanted;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::Parser;
use ostrakon_benches::{interrupt, wanted::table as verdict_table};

use crate::{figures::Figures, options::Options, rounds::Rounds};

fn main() -> ExitCode {
    match compare(&Options::parse()) {
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

/// Says what happens, for whoever waits.
fn say(text: &str) {
    // Nobody may be listening, which is no reason to stop.
    let _ = writeln!(io::stderr().lock(), "{text}");
}
