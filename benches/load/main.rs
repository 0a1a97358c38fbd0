//! `bench-ledger`: what a network of real nodes takes when many submit concurrently, from a client's signature to the
//! block on every node's disk.
//!
//! [`one`] and [`four`] each start a network and say what they found, [`costs`] counts bytes and reads what the
//! benchmarks measured. [`network`] talks to the nodes as any client does, [`wallet`] signs, [`load`] submits, and
//! [`book`] records what was sent and when a block had it. [`figures`] is the table.
//!
//! Not here: what single stages cost (the benchmarks beside this directory), and any judgement that could fail a test:
//! figures depend on the machine. Only what breaks, such as a transfer that is lost, makes the exit code 1.

mod book;
mod costs;
mod figures;
mod four;
mod load;
mod network;
mod one;
mod options;
mod wallet;

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use ostrakon_benches::against::Plan;
use ostrakon_tests::{interrupt, process::say};

use crate::{
    figures::Figure,
    options::{Options, Part},
};

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match &options.against {
        Some(earlier) => beside_earlier(&options, earlier),
        None => measure(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Measures this build and an earlier one; fails when a figure is worse.
fn beside_earlier(options: &Options, earlier: &Path) -> Result<()> {
    interrupt::watch()?;
    let plan = Plan {
        program: "bench-ledger",
        against: earlier,
        rounds: options.rounds,
        arguments: options.of_one_round(),
        read: figures::read,
    };
    let comparison = plan.run()?;
    io::stdout().write_all(format!("{}\n", comparison.table()).as_bytes()).context("cannot print the table")?;
    ensure!(comparison.worse().is_empty(), "worse than the earlier build: {}", comparison.worse().join("; "));
    Ok(())
}

/// Measures what was chosen and prints the table; what was measured before something broke is printed too.
fn measure(options: &Options) -> Result<()> {
    interrupt::watch()?;
    let (mut figures, mut outcome) = (Vec::new(), Ok(()));
    for part in options.parts() {
        outcome = run(part, options, &mut figures).with_context(|| format!("{part}"));
        if outcome.is_err() {
            break;
        }
    }
    let text = format!("{}\n", figures::table(&figures));
    io::stdout().write_all(text.as_bytes()).context("cannot print the table")?;
    if let Some(path) = &options.json {
        let object = serde_json::json!({ "figures": figures });
        std::fs::write(path, format!("{object:#}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    }
    outcome
}

fn run(part: Part, options: &Options, figures: &mut Vec<Figure>) -> Result<()> {
    match part {
        Part::One => one::measure(options, figures),
        Part::Four => four::measure(options, figures),
        Part::Costs => costs::measure(figures),
    }
}
