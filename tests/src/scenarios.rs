//! The runner of the test targets that share one stage: a network that is started once, serves all scenarios, and is
//! repaired between them.
//!
//! In comes a table of [`Scenario`]s; out comes a line for each with what it tried, and the exit code. Arguments are
//! parts of scenario names, as with any test, and `--list`. `OSTRAKON_LONG=1` runs scenarios at full size, and those
//! that have no small size too; `OSTRAKON_PART=1/4` runs every fourth. `OSTRAKON_SEED=..` repeats the random choices of
//! a run that failed.

#![expect(clippy::print_stdout, reason = "this is the main function of test harnesses")]

use std::{
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use crate::{
    cluster::Cluster,
    devnet::{NetworkInfo, Shape},
    interrupt,
    process::until,
};

/// Whether scenarios run at full size: minutes instead of seconds.
pub fn is_long() -> bool {
    std::env::var_os("OSTRAKON_LONG").is_some_and(|value| value == "1")
}

/// A size: full, or a slice of it.
pub fn size<T>(long: T, short: T) -> T {
    if is_long() { long } else { short }
}

/// One part of a suite that is run in several: which one, and of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// From 0 on.
    pub index: usize,
    /// At least 1.
    pub count: usize,
}

impl Part {
    /// The one that `OSTRAKON_PART` names, such as `1/4`; without it, the whole.
    ///
    /// # Panics
    /// When it is not of that form.
    pub fn chosen() -> Self {
        let text = std::env::var("OSTRAKON_PART").unwrap_or_default();
        Self::parse(&text).unwrap_or_else(|| panic!("OSTRAKON_PART must be like 1/4, not {text:?}"))
    }

    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self { index: 0, count: 1 });
        }
        let (number, count) = text.split_once('/')?;
        let (number, count): (usize, usize) = (number.parse().ok()?, count.parse().ok()?);
        (1..=count).contains(&number).then(|| Self { index: number - 1, count })
    }

    /// Whether the item of this number belongs to it.
    pub const fn has(self, number: usize) -> bool {
        number % self.count == self.index
    }
}

/// What a target sets up once for its scenarios.
pub trait Setup {
    /// Undoes what a scenario broke.
    ///
    /// # Errors
    /// When that fails: then no further scenario is run.
    fn heal(&self) -> Result<()>;
}

/// One scenario on a stage of type `S`.
#[derive(Debug)]
pub struct Scenario<S> {
    name: &'static str,
    run: fn(&S) -> Result<String>,
    only_long: bool,
}

/// A scenario of this name. `run` returns what was tried, as text.
pub const fn scenario<S>(name: &'static str, run: fn(&S) -> Result<String>) -> Scenario<S> {
    Scenario { name, run, only_long: false }
}

/// A scenario without a small size.
pub const fn long_scenario<S>(name: &'static str, run: fn(&S) -> Result<String>) -> Scenario<S> {
    Scenario { name, run, only_long: true }
}

/// The main function of the test target `target`: runs the scenarios that the arguments choose, in order, on what
/// `start` starts for this seed.
pub fn main<S: Setup>(target: &str, scenarios: &[Scenario<S>], start: fn(u64) -> Result<S>) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |scenario: &&Scenario<S>| {
        let named = filters.is_empty() || filters.iter().any(|filter| scenario.name.contains(filter.as_str()));
        named && (is_long() || !scenario.only_long)
    };
    let part = Part::chosen();
    let chosen = scenarios.iter().filter(wanted).enumerate().filter(|(number, _)| part.has(*number));
    let chosen: Vec<&Scenario<S>> = chosen.map(|(_, scenario)| scenario).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        chosen.iter().for_each(|scenario| println!("{}: test", scenario.name));
        return ExitCode::SUCCESS;
    }
    match run_all(target, &chosen, start) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("the scenarios of {target} cannot be run: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs them in order on one stage; whether all held.
fn run_all<S: Setup>(target: &str, chosen: &[&Scenario<S>], start: fn(u64) -> Result<S>) -> Result<bool> {
    if chosen.is_empty() {
        return Ok(true);
    }
    let seed = match std::env::var("OSTRAKON_SEED") {
        Ok(text) => text.parse().context("OSTRAKON_SEED is not a number")?,
        Err(_) => 1,
    };
    // Nodes have process groups of their own, which Ctrl-C does not reach: they end because the scenarios return.
    interrupt::watch()?;
    println!("\nrunning {} scenarios of {target}, OSTRAKON_SEED={seed}", chosen.len());
    let stage = start(seed)?;
    let mut held = true;
    for scenario in chosen {
        interrupt::check()?;
        let since = Instant::now();
        let result = (scenario.run)(&stage);
        let seconds = since.elapsed().as_secs_f32();
        match result {
            Ok(tried) => println!("test {} ... ok ({seconds:.1} s): {tried}", scenario.name),
            Err(error) => {
                held = false;
                println!("test {} ... FAILED ({seconds:.1} s)\n{error:#}", scenario.name);
                let again = format!("cargo test --release -p ostrakon-tests --test {target} {}", scenario.name);
                println!("again: OSTRAKON_SEED={seed} {again}");
            }
        }
        stage.heal()?;
    }
    Ok(held)
}

/// A network that all scenarios of a target share; whatever a scenario kills is started again before the next.
#[derive(Debug)]
pub struct Stage {
    /// The network.
    pub cluster: Cluster,
    seed: u64,
}

impl Stage {
    /// Starts a network.
    ///
    /// # Errors
    /// When `devnet up` fails.
    pub fn start(shape: Shape, seed: u64) -> Result<Self> {
        Ok(Self { cluster: Cluster::start(shape)?, seed })
    }

    /// The random choices of one scenario: the same for the same seed, whichever others run.
    pub fn rng(&self) -> SeededRng {
        SeededRng::new(self.seed)
    }
}

impl Setup for Stage {
    /// Starts what was killed, continues what was stopped, and waits until everything responds.
    fn heal(&self) -> Result<()> {
        let running = |network: &NetworkInfo| -> Vec<usize> {
            network.nodes.iter().filter(|node| node.running).map(|node| node.index).collect()
        };
        self.cluster.signal(&running(&self.cluster.status()?), "CONT")?;
        self.cluster.revive(&[])?;
        until("every node runs and the ledger responds", Duration::from_secs(30), || {
            let network = self.cluster.status()?;
            Ok(network.height.is_some() && network.nodes.iter().all(|node| node.running))
        })
    }
}

/// Random choices that follow from a seed.
#[derive(Clone, Debug)]
pub struct SeededRng(ChaCha8Rng);

impl SeededRng {
    /// Those of this seed.
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0.next_u64() % end
    }

    /// An index of a list of this length.
    pub fn index(&mut self, len: usize) -> usize {
        let end = u64::try_from(len).expect("a length fits 64 bits");
        usize::try_from(self.below(end)).expect("less than a length")
    }

    /// `count` of `from`.
    pub fn some_of(&mut self, from: &[usize], count: usize) -> Vec<usize> {
        let mut left = from.to_vec();
        (0..count.min(from.len())).map(|_| left.swap_remove(self.index(left.len()))).collect()
    }

    /// Sleeps for less than this many milliseconds: the instant of a kill is the random input of a scenario, and
    /// nothing waits for anything here.
    pub fn pause(&mut self, ms_below: u64) {
        thread::sleep(Duration::from_millis(self.below(ms_below)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_named_as_in_a_book() {
        let check = |text, expect: Option<(usize, usize)>| {
            assert_eq!(Part::parse(text), expect.map(|(index, count)| Part { index, count }), "{text}");
        };
        check("", Some((0, 1)));
        check("1/4", Some((0, 4)));
        check("4/4", Some((3, 4)));
        check("0/4", None);
        check("5/4", None);
        check("4", None);
        assert!(Part { index: 1, count: 4 }.has(5) && !Part { index: 1, count: 4 }.has(4));
    }
}
