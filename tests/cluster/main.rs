//! The scenarios on real processes. One network of 14 nodes in 7 domains serves them all, one after the other; whatever
//! a scenario kills is started again before the next. Each leaves the objects it added as they are.
//!
//! Arguments are parts of scenario names, as with any test; `OSTRAKON_LONG=1` runs them at full size, and those that
//! have no small size too. `OSTRAKON_SEED=..` repeats a choice of victims that went wrong.

#![expect(clippy::print_stdout, reason = "this is the main function of a test harness")]

mod account;
mod add_resumed;
mod any_n_minus_k;
mod bad_input;
mod big_file;
mod bit_flip;
mod client_killed;
mod directories;
mod examples;
mod get_resumed;
mod kill_loop;
mod late_node;
mod liar;
mod members;
mod names;
mod node_starts;
mod too_many_killed;

use std::{process::ExitCode, time::Duration, time::Instant};

use anyhow::{Context, Result};
use ostrakon_tests::cluster::{Cluster, Scale, is_long, until};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

/// What a scenario is given.
struct Stage {
    cluster: Cluster,
    seed: u64,
}

impl Stage {
    /// The chance of one scenario: the same for the same seed, whichever others run.
    fn chance(&self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.seed)
    }

    /// Starts what was killed, and waits until everything answers.
    fn heal(&self) -> Result<()> {
        self.cluster.revive(&[])?;
        until("every node runs and the ledger answers", Duration::from_secs(30), || {
            let network = self.cluster.status()?;
            Ok(network.height.is_some() && network.nodes.iter().all(|node| node.running))
        })
    }
}

struct Scenario {
    name: &'static str,
    /// Tries it; returns what was tried, in words.
    run: fn(&Stage) -> Result<String>,
    only_long: bool,
}

const fn scenario(name: &'static str, run: fn(&Stage) -> Result<String>) -> Scenario {
    Scenario { name, run, only_long: false }
}

const SCENARIOS: [Scenario; 17] = [
    scenario("bad_input", bad_input::run),
    scenario("node_starts", node_starts::run),
    scenario("examples", examples::run),
    scenario("account", account::run),
    scenario("names", names::run),
    scenario("any_n_minus_k", any_n_minus_k::run),
    scenario("too_many_killed", too_many_killed::run),
    scenario("bit_flip", bit_flip::run),
    scenario("client_killed", client_killed::run),
    scenario("directories", directories::run),
    scenario("add_resumed", add_resumed::run),
    scenario("get_resumed", get_resumed::run),
    scenario("kill_loop", kill_loop::run),
    scenario("late_node", late_node::run),
    scenario("liar", liar::run),
    scenario("members", members::run),
    Scenario { name: "big_file", run: big_file::run, only_long: true },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |scenario: &&Scenario| {
        let named = filters.is_empty() || filters.iter().any(|filter| scenario.name.contains(filter.as_str()));
        named && (is_long() || !scenario.only_long)
    };
    let chosen: Vec<&Scenario> = SCENARIOS.iter().filter(wanted).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        chosen.iter().for_each(|scenario| println!("{}: test", scenario.name));
        return ExitCode::SUCCESS;
    }
    match run_all(&chosen) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("the network cannot be used: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs them in order on one network; whether all held.
fn run_all(chosen: &[&Scenario]) -> Result<bool> {
    if chosen.is_empty() {
        return Ok(true);
    }
    let seed = match std::env::var("OSTRAKON_SEED") {
        Ok(text) => text.parse().context("OSTRAKON_SEED is a number")?,
        Err(_) => 1,
    };
    println!("\nrunning {} scenarios on a network of 14 nodes, OSTRAKON_SEED={seed}", chosen.len());
    let stage = Stage { cluster: Cluster::start(Scale { nodes: 14, domains: 7 })?, seed };
    let mut held = true;
    for scenario in chosen {
        let since = Instant::now();
        let result = (scenario.run)(&stage);
        let seconds = since.elapsed().as_secs_f32();
        match result {
            Ok(tried) => println!("test {} ... ok ({seconds:.1} s): {tried}", scenario.name),
            Err(error) => {
                held = false;
                println!("test {} ... FAILED ({seconds:.1} s)\n{error:#}", scenario.name);
                println!(
                    "again: OSTRAKON_SEED={seed} cargo test --release -p ostrakon-tests --test cluster {}",
                    scenario.name
                );
            }
        }
        stage.heal()?;
    }
    Ok(held)
}

/// `count` of `from`, by chance.
fn some_of(chance: &mut ChaCha8Rng, from: &[usize], count: usize) -> Vec<usize> {
    let mut left = from.to_vec();
    (0..count.min(from.len())).map(|_| left.swap_remove(below(chance, left.len()))).collect()
}

/// A number below `end`.
fn below(chance: &mut ChaCha8Rng, end: usize) -> usize {
    use rand_chacha::rand_core::Rng;
    let end = u64::try_from(end).expect("a length fits 64 bits");
    usize::try_from(chance.next_u64() % end).expect("less than a length")
}
