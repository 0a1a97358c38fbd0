//! Public buckets: what anyone may read by a CID, and nothing else; archives that the command reads and refuses.

use std::fs;

use anyhow::{Result, ensure};
use ostrakon_tests::scenarios::Stage;
use serde::Deserialize;

use crate::server::Gateway;

#[derive(Deserialize)]
struct Written {
    root: String,
}

#[derive(Deserialize)]
struct Imported {
    root: String,
    link: String,
}

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let cluster = &stage.cluster;
    cluster.run(&["bucket", "create", "website", "--public"])?.expect_code(0)?;
    let gateway = Gateway::start(cluster)?;
    let archive = cluster.files.join("gateway.car");
    let settings = [("ARCHIVE", archive.to_str().unwrap_or_default())];
    let said = gateway.run("ipfs.py", &settings)?.said();
    let kept = said.lines().filter(|line| line.ends_with(": ok")).count();
    ensure!(kept > 0, "no rule was tried: {said}");
    cluster.run(&["bucket", "verify", "website"])?.expect_code(0)?;

    // The gateway's archive is one that the command takes, and writes again.
    let path = |name: &str| cluster.files.join(name).to_string_lossy().into_owned();
    let (ours, again, wrong) = (path("gateway.car"), path("again.car"), path("wrong.car"));
    let Imported { root, link } = cluster.run(&["car", "import", &ours])?.json()?;
    let Written { root: exported } = cluster.run(&["car", "export", &link, "-o", &again])?.json()?;
    ensure!(root == exported, "imported as {root}, exported as {exported}");
    let mut bytes = fs::read(&again)?;
    ensure!(bytes == fs::read(&ours)?, "the archives differ");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&wrong, bytes)?;
    cluster.run(&["car", "import", &wrong])?.expect_code(4)?;
    cluster.run(&["car", "export", &link, "-o", &again])?.expect_code(2)?;
    Ok(format!("{kept} groups of rules hold, {root}"))
}
