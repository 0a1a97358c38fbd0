//! Two gateways serve one bucket; on the way each is killed and started again, or stands still for seconds and then
//! continues with what it knew before: one order of all requests explains what their clients were answered.

use std::{process::Stdio, time::Duration};

use anyhow::{Result, ensure};
use ostrakon_tests::{
    cluster::Running,
    scenarios::{Stage, size},
};

use crate::server::{AccessKey, Gateway};

const BUCKET: &str = "histories";
const LIMIT: Duration = Duration::from_secs(600);

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let (cluster, mut rng) = (&stage.cluster, stage.rng());
    cluster.run(&["bucket", "create", BUCKET])?.expect_code(0)?;
    let one = Gateway::start(cluster)?;
    let AccessKey { id, secret } = &one.key;
    let same_key = AccessKey { id: id.clone(), secret: secret.clone() };
    let mut both = [Gateway::start_with(cluster, cluster.profile(), same_key, "127.0.0.1:0")?, one];
    let endpoints = both.iter().map(|gateway| gateway.endpoint.clone()).collect::<Vec<_>>().join(",");
    let seed = rng.below(1_000_000).to_string();
    let settings = [
        ("ENDPOINTS", endpoints.as_str()),
        ("BUCKET", BUCKET),
        ("REQUESTS", size("10000", "600")),
        ("KEYS", size("100", "12")),
        ("SEED", seed.as_str()),
    ];
    let mut load = Running::spawn(both[0].script("histories.py", &settings), Stdio::null())?;
    let (mut kills, mut halts) = (0, 0);
    while !load.has_ended() {
        rng.pause(size(60_000, 6_000));
        let [first, second] = both;
        if rng.below(2) == 0 {
            first.halted_for(|| rng.pause(size(20_000, 4_000)))?;
            both = [second, first];
            halts += 1;
        } else {
            both = [second, first.killed_and_restarted(cluster)?];
            kills += 1;
        }
    }
    let outcome = load.wait(LIMIT)?;
    ensure!(outcome.expect_code(0).is_ok(), "no order explains what was answered: {}", outcome.said());
    cluster.run(&["bucket", "compact", BUCKET])?.expect_code(0)?;
    cluster.run(&["bucket", "verify", BUCKET])?.expect_code(0)?;
    Ok(format!("{kills} kills and {halts} halts: {}", outcome.said().lines().last().unwrap_or_default().trim()))
}
