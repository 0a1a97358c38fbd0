//! Faults that users of tools of this kind have reported, tried on real processes: one scenario for each, named for
//! what is tried, in a file of its own. One network of 14 nodes in 7 domains serves them all; whatever a scenario kills
//! or stops runs again before the next. How they are chosen and repeated: [`ostrakon_tests::scenarios`].

mod add_messages;
mod add_while_stopped;
mod all_or_nothing;
mod growing_log;
mod holders_paused;
mod many_adds;
mod node_behind;
mod several_paths;
mod unreadable_file;

use std::process::ExitCode;

use ostrakon_tests::{
    cluster::Shape,
    scenarios::{self, Scenario, Stage, scenario},
};

/// In the order of their names.
const SCENARIOS: &[Scenario<Stage>] = &[
    scenario("add_messages", add_messages::run),
    scenario("add_while_stopped", add_while_stopped::run),
    scenario("all_or_nothing", all_or_nothing::run),
    scenario("growing_log", growing_log::run),
    scenario("holders_paused", holders_paused::run),
    scenario("many_adds", many_adds::run),
    scenario("node_behind", node_behind::run),
    scenario("several_paths", several_paths::run),
    scenario("unreadable_file", unreadable_file::run),
];

fn main() -> ExitCode {
    scenarios::main("faults", SCENARIOS, |seed| Stage::start(Shape::new(14, 7), seed))
}
