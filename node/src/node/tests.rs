//! Whole nodes on the simulated network: they agree, they catch up, they lose their disks, they give columns up.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ostrakon_proto::{
    id::{Amount, Epoch, Height},
    ledger::{
        PROTOCOL, TxError,
        state::{CommitmentId, Membership, ProposedChange, Provider, ProviderStatus, Upgrade},
        tx::{Action, Ballot, Extend, Leave, Propose, Release, Transfer},
    },
    placement::Draw,
    sign::Keypair,
    wire::{RefusalCode, chain, put::Open},
};

use super::{Node, NodeError, Settings, ValidatorParts};
use crate::{
    candidacy::Candidacy,
    chain::{
        order::{
            OrderError,
            sign_state::{self, SignFile},
        },
        store::{LedgerError, LedgerStore},
        submit::SubmitError,
    },
    inventory::Missing,
    register::ProviderOffer,
    store::{Columns, PlaceState},
    world::{
        CODE, NodeDisk, TestObject, World, commit, domain, genesis, new_incarnation, node_id, node_key, until,
        validator_keys,
    },
};

fn transfer(amount: u64) -> Action {
    Action::Transfer(Transfer { to: Keypair::from_seed(&[50; 32]).public(), amount: Amount(amount) })
}

/// The digest at `height` is the same in every ledger, and so is the block.
fn assert_agree(disks: &[&NodeDisk], height: Height) {
    let first = disks[0].ledger.block(height).expect("readable").expect("decided");
    for disk in disks {
        assert_eq!(disk.ledger.block(height).expect("readable").as_ref(), Some(&first), "height {height}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_network_agrees_and_late_nodes_catch_up() {
    let world = World::new(4);
    let mut nodes: Vec<(Node, NodeDisk)> = Vec::new();
    for number in 0..3 {
        let disk = world.disk();
        nodes.push((world.start(number, &disk).await, disk));
    }
    let client = world.client(250);
    for nonce in 0..20 {
        client
            .submit(usize::try_from(nonce % 3).expect("small"), &world.tx(nonce, Height(1000), transfer(1 + nonce)))
            .await
            .expect("taken");
    }
    nodes[0].0.chain().wait(Height(60)).await;
    let disk = world.disk();
    nodes.push((world.start(3, &disk).await, disk));
    for (node, _) in &nodes {
        node.chain().wait(Height(65)).await;
    }
    let disks: Vec<&NodeDisk> = nodes.iter().map(|(_, disk)| disk).collect();
    (1..=65).for_each(|height| assert_agree(&disks, Height(height)));
    for disk in disks {
        assert_eq!(disk.ledger.view().account(&world.payer()).nonce, 20);
    }
    assert_eq!(nodes[3].0.chain().head().epoch, Epoch(6));
    for (node, _) in nodes {
        node.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn blocks_come_immediately_with_work_and_each_second_without() {
    let world = World::new(4);
    let nodes = world.start_all().await;
    let chain = nodes[0].0.chain();
    let before = (chain.head().height.0, tokio::time::Instant::now());
    chain.wait(Height(before.0 + 10)).await;
    let idle = before.1.elapsed();
    assert!(idle > Duration::from_secs(8) && idle < Duration::from_secs(12), "{idle:?}");

    let (client, before) = (world.client(250), tokio::time::Instant::now());
    client.submit(1, &world.tx(0, Height(1000), transfer(1))).await.expect("taken");
    until("the transfer is decided", async || client.account(&world, 0, world.payer()).await.nonce == 1).await;
    assert!(before.elapsed() < Duration::from_millis(400), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_validator_that_lost_its_disk_takes_the_blocks_back() {
    let world = World::new(4);
    let mut nodes = world.start_all().await;
    nodes[0].0.chain().wait(Height(15)).await;
    nodes[1].0.chain().wait(Height(15)).await;
    let (node, old) = nodes.remove(0);
    node.shutdown().await;
    world.net.crash(node_id(0));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let top = nodes.iter().map(|(node, _)| node.chain().head().height).max().expect("nodes");
    assert_eq!(old.ledger.view().tip().height, top);

    let disk = world.disk();
    let node = world.start(0, &disk).await;
    node.chain().wait(Height(top.0 + 5)).await;
    for (node, _) in &nodes {
        node.chain().wait(Height(top.0 + 5)).await;
    }
    let disks: Vec<&NodeDisk> = nodes.iter().map(|(_, disk)| disk).chain([&disk]).collect();
    (1..=top.0 + 5).for_each(|height| assert_agree(&disks, Height(height)));
    (1..=top.0).for_each(|height| assert_agree(&[&old, &disk], Height(height)));
}

#[tokio::test(start_paused = true)]
async fn a_validator_alone_begins_after_a_while() {
    let world = World::new(4);
    let disk = world.disk();
    let began = tokio::time::Instant::now();
    let node = world.start(0, &disk).await;
    node.chain().wait(Height(1)).await;
    assert!(began.elapsed() >= Duration::from_secs(15), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn followers_take_blocks_from_each_other_while_the_validator_is_away() {
    let world = World::new(4);
    let mut nodes = world.start_all().await;
    let (last, disk) = nodes.pop().expect("four");
    last.shutdown().await;
    world.net.crash(node_id(3));
    nodes[1].0.chain().wait(Height(30)).await;
    let (validator, _) = nodes.remove(0);
    validator.shutdown().await;
    world.net.crash(node_id(0));
    let top = nodes[0].0.chain().head().height;
    let last = world.start(3, &disk).await;
    last.chain().wait(top).await;

    let client = world.client(250);
    let refused = client.submit(3, &world.tx(0, Height(1000), transfer(1))).await.expect_err("nobody makes blocks");
    assert_eq!(refused.code, RefusalCode::Busy);
    assert!(refused.reason.contains(&node_id(0).to_string()), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_node_registers_what_its_operator_set() {
    let mut world = World::new(4);
    world.genesis = genesis(3);
    let _nodes = world.start_all().await;
    let offer = ProviderOffer {
        owner: world.account.clone(),
        addresses: vec!["/ip4/127.0.0.1/tcp/1".to_owned()],
        domain: domain(3),
        price: Amount(5),
        capacity: 1 << 20,
        bond: None,
    };
    let bonds = world.genesis.params.bonds;
    let settings = |offer: &ProviderOffer| Settings { offer: Some(offer.clone()), ..Settings::default() };
    let disk = world.disk();
    let node = world.start_with(3, &disk, settings(&offer)).await;
    let recorded = async || disk.ledger.view().provider(&node_id(3));
    until("the node is registered", async || recorded().await.is_some()).await;
    let provider = recorded().await.expect("registered");
    assert!(offer.matches(&provider, &bonds) && provider.status == ProviderStatus::Active);
    node.shutdown().await;

    let more = ProviderOffer { capacity: 1 << 21, ..offer.clone() };
    let _node = world.start_with(3, &disk, settings(&more)).await;
    let done = async || recorded().await.is_some_and(|provider| more.matches(&provider, &bonds));
    until("the new offer is recorded", done).await;
    let raised = recorded().await.expect("registered").bond;
    assert!(raised > provider.bond, "behind twice the capacity is more");
}

#[tokio::test(start_paused = true)]
async fn a_capacity_below_what_is_stored_takes_nothing_more_and_is_recorded_when_it_can_be() {
    let world = World::new(4);
    let nodes = world.start_all().await;
    let (object, client) = (TestObject::new(1000, CODE), world.client(250));
    commit(&world, &object, 0, 100).await;
    let disk = &nodes[3].1;
    let recorded = async || disk.ledger.view().provider(&node_id(3)).expect("of the genesis");
    until("the column is committed", async || recorded().await.used > 0).await;
    let Provider { addresses, domain, price, used, .. } = recorded().await;
    let offer = ProviderOffer { owner: world.account.clone(), addresses, domain, price, capacity: 1, bond: None };
    nodes[3].0.offer(Some(offer));
    let refused = client.put(3, &world.sign(&world.open(3, &object, 3)), Bytes::new()).await.expect_err("full");
    assert_eq!(refused.code, RefusalCode::Full);
    until("the ledger has what it can", async || recorded().await.capacity == used).await;
    let release = Action::Release(Release { object: object.id, extent: 0 });
    client.submit(0, &world.tx(2, Height(1000), release)).await.expect("taken");
    until("the ledger has the capacity", async || recorded().await.capacity == 1).await;
}

fn states(disk: &NodeDisk) -> Vec<PlaceState> {
    disk.columns.places(None, 100).expect("readable").into_iter().map(|stored| stored.state).collect()
}

#[tokio::test(start_paused = true)]
async fn columns_stay_while_they_are_paid_for() {
    let world = World::new(4);
    let nodes = world.start_all().await;
    let object = TestObject::new(1000, CODE);
    commit(&world, &object, 0, 6).await;
    let all = async |expect: &[PlaceState]| nodes.iter().all(|(_, disk)| states(disk) == expect);
    until("the columns are committed", async || all(&[PlaceState::Committed]).await).await;
    let client = world.client(250);
    let commitment = CommitmentId { object: object.id, extent: 0, owner: world.payer() };
    let extend = Action::Extend(Extend { commitment, end: Epoch(8), most: Amount::ZERO });
    client.submit(1, &world.tx(1, Height(1000), extend)).await.expect("taken");
    nodes[1].0.chain().wait(Height(75)).await;
    assert!(all(&[PlaceState::Committed]).await, "extended");
    until("the columns are trashed", async || {
        all(&[PlaceState::Trash { since: Epoch(9) }]).await || all(&[PlaceState::Trash { since: Epoch(8) }]).await
    })
    .await;
    assert!(nodes[1].0.chain().head().height >= Height(80));
    until("the columns are purged", async || all(&[]).await).await;
    assert!(nodes[1].0.chain().head().epoch > Epoch(10));
}

#[tokio::test(start_paused = true)]
async fn released_and_abandoned_columns_go() {
    let mut world = World::new(4);
    let balance = u128::from(world.genesis.accounts[0].balance.0);
    // Credit for eight MiB.
    world.genesis.params.credit_bytes = u64::try_from((8 << 20) * 1_000_000 / balance).expect("a rich account");
    let nodes = world.start_all().await;
    let (object, client) = (TestObject::new(1000, CODE), world.client(250));
    commit(&world, &object, 0, 100).await;
    let abandoned = TestObject::new(2000, CODE);
    client.store(&world, 1, &abandoned, 3).await;
    until("the column is committed", async || states(&nodes[1].1).contains(&PlaceState::Committed)).await;
    assert!(states(&nodes[1].1).contains(&PlaceState::Temporary { expires: Epoch(2) }));
    let release = Action::Release(Release { object: object.id, extent: 0 });
    client.submit(3, &world.tx(1, Height(1000), release)).await.expect("taken");
    until("the abandoned column is purged", async || states(&nodes[1].1).len() == 1).await;
    assert_eq!(nodes[1].0.chain().head().epoch, Epoch(3));
    let draw = Draw { epoch: Epoch(2), number: 0 };
    let too_much = world.sign(&Open { draw, reserve: 16 << 20, ..world.open(1, &abandoned, 3) });
    let refused = client.put(1, &too_much, Bytes::new()).await.expect_err("no credit for so much");
    assert_eq!(refused.code, RefusalCode::NoCredit);
    assert!(refused.reason.contains("expired unpaid") && !refused.reason.contains("use 0 of"), "{refused}");
    until("all is purged", async || nodes.iter().all(|(_, disk)| states(disk).is_empty())).await;
}

#[tokio::test(start_paused = true)]
async fn columns_that_the_ledger_counts_on_are_missed_until_they_end() {
    let world = World::new(4);
    let mut nodes = world.start_all().await;
    let object = TestObject::new(1000, CODE);
    commit(&world, &object, 0, 6).await;
    let (node, disk) = nodes.pop().expect("four");
    until("the column is committed", async || states(&disk) == [PlaceState::Committed]).await;
    let restarted = async |node: Node| {
        node.shutdown().await;
        world.net.crash(node_id(3));
        let node = world.start(3, &disk).await;
        until("the inventory is taken", async || node.missing().borrow().is_some()).await;
        node
    };
    let node = restarted(node).await;
    assert_eq!(*node.missing().borrow(), Some(Missing::default()));
    disk.columns.lose_everything();
    let node = restarted(node).await;
    assert_eq!(*node.missing().borrow(), Some(Missing { columns: 1, bytes: object.column_len() }));
    until("its commitment has ended", async || *node.missing().borrow() == Some(Missing::default())).await;
    assert!(node.chain().head().epoch >= Epoch(6));
}

/// Nodes that vote decide blocks themselves instead of following others.
#[tokio::test(start_paused = true)]
async fn voting_nodes_delete_what_is_released_and_register_a_changed_offer() {
    let world = World::voting(4, 4);
    let mut nodes = world.start_all().await;
    let (object, client) = (TestObject::new(1000, CODE), world.client(250));
    commit(&world, &object, 0, 100).await;
    let all = async |expect: &[PlaceState]| nodes.iter().all(|(_, disk)| states(disk) == expect);
    until("the columns are committed", async || all(&[PlaceState::Committed]).await).await;
    assert!(nodes.iter().all(|(node, _)| node.chain().is_synced()), "nodes that vote have all blocks");
    let release = Action::Release(Release { object: object.id, extent: 0 });
    client.submit(3, &world.tx(1, Height(1000), release)).await.expect("taken");
    until("the columns are purged", async || all(&[]).await).await;

    let (node, disk) = nodes.pop().expect("four");
    node.shutdown().await;
    let recorded = async || disk.ledger.view().provider(&node_id(3)).expect("of the genesis");
    let Provider { addresses, domain, price, .. } = recorded().await;
    let owner = world.account.clone();
    let offer = ProviderOffer { owner, addresses, domain, price, capacity: 1 << 20, bond: None };
    let settings = Settings { offer: Some(offer.clone()), ..Settings::default() };
    let restarted = tokio::time::Instant::now();
    let _node = world.start_with(3, &disk, settings).await;
    until("the new offer is recorded", async || offer.matches(&recorded().await, &world.genesis.params.bonds)).await;
    assert!(restarted.elapsed() < Duration::from_secs(10), "{:?}", restarted.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_validator_that_was_away_is_behind_until_it_votes_again() {
    let world = World::voting(4, 4);
    let mut nodes = world.start_all().await;
    until("all have voted", async || nodes.iter().all(|(node, _)| node.chain().is_synced())).await;
    let (node, disk) = nodes.pop().expect("four");
    node.shutdown().await;
    world.net.crash(node_id(3));
    nodes[0].0.chain().wait(Height(100)).await;
    let node = world.start(3, &disk).await;
    until("it has all blocks", async || {
        let (synced, height) = (node.chain().is_synced(), node.chain().head().height);
        assert!(!synced || height >= Height(99), "synced at {height}");
        synced
    })
    .await;
}

/// A node whose ledger was lost must not take the missing blocks for a decision.
#[tokio::test(start_paused = true)]
async fn a_node_that_lost_its_ledger_gives_nothing_up() {
    let world = World::new(4);
    let mut nodes = world.start_all().await;
    nodes[0].0.chain().wait(Height(25)).await;
    let (client, object) = (world.client(250), TestObject::new(1000, CODE));
    let Ok(chain::ChainResponse::Head(head)) = client.chain(0, &chain::ChainRequest::Head).await else {
        panic!("no head")
    };
    assert!(head.epoch == Epoch(2));
    commit(&world, &object, 0, 100).await;
    until("the column is committed", async || states(&nodes[3].1) == [PlaceState::Committed]).await;
    nodes[0].0.chain().wait(Height(90)).await;
    let (node, disk) = nodes.pop().expect("four");
    node.shutdown().await;
    let wiped = NodeDisk { columns: disk.columns, ..world.disk() };
    let node = world.start(3, &wiped).await;
    let watched = async || {
        assert_eq!(states(&wiped), [PlaceState::Committed]);
        node.chain().head().height > Height(120)
    };
    until("the node has caught up", watched).await;
}

/// A network of four in which the payer decides alone.
fn ruled() -> World {
    let mut world = World::new(4);
    world.genesis.membership = Membership::Single { operator: world.payer() };
    world.genesis.params.governance.proposal_epochs = 1;
    world
}

/// Has the payer propose and pass a change, as its transactions `nonce` and the one after.
async fn decide(world: &World, node: &Node, nonce: u64, change: ProposedChange) {
    let proposal = node.chain().read(|records| records.charter().proposals).await;
    for (nonce, action) in
        (nonce..).zip([Action::Propose(Propose { change }), Action::Vote(Ballot { proposal, yes: true })])
    {
        node.chain().submit(world.tx(nonce, Height(1000), action)).await.expect("taken");
        until("it is decided", async || {
            let payer = world.payer();
            node.chain().read(move |records| records.account(&payer).nonce).await > nonce
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_network_changes_its_fees_and_every_node_asks_the_new_ones() {
    let world = ruled();
    let nodes = world.start_all().await;
    let mut params = world.genesis.params.clone();
    params.fees.base = Amount(50_000);
    decide(&world, &nodes[0].0, 0, ProposedChange::Params(Box::new(params.clone()))).await;
    for (node, _) in &nodes {
        until("the fee is known", async || node.chain().rules().params == params).await;
        let cheap = node.chain().submit(world.tx(2, Height(1000), transfer(1))).await;
        assert!(matches!(cheap, Err(SubmitError::Rules(TxError::FeeTooLow { .. }))), "{cheap:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_stops_before_rules_that_it_does_not_know() {
    let world = ruled();
    let mut nodes = world.start_all().await;
    let (protocol, epoch) = (PROTOCOL + 1, Epoch(3));
    decide(&world, &nodes[0].0, 0, ProposedChange::Upgrade(Upgrade { protocol, epoch })).await;
    let stopped = nodes[0].0.failed().await;
    let outdated = |error: &LedgerError| matches!(error, LedgerError::Outdated { protocol: 2, .. });
    let known = match &stopped {
        NodeError::Ledger(error) | NodeError::Order(OrderError::Ledger(error)) => outdated(error),
        _ => false,
    };
    assert!(known, "{stopped:?}");
    assert_eq!(nodes[0].0.chain().head().epoch, Epoch(2));
}

/// Whether validator `number` signed one of the blocks after `height`.
fn signed_since(disk: &NodeDisk, number: usize, height: Height) -> bool {
    let (key, tip) = (validator_keys(number).vote.public(), disk.ledger.view().tip().height);
    let signed = |height| {
        let decided = disk.ledger.block(Height(height)).expect("readable").expect("decided");
        decided.certificate.signatures.contains_key(&key)
    };
    (height.0 + 1..=tip.0).any(signed)
}

#[tokio::test(start_paused = true)]
async fn a_running_node_votes_as_soon_as_it_has_joined_and_follows_when_it_has_left() {
    let mut world = World::voting(4, 3);
    world.genesis.accounts[0].balance = Amount(5_000_000_000);
    let mut nodes = world.start_all().await;
    let (keys, client) = (validator_keys(3), world.client(250));
    let memory = tempfile::NamedTempFile::new().expect("a file");
    sign_state::begin(memory.path()).expect("written");
    let (wal, signatures) = (nodes[3].1.wal.clone(), SignFile::open(memory.path()).expect("opened"));
    let (signatures, incarnation) = (Arc::new(signatures), new_incarnation());
    nodes[3].0.vote(ValidatorParts { keys: validator_keys(3), wal, signatures, incarnation });
    let waiting = nodes[3].0.chain().head().height;
    nodes[3].0.chain().wait(Height(waiting.0 + 5)).await;
    assert!(!signed_since(&nodes[3].1, 3, Height(0)), "who has not joined does not vote");

    let bond = world.genesis.params.bonds.validator;
    let addresses = vec!["/memory/4".to_owned()];
    let candidacy = Candidacy { owner: world.payer(), addresses, domain: domain(3), bond };
    let join = candidacy.join(&node_key(3), &keys, &world.genesis.id());
    client.submit(1, &world.tx(0, Height(1000), join)).await.expect("taken");
    until("it votes", async || nodes[0].0.chain().validators().contains(&node_id(3))).await;

    // Of four with equal power three must sign: without another, it is one of them each time.
    let joined = nodes[0].0.chain().head().height;
    let (away, disk) = nodes.remove(2);
    away.shutdown().await;
    world.net.crash(node_id(2));
    until("three decide", async || nodes[1].0.chain().head().height > Height(joined.0 + 10)).await;
    assert!(signed_since(&nodes[1].1, 3, joined));

    let leave = Action::Leave(Leave { key: keys.vote.public() });
    client.submit(1, &world.tx(1, Height(1000), leave)).await.expect("taken");
    until("it has left", async || !nodes[0].0.chain().validators().contains(&node_id(3))).await;
    let left = nodes[0].0.chain().head().height;
    let _back = world.start(2, &disk).await;
    until("it follows", async || nodes[2].0.chain().head().height > Height(left.0 + 10)).await;
    assert!(!signed_since(&nodes[2].1, 3, left));
}
