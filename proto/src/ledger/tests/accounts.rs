//! How accounts begin and end.

use super::world::{World, alice, bob, code, id, key};
use crate::{
    id::{Amount, Height},
    ledger::{
        TxError,
        state::{Key, Records, first_nonce},
        tx::{Action, Anchor, Transfer},
    },
    sign::Keypair,
};

fn newcomer() -> Keypair {
    key(90)
}

fn pay(to: &Keypair, amount: Amount) -> Action {
    Action::Transfer(Transfer { to: id(to), amount })
}

fn exists(world: &World, key: &Keypair) -> bool {
    world.state.get(&Key::Account(id(key))).is_some()
}

/// Sends all it has to alice, but for `left`.
fn empty(world: &World, sender: &Keypair, left: u64) -> crate::ledger::tx::Tx {
    let mut body = world.body(sender, pay(&alice(), Amount(1)));
    body.action = pay(&alice(), Amount(world.account(sender).balance.0 - body.fee.0 - left));
    crate::ledger::tx::Tx::sign(body, sender, &world.rules.chain)
}

#[test]
fn an_account_begins_with_enough_and_with_a_nonce_of_its_height() {
    let mut world = World::new();
    let least = world.rules.params.bonds.account;
    let (to, amount) = (id(&newcomer()), Amount(least.0 - 1));
    let little = world.tx(&alice(), pay(&newcomer(), amount));
    assert_eq!(world.verdict(&little), Err(TxError::AccountMin { to, amount, least }));
    let early = world.tx(&newcomer(), Action::Anchor(Anchor { hash: [1; 32] }));
    assert_eq!(world.verdict(&early), Err(TxError::Funds { need: early.body.fee, have: Amount::ZERO }));
    world.does(&alice(), pay(&newcomer(), least));
    let (begun, height) = (world.account(&newcomer()), world.state.tip().height);
    assert_eq!((begun.balance, begun.since, begun.nonce), (least, height, height.0 << 20));
    world.does(&alice(), pay(&newcomer(), Amount(1)));
    assert_eq!(world.account(&newcomer()).nonce, begun.nonce, "it does not begin again");
}

#[test]
fn an_account_that_is_emptied_ends_and_none_of_its_transactions_comes_back() {
    let mut world = World::new();
    let least = world.rules.params.bonds.account;
    world.does(&alice(), pay(&newcomer(), Amount(4 * least.0)));
    let first = world.tx(&newcomer(), pay(&bob(), Amount(1)));
    world.block(vec![first.clone()]);
    let burnt = world.state.tip().running.burnt;
    let last = empty(&world, &newcomer(), 5);
    let fee = last.body.fee;
    world.block(vec![last.clone()]);
    assert!(!exists(&world, &newcomer()));
    assert_eq!(world.state.tip().running.burnt, Amount(burnt.0 + fee.0 + 5), "what was left is burnt");
    world.does(&alice(), pay(&newcomer(), Amount(4 * least.0)));
    for old in [first, last] {
        let (expected, got) = (world.account(&newcomer()).nonce, old.body.nonce);
        assert!(got < expected);
        assert_eq!(world.verdict(&old), Err(TxError::Nonce { expected, got }));
    }
}

#[test]
fn emptied_and_refunded_in_one_block_it_continues() {
    let mut world = World::new();
    let least = world.rules.params.bonds.account;
    world.does(&alice(), pay(&newcomer(), Amount(3 * least.0)));
    let begun = world.account(&newcomer());
    let (all, refund) = (empty(&world, &newcomer(), 0), world.tx(&alice(), pay(&newcomer(), least)));
    world.block(vec![all.clone(), refund]);
    let account = world.account(&newcomer());
    assert_eq!((account.since, account.nonce, account.balance), (begun.since, begun.nonce + 1, least));
    assert!(matches!(world.verdict(&all), Err(TxError::Nonce { .. })));
    // Refunded and emptied again: it is gone, and what is paid later begins another.
    let more = world.tx(&alice(), pay(&newcomer(), Amount(2 * least.0)));
    let mut spend = world.body(&newcomer(), pay(&bob(), Amount(1)));
    spend.action = pay(&bob(), Amount(3 * least.0 - spend.fee.0));
    let spend = crate::ledger::tx::Tx::sign(spend, &newcomer(), &world.rules.chain);
    world.block(vec![more, spend]);
    assert!(!exists(&world, &newcomer()));
    world.does(&alice(), pay(&newcomer(), least));
    assert_eq!(world.account(&newcomer()).nonce, first_nonce(world.state.tip().height));
}

#[test]
fn who_owns_something_stays_however_poor() {
    let mut world = World::new();
    world.does(&alice(), pay(&newcomer(), Amount(100_000_000)));
    world.wait_for(2);
    let commit = world.commit(&newcomer(), 1, code("4/12"), 1 << 20);
    let (object, end) = (commit.object, commit.end);
    world.does(&newcomer(), Action::Commit(commit));
    world.block(vec![empty(&world, &newcomer(), 0)]);
    let account = world.account(&newcomer());
    assert_eq!((account.balance, account.owns), (Amount(0), 1), "{object}");
    world.wait_for(end.0);
    assert!(world.account(&newcomer()).balance > Amount(0), "its escrow came back, which is enough to stay");
    assert_eq!(world.account(&newcomer()).owns, 0);
}

#[test]
fn first_nonces_never_meet() {
    // As many transactions as a block can hold, in every block.
    let most = u64::try_from(crate::limits::BLOCK / 100).expect("a small constant");
    assert!(most < first_nonce(Height(1)));
    assert_eq!(first_nonce(Height(u64::MAX)), u64::MAX);
}
