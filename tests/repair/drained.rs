//! A node leaves in good order: its columns move to others, no object is below n - 1 meanwhile, the command ends with
//! 0, and its owner gets the bond back, less what was paid to those who took the columns: to the micro-obol.

use std::{
    ffi::OsStr,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use ostrakon::{AccountId, Amount, NodeId, Provider, ledger::ProviderStatus};
use ostrakon_proto::ledger::repair::bounty_of_target;
use ostrakon_tests::{
    cluster::{Running, Shape},
    process::{until, without_profile},
    scenarios::size,
};
use serde::Deserialize;

use super::network::{Books, Object, Watched};

const EPOCH: u64 = 4;
const LIMIT: Duration = Duration::from_secs(120);
/// Epochs for which draws are valid, and for which a bond is locked after its provider has left, where a devnet has
/// those of an hour and of five minutes. The bond returns when no valid draw can name its provider, which is later.
const DRAW: u64 = 6;
const UNBONDING: u64 = 2;

/// What `drain` prints when it has withdrawn the node.
#[derive(Debug, Deserialize)]
struct Withdrawn {
    bond_obols: String,
    bond_returns_in_epoch: u64,
}

/// Who leaves.
#[derive(Clone, Copy, Debug)]
struct Leaving {
    node: NodeId,
    owner: AccountId,
}

pub(crate) fn run() -> Result<String> {
    let objects: u64 = size(40, 8);
    let network = Watched::start(Shape::new(9, 9), EPOCH, 0, &["--permissioned"])?;
    network.change_params(&format!(
        "draw_epochs = {DRAW}\n[time]\ntrash_epochs = {DRAW}\n[bonds]\nunbonding_epochs = {UNBONDING}\n"
    ))?;
    let stored: Vec<Object> =
        (0..objects).map(|seed| network.add(seed, 2_000_000, &["--code", "3/6"])).collect::<Result<_>>()?;
    let node = network.cluster.status()?.nodes.pop().context("the network has nodes")?;
    let id: NodeId = node.provider.parse().context("a node id")?;
    let leaving = Leaving { node: id, owner: network.provider(id)?.owner };
    let before = network.books(leaving.owner, id)?;
    let moved = price_of_moves(&network, &stored, id)?;
    ensure!(moved.0 > 0, "the node stores something");

    let mut command = without_profile(&network.cluster.binaries.node);
    command.args([OsStr::new("drain"), "--dir".as_ref(), node.data_dir.as_os_str()]);
    let (drain, since) = (Running::spawn(command, Stdio::null())?, Instant::now());
    wait_until_moved(&network, &stored, id)?;
    let took = since.elapsed();
    let drained = drain.wait(LIMIT)?;
    drained.expect_code(0)?;
    network.cluster.kill(&[node.index])?;
    network.read_all(&stored)?;
    network.wait_whole(&stored, LIMIT)?;

    let said: Withdrawn = drained.json()?;
    let bond = follow_money(&network, leaving, (&before, moved), &said)?;
    Ok(format!(
        "{} bytes moved in {:.0} s for {moved} obols of the bond; no object had fewer than n-1 columns; the \
         owner has the other {bond} obols back, to the micro-obol, in epoch {}, as `drain` said",
        owned(&before)?.used,
        took.as_secs_f32(),
        said.bond_returns_in_epoch
    ))
}

/// What those who take the node's columns are paid.
fn price_of_moves(network: &Watched, stored: &[Object], id: NodeId) -> Result<Amount> {
    let (params, mut sum) = (network.params(), 0);
    for object in stored {
        for made in network.commitments(object)? {
            let own = made.slots.iter().filter(|slot| slot.provider == id).count();
            sum += bounty_of_target(&params.repair, made.column_len).0 * u64::try_from(own)?;
        }
    }
    Ok(Amount(sum))
}

/// Waits until nothing is left on the node, and fails if an object has fewer than n - 1 columns meanwhile.
fn wait_until_moved(network: &Watched, stored: &[Object], id: NodeId) -> Result<()> {
    until("nothing is left on the node", LIMIT, || {
        for object in stored {
            let (live, n) = network.live(object)?;
            ensure!(live + 1 >= n, "object {} has {live} of {n} columns while a node drains", object.id);
        }
        Ok(network.provider(id)?.used == 0)
    })
}

fn owned(books: &Books) -> Result<&Provider> {
    books.provider.as_ref().context("the ledger has the provider")
}

/// Waits until the bond is back, and fails unless each balance is what it must be; gives the bond.
fn follow_money(
    network: &Watched,
    Leaving { node, owner }: Leaving,
    (before, moved): (&Books, Amount),
    said: &Withdrawn,
) -> Result<Amount> {
    let (withdrawn, was) = (network.books(owner, node)?, owned(before)?);
    let left = owned(&withdrawn)?;
    let returns = said.bond_returns_in_epoch;
    ensure!(matches!(left.status, ProviderStatus::Exited { .. }), "the ledger has it as {:?}", left.status);
    let bond = Amount(was.bond.0 - moved.0);
    ensure!(left.bond == bond && said.bond_obols == bond.to_string(), "{said:?}, and the ledger {}", left.bond);
    let earned = left.audited.pay.earned.0 - was.audited.pay.earned.0;
    let fees = network.fees_since(owner, before.height)?;
    let due = Amount(before.balance.0 + earned - fees.0);
    ensure!(withdrawn.balance == due, "the owner has {} after {fees} in fees, not {due}", withdrawn.balance);

    let (mut after, mut last) = (withdrawn, 0);
    until("the bond is back", LIMIT, || {
        let epoch = network.epoch()?;
        after = network.books(owner, node)?;
        last = if after.provider.is_some() { epoch } else { last };
        Ok(after.provider.is_none())
    })?;
    ensure!(last < returns && network.epoch()? >= returns, "it was there in epoch {last}: {said:?}");
    let due = Amount(due.0 + bond.0);
    ensure!(after.balance == due, "with the bond back the owner has {} obols, not {due}", after.balance);
    Ok(bond)
}
