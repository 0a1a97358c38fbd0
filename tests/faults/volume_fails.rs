//! The disk of a node's store fails while the node runs. Made read-only by the system after an error, it is served
//! from, and takes nothing. Pulled out, it serves nothing. Unmounted lazily, nothing is written under the mount point.
//! The node follows the ledger all the time, and when the disk is repaired every acknowledged column is served.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{
    cluster::until,
    mounted::{LoopDisk, MountedNode, on_disk},
    scenarios::Stage,
};

const LIMIT: Duration = Duration::from_secs(60);
/// As the file system does after an error.
const READ_ONLY: &str = "mount -o remount,abort \"$0\"";
/// `EXT4_IOC_SHUTDOWN`, without writing anything more: from now on each access fails, as on a disk that is not there.
const PULL_OUT: &str = "python3 -c 'import fcntl, os, struct, sys; \
                        fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack(\"I\", 2))' \"$0\"";
const UNMOUNT: &str = "umount --lazy \"$0\"";

pub(crate) fn run(_stage: &Stage) -> Result<String> {
    on_disk(scenario)
}

fn scenario(mut node: MountedNode<'_>, disk: LoopDisk) -> Result<String> {
    node.start(&[&disk])?;
    let stored = node.store(720)?;

    node.inside(&disk, READ_ONLY)?;
    let mut seeds = 721..;
    until("the node finds that its disk is read-only", LIMIT, || {
        let took = node.takes(seeds.next().context("enough")?)?;
        ensure!(!took, "the node took a column on a read-only disk");
        Ok(node.status()?.space.volumes[0].state == "read-only")
    })?;
    node.expect_served(&[&stored])?;
    node.expect_blocks()?;
    node.stop(&[&disk])?;

    node.start(&[&disk])?;
    node.expect_volumes(&["open"])?;
    let second = node.store(1740)?;
    node.inside(&disk, PULL_OUT)?;
    takes_nothing(&node, 1741)?;
    node.cluster.expect_read(&stored.link, &stored.hash)?;
    node.expect_blocks()?;
    node.stop(&[&disk])?;

    node.start(&[&disk])?;
    node.expect_served(&[&stored, &second])?;
    node.inside(&disk, UNMOUNT)?;
    node.expect_volumes(&["missing"])?;
    takes_nothing(&node, 1761)?;
    node.expect_blocks()?;
    node.stop(&[&disk])?;
    disk.expect_nothing_under()?;

    node.start(&[&disk])?;
    node.expect_missing(0)?;
    node.expect_served(&[&stored, &second])?;
    Ok("read-only, pulled out and unmounted while in use: it took nothing more, and lost nothing".to_owned())
}

/// Each of these is stored on half of the nodes, which are others.
fn takes_nothing(node: &MountedNode<'_>, first: u64) -> Result<()> {
    for seed in first..first + 10 {
        ensure!(!node.takes(seed)?, "the node took a column on a disk that cannot be written");
    }
    Ok(())
}
