//! A node announces that it will be away, and is away for longer than what others may be: nothing of it counts as lost,
//! and it is neither suspended nor paid for that time. Without the announcement its columns would be rebuilt. What it
//! is paid for each column it says while it runs, and while it does not.

use std::{ffi::OsStr, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use ostrakon::{NodeId, ObjectId, ledger::ProviderStatus};
use ostrakon_tests::{
    cluster::{Running, Shape},
    process::{until, without_profile},
};
use serde::Deserialize;

use super::network::{Object, Watched};

const EPOCH: u64 = 3;
/// Twice as many epochs as a node may be silent for before what it stores counts as lost.
const AWAY: u64 = 6;
const LIMIT: Duration = Duration::from_secs(60);

/// What `maintenance` prints.
#[derive(Debug, Deserialize)]
struct Announced {
    from_epoch: u64,
    until_epoch: u64,
}

/// What `earnings --by commitment` prints, in micro-obols.
#[derive(Debug, Deserialize)]
struct Earnings {
    paid: u64,
    expected: u64,
    slots: Vec<Paid>,
}

#[derive(Debug, Deserialize)]
struct Paid {
    object: ObjectId,
    extent: u32,
    index: u8,
    rate: u64,
    proven: u64,
    due: u64,
}

/// The node says of each column that it stores what it is paid for it: the ledger's rate, slot by slot.
fn check_pay(network: &Watched, dir: &Path, object: &Object, id: NodeId) -> Result<()> {
    let dir = dir.to_string_lossy();
    let args = ["earnings", "--by", "commitment", "--json", "--dir", &dir];
    let said = Running::start(&network.cluster.binaries.node, &args)?.wait(LIMIT)?;
    let Earnings { paid, expected, slots } = said.json()?;
    let pay = network.provider(id)?.audited.pay;
    let sum: u64 = slots.iter().map(|slot| slot.rate).sum();
    ensure!((sum, expected) == (pay.rate.0, pay.rate.0), "{sum}, {expected} are not the rate {}", pay.rate.0);
    ensure!(paid <= pay.earned.0 && paid > 0, "{paid} of {} micro-obols", pay.earned.0);
    let made = network.commitments(object)?;
    let of_ledger = made.iter().flat_map(|made| {
        let own = (0_u8..).zip(&made.slots).filter(|(_, slot)| slot.provider == id);
        own.map(|(index, slot)| (made.id.object, made.id.extent, index, slot.rate(made.column_len).0))
    });
    let said: Vec<_> = slots.iter().map(|slot| (slot.object, slot.extent, slot.index, slot.rate)).collect();
    ensure!(of_ledger.eq(said.iter().copied()), "{slots:?}");
    ensure!(slots.iter().all(|slot| slot.due == slot.rate * slot.proven && slot.proven > 0), "{slots:?}");
    Ok(())
}

/// What `status` prints.
#[derive(Debug, Deserialize)]
struct Status {
    faults: Vec<StatusFault>,
}

#[derive(Debug, Deserialize)]
struct StatusFault {
    epoch: u64,
    reasons: Vec<String>,
}

pub(crate) fn run() -> Result<String> {
    let network = Watched::start(Shape::new(8, 8), EPOCH, 0, &[])?;
    let object = network.add(1, 3_000_000, &["--code", "6/8"])?;
    // Not the validator, which is node 0.
    let node = network.cluster.status()?.nodes.pop().context("the network has nodes")?;
    let id: NodeId = node.provider.parse().context("a node id")?;
    until("it has proven what it stores", LIMIT, || Ok(network.provider(id)?.audited.pay.proofs.count > 0))?;

    let dir = node.data_dir.to_string_lossy().into_owned();
    check_pay(&network, &node.data_dir, &object, id).context("while it runs")?;
    let announce = |begins_in: u64| {
        let (begins_in, lasts) = (format!("{begins_in}s"), format!("{}s", AWAY * EPOCH));
        let mut command = without_profile(&network.cluster.binaries.node);
        command.args([OsStr::new("maintenance"), "--dir".as_ref(), node.data_dir.as_os_str()]);
        command.args(["--in", &begins_in, "--for", &lasts]);
        Running::spawn(command, Stdio::null())?.wait(LIMIT)
    };
    let announced: Announced = announce(4 * EPOCH)?.json()?;
    ensure!(announce(EPOCH)?.said().contains("next one begins in epoch"), "it can be postponed, and not begin earlier");
    until("its time comes", LIMIT, || Ok(network.epoch()? >= announced.from_epoch))?;
    let proven = network.provider(id)?.audited.pay.proofs.count;
    network.cluster.kill(&[node.index])?;
    until("its time is over", LIMIT, || {
        let (live, n) = network.live(&object)?;
        ensure!(live == n, "{live} of {n} columns count as stored during the maintenance");
        Ok(network.epoch()? >= announced.until_epoch)
    })?;
    let record = network.provider(id)?;
    ensure!(record.status == ProviderStatus::Active && record.audited.missed == 0, "it is {record:?}");
    check_pay(&network, &node.data_dir, &object, id).context("while it does not run")?;
    // In the first it may have proven before it was killed.
    let away = announced.from_epoch + 1;
    let during = network.proofs_of(away)?;
    let [fault] = during.of(id)[..] else { bail!("{during:?} has one fault of {id}") };
    ensure!(fault.reasons == ["maintenance"] && !during.missed.contains(&id), "announced, and no fault: {during:?}");
    network.cluster.revive(&[node.index])?;
    until("it proves again", LIMIT, || Ok(network.provider(id)?.audited.silent_since.is_none()))?;
    let known = |said: &Status| said.faults.iter().any(|one| one.epoch == away && one.reasons == ["maintenance"]);
    let status = || Running::start(&network.cluster.binaries.node, &["status", "--json", "--dir", &dir])?.wait(LIMIT);
    until("its status shows it too", LIMIT, || Ok(known(&status()?.json()?)))?;
    let unpaid = announced.until_epoch - announced.from_epoch;
    network.read_all(&[object])?;
    let back = network.provider(id)?.audited.pay.proofs.count;
    Ok(format!(
        "away for {unpaid} epochs without a fault; {proven} epochs were paid before, and {back} with those after"
    ))
}
