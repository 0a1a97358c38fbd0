//! What S3 promises: each rule tried with requests made by hand.

use anyhow::{Result, ensure};
use ostrakon_tests::scenarios::Stage;

use crate::server::Gateway;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let gateway = Gateway::start(&stage.cluster)?;
    let said = gateway.run("rules.py", &[])?.said();
    let kept = said.lines().filter(|line| line.ends_with(": ok")).count();
    ensure!(kept > 0, "no rule was tried: {said}");
    stage.cluster.run(&["bucket", "verify", "rules"])?.expect_code(0)?;
    Ok(format!("{kept} groups of rules hold"))
}
