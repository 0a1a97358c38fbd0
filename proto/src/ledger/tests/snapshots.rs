//! A state that comes in chunks is the state.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    audits::{providers, stored},
    world::{World, alice, bob, code, is_inventory, object},
};
use crate::{
    codec,
    id::{ColumnId, Height, NodeId},
    ledger::{
        MemoryRecords, Rosters, challenge, execute, judge,
        proofs::{ProofKey, proof_root},
        snapshot::{BadChunk, BadSnapshot, SnapshotChunk, SnapshotRestore, chunk},
        state::{Changes, Key, Record, Records},
        tree::key_hash,
        tx::{Action, DecidedBlock, Release, Roots},
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
    let decided = decided(&mut world);
    (world, decided)
}

/// The next block, without transactions.
fn decided(world: &mut World) -> DecidedBlock {
    let decided = world.decide(world.propose(vec![]).block);
    execute_on(world, &decided);
    decided
}

fn execute_on(world: &mut World, decided: &DecidedBlock) {
    let changes = execute(&world.rules, &world.state, decided).expect("a good block");
    world.state.commit(&changes);
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
            [&mut same, &mut other].into_iter().for_each(|world| execute_on(world, &decided));
        }
        assert_eq!(other.state.tip(), same.state.tip());
        assert!(same.state.records().all(|(key, _)| !matches!(key, Key::Commitment(_))), "all have ended");
    }
    world.check();
}

/// What was stored when the epoch began is asked for until it ends, also after it has left: a node that came meanwhile
/// knows it from the snapshot.
#[test]
fn who_comes_in_the_middle_of_an_epoch_judges_its_proofs_as_every_other() {
    let (mut world, mut columns, leaving) = stored();
    let staying = columns.commit(&world, &alice(), 2, 32_000);
    world.does(&alice(), Action::Commit(staying.clone()));
    world.does(&alice(), Action::Release(Release { object: object(1), extent: 0 }));
    let holders: BTreeSet<NodeId> =
        [&leaving, &staying].into_iter().flat_map(|commit| providers(&commit.slots)).collect();
    let left: BTreeSet<ColumnId> = leaving.slots.iter().map(|slot| slot.column).collect();
    world.epoch_of_proofs(&columns, &holders.iter().copied().collect::<Vec<_>>());
    while world.state.epoch(world.epoch()).expect("in progress").beacon.is_none() {
        world.block(vec![]);
    }
    assert!(world.state.commitments_of(&object(1), 1).is_empty(), "it has left since the epoch began");
    let decided = decided(&mut world);
    let mut newcomer = World { state: restore(&world, &decided, 3_000), ..world.clone() };

    let (mut of_left, mut accepted, mut refused) = (0, 0, 0);
    let until = world.epoch().after(2);
    while world.epoch() < until {
        for (number, holder) in holders.iter().enumerate() {
            let key = ProofKey { provider: *holder, epoch: world.epoch() };
            let [asked, same] = [&world, &newcomer].map(|world| challenge(&world.state, &world.rules, &key));
            assert_eq!(asked, same);
            of_left += asked.iter().flat_map(|asked| &asked.leaves).filter(|leaf| left.contains(&leaf.column)).count();
            // One in four proves nothing.
            if let Ok(proof) = columns.prove(&world.state, &world.rules, &key)
                && number % 4 > 0
            {
                world.proofs.insert(key, Arc::new(proof));
            }
        }
        let block = world.propose(vec![]).block;
        world.proofs.clear();
        accepted += block.proofs.len();
        let mut wrong = block.clone();
        if let Some(proof) = wrong.proofs.values_mut().next() {
            proof.leaves[0].data[0] ^= 1;
            wrong.header.roots = Roots { proofs: proof_root(&wrong.proofs), ..wrong.header.roots };
            let [verdict, same] = [&world, &newcomer].map(|world| judge(&world.rules, &world.state, &wrong));
            assert!(verdict.is_err() && verdict == same, "{verdict:?} and {same:?}");
            refused += 1;
        }
        let decided = world.decide(block);
        [&mut world, &mut newcomer].into_iter().for_each(|world| execute_on(world, &decided));
        assert_eq!(newcomer.state.tip(), world.state.tip(), "at each height");
    }
    assert!(of_left > 0 && accepted > holders.len() && refused > 1, "{of_left}, {accepted}, {refused}");
    newcomer.check();
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
