//! What is checked once is checked as the ledger would.

use std::collections::BTreeSet;

use super::world::{World, alice, bob, id};
use crate::{
    codec,
    id::{Amount, Height},
    ledger::{
        CheckedTx, TxError,
        state::Records,
        tx::{Action, Transfer, Tx, TxBody},
    },
    limits,
};

fn transfer(amount: u64) -> Action {
    Action::Transfer(Transfer { to: id(&bob()), amount: Amount(amount) })
}

#[test]
fn a_checked_transaction_knows_its_name_and_length() {
    let world = World::new();
    let tx = world.tx(&alice(), transfer(7));
    let checked = CheckedTx::check(&world.rules, tx.clone()).expect("it is good");
    assert_eq!((checked.id(), checked.bytes(), checked.tx()), (tx.id(), codec::encode(&tx).len(), &tx));
    assert_eq!(checked.into_tx(), tx);
}

#[test]
fn each_of_many_has_its_own_verdict() {
    let world = World::new();
    let height = world.state.tip().height.next();
    let need = world.body(&alice(), transfer(7)).fee;
    let signed = |change: &dyn Fn(&mut TxBody)| {
        let mut body = world.body(&alice(), transfer(7));
        change(&mut body);
        Tx::sign(body, &alice(), &world.rules.chain)
    };
    let mut forged = signed(&|_| {});
    forged.body.nonce += 1;
    let (past, latest) = (Height(height.0 - 1), Height(height.0 + limits::VALID_BLOCKS));
    let late = Height(latest.0 + 1);
    let little = Amount(need.0 - 1);
    let (txs, expect): (Vec<Tx>, Vec<_>) = [
        (signed(&|_| {}), Ok(())),
        (forged, Err(TxError::Signature)),
        (signed(&|body| body.action = transfer(0)), Err(TxError::ZeroAmount)),
        (signed(&|body| body.valid_until = past), Err(TxError::Expired { valid_until: past, height })),
        (signed(&|body| body.valid_until = late), Err(TxError::ValidTooLong { valid_until: late, latest })),
        (signed(&|body| body.fee = little), Err(TxError::FeeTooLow { need, given: little })),
        (signed(&|body| body.nonce = 9), Ok(())),
    ]
    .into_iter()
    .unzip();
    let checked = CheckedTx::check_many(&world.rules, txs, |_| false).into_iter();
    let verdicts: Vec<_> = checked.map(|tx| tx.and_then(|tx| tx.check_at(&world.rules, height))).collect();
    assert_eq!(verdicts, expect);
}

#[test]
fn what_was_verified_before_is_not_verified_again() {
    let world = World::new();
    let good = world.tx(&alice(), transfer(7));
    // Its signature is bad, which only those notice who look.
    let mut forged = good.clone();
    forged.signature.0[5] ^= 1;
    let known: BTreeSet<_> = [forged.id()].into();
    let txs = vec![good, forged.clone()];
    let check = |known: &BTreeSet<_>| {
        let checked = CheckedTx::check_many(&world.rules, txs.clone(), |id| known.contains(id));
        checked.into_iter().map(|verdict| verdict.map(drop)).collect::<Vec<_>>()
    };
    assert_eq!(check(&BTreeSet::new()), [Ok(()), Err(TxError::Signature)]);
    assert_eq!(check(&known), [Ok(()), Ok(())]);
}
