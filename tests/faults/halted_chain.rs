//! A halted chain: two of four validators stop. The others report whom they wait for, in their status and by one line
//! of the log, and blocks continue as soon as the two are back.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{
    cluster::{Cluster, Shape, until},
    scenarios::Stage,
};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);
/// How soon blocks continue.
const SOON: Duration = Duration::from_secs(5);
/// Parts of the lines of the log.
const HALTED: &str = "the chain is halted";
const CONTINUES: &str = "the chain continues";

pub(crate) fn run(_stage: &Stage) -> Result<String> {
    let network = Cluster::start(Shape { nodes: 4, domains: 4, validators: 4 })?;
    let nodes = network.status()?.nodes;
    let status = || network.binaries.node_status(&nodes[0].data_dir);
    let lines = |part: &str| -> Result<usize> {
        let log = fs::read_to_string(nodes[0].data_dir.join("node.log"))?;
        Ok(log.lines().filter(|line| line.contains(part)).count())
    };
    until("blocks are decided", LIMIT, || Ok(status()?.height > 3))?;
    ensure!(status()?.waiting_for.is_none(), "a chain that runs waits for nobody");
    // The start may have been slow enough for a halt.
    let before = (lines(HALTED)?, lines(CONTINUES)?);
    network.signal(&[2, 3], "STOP")?;
    until("the status names whom the chain waits for", LIMIT, || Ok(status()?.waiting_for.is_some()))?;
    let halted = status()?;
    let waiting_for = halted.waiting_for.context("the status does not name whom the chain waits for")?;
    ensure!(waiting_for.height == halted.height + 1, "{waiting_for:?} above {}", halted.height);
    for gone in [&nodes[2], &nodes[3]] {
        ensure!(waiting_for.validators.contains(&gone.provider), "{waiting_for:?} lacks {}", gone.provider);
    }
    ensure!(!waiting_for.validators.contains(&nodes[1].provider), "{waiting_for:?} names one that votes");
    network.signal(&[2, 3], "CONT")?;
    let back = Instant::now();
    until("blocks continue", LIMIT, || Ok(status()?.height > halted.height))?;
    let took = back.elapsed();
    until("the status waits for nobody", LIMIT, || Ok(status()?.waiting_for.is_none()))?;
    let (halts, ends) = (lines(HALTED)? - before.0, lines(CONTINUES)? - before.1);
    ensure!((halts, ends) == (1, 1), "{halts} lines say that the chain is halted, {ends} that it continues");
    ensure!(took < SOON, "blocks continued only after {took:?}");
    Ok(format!("two of four validators stopped; a block {:.1} s after they were back", took.as_secs_f32()))
}
