//! `bench-ledger`: what a network of real nodes takes when many submit concurrently, from a client's signature to the
//! block on every node's disk.
//!
//! [`one`] and [`four`] each start a network and say what they found, [`costs`] counts bytes and reads what the
//! benchmarks measured. [`network`] talks to the nodes as any client does, [`wallet`] signs, [`load`] submits, and
//! [`book`] records what was sent and when a block had it. [`figures`] has the table.
//!
//! Not here: what single stages cost (the benchmarks beside this directory), and any judgement that could fail a test:
//! figures depend on the machine. Only what breaks, such as a transfer that is lost, makes the exit code 1.

mod book;
mod costs;
mod four;
mod load;
mod network;
mod one;
mod options;
mod wallet;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use ostrakon_benches::{
    against::Plan,
    figures::{self, Figure},
    program,
};

use crate::options::{Options, Part};

fn main() -> ExitCode {
    let options = Options::parse();
    let plan = options.against.as_deref().map(|earlier| Plan {
        program: "bench-ledger",
        against: earlier,
        rounds: options.rounds,
        arguments: options.of_one_round(),
        read: figures::read,
    });
    program::run(plan, || measure(&options).map(|()| Vec::new()))
}

/// Measures what was chosen and prints the table; what was measured before something broke is printed too.
fn measure(options: &Options) -> Result<()> {
    let (mut figures, mut outcome) = (Vec::new(), Ok(()));
    for part in options.parts() {
        outcome = run(part, options, &mut figures).with_context(|| format!("{part}"));
        if outcome.is_err() {
            break;
        }
    }
    let json = options.json.as_deref().map(|path| (path, serde_json::json!({ "figures": figures })));
    program::write(&figures::table(&figures), json)?;
    outcome
}

fn run(part: Part, options: &Options, figures: &mut Vec<Figure>) -> Result<()> {
    match part {
        Part::One => one::measure(options, figures),
        Part::Four => four::measure(options, figures),
        Part::Costs => costs::measure(figures),
    }
}
