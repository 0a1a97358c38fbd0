//! A network in which four nodes vote, and so decide blocks instead of following others: what is removed is deleted on
//! every node, a changed offer reaches the ledger, and every node reports that it is synced.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{
    cluster::{Cluster, NodeInfo, NodeStatus, Shape, until},
    scenarios::Stage,
};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(120);
/// Epochs that columns stay in the trash of this network, and those in which they must be deleted.
const TRASH: u64 = 2;
const GONE_AFTER: u64 = TRASH + 2;
/// Blocks of ten seconds.
const SOON: u64 = 20;
/// What the changed offer has, and no other.
const CAPACITY: u64 = 123_000_000;

pub(crate) fn run(_stage: &Stage) -> Result<String> {
    let network = Cluster::start_as(Shape { nodes: 6, domains: 6, validators: 4 }, &["--permissioned"])?;
    let nodes = network.status()?.nodes;
    let status = |node: &NodeInfo| network.binaries.node_status(&node.data_dir);
    let all = |test: &dyn Fn(&NodeStatus) -> bool| -> Result<bool> {
        nodes.iter().map(status).try_fold(true, |so_far, status| Ok(so_far && test(&status?)))
    };
    until("every node is synced", LIMIT, || all(&|status| status.synced))?;
    change_trash(&network)?;

    network.shell("head -c 3000000 /dev/urandom > file && ostrakon -q add file > link")?.expect_code(0)?;
    until("some node stores a column", LIMIT, || Ok(!all(&|status| status.columns == 0)?))?;
    network.shell("ostrakon rm $(cat link) --yes")?.expect_code(0)?;
    let removed = status(&nodes[0])?.epoch;
    until("the columns are deleted on every node", LIMIT, || {
        all(&|status| status.columns == 0 && status.trash_bytes == 0)
    })?;
    let gone = status(&nodes[0])?.epoch;
    ensure!(gone <= removed + GONE_AFTER, "the columns were removed in epoch {removed}, and deleted only in {gone}");

    let took = change_offer(&network, &nodes[0])?;
    until("every node is synced again", LIMIT, || all(&|status| status.synced))?;
    Ok(format!(
        "columns were deleted {} epochs after `rm`, a new offer was registered after {took} blocks",
        gone - removed
    ))
}

/// The network's account decides alone that trash is kept for a short time.
fn change_trash(network: &Cluster) -> Result<()> {
    let changes = network.files.join("changes.toml");
    fs::write(&changes, format!("draw_epochs = {TRASH}\n[time]\ntrash_epochs = {TRASH}\n"))?;
    let proposed = network.run(&["governance", "propose", "params", &changes.to_string_lossy()])?;
    let proposed: serde_json::Value = proposed.json()?;
    let number = proposed["number"].as_u64().context("`governance propose` prints the number")?;
    network.run(&["governance", "vote", &number.to_string(), "yes"])?.expect_code(0).map(drop)
}

/// Restarts a validator with another offer; how many blocks later the ledger has it.
fn change_offer(network: &Cluster, node: &NodeInfo) -> Result<u64> {
    let recorded = || -> Result<serde_json::Value> {
        let listed: serde_json::Value = network.run(&["providers"])?.json()?;
        let providers = listed["providers"].as_array().context("`providers` prints a list")?;
        let of_node = providers.iter().find(|provider| provider["provider"] == node.provider.as_str());
        of_node.cloned().context("the node is a provider")
    };
    let offer = network.offer(node, "0.001", CAPACITY)?;
    network.restart_with(node, |settings| format!("{settings}{offer}"))?;
    let height = || Ok::<u64, anyhow::Error>(network.binaries.node_status(&node.data_dir)?.height);
    let restarted = height()?;
    until("the ledger has the new offer", LIMIT, || Ok(recorded()?["capacity"] == CAPACITY))?;
    let took = height()?.saturating_sub(restarted);
    ensure!(took <= SOON, "the ledger had the new offer {took} blocks after the restart");
    Ok(took)
}
