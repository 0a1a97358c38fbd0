//! Nodes are dead before anything is added, and the ledger does not know yet: adds continue, and what they could not
//! store is stored as soon as others join.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{cluster::Shape, process::until, scenarios::size};

use super::network::Watched;

const EPOCH: u64 = 10;
/// Nodes, how many of them are dead, and the code that a network of this size uses.
const CASES: [(usize, usize, (u8, u8)); 3] = [(4, 1, (2, 4)), (14, 3, (4, 12)), (6, 1, (3, 6))];
/// After the epoch in which the new nodes joined, one in which they are drawn, and one to spare.
const EPOCHS: u64 = 2;

pub(crate) fn run() -> Result<String> {
    let mut said = Vec::new();
    for case in CASES.into_iter().take(size(3, 1)) {
        said.push(dead(case).with_context(|| format!("{} nodes, {} of them dead", case.0, case.1))?);
    }
    Ok(said.join("; "))
}

fn dead((nodes, dead, (k, n)): (usize, usize, (u8, u8))) -> Result<String> {
    let network = Watched::start(Shape::new(nodes, nodes), EPOCH, dead, &[])?;
    let gone: Vec<usize> = (nodes - dead..nodes).collect();
    network.cluster.kill(&gone)?;
    let object = network.add(1, 3_000_000, &[])?;
    let made = network.commitments(&object)?;
    let first = made.first().context("it is committed")?;
    ensure!((first.code.k, first.code.n) == (k, n), "it was stored as {}", first.code);
    let (live, all) = network.live(&object)?;
    ensure!(live < all && live >= usize::from(first.code.receipts_needed()), "{live} of {all} columns are stored");
    network.read_all(std::slice::from_ref(&object))?;

    let joining: Vec<usize> = (nodes..nodes + dead).collect();
    network.cluster.revive(&joining)?;
    let named = network.names(&joining)?;
    until("the new nodes have joined", Duration::from_secs(60), || {
        Ok(named.iter().all(|node| network.provider(*node).is_ok()))
    })?;
    let joined = network.epoch()?;
    let took = network.wait_whole(std::slice::from_ref(&object), Duration::from_secs(60))?;
    let epochs = network.epoch()? - joined;
    ensure!(epochs <= EPOCHS, "it took {epochs} epochs after others joined");
    network.read_all(&[object])?;
    Ok(format!(
        "with {dead} of {nodes} dead, {live} of {all} columns were stored, and all {:.0} s after others joined",
        took.as_secs_f32()
    ))
}
