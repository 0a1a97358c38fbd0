//! The S3 gateway on real processes: what S3 and IPFS promise their clients, gateways that are killed at any moment,
//! holders and validators that are dead. Requests are made by a client from Python's standard library (`tests/s3`), so
//! that nothing is done for the gateway that its clients have to do. How scenarios are chosen and repeated:
//! [`ostrakon_tests::scenarios`].

mod deleted;
mod holders_killed;
mod killed;
mod ledger;
mod long_epochs;
mod no_quorum;
mod public;
mod rules;
mod server;
mod stalled;
mod two_gateways;
mod unattended;
mod unseen;
mod wire;

use std::process::ExitCode;

use ostrakon_tests::{
    cluster::Shape,
    scenarios::{self, Scenario, Stage, scenario},
};

const SCENARIOS: [Scenario<Stage>; 11] = [
    scenario("rules", rules::run),
    scenario("public", public::run),
    scenario("unseen", unseen::run),
    scenario("stalled", stalled::run),
    scenario("long_epochs", |_| long_epochs::run()),
    scenario("unattended", |_| unattended::run()),
    scenario("deleted", deleted::run),
    scenario("holders_killed", holders_killed::run),
    scenario("killed", killed::run),
    scenario("two_gateways", two_gateways::run),
    scenario("no_quorum", no_quorum::run),
];

fn main() -> ExitCode {
    scenarios::main("gateway", &SCENARIOS, |seed| Stage::start(Shape::new(14, 7), seed))
}
