//! Who rebuilds what: the repairs that the ledger assigns, as far as nodes are up and have bandwidth for them.
//!
//! In go the ledger and the nodes; out come repairs as their rebuilders report them, with the rebuilt bytes, the most
//! endangered objects first. Columns are really read, computed, and compared with the names in the commitment.

use std::collections::BTreeMap;

use ostrakon_proto::{
    erasure,
    id::{ColumnId, NodeId},
    ledger::{
        repair::{Assignment, Hands, assignment},
        state::{Commitment, CommitmentId, Records, SlotState},
        tx::{Receipt, Repaired, RepairedSlot},
    },
    placement::DomainTags,
    sign::Purpose,
};

use super::{
    chain::SimulatedChain,
    nodes::{Cell, Fleet},
};

/// A repair that its rebuilder has done.
#[derive(Debug)]
pub struct DoneRepair {
    /// What it reports.
    pub repaired: Repaired,
    /// Which node has which column now.
    pub stored: Vec<(NodeId, ColumnId, Cell)>,
    /// Columns that were moved between nodes.
    pub moved: u64,
}

/// The repairs of an epoch: each node moves at most `bandwidth` columns.
pub fn repair(chain: &SimulatedChain, fleet: &Fleet, bandwidth: u64) -> Vec<DoneRepair> {
    let mut moved: BTreeMap<NodeId, u64> = BTreeMap::new();
    let mut done = Vec::new();
    for ticket in chain.state.tickets(usize::MAX) {
        let Some(repair) = repair_one(chain, fleet, &ticket) else { continue };
        let moves = moved.entry(repair.repaired.rebuilder).or_default();
        if *moves + repair.moved <= bandwidth {
            *moves += repair.moved;
            done.push(repair);
        }
    }
    done
}

fn repair_one(chain: &SimulatedChain, fleet: &Fleet, ticket: &CommitmentId) -> Option<DoneRepair> {
    let commitment = chain.state.commitment(ticket)?;
    let assigned = assignment(&chain.state, &chain.rules.params, &commitment, Hands::Rebuilder).ok()?;
    fleet.nodes.get(&assigned.rebuilder).filter(|node| node.is_up)?;
    let targets = targets(fleet, &assigned);
    let indexes = &assigned.columns[..targets.len()];
    let rebuilt = rebuild(fleet, &commitment, indexes)?;
    let receive = |(index, target): (&u8, &NodeId)| receipt(chain, fleet, (&commitment, &assigned), (*index, *target));
    let slots: Vec<RepairedSlot> = indexes.iter().zip(&targets).map(receive).collect();
    let column = |index: &u8| commitment.slots[usize::from(*index)].column;
    let stored = targets.iter().zip(indexes.iter().map(column)).zip(rebuilt);
    let stored: Vec<_> = stored.map(|((target, column), cell)| (*target, column, cell)).collect();
    let sent = targets.iter().filter(|target| **target != assigned.rebuilder).count();
    let Assignment { rebuilder, draw, .. } = assigned;
    let repaired = Repaired { commitment: *ticket, rebuilder, draw: draw.epoch, slots };
    (!stored.is_empty()).then_some(DoneRepair { repaired, stored, moved: u64::from(commitment.code.k) + sent as u64 })
}

/// Those drawn who are up, as many as there are columns, within the domain rule together.
fn targets(fleet: &Fleet, assigned: &Assignment) -> Vec<NodeId> {
    let (mut chosen, mut domains): (Vec<NodeId>, Vec<DomainTags>) = (Vec::new(), Vec::new());
    for target in &assigned.targets {
        if chosen.len() == assigned.columns.len() {
            break;
        }
        domains.push(target.offer.domain);
        if fleet.nodes.get(&target.provider).is_some_and(|node| node.is_up) && assigned.admits(&domains) {
            chosen.push(target.provider);
        } else {
            domains.pop();
        }
    }
    chosen
}

/// The bytes of these columns, from k that can be read.
fn rebuild(fleet: &Fleet, commitment: &Commitment, indexes: &[u8]) -> Option<Vec<Cell>> {
    let read = |slot: &_| {
        let ostrakon_proto::ledger::state::Slot { provider, column, state, .. } = slot;
        let node = fleet.nodes.get(provider).filter(|_| *state == SlotState::Live)?;
        node.read(column).map(Vec::as_slice)
    };
    let cells: Vec<Option<&[u8]>> = commitment.slots.iter().map(read).collect();
    let wanted: Vec<usize> = indexes.iter().map(|index| usize::from(*index)).collect();
    let rebuilt = erasure::reconstruct(commitment.code, &cells, &wanted)?;
    for (cell, index) in rebuilt.iter().zip(&wanted) {
        let name: ColumnId = blake3::hash(cell).into();
        assert_eq!(name, commitment.slots[*index].column, "a rebuilt column has the name of the first");
    }
    Some(rebuilt)
}

/// What a target signs once it has the column.
fn receipt(
    chain: &SimulatedChain,
    fleet: &Fleet,
    (commitment, assigned): (&Commitment, &Assignment),
    (index, provider): (u8, NodeId),
) -> RepairedSlot {
    let target = assigned.targets.iter().find(|target| target.provider == provider).expect("one of those drawn");
    let receipt = Receipt { index, ask: target.offer.price, ..commitment.receipt(assigned.draw) };
    let receipt = fleet.nodes[&provider].key.sign(Purpose::Receipt, &chain.rules.chain, &receipt);
    RepairedSlot { index, provider, receipt }
}
