//! A real devnet under attack by an outsider with fresh identities and little money, in one way after the other and
//! then in all of them, beside honest clients: `make test-hostile`.
//!
//! Arguments are parts of attacks' names; `--list` lists them. Each attack runs for some seconds, and for a minute with
//! `OSTRAKON_LONG=1`, which judges strictly; the short run fails only for what breaks plainly. One table is printed,
//! each figure against those of the same network beside a busy loop with the attacker's share of the processor. The
//! attacks are the program `attacker`'s, which is started here with half a core and an address of its own.
//! `OSTRAKON_SEED` repeats its identities and garbage.

#![expect(clippy::print_stdout, reason = "this is the main function of a test harness")]

mod judge;
mod measure;
mod quota;
mod target;

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use ostrakon_tests::{
    attack::{ATTACKS, EVERYTHING, IDLE},
    interrupt,
    scenarios::{Part, is_long, size},
};

use crate::{
    judge::{Bounds, Measured},
    measure::{Effort, Honest, Watch},
    quota::Quota,
    target::Target,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &&str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    let part = Part::chosen();
    let names = ATTACKS.iter().map(|attack| attack.name).chain([EVERYTHING]).filter(wanted).enumerate();
    let chosen: Vec<&str> = names.filter(|(number, _)| part.has(*number)).map(|(_, name)| name).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        chosen.iter().for_each(|name| show(&format!("{name}: test")));
        return ExitCode::SUCCESS;
    }
    match run(&chosen) {
        Ok(breached) if breached.is_empty() => ExitCode::SUCCESS,
        Ok(breached) => {
            show(&format!("\nFAILED: {}", breached.join(", ")));
            ExitCode::FAILURE
        }
        Err(error) => {
            show(&format!("the attacks cannot be run: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs these attacks in order; the names of those that the network did not withstand.
fn run(chosen: &[&str]) -> Result<Vec<String>> {
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    interrupt::watch()?;
    let seed = match std::env::var("OSTRAKON_SEED") {
        Ok(text) => text.parse().context("OSTRAKON_SEED is not a number")?,
        Err(_) => 1,
    };
    let effort = Effort {
        attack: size(Duration::from_secs(60), Duration::from_secs(8)),
        rounds: size(20, 5),
        patience: size(Duration::from_secs(60), Duration::from_secs(15)),
        after: size(Duration::from_secs(60), Duration::from_secs(8)),
    };
    let bounds = if is_long() { judge::LONG } else { judge::SHORT };
    show(&format!("\nrunning {} attacks of {} s each, OSTRAKON_SEED={seed}", chosen.len(), effort.attack.as_secs()));
    let quota = Quota::new().inspect_err(|error| {
        show(&format!("the attacker runs with the lowest priority instead of with half a core: {error:#}"));
    });
    let target = Target::start(seed, size(1 << 30, 1 << 28), quota.ok())?;
    let watch = Watch::start(&target)?;
    let mut honest = Honest::new(&target, &watch, effort);
    let mut quiet = honest.under(IDLE)?;
    let free = Measured { name: IDLE.to_owned(), pace: quiet.pace, ..quiet.clone() };
    honest.after(&mut quiet, &free, &bounds)?;
    quiet.unwell = None;
    show(&judge::heading());
    show(&judge::line(&quiet, &quiet, &[]));
    show(&format!("    {:.2} heights a second", quiet.pace));
    let mut breached = Vec::new();
    for name in chosen {
        let breaches = attack(name, &mut honest, &quiet, &bounds)?;
        if !breaches.is_empty() {
            breached.push((*name).to_owned());
        }
    }
    Ok(breached)
}

/// Runs one attack and prints its line; what the network did not withstand.
fn attack(name: &str, honest: &mut Honest<'_>, quiet: &Measured, bounds: &Bounds) -> Result<Vec<String>> {
    let mut under = honest.under(name)?;
    honest.after(&mut under, quiet, bounds)?;
    let breaches = bounds.breaches(quiet, &under);
    show(&judge::line(quiet, &under, &breaches));
    show(&format!("    {}; {}", under.report, judge::refusals(&under)));
    if !breaches.is_empty() {
        // So that the next attack meets a network that is well.
        honest.target.restart()?;
        honest.watch.look_again(&honest.target.cluster)?;
    }
    Ok(breaches)
}

/// Prints a line of the table.
fn show(line: &str) {
    println!("{line}");
}
