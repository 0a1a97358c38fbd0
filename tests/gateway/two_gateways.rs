//! Two gateways serve one bucket; on the way each is killed and started again, or stands still for seconds and then
//! continues with what it knew before: one order of all requests explains what their clients were answered. To check
//! the checker, gateways whose reads may be outdated (`--max-stale`) must fail it.

use std::{process::Stdio, time::Duration};

use anyhow::{Result, ensure};
use ostrakon_tests::{
    cluster::{Cluster, Running},
    scenarios::{Stage, size},
};

use crate::server::{AccessKey, Gateway};

const BUCKET: &str = "histories";
/// Where reads may be outdated.
const OUTDATED: &str = "outdated";
const LIMIT: Duration = Duration::from_secs(600);

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let (cluster, mut rng) = (&stage.cluster, stage.rng());
    cluster.run(&["bucket", "create", BUCKET])?.expect_code(0)?;
    let one = Gateway::start(cluster)?;
    let key = one.key.clone();
    let mut both = [Gateway::start_with(cluster, cluster.profile(), key.clone(), "127.0.0.1:0")?, one];
    let seed = rng.below(1_000_000).to_string();
    let mut load = load(&both, (BUCKET, size("10000", "600"), size("100", "12")), &[("SEED", &seed)])?;
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
    find_fault(cluster, &key, &seed)?;
    let said = outcome.said().lines().last().unwrap_or_default().trim().to_owned();
    Ok(format!("{kills} kills and {halts} halts: {said}; outdated reads of others were found"))
}

/// A gateway whose reads do not ask for the newest state, while another writes: the checker must find that out.
fn find_fault(cluster: &Cluster, key: &AccessKey, seed: &str) -> Result<()> {
    cluster.run(&["bucket", "create", OUTDATED])?.expect_code(0)?;
    let both = [Gateway::start_outdated(cluster, key.clone())?, Gateway::start_outdated(cluster, key.clone())?];
    let outcome = load(&both, (OUTDATED, "120", "2"), &[("SEED", seed), ("READER", "1")])?.wait(LIMIT)?;
    ensure!(outcome.expect_code(3).is_ok(), "outdated reads were not found: {}", outcome.said());
    Ok(())
}

/// Random requests to both, on so many keys, and the search for an order that explains all answers.
fn load(
    both: &[Gateway; 2],
    (bucket, requests, keys): (&str, &str, &str),
    settings: &[(&str, &str)],
) -> Result<Running> {
    let endpoints = both.each_ref().map(|gateway| gateway.endpoint.as_str()).join(",");
    let own = [("ENDPOINTS", endpoints.as_str()), ("BUCKET", bucket), ("REQUESTS", requests), ("KEYS", keys)];
    Running::spawn(both[0].script("histories.py", &[&own, settings].concat()), Stdio::null())
}
