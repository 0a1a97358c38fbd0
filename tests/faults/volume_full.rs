//! The disk of a node's store is filled by others: the node takes nothing, serves what it has and follows the ledger.
//! With space again, it takes columns again.

use std::time::Duration;

use anyhow::{Result, ensure};
use ostrakon_tests::{
    cluster::until,
    mounted::{LoopDisk, MountedNode, on_disk},
    scenarios::Stage,
};

const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn run(_stage: &Stage) -> Result<String> {
    on_disk(scenario)
}

fn scenario(mut node: MountedNode<'_>, disk: LoopDisk) -> Result<String> {
    node.start(&[&disk])?;
    let stored = node.store(710)?;

    node.inside(&disk, "cat /dev/zero > \"$0/filler\"; test \"$(df --output=avail \"$0\" | tail -1)\" -eq 0")?;
    until("the node finds its disk full", LIMIT, || Ok(node.status()?.space.free_bytes == 0))?;
    for seed in 711..716 {
        ensure!(!node.takes(seed)?, "a node with a full disk took a column");
    }
    node.expect_served(&[&stored])?;
    node.expect_blocks()?;

    node.inside(&disk, "rm \"$0/filler\"")?;
    until("the node finds space", LIMIT, || Ok(node.status()?.space.free_bytes > 0))?;
    let after = node.store(716)?;
    node.stop(&[&disk])?;
    node.start(&[&disk])?;
    node.expect_missing(0)?;
    node.expect_served(&[&stored, &after])?;
    disk.expect_nothing_under()?;
    Ok("took nothing while full, served what it had, took more with space again".to_owned())
}
