//! The examples do what they show.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Result, ensure};
use ostrakon_tests::{cluster::Running, scenarios::Stage};

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let shown = [("add_get", "read the same 62 bytes"), ("object_store", "deleted 5 objects")];
    for (name, line) in shown {
        let program = stage.cluster.binaries.examples.join(name);
        let hint = "build it with `cargo build --release -p ostrakon-examples --examples`";
        ensure!(program.is_file(), "{} is missing: {hint}", program.display());
        let mut command = Command::new(program);
        command.env("OSTRAKON_PROFILE", stage.cluster.profile());
        let outcome = Running::spawn(command, Stdio::null())?.wait(Duration::from_secs(60))?;
        outcome.expect_code(0)?;
        ensure!(outcome.said().contains(line), "{name} shows something else: {outcome}");
    }
    Ok(shown.map(|(name, _)| name).join(", "))
}
