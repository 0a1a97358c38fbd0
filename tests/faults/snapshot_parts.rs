//! A stranger asks a node for parts of a snapshot, 16 at a time and without end: another that asks for one after the
//! other, as a node that joins does, gets each of them.

use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use ostrakon_proto::{
    id::{Height, NodeId},
    wire::chain,
};
use ostrakon_tests::{
    cluster::until,
    scenarios::Stage,
    stranger::{Stranger, id_of},
};

/// Blocks between two snapshots: one is kept for twice as long.
const EVERY: u64 = 20;
/// Parts that the second stranger asks for.
const PARTS: usize = 40;
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let cluster = &stage.cluster;
    let nodes = cluster.status()?.nodes;
    let node = nodes.iter().rev().find(|node| !node.validator).context("not all nodes validate")?;
    let id = id_of(node)?;
    let before = cluster.restart_with(node, |settings| format!("{settings}\nsnapshot_interval_blocks = {EVERY}\n"))?;
    // For when it is started again.
    fs::write(node.data_dir.join("node.toml"), before)?;
    let (greedy, joining) = (Stranger::start(cluster, 11, "0.001")?, Stranger::start(cluster, 12, "0.001")?);
    until("the node offers a snapshot", PATIENCE, || Ok(newest(&joining, id)?.is_some()))?;

    let (over, asked, refused) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let Ok(Some(height)) = newest(&greedy, id) else { continue };
                let answers = greedy.ask_all((0..64).map(|_| (id, chain::snapshot_part(height, None))).collect());
                asked.fetch_add(answers.len(), Ordering::Relaxed);
                refused.fetch_add(answers.iter().filter(|answer| answer.is_err()).count(), Ordering::Relaxed);
            }
        });
        let fetched = fetch(&joining, id, &asked);
        over.store(true, Ordering::Relaxed);
        fetched
    })?;
    let (asked, refused) = (asked.load(Ordering::Relaxed), refused.load(Ordering::Relaxed));
    ensure!(refused < asked, "all of {asked} requests were refused, so that the node read no part for the flood");
    Ok(format!("{PARTS} parts while another node asked for {asked}, of which {refused} were refused"))
}

/// Fetches parts, one after the other; each counts only while the flood continues.
fn fetch(joining: &Stranger, node: NodeId, flood: &AtomicUsize) -> Result<()> {
    for number in 0..PARTS {
        let seen = flood.load(Ordering::Relaxed);
        let height = newest(joining, node)?.context("a snapshot is kept until there is another")?;
        joining.ask(node, chain::snapshot_part(height, None)).with_context(|| format!("part {number} of {PARTS}"))?;
        until("the flood continues", PATIENCE, || Ok(flood.load(Ordering::Relaxed) > seen))?;
    }
    Ok(())
}

fn newest(stranger: &Stranger, node: NodeId) -> Result<Option<Height>> {
    Ok(stranger.ask(node, chain::snapshots())?.pop().map(|offer| offer.header.height))
}
