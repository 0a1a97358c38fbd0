//! A state that comes in chunks is the state.

use std::collections::BTreeMap;

use super::world::{World, alice, bob, code, is_inventory};
use crate::{
    codec,
    id::Height,
    ledger::{
        MemoryRecords, Rosters, execute,
        snapshot::{BadChunk, BadSnapshot, SnapshotChunk, SnapshotRestore, chunk},
        state::{Changes, Key, Record, Records},
        tree::key_hash,
        tx::{Action, DecidedBlock},
    },
    light::CertifiedHeader,
};

/// A network with commitments, and its last block.
fn lived() -> (World, DecidedBlock) {
    let mut world = World::new();
    world.wait_for(2);
    for number in 1..=3 {
        let commit = world.commit(&alice(), number, code("4/12"), 65_536);
        world.does(&alice(), Action::Commit(commit));
    }
    let decided = world.decide(world.propose(vec![]).block);
    let changes = execute(&world.rules, &world.state, &decided).expect("a good block");
    world.state.commit(&changes);
    (world, decided)
}

fn offer(decided: &DecidedBlock) -> CertifiedHeader {
    CertifiedHeader { header: decided.block.header.clone(), certificate: decided.certificate.clone() }
}

fn part(state: &MemoryRecords, after: Option<[u8; 32]>, max_bytes: usize) -> Option<SnapshotChunk> {
    let records: BTreeMap<_, _> = state
        .records()
        .filter(|(key, _)| key.is_proven())
        .map(|(key, record)| (key.to_bytes(), codec::encode(record)))
        .map(|pair| (key_hash(&pair.0), pair))
        .collect();
    let record = |key: &[u8; 32]| records.get(key).cloned();
    chunk(state, &record, state.tip().height.0, after, max_bytes).expect("the tree of the tip is there")
}

/// The state restored from all chunks.
fn restore(world: &World, decided: &DecidedBlock, max_bytes: usize) -> MemoryRecords {
    let mut restoring = SnapshotRestore::new(offer(decided));
    let (mut records, mut nodes) = (BTreeMap::new(), Vec::new());
    while !restoring.is_complete() {
        assert_eq!(restoring.finish(), Err(BadSnapshot::Incomplete));
        let chunk = part(&world.state, restoring.after(), max_bytes).expect("some are missing");
        let part = restoring.take(&chunk).expect("an honest chunk");
        records.extend(part.records.into_iter().map(|(key, record)| (key, Some(record))));
        nodes.extend(part.nodes);
        let kept = codec::encode(&restoring);
        assert_eq!(codec::decode(&kept, kept.len()).as_ref(), Ok(&restoring), "it survives a restart");
    }
    let mut changes = restoring.finish().expect("all is there");
    changes.tree.nodes.extend(nodes);
    let changes = Changes { records, ..changes };
    let rosters = Rosters::read(&MemoryRecords::new(&changes)).expect("as the epochs recorded them");
    let mut restored = MemoryRecords::new(&Changes { rosters, ..changes });
    restored.reindex();
    restored
}

#[test]
fn a_state_is_restored_with_its_tip_and_its_indexes_and_continues() {
    let (world, decided) = lived();
    for max_bytes in [1, 3_000, 1 << 20] {
        let restored = restore(&world, &decided, max_bytes);
        assert_eq!(restored.tip(), world.state.tip());
        let rest = |state: &MemoryRecords| state.without(is_inventory);
        assert!(rest(&restored).records().eq(rest(&world.state).records()), "with the marks");
        let mut other = World { state: restored, ..world.clone() };
        other.check();
        // Epochs turn, commitments end: both come to the same blocks.
        let mut same = world.clone();
        for _ in 0..60 {
            let decided = same.decide(same.propose(vec![same.tx(&bob(), transfer())]).block);
            for world in [&mut same, &mut other] {
                let changes = execute(&world.rules, &world.state, &decided).expect("a good block on both");
                world.state.commit(&changes);
            }
        }
        assert_eq!(other.state.tip(), same.state.tip());
        assert!(same.state.records().all(|(key, _)| !matches!(key, Key::Commitment(_))), "all have ended");
    }
    world.check();
}

fn transfer() -> Action {
    Action::Transfer(crate::ledger::tx::Transfer { to: super::world::id(&alice()), amount: crate::id::Amount(1) })
}

#[test]
fn a_state_is_that_of_its_header_or_none() {
    let (world, decided) = lived();
    let all = part(&world.state, None, 1 << 20).expect("it fits");
    let with = |change: &dyn Fn(&mut CertifiedHeader)| {
        let mut offer = offer(&decided);
        change(&mut offer);
        let mut restoring = SnapshotRestore::new(offer);
        restoring.take(&all).and_then(|_| restoring.finish())
    };
    assert!(with(&|_| {}).is_ok());
    assert_eq!(with(&|offer| offer.header.state[0] ^= 1), Err(BadChunk::Root.into()));
    assert_eq!(with(&|offer| offer.header.history[0] ^= 1), Err(BadSnapshot::Running));
    assert_eq!(with(&|offer| offer.header.time_ms += 1), Err(BadSnapshot::Running));
    assert_eq!(with(&|offer| offer.header.height = Height(1)), Err(BadSnapshot::Running));
}

#[test]
fn records_that_are_proven_but_not_known_ask_for_a_newer_program() {
    let (mut world, mut decided) = lived();
    // A state of the future: one record more, of a kind that is not known yet.
    let strange = [(vec![63_u8], Some(codec::encode(&Record::Mark)))];
    let height = world.state.tip().height;
    let patch = crate::ledger::tree::update(&world.state, Some(height.0), height.0 + 1, strange).expect("its parent");
    let mut before = SnapshotRestore::new(offer(&decided));
    decided.block.header.state = patch.root;
    decided.block.header.height = height.next();
    let (tip, rosters) = (world.state.tip(), world.state.rosters());
    world.state.commit(&Changes { tip, records: [].into(), tree: patch, history: Vec::new(), rosters });
    let record = |key: &[u8; 32]| {
        let known = world.state.records().map(|(key, record)| (key.to_bytes(), codec::encode(record)));
        known.chain([(vec![63], codec::encode(&Record::Mark))]).find(|(bytes, _)| key_hash(bytes) == *key)
    };
    let all = chunk(&world.state, &record, height.0 + 1, None, 1 << 20).expect("it is there").expect("some records");
    assert_eq!(before.take(&all), Err(BadChunk::Root.into()), "not before it is proven");
    assert_eq!(SnapshotRestore::new(offer(&decided)).take(&all), Err(BadSnapshot::Foreign));
}
