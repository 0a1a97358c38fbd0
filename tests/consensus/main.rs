//! Whether consensus holds on real processes that die: validators under load, killed one after the other, two at a
//! time, at any instant, copied and restored from an old disk. A witness records all they send; afterwards all blocks
//! are compared and executed again. And whether votes are in time while clients wait for blocks.
//!
//! Each scenario has a network of its own, and they run one at a time: what they measure is time. How they are chosen
//! and repeated: [`ostrakon_tests::scenarios`].

mod copies;
mod halves;
mod idle;
mod kills;
mod load;
mod partition;
mod restarts;
mod waiters;

use std::process::ExitCode;

use anyhow::Result;
use ostrakon_tests::scenarios::{self, Scenario, SeededRng, Setup, scenario};

/// All that scenarios share: the seed of their random choices.
struct Seed(u64);

impl Setup for Seed {
    fn heal(&self) -> Result<()> {
        Ok(())
    }
}

const SCENARIOS: [Scenario<Seed>; 7] = [
    scenario("restarts", |_| restarts::run()),
    scenario("halves", |_| halves::run()),
    scenario("partition", |_| partition::run()),
    scenario("kills", |seed| kills::run(SeededRng::new(seed.0))),
    scenario("copies", |_| copies::run()),
    scenario("idle", |_| idle::run()),
    scenario("waiters", |seed| waiters::run(seed.0)),
];

fn main() -> ExitCode {
    scenarios::main("consensus", &SCENARIOS, |seed| Ok(Seed(seed)))
}
