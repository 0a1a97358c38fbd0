//! Nine of ten objects are deleted: what the ledger is paid for shrinks to twice what is left.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ostrakon_tests::{
    process::until,
    scenarios::{Stage, is_long, size},
};
use serde::Deserialize;

use crate::server::Gateway;

const BUCKET: &str = "deleted";
const LIMIT: Duration = Duration::from_secs(120);

#[derive(Deserialize)]
struct Checked {
    objects: u64,
    bytes: u64,
    stored_bytes: u64,
    problems: Vec<String>,
}

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let cluster = &stage.cluster;
    cluster.run(&["bucket", "create", BUCKET])?.expect_code(0)?;
    let gateway = Gateway::start(cluster)?;
    let count = size(10_000_u64, 300);
    gateway.run("deleted.py", &[("BUCKET", BUCKET), ("COUNT", &count.to_string())])?;
    let began = Instant::now();
    if !is_long() {
        // The gateway looks at a bucket every half minute.
        cluster.run(&["bucket", "compact", BUCKET])?.expect_code(0)?;
    }
    let mut last = None;
    until("what is stored is twice what is left, or less", LIMIT, || {
        // While the gateway writes, what is read of the bucket may be outdated before it is compared.
        let outcome = cluster.run(&["bucket", "verify", BUCKET])?;
        let Ok(checked) = outcome.json::<Checked>() else { return Ok(false) };
        let is_over = checked.stored_bytes <= checked.bytes.saturating_mul(2);
        last = Some(checked);
        Ok(is_over)
    })?;
    let Some(Checked { objects, bytes, stored_bytes, problems }) = last else { anyhow::bail!("it was never verified") };
    ensure!(problems.is_empty(), "{problems:?}");
    ensure!(objects == count / 10, "{objects} are left of {count}");
    Ok(format!(
        "{objects} objects of {count} left: {stored_bytes} bytes for {bytes} after {:.0} s",
        began.elapsed().as_secs_f64()
    ))
}
