//! Both keepers of the ledger, held to the same table; and what only a disk can do: come back.

use std::{path::Path, sync::Arc};

use ostrakon_net::Workers;
use ostrakon_proto::{
    audit::{LeafProof, StorageProof},
    codec,
    id::{AccountId, Amount, Epoch, Height},
    ledger::{
        CheckedTx, Genesis, Pending, ProposedBlock, Proposer, Rules,
        proofs::{ProofKey, proof_root},
        propose,
        state::{Changes, Commitment, CommitmentId, Key, Record, Slot, SlotState},
        tx::{Action, DecidedBlock, Transfer, Tx},
    },
    light::TxPlace,
    limits,
    sign::Keypair,
};

use super::{
    Chain, ChainParts,
    activity::ActivityPage,
    memory::MemoryLedger,
    rocks::Rocks,
    store::{LedgerError, LedgerStore, OpenLedgerError},
};
use crate::{
    metrics::ChainMetrics,
    world::{World, decide, genesis, node_id, validator_keys},
};

pub(super) fn next_block(ledger: &dyn LedgerStore, genesis: &Genesis, txs: Vec<Tx>) -> (DecidedBlock, Changes) {
    next_block_at(ledger, genesis, txs, 0)
}

/// As [`next_block`], at this time.
fn next_block_at(ledger: &dyn LedgerStore, genesis: &Genesis, txs: Vec<Tx>, now_ms: u64) -> (DecidedBlock, Changes) {
    let (keys, rules) = (validator_keys(0), Rules::from(genesis));
    let proposer = Proposer { key: keys.vote.public(), beacon: &keys.beacon, round: 0, now_ms };
    let check = |tx| Arc::new(CheckedTx::check(&rules, tx).expect("signed"));
    let txs: Vec<_> = txs.into_iter().map(check).collect();
    let proposal = propose(&rules, &*ledger.view(), Pending::txs(&txs), &proposer).expect("rules that are known");
    let ProposedBlock { block, changes, rejected } = proposal;
    assert!(rejected.is_empty(), "{rejected:?}");
    (decide(&rules, block, &keys), changes)
}

/// Commits blocks with a transfer and a storage proof each, up to this height; three are in an epoch. No rules have
/// seen the proofs.
pub(super) fn grow_proving(ledger: &dyn LedgerStore, world: &World, height: u64) {
    let (rules, start_ms) = (Rules::from(&world.genesis), world.genesis.time_ms);
    for number in ledger.view().tip().height.0..height {
        let now_ms = start_ms + 5_000 * (number + 1);
        let (decided, mut changes) = next_block_at(ledger, &world.genesis, vec![transfer(world, number, 50)], now_ms);
        let mut block = decided.block;
        let leaf = LeafProof { data: vec![7; 1_024], siblings: vec![] };
        let key = ProofKey { provider: node_id(1), epoch: changes.tip.running.clock.epoch };
        block.proofs.insert(key, StorageProof { leaves: vec![leaf] });
        block.header.roots.proofs = proof_root(&block.proofs);
        changes.tip.block = block.header.id();
        ledger.commit(&decide(&rules, block, &validator_keys(0)), &changes).expect("committed");
    }
}

pub(super) fn transfer(world: &World, nonce: u64, to: u8) -> Tx {
    let to = Keypair::from_seed(&[to; 32]).public();
    world.tx(nonce, Height(100), Action::Transfer(Transfer { to, amount: Amount(7) }))
}

fn commitment(world: &World, extent: u32, end: u64) -> Commitment {
    let id = CommitmentId { object: ostrakon_proto::id::ObjectId::new([9; 32]), extent, owner: world.payer() };
    let column = ostrakon_proto::id::ColumnId::new([8; 32]);
    let collateral = Amount(1);
    let (since, ask) = (Epoch(0), Amount(1));
    let slot = Slot { provider: node_id(1), column, since, ask, cap: ask, collateral, base: 0, state: SlotState::Live };
    Commitment {
        id,
        size: 1,
        extents: 3,
        code: crate::world::CODE,
        column_len: 64,
        slots: vec![slot; 4],
        start: Epoch(0),
        end: Epoch(end),
        until: Epoch(end),
        escrow: Amount(1),
        fund: Amount(0),
        ticket: None,
    }
}

/// Every reading of `one` and `other` agrees.
fn assert_same(one: &dyn LedgerStore, other: &dyn LedgerStore, world: &World) {
    let (a, b) = (one.view(), other.view());
    assert_eq!(a.tip(), b.tip());
    assert_eq!(a.account(&world.payer()), b.account(&world.payer()));
    assert_eq!(a.providers(), b.providers());
    assert_eq!(a.provider(&node_id(1)), b.provider(&node_id(1)));
    assert_eq!(a.provider(&node_id(77)), None);
    let object = commitment(world, 0, 0).id.object;
    for limit in [0, 1, 2, 100] {
        assert_eq!(a.commitments_of(&object, limit), b.commitments_of(&object, limit));
        for epoch in [0, 4, 5, 6, u64::MAX] {
            assert_eq!(a.ending(Epoch(epoch), limit), b.ending(Epoch(epoch), limit), "{limit} {epoch}");
        }
    }
    for extent in 0..3 {
        let id = commitment(world, extent, 0).id;
        assert_eq!(a.commitment(&id), b.commitment(&id));
    }
    for epoch in 0..3 {
        assert_eq!(a.epoch(Epoch(epoch)), b.epoch(Epoch(epoch)));
    }
    for account in [world.payer(), receiver(50), receiver(77)] {
        for (height, index, limit) in [(0, 0, 9), (1, 0, 9), (2, 0, 9), (2, 1, 9), (99, 0, 2), (u64::MAX, u32::MAX, 99)]
        {
            let before = TxPlace { index, ..TxPlace::start_of(Height(height)) };
            assert_eq!(one.touching(&account, before, limit), other.touching(&account, before, limit));
        }
    }
}

fn receiver(number: u8) -> AccountId {
    Keypair::from_seed(&[number; 32]).public()
}

/// Where the account's transactions are, the newest first.
pub(super) fn touching(ledger: &dyn LedgerStore, account: AccountId) -> Vec<(u64, u32)> {
    let end = TxPlace::start_of(Height(u64::MAX));
    let places = ledger.touching(&account, end, 1_000).expect("the disk is well");
    places.into_iter().map(|place| (place.height.0, place.index)).collect()
}

fn open(dir: &Path, genesis: &Genesis) -> Rocks {
    Rocks::open(dir, genesis).expect("opens")
}

#[tokio::test(start_paused = true)]
async fn disk_and_memory_keep_the_same_ledger() {
    let (world, dir) = (World::new(4), tempfile::tempdir().expect("a directory"));
    let (disk, memory) = (open(dir.path(), &world.genesis), MemoryLedger::new(&world.genesis));
    assert_same(&disk, &memory, &world);
    let ends = [(0, Some(5)), (1, Some(5)), (2, Some(4)), (1, Some(6)), (2, None), (0, Some(5))];
    for (nonce, (extent, end)) in (0..).zip(ends) {
        let tx = transfer(&world, nonce, 50);
        let (decided, mut changes) = next_block(&memory, &world.genesis, vec![tx.clone()]);
        let record = commitment(&world, extent, end.unwrap_or(0));
        let before = memory.view().commitment(&record.id);
        changes.records.extend(before.map(|before| (Key::Ending(before.end, record.id), None)));
        changes.records.extend(end.map(|end| (Key::Ending(Epoch(end), record.id), Some(Record::Mark))));
        changes.records.insert(Key::Commitment(record.id), end.map(|_| Record::Commitment(record)));
        for ledger in [&disk as &dyn LedgerStore, &memory] {
            ledger.commit(&decided, &changes).expect("committed");
            assert_eq!(ledger.block(changes.tip.height), Ok(Some(decided.clone())));
            assert_eq!(ledger.inclusion(&tx.id()), Ok(Some(changes.tip.height)));
        }
        assert_same(&disk, &memory, &world);
    }
    assert_eq!(touching(&disk, world.payer()), [(6, 0), (5, 0), (4, 0), (3, 0), (2, 0), (1, 0)]);
    assert_eq!(touching(&disk, receiver(50)), touching(&disk, world.payer()));
    assert_eq!(touching(&disk, receiver(49)), []);
    let two = disk.touching(&world.payer(), TxPlace { index: 1, ..TxPlace::start_of(Height(5)) }, 2).expect("read");
    assert_eq!(two.iter().map(|place| place.height.0).collect::<Vec<_>>(), [5, 4]);
    assert_eq!(memory.view().ending(Epoch(u64::MAX), 9).len(), 2);
    assert_eq!(disk.block(Height(0)), Ok(None));
    assert_eq!(disk.inclusion(&transfer(&world, 99, 1).id()), Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_commit_is_taken_once_and_in_order() {
    let (world, dir) = (World::new(4), tempfile::tempdir().expect("a directory"));
    let (disk, memory) = (open(dir.path(), &world.genesis), MemoryLedger::new(&world.genesis));
    let ahead = MemoryLedger::new(&world.genesis);
    let (first, first_changes) = next_block(&ahead, &world.genesis, vec![transfer(&world, 0, 50)]);
    ahead.commit(&first, &first_changes).expect("committed");
    let (second, second_changes) = next_block(&ahead, &world.genesis, vec![transfer(&world, 1, 50)]);
    for ledger in [&disk as &dyn LedgerStore, &memory] {
        let gap = LedgerError::Gap { height: Height(2), tip: Height(0) };
        assert_eq!(ledger.commit(&second, &second_changes), Err(gap));
        for _ in 0..3 {
            assert_eq!(ledger.commit(&first, &first_changes), Ok(()));
        }
        assert_eq!(ledger.commit(&second, &second_changes), Ok(()));
        assert_eq!(ledger.commit(&first, &first_changes), Ok(()));
        assert_eq!(ledger.view().tip(), second_changes.tip);
        assert_eq!(ledger.view().account(&world.payer()).nonce, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_view_shows_one_height() {
    let (world, dir) = (World::new(4), tempfile::tempdir().expect("a directory"));
    let (disk, memory) = (open(dir.path(), &world.genesis), MemoryLedger::new(&world.genesis));
    for ledger in [&disk as &dyn LedgerStore, &memory] {
        let before = ledger.view();
        let (decided, changes) = next_block(ledger, &world.genesis, vec![transfer(&world, 0, 50)]);
        ledger.commit(&decided, &changes).expect("committed");
        assert_eq!((before.tip().height, before.account(&world.payer()).nonce), (Height(0), 0));
        assert_eq!((ledger.view().tip().height, ledger.view().account(&world.payer()).nonce), (Height(1), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_the_tip_and_another_chain_is_refused() {
    let (world, dir) = (World::new(4), tempfile::tempdir().expect("a directory"));
    let disk = open(dir.path(), &world.genesis);
    let (decided, changes) = next_block(&disk, &world.genesis, vec![transfer(&world, 0, 50)]);
    disk.commit(&decided, &changes).expect("committed");
    match Rocks::open(dir.path(), &world.genesis) {
        Err(OpenLedgerError::Database { .. }) => {}
        other => panic!("opened twice: {other:?}"),
    }
    drop(disk);
    let disk = open(dir.path(), &world.genesis);
    assert_eq!(disk.view().tip(), changes.tip);
    assert_eq!(disk.block(Height(1)), Ok(Some(decided)));
    drop(disk);
    let other = Genesis { name: "other".to_owned(), ..genesis(4) };
    let error = Rocks::open(dir.path(), &other).expect_err("another chain's").to_string();
    for part in [world.genesis.id().to_string(), other.id().to_string(), dir.path().display().to_string()] {
        assert!(error.contains(&part), "{error}");
    }
}

/// However many transactions are asked for, the node reads two full blocks at most, and says that there is more.
#[tokio::test(start_paused = true)]
async fn an_answer_about_an_account_is_bounded_by_what_is_read_for_it() {
    let world = World::new(1);
    let (ledger, blocks) = (Arc::new(MemoryLedger::new(&world.genesis)), 5);
    let each = codec::encode(&transfer(&world, 0, 51)).len();
    // Three such blocks have as many bytes as a full one.
    let count = u64::try_from(limits::BLOCK / 3 / each + 1).expect("some thousand");
    for block in 0..blocks {
        // The last one in each block is the one that is asked for.
        let to = |number| if number + 1 == count { 51 } else { 50 };
        let txs = (0..count).map(|number| transfer(&world, block * count + number, to(number)));
        let (decided, changes) = next_block(&*ledger, &world.genesis, txs.collect());
        ledger.commit(&decided, &changes).expect("committed");
    }
    let (peers, _inbound) = world.net.join(node_id(0));
    let (id, workers, metrics) = (world.genesis.id(), Workers::inline(), ChainMetrics::default());
    let chain = Chain::open(ChainParts { id, ledger, workers, peers, metrics }).await;
    let mut before = None;
    let mut found = Vec::new();
    loop {
        let page = ActivityPage { account: receiver(51), before, limit: limits::ACTIVITY };
        let said = chain.activity(page).await.expect("answered").said;
        let places = said.txs.iter().map(|tx| tx.inclusion.block.header.height.0);
        found.push(places.collect::<Vec<_>>());
        if !said.more {
            break;
        }
        let last = said.txs.last().expect("an answer that is not the last has some");
        before = Some(TxPlace {
            index: last.inclusion.proof.index,
            ..TxPlace::start_of(last.inclusion.block.header.height)
        });
    }
    assert_eq!(found, [vec![5, 4, 3], vec![2, 1]]);
}
