//! What is checked once is checked as the ledger would.

use std::collections::BTreeSet;

use super::world::{World, alice, bob, id};
use crate::{
    codec,
    id::{Amount, Height},
    ledger::{
        CheckedTx, TxError, check, fee,
        state::Records,
        tx::{Action, Transfer, Tx},
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

/// Both parts of the check together say what the whole check of the ledger says.
#[test]
fn each_of_many_has_its_own_verdict() {
    let world = World::new();
    let height = world.state.tip().height.next();
    let signed = |change: &dyn Fn(&mut crate::ledger::tx::TxBody)| {
        let mut body = world.body(&alice(), transfer(7));
        change(&mut body);
        Tx::sign(body, &alice(), &world.rules.chain)
    };
    let mut forged = signed(&|_| {});
    forged.body.nonce += 1;
    let txs = vec![
        signed(&|_| {}),
        forged.clone(),
        signed(&|body| body.action = transfer(0)),
        signed(&|body| body.valid_until = Height(height.0 - 1)),
        signed(&|body| body.valid_until = Height(height.0 + limits::VALID_BLOCKS + 1)),
        signed(&|body| body.fee = Amount(fee(&world.rules.params, body).0 - 1)),
        signed(&|body| body.nonce = 9),
    ];
    let whole: Vec<_> = txs.iter().map(|tx| check(&world.rules, height, tx)).collect();
    let parts = CheckedTx::check_many(&world.rules, txs.clone(), |_| false).into_iter();
    let parts: Vec<_> =
        parts.map(|checked| checked.and_then(|checked| checked.check_at(&world.rules, height))).collect();
    assert_eq!(parts, whole);
    assert_eq!(parts.iter().filter(|verdict| verdict.is_ok()).count(), 2);
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
