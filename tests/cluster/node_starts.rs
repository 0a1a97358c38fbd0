//! A node that cannot run says why immediately; with a full disk, other nodes store the columns.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{
    cluster::{Added, NodeInfo, Outcome, Running},
    content,
    scenarios::Stage,
};

const SOON: Duration = Duration::from_secs(20);

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let nodes = stage.cluster.status()?.nodes;
    let last = nodes.last().context("a network has nodes")?;
    second_on_one_directory(stage, last)?;
    unknown_setting(stage, last)?;
    full_disk(stage, last)?;
    Ok("second process on one directory, unknown setting, full disk".into())
}

fn start(stage: &Stage, dir: &Path) -> Result<Outcome> {
    Running::start(&stage.cluster.binaries.node, &["run".as_ref(), "--dir".as_ref(), dir.as_os_str()])?.wait(SOON)
}

fn refused(outcome: &Outcome, names: &[&str]) -> Result<()> {
    ensure!(outcome.code.is_some_and(|code| code != 0), "this should not have started: {outcome}");
    for name in names {
        ensure!(outcome.said().contains(name), "the message does not name {name:?}: {outcome}");
    }
    ensure!(!outcome.said().contains("panicked"), "a panic is not a message: {outcome}");
    Ok(())
}

/// Two processes with one key and one disk would spoil both.
fn second_on_one_directory(stage: &Stage, node: &NodeInfo) -> Result<()> {
    let outcome = start(stage, &node.data_dir)?;
    refused(&outcome, &[&node.data_dir.to_string_lossy()])?;
    let still = stage.cluster.status()?.nodes.into_iter().any(|now| now.pid == node.pid && now.running);
    ensure!(still, "the second process on {} ended the first", node.data_dir.display());
    Ok(())
}

/// A misspelt setting is no setting.
fn unknown_setting(stage: &Stage, node: &NodeInfo) -> Result<()> {
    let dir = stage.cluster.files.join("misspelt");
    fs::create_dir_all(&dir)?;
    for file in ["node.toml", "genesis.toml", "node.key"] {
        fs::copy(node.data_dir.join(file), dir.join(file))
            .with_context(|| format!("node directories have a {file}"))?;
    }
    let config = fs::read_to_string(dir.join("node.toml"))?;
    fs::write(dir.join("node.toml"), format!("frobnicate = 1\n{config}"))?;
    refused(&start(stage, &dir)?, &["frobnicate", "node.toml"])
}

/// A full disk takes nothing new; the other 13 nodes can carry 12 columns.
fn full_disk(stage: &Stage, node: &NodeInfo) -> Result<()> {
    let full = |settings: &str| {
        let others: Vec<&str> = settings.lines().filter(|line| !line.starts_with("disk_reserve_bytes")).collect();
        format!("disk_reserve_bytes = {}\n{}\n", i64::MAX, others.join("\n"))
    };
    let before = stage.cluster.restart_with(node, full)?;
    let added = add_and_read(stage);
    stage.cluster.restart_with(node, |_| before)?;
    let held = added?.slots.iter().any(|slot| slot.provider == node.provider);
    ensure!(!held, "a node without room took a column");
    Ok(())
}

fn add_and_read(stage: &Stage) -> Result<Added> {
    let file = stage.cluster.files.join("to-add");
    let hash = content::write_file(&file, 600, 2_000_000)?;
    let added = stage.cluster.add(&file, &["--all"])?;
    stage.cluster.expect_read(&added.link, &hash)?;
    Ok(added)
}
