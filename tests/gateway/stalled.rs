//! Clients that send a part of a large body and then stall: small puts beside them are answered, at full size at least
//! half as many a second as without; the gateway's memory is bounded, and nothing is stored of what never came.

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{
    proc,
    scenarios::{Stage, size},
};
use serde::Deserialize;

use crate::server::Gateway;

const BUCKET: &str = "stalled";
/// Bytes that the gateway may have resident.
const MEMORY: u64 = 512 << 20;

#[derive(Deserialize)]
struct Checked {
    objects: u64,
}

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let cluster = &stage.cluster;
    cluster.run(&["bucket", "create", BUCKET])?.expect_code(0)?;
    let gateway = Gateway::start(cluster)?;
    let (stalled, seconds, least) = size(("100", "20", "0.5"), ("20", "3", "0"));
    let settings = [("BUCKET", BUCKET), ("STALLED", stalled), ("SECONDS", seconds), ("LEAST", least)];
    let said = gateway.run("stalled.py", &settings)?.said();
    let (count, rates) = said.trim().split_once(' ').context("the script says how many objects it put")?;
    let peak = proc::peak_bytes(gateway.pid()).context("the gateway has ended")?;
    ensure!(peak <= MEMORY, "the gateway had {} MiB resident", peak >> 20);
    let Checked { objects } = cluster.run(&["bucket", "verify", BUCKET])?.json()?;
    ensure!(objects.to_string() == count, "{objects} objects are stored, and {count} were put");
    Ok(format!("{rates}; {} MiB resident at most", peak >> 20))
}
