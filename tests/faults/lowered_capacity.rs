//! A provider that lowers its capacity below what it stores, and one whose capacity is beyond its disk: both report it
//! in the log and in the status, take nothing more than they may, and what they store stays readable.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{
    cluster::{Cluster, NodeInfo, NodeStatus, Shape, until},
    content,
    scenarios::Stage,
};

const LIMIT: Duration = Duration::from_secs(60);
const SHAPE: Shape = Shape { nodes: 4, domains: 4, validators: 1 };

pub(crate) fn run(_stage: &Stage) -> Result<String> {
    let cluster = Cluster::start(SHAPE)?;
    let nodes = cluster.status()?.nodes;
    let node = nodes.last().context("there are four")?;
    let file = cluster.files.join("before");
    let hash = content::write_file(&file, 620, 1_000_000)?;
    // Four of four store it.
    let before = cluster.add(&file, &["--code", "2/4", "--all"])?;
    until("all is committed", LIMIT, || {
        Ok(status(&cluster, node)?.space.committed_bytes.is_some_and(|bytes| bytes > 0))
    })?;
    let stored = status(&cluster, node)?;

    lowered(&cluster, node)?;
    takes_nothing(&cluster, node, &stored)?;
    cluster.expect_read(&before.link, &hash)?;

    let other = nodes.get(1).context("there are four")?;
    let stored = newer_status(&cluster, other)?;
    beyond_the_disk(&cluster, other)?;
    takes_nothing(&cluster, other, &stored)?;
    cluster.expect_read(&before.link, &hash)?;
    Ok(format!("capacity below {} stored bytes, and beyond the disk: nothing more was taken", stored.space.used_bytes))
}

fn status(cluster: &Cluster, node: &NodeInfo) -> Result<NodeStatus> {
    cluster.binaries.node_status(&node.data_dir)
}

/// A status that has all that is stored by now.
fn newer_status(cluster: &Cluster, node: &NodeInfo) -> Result<NodeStatus> {
    let updated = status(cluster, node)?.space.updated_ms;
    until("the status is newer", LIMIT, || Ok(status(cluster, node)?.space.updated_ms > updated))?;
    status(cluster, node)
}

/// By SIGHUP: the ledger takes no capacity below what is committed, and the node has to keep to it alone.
fn lowered(cluster: &Cluster, node: &NodeInfo) -> Result<()> {
    let path = node.data_dir.join("node.toml");
    let offer = cluster.offer(node, "0.001", 1)?;
    fs::write(&path, format!("{}{offer}", fs::read_to_string(&path)?))?;
    cluster.signal(&[node.index], "HUP")?;
    warned(cluster, node, "is below the")?;
    let status = status(cluster, node)?;
    ensure!(status.space.capacity_bytes == Some(1) && status.space.free_bytes == 0, "{status:?}");
    Ok(())
}

fn beyond_the_disk(cluster: &Cluster, node: &NodeInfo) -> Result<()> {
    cluster.restart_with(node, |settings| {
        let others: Vec<&str> = settings.lines().filter(|line| !line.starts_with("disk_reserve_bytes")).collect();
        format!("disk_reserve_bytes = {}\n{}\n", i64::MAX, others.join("\n"))
    })?;
    warned(cluster, node, "is beyond the disk")
}

/// Waits until both the status and the log have it.
fn warned(cluster: &Cluster, node: &NodeInfo, text: &str) -> Result<()> {
    until(&format!("the status and the log have {text:?}"), LIMIT, || {
        let warning = status(cluster, node)?.space.capacity_warning.unwrap_or_default();
        let log = fs::read_to_string(node.data_dir.join("node.log"))?;
        Ok(warning.contains(text) && log.contains(text))
    })
}

/// Others take what is added; on this node nothing arrives, not even for a moment.
fn takes_nothing(cluster: &Cluster, node: &NodeInfo, before: &NodeStatus) -> Result<()> {
    for number in 0..5 {
        let file = cluster.files.join("after");
        let hash = content::write_file(&file, 630 + number, 300_000)?;
        let added = cluster.add(&file, &["--code", "1/2"])?;
        ensure!(!added.slots.iter().any(|slot| slot.provider == node.provider), "the node took a column: {added:?}");
        cluster.expect_read(&added.link, &hash)?;
    }
    let after = newer_status(cluster, node)?;
    ensure!(
        after.space.used_bytes <= before.space.used_bytes && after.columns <= before.columns,
        "{before:?}, then {after:?}"
    );
    Ok(())
}
