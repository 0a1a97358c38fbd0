//! Names and anchors.

use super::world::{World, alice, bob, id};
use crate::{
    id::Amount,
    ledger::{
        TxError,
        state::{NameRecord, Records},
        tx::{Action, Anchor, SetName, Tx, tx_proof},
    },
    limits,
    sign::Keypair,
};

const NAME: [u8; 32] = [7; 32];

fn set(version: u64, value: Option<&[u8]>) -> Action {
    Action::SetName(SetName { name: NAME, version, value: value.map(<[u8]>::to_vec) })
}

fn get(world: &World, owner: &Keypair) -> Option<(Vec<u8>, u64)> {
    world.state.name(&id(owner), &NAME).map(|NameRecord { value, version, .. }| (value, version))
}

#[test]
fn a_name_changes_only_for_who_knows_its_version() {
    let mut world = World::new();
    let check = |world: &World, version, value: Option<&[u8]>, expect| {
        assert_eq!(world.verdict(&world.tx(&alice(), set(version, value))), expect, "{version} {value:?}");
    };
    check(&world, 1, Some(b"a"), Err(TxError::NameVersion { given: 1, version: 0 }));
    check(&world, 0, None, Err(TxError::NoName));
    check(&world, 0, Some(&[1; limits::NAME_VALUE]), Ok(()));
    let len = limits::NAME_VALUE + 1;
    check(&world, 0, Some(&vec![1; len]), Err(TxError::NameValue { len }));
    check(&world, 0, Some(b""), Ok(()));
    let (before, deposit) = (world.account(&alice()).balance, world.rules.params.bonds.name);
    let tx = world.tx(&alice(), set(0, Some(b"a")));
    let fee = tx.body.fee;
    world.block(vec![tx]);
    assert_eq!(world.account(&alice()).balance, Amount(before.0 - fee.0 - deposit.0));
    assert_eq!(get(&world, &alice()), Some((b"a".to_vec(), 1)));
    for given in [0, 2, u64::MAX] {
        check(&world, given, Some(b"b"), Err(TxError::NameVersion { given, version: 1 }));
        check(&world, given, None, Err(TxError::NameVersion { given, version: 1 }));
    }
    // Another's name is another name.
    world.does(&bob(), set(0, Some(b"bob's")));
    let (before, tx) = (world.account(&alice()).balance, world.tx(&alice(), set(1, Some(b"b"))));
    let fee = tx.body.fee;
    world.block(vec![tx]);
    assert_eq!(world.account(&alice()).balance, Amount(before.0 - fee.0), "a deposit is locked once");
    assert_eq!((get(&world, &alice()), get(&world, &bob())), (Some((b"b".to_vec(), 2)), Some((b"bob's".to_vec(), 1))));
}

/// Versions are not reused: a stale version never overwrites a newer value.
#[test]
fn a_removed_name_gives_its_deposit_back_and_its_versions_stay_dead() {
    let mut world = World::new();
    let deposit = world.rules.params.bonds.name;
    let first = world.tx(&alice(), set(0, Some(b"a")));
    world.block(vec![first.clone()]);
    let second = world.tx(&alice(), set(1, Some(b"b")));
    world.block(vec![second.clone()]);
    let (before, removal) = (world.account(&alice()).balance, world.tx(&alice(), set(2, None)));
    let fee = removal.body.fee;
    world.block(vec![removal.clone()]);
    assert_eq!(world.account(&alice()).balance, Amount(before.0 + deposit.0 - fee.0));
    assert_eq!(get(&world, &alice()), None);
    for old in [&first, &second, &removal] {
        assert!(matches!(world.verdict(old), Err(TxError::Nonce { .. })));
    }
    world.does(&alice(), set(0, Some(b"c")));
    assert_eq!(get(&world, &alice()), Some((b"c".to_vec(), 4)));
    for given in [1, 2, 3] {
        let late = world.tx(&alice(), set(given, Some(b"d")));
        assert_eq!(world.verdict(&late), Err(TxError::NameVersion { given, version: 4 }));
    }
}

#[test]
fn a_deposit_comes_back_as_it_was_paid() {
    let mut world = World::new();
    let (before, bonded) = (world.rules.params.bonds.name, world.state.tip().running.bonded);
    world.does(&alice(), set(0, Some(b"a")));
    let record = world.state.name(&id(&alice()), &NAME).expect("it is there");
    assert_eq!((record.deposit, world.state.tip().running.bonded), (before, Amount(bonded.0 + before.0)));
}

#[test]
fn an_anchor_is_proven_by_its_block_and_kept_nowhere() {
    let mut world = World::new();
    let records = world.state.clone();
    let txs: Vec<Tx> = [alice(), bob()]
        .iter()
        .zip(1..)
        .map(|(who, byte)| world.tx(who, Action::Anchor(Anchor { hash: [byte; 32] })))
        .collect();
    let ids: Vec<_> = txs.iter().map(Tx::id).collect();
    let block = world.offer(txs).block;
    for (index, id) in ids.iter().enumerate() {
        let proof = tx_proof(&ids, index).expect("it is there");
        assert_eq!(proof.verify(&block.header.roots.txs, id), Ok(()));
        assert!(proof.verify(block.header.parent.bytes(), id).is_err());
    }
    let kept = |world: &crate::ledger::MemoryRecords| world.proposals().len() + world.validators().len();
    assert_eq!(kept(&records), kept(&world.state));
    assert_eq!(records.sums().bonds, world.state.sums().bonds);
}
