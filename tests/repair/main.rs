//! Whether a network repairs itself with every client asleep: holders die permanently, by themselves and as whole
//! domains, leave in good order, lose a disk, come back too late, are away as announced, and were dead before anything
//! was added; and whether all of it together can last.
//!
//! Each scenario has a network of its own, with epochs of a few seconds. What is stored where is read from the ledger;
//! that it is there, from the holders. How scenarios are chosen and repeated: [`ostrakon_tests::scenarios`].

mod churn;
mod dead_holders;
mod domain_lost;
mod drained;
mod lost_disk;
mod maintenance;
mod network;
mod renewed;
mod returned;
mod soak;

use std::process::ExitCode;

use anyhow::Result;
use ostrakon_tests::scenarios::{self, Scenario, SeededRng, Setup, long_scenario, scenario};

/// All that scenarios share: the seed of their random choices.
struct Seed(u64);

impl Setup for Seed {
    fn heal(&self) -> Result<()> {
        Ok(())
    }
}

const SCENARIOS: [Scenario<Seed>; 9] = [
    scenario("dead_holders", |_| dead_holders::run()),
    scenario("churn", |seed| churn::run(SeededRng::new(seed.0))),
    scenario("drained", |_| drained::run()),
    scenario("domain_lost", |_| domain_lost::run()),
    scenario("lost_disk", |_| lost_disk::run()),
    scenario("maintenance", |_| maintenance::run()),
    long_scenario("soak", |seed| soak::run(SeededRng::new(seed.0))),
    scenario("renewed", |_| renewed::run()),
    scenario("returned", |_| returned::run()),
];

fn main() -> ExitCode {
    scenarios::main("repair", &SCENARIOS, |seed| Ok(Seed(seed)))
}
