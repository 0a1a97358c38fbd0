//! What holds for every transaction, told with transfers.

use super::world::{RICHES, World, alice, bob, code, id, pauper};
use crate::{
    id::{Amount, ChainId, Height},
    ledger::{
        TxError,
        state::{Domain, Records},
        tx::{Action, Transfer, Tx, TxBody},
    },
    limits,
    sign::Keypair,
};

fn transfer(to: &Keypair, amount: u64) -> Action {
    Action::Transfer(Transfer { to: id(to), amount: Amount(amount) })
}

#[test]
fn money_arrives_and_the_fee_burns() {
    let mut world = World::new();
    let tx = world.tx(&alice(), transfer(&pauper(), 1_000_000));
    let fee = tx.body.fee;
    world.block(vec![tx]);
    assert_eq!(world.account(&pauper()).balance, Amount(1_000_000));
    assert_eq!(world.account(&alice()).balance, Amount(RICHES.0 - 1_000_000 - fee.0));
    assert_eq!((world.account(&alice()).nonce, world.state.sums().burnt), (1, u128::from(fee.0)));
}

#[test]
fn amounts_at_the_edges() {
    let world = World::new();
    let fee = world.body(&alice(), transfer(&bob(), 1)).fee.0;
    let all = RICHES.0 - fee;
    let funds = |need: u64, have: u64| Err(TxError::Funds { need: Amount(need), have: Amount(have) });
    let check = |desc: &str, sender: &Keypair, to: &Keypair, amount, expect| {
        assert_eq!(world.verdict(&world.tx(sender, transfer(to, amount))), expect, "{desc}");
    };
    check("nothing", &alice(), &bob(), 0, Err(TxError::ZeroAmount));
    check("the least", &alice(), &bob(), 1, Ok(()));
    check("all but the fee", &alice(), &bob(), all, Ok(()));
    check("one too many", &alice(), &bob(), all + 1, funds(RICHES.0 + 1, RICHES.0));
    check("the largest number", &alice(), &bob(), u64::MAX, funds(u64::MAX, RICHES.0));
    check("to oneself", &alice(), &alice(), all, Ok(()));
    check("to oneself, more than there is", &alice(), &alice(), all + 1, funds(RICHES.0 + 1, RICHES.0));
    check("no money for the fee", &pauper(), &bob(), 1, funds(fee, 0));
}

#[test]
fn every_transaction_is_checked_before_its_action() {
    let mut world = World::new();
    world.does(&alice(), transfer(&bob(), 1));
    let height = world.state.tip().height.next();
    let chain = world.rules.chain;
    let check = |desc: &str, change: &dyn Fn(&mut TxBody), expect: Result<(), TxError>| {
        let mut body = world.body(&alice(), transfer(&bob(), 1));
        change(&mut body);
        assert_eq!(world.verdict(&Tx::sign(body, &alice(), &chain)), expect, "{desc}");
    };
    let need = world.body(&alice(), transfer(&bob(), 1)).fee;
    let latest = Height(height.0 + limits::VALID_BLOCKS);
    check("as it should be", &|_| {}, Ok(()));
    check("a nonce again", &|body| body.nonce = 0, Err(TxError::Nonce { expected: 1, got: 0 }));
    check("a nonce ahead", &|body| body.nonce = 2, Err(TxError::Nonce { expected: 1, got: 2 }));
    check("the last height", &|body| body.valid_until = height, Ok(()));
    let valid_until = Height(height.0 - 1);
    check("too late", &|body| body.valid_until = valid_until, Err(TxError::Expired { valid_until, height }));
    check("valid for a day", &|body| body.valid_until = latest, Ok(()));
    let valid_until = latest.next();
    let too_long = TxError::ValidTooLong { valid_until, latest };
    check("valid for longer", &|body| body.valid_until = valid_until, Err(too_long));
    let given = Amount(need.0 - 1);
    check("a fee too low", &|body| body.fee = given, Err(TxError::FeeTooLow { need, given }));
    check("a fee too high is the sender's affair", &|body| body.fee = Amount(need.0 * 2), Ok(()));
    let everything = TxError::Funds { need: Amount(u64::MAX), have: world.account(&alice()).balance };
    check("a fee of everything there could be", &|body| body.fee = Amount(u64::MAX), Err(everything));
    check("another sender", &|body| body.account = id(&bob()), Err(TxError::Signature));
}

#[test]
fn signatures_are_for_one_chain_and_one_body() {
    let world = World::new();
    let body = world.body(&alice(), transfer(&bob(), 1));
    let elsewhere = Tx::sign(body.clone(), &alice(), &ChainId::new([7; 32]));
    assert_eq!(world.verdict(&elsewhere), Err(TxError::Signature));
    let mut changed = Tx::sign(body, &alice(), &world.rules.chain);
    changed.body.action = transfer(&bob(), 2);
    assert_eq!(world.verdict(&changed), Err(TxError::Signature));
}

#[test]
fn nothing_is_applied_twice() {
    let mut world = World::new();
    let tx = world.tx(&alice(), transfer(&bob(), 1));
    let proposal = world.offer(vec![tx.clone(), tx.clone()]);
    assert_eq!(proposal.rejected, [(tx.id(), TxError::Nonce { expected: 1, got: 0 })]);
    assert_eq!(world.verdict(&tx), Err(TxError::Nonce { expected: 1, got: 0 }));
}

#[test]
fn large_transactions_are_refused_unread() {
    let world = World::new();
    let mut register = world.register(&alice(), 50);
    register.domain = Domain { operator: "x".repeat(limits::TX), ..register.domain };
    let tx = world.tx(&alice(), Action::Register(register));
    let len = crate::codec::encode(&tx).len();
    assert_eq!(world.verdict(&tx), Err(TxError::TooLarge { len }));
    // The largest proper one fits.
    let commit = world.commit(&alice(), 1, code("4/12"), 64);
    let one = crate::codec::encode(&commit.slots[0]).len();
    assert!(crate::codec::encode(&commit).len() + (limits::SLOTS - 12) * one + 200 < limits::TX);
}
