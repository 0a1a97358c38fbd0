//! Networks of machines in places of their own, joined by a router in this process ([`ostrakon_tests::router`]):
//! consensus over lines that are long, with delay and a rate between validators, and lines that are cut; gateways
//! that are cut off; and several operators who found a network by commands alone.
//!
//! It needs the right to make network namespaces; without it, and for no other reason, each scenario reports that it
//! was skipped. How they are chosen and repeated: [`ostrakon_tests::scenarios`].

mod cut_off;
mod few_left;
mod full_blocks;
mod gateways;
mod load;
mod operators;

use std::process::ExitCode;

use anyhow::Result;
use ostrakon_tests::{
    router,
    scenarios::{self, Scenario, Setup, long_scenario, scenario},
};

/// The seed of all random choices.
struct Seed(u64);

impl Setup for Seed {
    fn heal(&self) -> Result<()> {
        Ok(())
    }
}

const SCENARIOS: [Scenario<Seed>; 5] = [
    scenario("cut_off", |_| where_permitted(cut_off::run)),
    scenario("few_left", |seed| where_permitted(|| few_left::run(seed.0))),
    long_scenario("full_blocks", |seed| where_permitted(|| full_blocks::run(seed.0))),
    scenario("gateways", |seed| where_permitted(|| gateways::run(seed.0))),
    scenario("operators", |_| where_permitted(operators::run)),
];

fn where_permitted(run: impl FnOnce() -> Result<String>) -> Result<String> {
    match router::permitted() {
        Ok(()) => run(),
        Err(missing) => Ok(format!("SKIPPED, no network namespaces here: {missing}")),
    }
}

fn main() -> ExitCode {
    scenarios::main("wan", &SCENARIOS, |seed| Ok(Seed(seed)))
}
