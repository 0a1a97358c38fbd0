//! A real devnet under attack by an outsider with fresh identities and little money, in one way after the other and
//! then in all of them, beside honest clients: `make test-hostile`.
//!
//! Arguments are parts of attacks' names, and `OSTRAKON_ATTACKS=name,name` has whole names; `--list` lists them. Each
//! attack runs for a minute, or for `OSTRAKON_ATTACK_SECONDS`; with fewer than 60 only what breaks plainly fails. One
//! table is printed, each figure against those of the same network beside a busy loop with the attacker's share of the
//! processor. The attacks are the program `attacker`'s, which is started here with half a core and an address of its
//! own. `OSTRAKON_SEED` repeats its identities and garbage.

#![expect(clippy::print_stdout, reason = "this is the main function of a test harness")]

mod choice;
mod judge;
mod measure;
mod target;

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{attack::IDLE, interrupt, quota::Quota};

use crate::{
    judge::{Bounds, Measured},
    measure::{Honest, Watch},
    target::Target,
};

/// What an attack takes besides its own time and that after it.
const OVERHEAD: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (options, filters): (Vec<String>, Vec<String>) =
        arguments.into_iter().partition(|argument| argument.starts_with('-'));
    let done = choice::names(&filters).and_then(|chosen| {
        if options.iter().any(|option| option == "--list") {
            chosen.iter().for_each(|name| show(&format!("{name}: test")));
            return Ok(Vec::new());
        }
        run(&chosen)
    });
    match done {
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
    let (effort, bounds) = choice::effort()?;
    let runs = u32::try_from(chosen.len() + 1).context("a table that fits")?;
    let minutes = ((effort.attack + effort.after + OVERHEAD) * runs).as_secs().div_ceil(60);
    let (count, seconds) = (chosen.len(), effort.attack.as_secs());
    show(&format!("\nrunning {count} attacks of {seconds} s each, about {minutes} minutes, OSTRAKON_SEED={seed}"));
    let quota = Quota::new().inspect_err(|error| {
        show(&format!("the attacker runs with the lowest priority instead of with half a core: {error:#}"));
        show("half a core needs root and the cpu controller of cgroups, of either version");
    });
    let target = Target::start(seed, effort.credit_bytes, quota.ok())?;
    let watch = Watch::start(&target)?;
    let mut honest = Honest::new(&target, &watch, effort);
    let mut quiet = honest.under(IDLE)?;
    let usual = quiet.clone();
    honest.after(&mut quiet, &usual, &bounds)?;
    show(&judge::heading());
    show(&judge::line(&quiet, &quiet, &[]));
    show(&format!("    {:.2} heights a second", quiet.pace));
    // Any figure is good enough beside those of a network that does not work.
    ensure!(quiet.is_sound(), "without an attack, adds or gets fail or no block is decided");
    ensure!(quiet.unwell.is_none(), "without an attack, the network is not well: {}", quiet.unwell.unwrap_or_default());
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
