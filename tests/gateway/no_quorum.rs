//! Too few validators respond: what was put is served, marked as possibly outdated; nothing is put; and once they are
//! back, both continue.

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{content, scenarios::Stage};

use crate::server::Gateway;

const BUCKET: &str = "quorum";

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let cluster = &stage.cluster;
    cluster.run(&["bucket", "create", BUCKET])?.expect_code(0)?;
    let gateway = Gateway::start(cluster)?;
    let file = cluster.files.join("body");
    content::write_file(&file, 901, 100_000)?;
    let path = file.to_str().unwrap_or_default();
    let script = |what: &str| gateway.run("many.py", &[("BUCKET", BUCKET), ("FILE", path), ("DO", what)]);
    script("put")?;
    let nodes = cluster.status()?.nodes;
    let validator = nodes.iter().find(|node| node.validator).context("one votes")?.index;
    cluster.kill(&[validator])?;
    let said = script("stale")?.said();
    cluster.revive(&[validator])?;
    let back = script("back")?.said();
    ensure!(said.contains("all right") && back.contains("all right"), "{said} {back}");
    Ok(format!("without a quorum: {}; with it again: {}", said.trim(), back.trim()))
}
