//! `bench-ledger`: what a network of real nodes takes when many submit at once, from a client's signature to the block
//! on every node's disk.
//!
//! [`one`] and [`four`] each start a network and say what they found, [`costs`] counts bytes and reads what the
//! benchmarks measured. [`network`] speaks to the nodes as any client does, [`wallet`] signs, [`load`] submits, and
//! [`book`] writes down what was sent and when a block had it. [`figures`] is the table.
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
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::Parser;
use ostrakon_benches::interrupt;

use crate::{
    figures::Figure,
    options::{Options, Part},
};

fn main() -> ExitCode {
    match measure(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
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

/// Says what happens, for whoever waits.
fn say(text: &str) {
    // Nobody may be listening, which is no reason to stop.
    let _ = writeln!(io::stderr().lock(), "{text}");
}
