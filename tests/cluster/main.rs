//! The scenarios on real processes. One network of 14 nodes in 7 domains serves them all, one after the other; whatever
//! a scenario kills is started again before the next. Each leaves the objects it added as they are. How they are chosen
//! and repeated: [`ostrakon_tests::scenarios`].

mod account;
mod add_resumed;
mod any_n_minus_k;
mod bad_input;
mod big_file;
mod bit_flip;
mod client_killed;
mod directories;
mod endangered;
mod examples;
mod get_resumed;
mod kill_loop;
mod late_node;
mod liar;
mod many_providers;
mod members;
mod metrics;
mod names;
mod new_account;
mod node_starts;
mod processors;
mod summary;
mod too_many_killed;
mod verifier;

use std::process::ExitCode;

use ostrakon_tests::{
    cluster::Shape,
    scenarios::{self, Scenario, Stage, long_scenario, scenario},
};

const SCENARIOS: [Scenario<Stage>; 24] = [
    scenario("bad_input", bad_input::run),
    scenario("node_starts", node_starts::run),
    scenario("examples", examples::run),
    scenario("account", account::run),
    scenario("new_account", new_account::run),
    scenario("metrics", metrics::run),
    scenario("names", names::run),
    scenario("summary", summary::run),
    scenario("any_n_minus_k", any_n_minus_k::run),
    scenario("too_many_killed", too_many_killed::run),
    scenario("endangered", endangered::run),
    scenario("bit_flip", bit_flip::run),
    scenario("client_killed", client_killed::run),
    scenario("directories", directories::run),
    scenario("add_resumed", add_resumed::run),
    scenario("get_resumed", get_resumed::run),
    scenario("kill_loop", kill_loop::run),
    scenario("late_node", late_node::run),
    scenario("liar", liar::run),
    scenario("many_providers", many_providers::run),
    scenario("members", members::run),
    scenario("verifier", verifier::run),
    long_scenario("big_file", big_file::run),
    long_scenario("processors", processors::run),
];

fn main() -> ExitCode {
    scenarios::main("cluster", &SCENARIOS, |seed| Stage::start(Shape::new(14, 7), seed))
}
