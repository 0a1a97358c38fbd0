//! Epochs of an hour: a bucket is created and written to immediately, and takes thousands of batches within one of
//! them.

use std::{fs, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{
    cluster::{Cluster, Running, Shape, until},
    scenarios::size,
};
use serde::Deserialize;

use crate::{ledger::Ledger, server::Gateway};

const BUCKET: &str = "long-epochs";
const LIMIT: Duration = Duration::from_secs(3_600);
/// How long the first put and the last ones may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Checked {
    objects: u64,
}

pub(crate) fn run() -> Result<String> {
    let cluster = Cluster::start_as(Shape::new(14, 7), &["--epoch", "3600"])?;
    let (gateway, ledger) = (Gateway::start(&cluster)?, Ledger::open(cluster.profile())?);
    let [stop, ready] = ["batches.stop", "batches.ready"].map(|name| cluster.files.join(name));
    let settings = [
        ("BUCKET", BUCKET),
        ("CLIENTS", "4"),
        ("STOP", stop.to_str().context("a path of ours")?),
        ("READY", ready.to_str().context("a path of ours")?),
    ];
    let mut load = Running::spawn(gateway.script("batches.py", &settings), Stdio::null())?;
    until("a bucket is created and written to", PATIENCE, || Ok(ready.exists() || load.has_ended()))?;
    let (first, began, wanted) = (ledger.transactions(BUCKET)?, ledger.epoch()?, size(10_000, 60));
    let mut batches = 0;
    until(&format!("{wanted} batches are committed"), LIMIT, || {
        batches = ledger.transactions(BUCKET)?.saturating_sub(first);
        Ok(batches >= wanted || load.has_ended())
    })
    .with_context(|| format!("{batches} are committed"))?;
    let ended = ledger.epoch()?;
    fs::write(&stop, "")?;
    let outcome = load.wait(PATIENCE)?;
    ensure!(outcome.expect_code(0).is_ok(), "puts failed after {batches} batches: {}", outcome.said());
    ensure!(began == ended, "{batches} batches took from epoch {began} to {ended}");
    let Checked { objects } = cluster.run(&["bucket", "verify", BUCKET])?.json()?;
    ensure!(outcome.said().trim() == objects.to_string(), "{objects} objects are there, put were {}", outcome.said());
    Ok(format!("{objects} objects, {batches} batches of one bucket in epoch {ended}"))
}
