//! n-k holders are killed: everything that was put reads back right, and what is put then too.

use anyhow::{Result, ensure};
use ostrakon_tests::{content, scenarios::Stage};

use crate::server::Gateway;

const BUCKET: &str = "holders";

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let (cluster, mut rng) = (&stage.cluster, stage.rng());
    cluster.run(&["bucket", "create", BUCKET])?.expect_code(0)?;
    let gateway = Gateway::start(cluster)?;
    let file = cluster.files.join("body");
    content::write_file(&file, 900, 3_000_000)?;
    let path = file.to_str().unwrap_or_default();
    gateway.run("many.py", &[("BUCKET", BUCKET), ("FILE", path), ("DO", "put")])?;
    let nodes = cluster.status()?.nodes;
    let others: Vec<usize> = nodes.iter().filter(|node| !node.validator).map(|node| node.index).collect();
    let killed = rng.some_of(&others, 8);
    cluster.kill(&killed)?;
    let said = gateway.run("many.py", &[("BUCKET", BUCKET), ("FILE", path), ("DO", "get")])?.said();
    ensure!(said.contains("all right"), "{said}");
    Ok(format!("8 of {} nodes were killed, and {}", nodes.len(), said.trim()))
}
