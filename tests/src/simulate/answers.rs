//! How nodes answer the ledger's challenges: with leaves of the bytes that they have, or that their operator can
//! compute from other nodes of its own.

use std::sync::Arc;

use ostrakon_proto::{
    audit::{ChallengedLeaf, LeafProof, StorageProof},
    erasure,
    id::{ColumnId, Epoch, NodeId},
    ledger::{challenge, proofs::ProofKey, state::Records},
    tree,
};

use super::{
    nodes::{Cell, SimulatedNode},
    world::SimulatedNetwork,
};

/// The proof of a node in this epoch, or a column that it should have and cannot show; `None` when nothing is asked.
pub fn answer(
    network: &SimulatedNetwork,
    node: &SimulatedNode,
    epoch: Epoch,
) -> Option<Result<(ProofKey, Arc<StorageProof>), ColumnId>> {
    let key = ProofKey { provider: node.key.public(), epoch };
    let asked = challenge(&network.chain.state, &network.chain.rules, &key).ok()?;
    let show = |asked: &ChallengedLeaf| {
        let made = || computed(network, node, &asked.column);
        let own = node.read(&asked.column).cloned();
        own.or_else(made).map(|cell| leaf(asked, &cell)).ok_or(asked.column)
    };
    let leaves: Result<Vec<LeafProof>, ColumnId> = asked.leaves.iter().map(show).collect();
    Some(leaves.map(|leaves| (key, Arc::new(StorageProof { leaves }))))
}

/// The leaf that is asked for.
pub fn leaf(asked: &ChallengedLeaf, cell: &Cell) -> LeafProof {
    let siblings = tree::prove_leaf(asked.column_len, asked.leaf, cell, &[]).expect("a column of one leaf");
    LeafProof { data: cell.clone(), siblings }
}

/// The bytes of a column that the operator of this node computes from columns on its other nodes.
fn computed(network: &SimulatedNetwork, node: &SimulatedNode, column: &ColumnId) -> Option<Cell> {
    let fleet = &network.fleet;
    if !fleet.crew(node).strategy.is_one_operator() {
        return None;
    }
    let place = network.places.get(column)?;
    let commitment = network.chain.state.commitment(network.objects.get(&place.object)?)?;
    let operator = fleet.seats[node.seat].operator;
    let own = |provider: &NodeId| fleet.nodes.get(provider).filter(|node| fleet.seats[node.seat].operator == operator);
    let cells = commitment.slots.iter().map(|slot| own(&slot.provider)?.read(&slot.column).map(Vec::as_slice));
    let cells: Vec<Option<&[u8]>> = cells.collect();
    erasure::reconstruct(commitment.code, &cells, &[usize::from(place.index)])?.pop()
}
