//! Nodes prove what they store, epoch after epoch, and are paid for it.

use ostrakon_proto::{id::Amount, ledger::state::Provider};

use super::{AuditState, AuditStatus};
use crate::{
    chain::store::LedgerStore,
    world::{CODE, NodeDisk, TestObject, World, commit, node_id, until},
};

fn provider(disk: &NodeDisk, number: usize) -> Provider {
    disk.ledger.view().provider(&node_id(number)).expect("of the genesis")
}

#[tokio::test(start_paused = true)]
async fn nodes_prove_each_epoch_and_are_paid() {
    let world = World::new(4);
    let nodes = world.start_all().await;
    commit(&world, &TestObject::new(1000, CODE), 0, 100).await;
    let proven = |number: usize| provider(&nodes[number].1, number).audited.pay.proofs.count;
    until("all have proven three epochs", async || (0..4).all(|number| proven(number) >= 3)).await;
    for (number, (node, disk)) in nodes.iter().enumerate() {
        let audited = provider(disk, number).audited;
        assert!(audited.missed == 0 && audited.pay.earned > Amount::ZERO, "{audited:?}");
        let status = node.audit();
        assert!(status.borrow().as_ref().is_some_and(|status| !matches!(status.state, AuditState::Failed { .. })));
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_lost_its_columns_says_why_it_is_not_paid() {
    let world = World::new(4);
    let nodes = world.start_all().await;
    commit(&world, &TestObject::new(1000, CODE), 0, 100).await;
    let proven = |number: usize| provider(&nodes[number].1, number).audited.pay.proofs.count;
    until("all have proven an epoch", async || (0..4).all(|number| proven(number) >= 1)).await;
    nodes[3].1.columns.lose_everything();
    let status = nodes[3].0.audit();
    let failed =
        |status: &AuditStatus| matches!(&status.state, AuditState::Failed { reason } if reason.contains("not stored"));
    until("it reports that", async || status.borrow().as_ref().is_some_and(failed)).await;
    let before = provider(&nodes[0].1, 3).audited.pay;
    until("it misses epochs", async || provider(&nodes[0].1, 3).audited.missed >= 2).await;
    assert_eq!(provider(&nodes[0].1, 3).audited.pay.earned, before.earned);
    assert!(proven(0) > before.proofs.count, "the others are paid");
}
