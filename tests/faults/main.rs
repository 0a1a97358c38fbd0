//! Faults that users of tools of this kind have reported, tried on real processes: one scenario for each, named for
//! what is tried, in a file of its own. One network of 14 nodes in 7 domains serves them all; whatever a scenario kills
//! or stops runs again before the next. How they are chosen and repeated: [`ostrakon_tests::scenarios`].

use std::process::ExitCode;

use ostrakon_tests::{
    cluster::Shape,
    scenarios::{self, Scenario, Stage},
};

/// In the order of their names: `scenario("cat_into_head", cat_into_head::run)`.
const SCENARIOS: &[Scenario<Stage>] = &[];

fn main() -> ExitCode {
    scenarios::main("faults", SCENARIOS, |seed| Stage::start(Shape::new(14, 7), seed))
}
