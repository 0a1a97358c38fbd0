//! A node leaves in good order: its columns move to others, no object is below n - 1 meanwhile, and its bond unlocks.
//! Not here: the return of the bond, which is the ledger's, and takes an hour on a devnet.

use std::{
    ffi::OsStr,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use ostrakon::{NodeId, ledger::ProviderStatus};
use ostrakon_tests::{
    cluster::{Running, Shape},
    process::{until, without_profile},
    scenarios::size,
};

use super::network::{Object, Watched};

const EPOCH: u64 = 4;
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn run() -> Result<String> {
    let objects: u64 = size(40, 8);
    let network = Watched::start(Shape::new(9, 9), EPOCH, 0, &[])?;
    let stored: Vec<Object> =
        (0..objects).map(|seed| network.add(seed, 2_000_000, &["--code", "3/6"])).collect::<Result<_>>()?;
    let node = network.cluster.status()?.nodes.pop().context("the network has nodes")?;
    let id: NodeId = node.provider.parse().context("a node id")?;
    let before = network.provider(id)?;
    ensure!(before.used > 0, "the node stores something");

    let mut command = without_profile(&network.cluster.binaries.node);
    command.args([OsStr::new("drain"), "--dir".as_ref(), node.data_dir.as_os_str()]);
    let (drain, since) = (Running::spawn(command, Stdio::null())?, Instant::now());
    let mut lowest = usize::MAX;
    until("nothing is left on the node", LIMIT, || {
        for object in &stored {
            let (live, n) = network.live(object)?;
            lowest = lowest.min(live + 1).min(n);
            ensure!(live + 1 >= n, "object {} has {live} of {n} columns while a node drains", object.id);
        }
        Ok(network.provider(id)?.used == 0)
    })?;
    drain.wait(LIMIT)?.expect_code(0)?;
    let took = since.elapsed();
    network.cluster.kill(&[node.index])?;
    network.read_all(&stored)?;
    network.wait_whole(&stored, LIMIT)?;

    let left = network.provider(id)?;
    ensure!(matches!(left.status, ProviderStatus::Exited { .. }), "the ledger has it as {:?}", left.status);
    let paid = before.bond.0 - left.bond.0;
    Ok(format!(
        "{} bytes moved in {:.0} s for {paid} micro-obols of the bond; no object had fewer than n-1 columns",
        before.used,
        took.as_secs_f32()
    ))
}
