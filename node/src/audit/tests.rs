//! Nodes prove what they store, epoch after epoch, and are paid for it.

use ostrakon_proto::{
    id::Amount,
    ledger::state::{Pay, Provider},
};

use super::{AuditState, AuditStatus};
use crate::{
    chain::store::LedgerStore,
    node::Node,
    world::{CODE, NodeDisk, TestObject, World, commit, node_id, until},
};

fn provider(disk: &NodeDisk, number: usize) -> Provider {
    disk.ledger.view().provider(&node_id(number)).expect("of the genesis")
}

/// Four nodes with an object that each has a column of, and the object.
async fn stored() -> (World, Vec<(Node, NodeDisk)>, TestObject) {
    let (world, object) = (World::new(4), TestObject::new(1000, CODE));
    let nodes = world.start_all().await;
    commit(&world, &object, 0, 100).await;
    (world, nodes, object)
}

/// As the node with this number sees itself.
fn pay(nodes: &[(Node, NodeDisk)], number: usize) -> Pay {
    provider(&nodes[number].1, number).audited.pay
}

#[tokio::test(start_paused = true)]
async fn nodes_prove_each_epoch_and_are_paid() {
    let (_world, nodes, _) = stored().await;
    until("three epochs are proven", async || (0..4).all(|number| pay(&nodes, number).proofs.count >= 3)).await;
    for (number, (node, disk)) in nodes.iter().enumerate() {
        let audited = provider(disk, number).audited;
        assert!(audited.missed == 0 && audited.pay.earned > Amount::ZERO, "{audited:?}");
        let status = node.audit();
        assert!(status.borrow().as_ref().is_some_and(|status| !matches!(status.state, AuditState::Failed { .. })));
    }
}

/// A column that is lost, and one that is damaged: the node says why it is not paid, and the others are.
#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_prove_says_why_and_is_not_paid() {
    let (_world, nodes, object) = stored().await;
    until("an epoch is proven", async || (0..4).all(|number| pay(&nodes, number).proofs.count >= 1)).await;
    nodes[3].1.columns.lose_everything();
    assert!(nodes[2].1.columns.corrupt(&object.column(2)), "it has the column");
    for (number, expect) in [(2, "damaged"), (3, "not stored")] {
        let (status, before) = (nodes[number].0.audit(), pay(&nodes, number));
        let failed =
            |status: &AuditStatus| matches!(&status.state, AuditState::Failed { reason } if reason.contains(expect));
        until("it reports that", async || status.borrow().as_ref().is_some_and(failed)).await;
        until("it misses epochs", async || provider(&nodes[0].1, number).audited.missed >= 2).await;
        assert_eq!(pay(&nodes, number).earned, before.earned);
        assert!(pay(&nodes, 0).proofs.count > before.proofs.count, "the others are paid");
    }
}
