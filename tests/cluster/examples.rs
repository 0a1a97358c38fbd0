//! The examples do what they show.

use std::time::Duration;

use anyhow::{Result, ensure};
use ostrakon_tests::cluster::Running;

use crate::Stage;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let program = stage.cluster.binaries.examples.join("add_get");
    let hint = "build it with `cargo build --release -p ostrakon-examples --examples`";
    ensure!(program.is_file(), "{} is missing: {hint}", program.display());
    let none: [&str; 0] = [];
    let running = Running::start_as(&program, &none, Some(stage.cluster.profile()))?;
    let outcome = running.wait(Duration::from_secs(60))?;
    outcome.expect_code(0)?;
    ensure!(outcome.said().contains("read the same 62 bytes"), "the example shows something else: {outcome}");
    Ok("add_get".into())
}
