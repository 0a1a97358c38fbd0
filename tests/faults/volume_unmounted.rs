//! The disk of a node's store is not mounted when the node starts: the node names it, follows the ledger, takes nothing
//! and writes nothing under the mount point, and reports what the ledger counts on. Mounted again, its columns are
//! there.

use anyhow::{Result, ensure};
use ostrakon_tests::{
    mounted::{LoopDisk, MountedNode, on_disk},
    scenarios::Stage,
};

pub(crate) fn run(_stage: &Stage) -> Result<String> {
    on_disk(scenario)
}

fn scenario(mut node: MountedNode<'_>, disk: LoopDisk) -> Result<String> {
    node.start(&[&disk])?;
    let stored = node.store(700)?;
    node.stop(&[&disk])?;

    node.start(&[])?;
    node.expect_volumes(&["missing"])?;
    node.expect_missing(1)?;
    node.logs("volume is not used")?;
    node.logs("the ledger counts on columns of this node that are not here")?;
    for args in [&["config", "check"][..], &["volume", "ls"], &["status"]] {
        let outcome = node.operate(&[], args)?;
        let said = outcome.expect_code(0)?.said();
        ensure!(said.contains(&*disk.at.to_string_lossy()) && said.contains("mount it"), "{outcome}");
    }
    node.cluster.expect_read(&stored.link, &stored.hash)?;
    for seed in 701..706 {
        ensure!(!node.takes(seed)?, "a node without a volume took a column");
    }
    node.expect_blocks()?;
    node.stop(&[])?;
    disk.expect_nothing_under()?;

    node.start(&[&disk])?;
    node.expect_volumes(&["open"])?;
    node.expect_missing(0)?;
    node.expect_served(&[&stored])?;
    disk.expect_nothing_under()?;
    Ok("named, with what is missing; nothing was taken or written; mounted again, its column was served".to_owned())
}
