//! Actions of one transaction: all or none.

use super::world::{World, alice, code, genesis, id, key, object};
use crate::{
    id::Amount,
    ledger::{
        TxError,
        state::{Records, SlotState},
        tx::{
            Action, Anchor, Commit, Extend, Release, SetName, Together, TogetherError, Transfer, Tx, TxBody, batches,
        },
    },
    limits,
    sign::Keypair,
};

fn together(parts: impl IntoIterator<Item = Action>) -> Action {
    Action::Together(Together::new(parts.into_iter().collect()).expect("they may be together"))
}

fn pay(to: &Keypair, amount: Amount) -> Action {
    Action::Transfer(Transfer { to: id(to), amount })
}

fn set(name: u8, version: u64, value: Option<&[u8]>) -> Action {
    Action::SetName(SetName { name: [name; 32], version, value: value.map(<[u8]>::to_vec) })
}

fn failed(index: usize, error: TxError) -> Result<(), TxError> {
    Err(TxError::Part { index, error: Box::new(error) })
}

/// A commit of one extent of two of object 1, with all receipts, for ten epochs.
fn extent(world: &World, extent: u32, column_len: u64) -> Commit {
    let mut commit = world.commit(&alice(), 1, code("2/4"), column_len);
    let drawn = world.drawn_for(&alice(), (commit.draw, extent), commit.code);
    commit.slots.iter_mut().zip(drawn).for_each(|(slot, holder)| slot.provider = holder);
    (commit.extent, commit.extents) = (extent, 2);
    world.sign_all(&alice(), &mut commit);
    commit
}

/// What each verdict leaves no trace of, [`World::verdict`] checks.
#[test]
fn the_first_that_fails_is_named_and_undoes_all() {
    let mut world = World::new();
    let (heir, other) = (key(50), key(51));
    let least = world.rules.params.bonds.account;
    let anchor = || Action::Anchor(Anchor { hash: [1; 32] });
    let check = |desc: &str, parts: Vec<Action>, expect: Result<(), TxError>| {
        assert_eq!(world.verdict(&world.tx(&alice(), together(parts))), expect, "{desc}");
    };
    check("all are good", vec![pay(&heir, least), anchor(), set(1, 0, Some(b"a"))], Ok(()));
    check("one alone", vec![pay(&heir, least)], Ok(()));
    check("bad in form", vec![anchor(), pay(&heir, Amount(0))], failed(1, TxError::ZeroAmount));
    let stale = TxError::NameVersion { given: 7, version: 0 };
    check("bad by the state", vec![pay(&heir, least), set(1, 7, None), anchor()], failed(1, stale.clone()));
    check("two are bad", vec![set(1, 7, None), set(2, 9, None)], failed(0, stale));
    let begun = vec![pay(&heir, least), pay(&heir, Amount(1))];
    check("later parts see what earlier ones did", begun.clone(), Ok(()));
    let early = TxError::AccountMin { to: id(&heir), amount: Amount(1), least };
    check("not the other way round", begun.into_iter().rev().collect(), failed(0, early));
    let before = world.account(&alice());
    let tx = world.tx(&alice(), together([pay(&heir, least), pay(&other, least), anchor()]));
    let fee = tx.body.fee;
    world.block(vec![tx]);
    let after = world.account(&alice());
    assert_eq!((after.nonce, after.balance), (before.nonce + 1, Amount(before.balance.0 - fee.0 - 2 * least.0)));
    assert_eq!([world.account(&heir).balance, world.account(&other).balance], [least; 2]);
}

#[test]
fn validator_actions_and_evidence_have_a_transaction_of_their_own() {
    let world = World::new();
    let alone =
        [Action::Join(world.join(&alice(), 4)), Action::Evidence(world.double_vote(1, world.state.tip().height))];
    for action in alone {
        let made = Together::new(vec![set(1, 0, None), action]);
        assert_eq!(made, Err(TogetherError::Alone { index: 1 }));
    }
}

#[test]
fn a_later_action_spends_what_an_earlier_one_freed() {
    let mut world = World::new();
    world.does(&alice(), set(1, 0, Some(b"a")));
    let (balance, deposit) = (world.account(&alice()).balance, world.rules.params.bonds.name);
    let fee = world.body(&alice(), together([set(1, 1, None), pay(&key(50), Amount(1))])).fee;
    let all = Amount(balance.0 + deposit.0 - fee.0);
    let check = |parts: [Action; 2], expect| {
        assert_eq!(world.verdict(&world.tx(&alice(), together(parts))), expect);
    };
    check([set(1, 1, None), pay(&key(50), all)], Ok(()));
    // Both amounts are as of before: of the fee, and of what the other actions did.
    let lacking = |more: u64| TxError::Funds { need: Amount(balance.0 + more), have: balance };
    check([set(1, 1, None), pay(&key(50), Amount(all.0 + 3))], failed(1, lacking(3)));
    check([pay(&key(50), all), set(1, 1, None)], failed(0, lacking(deposit.0)));
}

#[test]
fn each_action_pays_the_base_and_all_bytes_are_paid_once() {
    let world = World::new();
    let anchors = |count: u8| together((0..count).map(|byte| Action::Anchor(Anchor { hash: [byte; 32] })));
    let fee = |action| world.body(&alice(), action).fee.0;
    let params = &world.rules.params;
    let (one, most) = (fee(anchors(1)), u64::try_from(limits::PARTS).expect("a small constant"));
    let bytes = 1 + 32;
    assert_eq!(fee(anchors(16)) - one, (most - 1) * (params.fees.base.0 + bytes * params.fees.byte.0));
    let need = world.body(&alice(), anchors(16)).fee;
    let check = |fee, expect| {
        let body = TxBody { fee, ..world.body(&alice(), anchors(16)) };
        assert_eq!(world.verdict(&Tx::sign(body, &alice(), &world.rules.chain)), expect);
    };
    check(need, Ok(()));
    let given = Amount(need.0 - 1);
    check(given, Err(TxError::FeeTooLow { need, given }));
}

#[test]
fn the_extents_of_an_object_are_committed_together() {
    let mut founding = genesis();
    founding.providers.iter_mut().for_each(|provider| provider.capacity = 4 << 30);
    let mut world = World::of(&founding);
    world.wait_for(1);
    let (first, last) = (extent(&world, 0, limits::COLUMN), extent(&world, 1, 64));
    let both = |first: &Commit, last: &Commit| together([first.clone(), last.clone()].map(Action::Commit));
    let check = |parts: Action, expect| assert_eq!(world.verdict(&world.tx(&alice(), parts)), expect);
    let bad = Commit { column_len: 128, ..last.clone() };
    let provider = bad.slots[0].provider;
    check(both(&first, &bad), failed(1, TxError::Receipt { index: 0, provider }));
    check(both(&first, &first), failed(1, TxError::AlreadyCommitted { object: object(1), extent: 0 }));
    check(both(&last, &first), Ok(()));
    world.does(&alice(), both(&first, &last));
    let made = world.state.commitments_of(&object(1), 9);
    assert_eq!(made.iter().map(|made| (made.id.extent, made.live())).collect::<Vec<_>>(), [(0, 4), (1, 4)]);
    assert!(made.iter().flat_map(|made| &made.slots).all(|slot| slot.state == SlotState::Live));
    // One is released and the other extended.
    let end = made[0].end.after(5);
    let release = Action::Release(Release { object: object(1), extent: 1 });
    let extend = Action::Extend(Extend { commitment: super::world::key_of(&alice(), 1), end, most: Amount(0) });
    world.does(&alice(), together([release, extend]));
    let ends = world.state.commitments_of(&object(1), 9).into_iter().map(|made| made.end);
    assert_eq!(ends.collect::<Vec<_>>(), [end, world.epoch().after(1)]);
}

#[test]
fn names_and_the_move_of_their_head_fail_together() {
    let mut world = World::new();
    const HEAD: u8 = 0;
    let batch = |head| together([set(1, 0, Some(b"a")), set(2, 0, Some(b"b")), set(HEAD, head, Some(b"1, 2"))]);
    let get = |world: &World, name: u8| world.state.name(&id(&alice()), &[name; 32]).map(|record| record.version);
    // Somebody with the same key moved the head first.
    world.does(&alice(), set(HEAD, 0, Some(b"9")));
    let stale = world.tx(&alice(), batch(0));
    assert_eq!(world.verdict(&stale), failed(2, TxError::NameVersion { given: 0, version: 1 }));
    let proposal = world.offer(vec![stale]);
    assert_eq!(proposal.block.txs, []);
    assert_eq!([1, 2, HEAD].map(|name| get(&world, name)), [None, None, Some(1)]);
    world.does(&alice(), batch(1));
    assert_eq!([1, 2, HEAD].map(|name| get(&world, name)), [Some(2); 3]);
}

#[test]
fn an_object_of_64_extents_is_committed_by_a_few_transactions_and_in_two_runs() {
    let mut founding = genesis();
    founding.accounts[0].balance = Amount(1_000_000_000_000);
    founding.providers.iter_mut().for_each(|provider| provider.capacity = 1 << 40);
    let mut world = World::of(&founding);
    world.wait_for(1);
    let whole = |number| Action::Commit(Commit { extents: 64, ..extent(&world, number, limits::COLUMN) });
    let actions: Vec<Action> = (0..64).map(whole).collect();
    let (before, after) = actions.split_at(20);
    let transactions = batches(actions.clone());
    assert_eq!(transactions.iter().map(|one| one.parts().len()).collect::<Vec<_>>(), [16; 4]);
    // The first run is killed after its first transactions; the second commits what is missing, by the same draw.
    batches(before.to_vec()).into_iter().for_each(|action| world.does(&alice(), action));
    let again = world.tx(&alice(), transactions[1].clone());
    assert_eq!(world.verdict(&again), failed(0, TxError::AlreadyCommitted { object: object(1), extent: 16 }));
    batches(after.to_vec()).into_iter().for_each(|action| world.does(&alice(), action));
    let made = world.state.commitments_of(&object(1), usize::MAX);
    assert_eq!(made.iter().map(|made| made.id.extent).collect::<Vec<_>>(), (0..64).collect::<Vec<_>>());
}
