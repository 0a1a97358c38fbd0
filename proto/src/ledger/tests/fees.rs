//! Fees under load: what fills blocks pays more and more, what is due pays what it always paid.

use super::world::{World, alice, bob, id};
use crate::{
    codec,
    id::{Amount, Height},
    ledger::{
        CheckedTx, FeeFactor, TxError,
        state::Records,
        tx::{Action, Transfer, Tx, TxBody},
    },
    limits,
};

fn transfer(amount: u64) -> Action {
    Action::Transfer(Transfer { to: id(&bob()), amount: Amount(amount) })
}

/// Transfers of alice that make more than half a block, each offering what `offer` says of its least fee.
fn rush(world: &World, offer: impl Fn(Amount) -> Amount) -> Vec<Tx> {
    let body = world.body(&alice(), transfer(1));
    let bytes = codec::encode(&world.tx(&alice(), transfer(1))).len();
    let count = u64::try_from(limits::FEE_TARGET / bytes + 1).expect("a count fits");
    let sign = |number: u64| {
        let body = TxBody { nonce: body.nonce + number, fee: offer(body.fee), ..body.clone() };
        Tx::sign(body, &alice(), &world.rules.chain)
    };
    (0..count).map(sign).collect()
}

fn factor(world: &World) -> FeeFactor {
    world.state.tip().running.fee_factor
}

#[test]
fn a_rush_makes_the_next_block_dearer_and_rest_makes_it_cheap_again() {
    let mut world = World::new();
    let fee = world.body(&alice(), transfer(1)).fee;
    assert_eq!(factor(&world), FeeFactor::ONE);
    let txs = rush(&world, |fee| fee);
    let bytes = txs.iter().map(|tx| codec::encode(tx).len()).sum();
    world.block(txs);
    assert_eq!(factor(&world), FeeFactor::ONE.after(bytes));
    // What was signed before is not enough any more, and the refusal says what is.
    let need = factor(&world).times(fee);
    let cheap = Tx::sign(TxBody { fee, ..world.body(&alice(), transfer(1)) }, &alice(), &world.rules.chain);
    assert_eq!(world.verdict(&cheap), Err(TxError::FeeTooLow { need, given: fee }));
    assert_eq!(world.rules.fee(&cheap.body), need);
    assert_eq!(world.verdict(&world.tx(&alice(), transfer(1))), Ok(()));
    world.block(vec![]);
    assert_eq!(factor(&world), FeeFactor::ONE);
    assert_eq!(world.verdict(&cheap), Ok(()));
}

#[test]
fn what_is_paid_burns_whatever_the_least_is() {
    let mut world = World::new();
    let before = world.state.sums().burnt;
    let txs = rush(&world, |fee| Amount(fee.0 * 3));
    let paid: u128 = txs.iter().map(|tx| u128::from(tx.body.fee.0)).sum();
    world.block(txs);
    assert_eq!(world.state.sums().burnt, before + paid);
}

#[test]
fn an_offer_is_enough_for_some_full_blocks() {
    let mut world = World::new();
    let body = world.body(&alice(), transfer(1));
    assert_eq!(world.rules.offer(&body), world.rules.fee(&body), "without load nobody pays more than the least");
    world.block(rush(&world, |fee| fee));
    let offered = world.rules.offer(&body);
    world.rules.fee_factor = world.rules.fee_factor.after_full(limits::FEE_HEADROOM);
    assert_eq!(world.rules.fee(&body), offered);
}

#[test]
fn what_is_due_never_gets_dearer() {
    let mut world = World::new();
    let evidence = Action::Evidence(world.double_vote(1, Height(1)));
    let fees = |world: &World| [evidence.clone(), transfer(1)].map(|action| world.body(&alice(), action).fee);
    let before = fees(&world);
    world.block(rush(&world, |fee| fee));
    let after = fees(&world);
    assert_eq!(after[0], before[0]);
    assert!(after[1] > before[1]);
    let tx = world.tx(&alice(), evidence);
    let checked = CheckedTx::check(&world.rules, tx).expect("of good form");
    assert_eq!(checked.check_fee(&world.rules), Ok(()));
}
