//! A node's disk is replaced by an empty one: it reports what it lost by itself, others rebuild that, and it pays for
//! the repair and no more.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ostrakon_proto::ledger::{
    repair::bounty,
    state::{ProviderStatus, SlotState},
};
use ostrakon_tests::{cluster::Shape, process::until};

use super::network::Watched;

/// Three of them pass before the ledger finds the loss by itself: enough to start, and to report in the second.
const EPOCH: u64 = 10;
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn run() -> Result<String> {
    let network = Watched::start(Shape::new(8, 8), EPOCH, 0, &[])?;
    let object = network.add(1, 3_000_000, &["--code", "3/6"])?;
    let made = network.commitments(&object)?;
    let made = made.first().context("it is committed")?;
    let nodes = network.cluster.status()?.nodes;
    let stores = |index: usize| made.slots.iter().any(|slot| slot.provider.to_string() == nodes[index].provider);
    // Not the validator, which is node 0.
    let loses = (1..nodes.len()).find(|index| stores(*index)).context("a holder that does not validate")?;
    let id = network.names(&[loses])?[0];
    let index = made.slots.iter().position(|slot| slot.provider == id).context("it is a holder")?;
    let before = network.provider(id)?;
    network.cluster.wipe(&[loses])?;
    network.cluster.revive(&[loses])?;
    until("the node reports its loss", LIMIT, || {
        let slot = network.commitments(&object)?[0].slots[index];
        ensure!(slot.state != SlotState::Lost, "the ledger found the loss before the node reported it");
        Ok(slot.state == SlotState::Reported || slot.provider != id)
    })?;
    let took = network.wait_whole(std::slice::from_ref(&object), LIMIT)?;
    network.read_all(&[object])?;
    let after = network.provider(id)?;
    let params = network.params();
    let cost = bounty(&params.repair, made.code, made.column_len, 1);
    let paid = before.bond.0 - after.bond.0;
    ensure!(paid == cost.0, "it paid {paid} micro-obols of its bond, and the repair costs {}", cost.0);
    ensure!(after.status == ProviderStatus::Active, "it is {:?}", after.status);
    Ok(format!("reported by itself, and rebuilt {:.0} s later for {paid} micro-obols", took.as_secs_f32()))
}
