//! What a node does when it compares its columns with the ledger: it brings back what was written off, reports what it
//! lost, forgets what is another's by now, and registers again where it has nothing left to prove.

use ostrakon_proto::{
    audit::{ChallengedLeaf, LeafProof},
    id::ColumnId,
    ledger::{
        repair::returning_point,
        state::{Commitment, Provider, ProviderStatus, Records, SlotState},
        tx::{Action, Consent, Register, ReportLoss, Restore},
    },
    sign::Purpose,
};

use super::{
    answers,
    nodes::{Cell, SimulatedNode},
    setting::COLUMN,
    world::SimulatedNetwork,
};

/// What a node wants done.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// On the ledger.
    pub actions: Vec<Action>,
    /// Columns that it need not store any more.
    pub forgotten: Vec<ColumnId>,
}

/// What a node that is up wants done.
pub(super) fn wanted(network: &SimulatedNetwork, node: &SimulatedNode) -> Wanted {
    let mut wanted = Wanted::default();
    let Some(provider) = network.chain.state.provider(&node.key.public()).filter(|_| node.is_up) else {
        return wanted;
    };
    if provider.used == 0 && provider.status == ProviderStatus::Suspended {
        wanted.actions.push(Action::Register(again(network, node, &provider)));
    }
    if provider.used != node.columns.len() as u64 * COLUMN {
        for (column, cell) in &node.columns {
            compare(network, (node, column, cell.as_ref()), &mut wanted);
        }
    }
    for column in &node.missed {
        let Some((commitment, index)) = slot_of(network, node, column) else { continue };
        if commitment.slots[usize::from(index)].state == SlotState::Live {
            wanted.actions.push(Action::ReportLoss(ReportLoss { commitment: commitment.id, index }));
            wanted.forgotten.push(*column);
        }
    }
    wanted
}

/// Where the ledger has one of the node's columns, if that is still the node's.
fn slot_of(network: &SimulatedNetwork, node: &SimulatedNode, column: &ColumnId) -> Option<(Commitment, u8)> {
    let place = network.places.get(column)?;
    let commitment = network.chain.state.commitment(network.objects.get(&place.object)?)?;
    let slot = commitment.slots[usize::from(place.index)];
    (slot.provider == node.key.public()).then_some((commitment, place.index))
}

/// Compares one column with the ledger.
fn compare(
    network: &SimulatedNetwork,
    (node, column, cell): (&SimulatedNode, &ColumnId, Option<&Cell>),
    wanted: &mut Wanted,
) {
    match (slot_of(network, node, column), cell) {
        (Some((commitment, index)), Some(cell)) if commitment.slots[usize::from(index)].state.is_lost() => {
            wanted.actions.extend(restore(network, &commitment, index, cell).map(Action::Restore));
        }
        (Some((commitment, index)), _) if !commitment.slots[usize::from(index)].state.is_lost() => {}
        _ => wanted.forgotten.push(*column),
    }
}

/// What brings a column back.
fn restore(network: &SimulatedNetwork, commitment: &Commitment, index: u8, cell: &Cell) -> Option<Restore> {
    let state = &network.chain.state;
    let epoch = state.tip().running.clock.drawable()?;
    let point = returning_point(&state.epoch(epoch)?.beacon?, commitment, index);
    let asked = ChallengedLeaf::at(commitment.slots[usize::from(index)].column, commitment.column_len, point);
    let leaf: LeafProof = answers::leaf(&asked, cell);
    Some(Restore { commitment: commitment.id, index, epoch, leaf })
}

/// What has a node that was written off take part again.
fn again(network: &SimulatedNetwork, node: &SimulatedNode, provider: &Provider) -> Register {
    let Provider { owner, addresses, domain, price, capacity, bond, .. } = provider.clone();
    let consent = Consent { owner, node: provider.node };
    let consent = node.key.sign(Purpose::Consent, &network.chain.rules.chain, &consent);
    Register { node: provider.node, addresses, domain, price, capacity, bond, consent }
}
