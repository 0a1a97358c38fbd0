//! An account draws as another that permits it: as old as that one, and with its holders.

use super::world::{World, alice, bob, cause, code, id, key};
use crate::{
    id::{Amount, ChainId},
    ledger::{
        TxError,
        state::Records,
        tx::{Action, DrawAs, DrawPermission, Together, Transfer},
    },
    placement::Draw,
    sign::Keypair,
};

fn as_account(world: &World, of: &Keypair, to: &Keypair) -> Action {
    let permission = Some(DrawPermission::sign(of, &world.rules.chain, &id(to)));
    Action::DrawAs(DrawAs { permission })
}

#[test]
fn a_young_account_stores_with_the_holders_of_an_old_one_that_permits_it() {
    let (mut world, bucket) = World::with_newcomer();
    world.does(&bucket, as_account(&world, &alice(), &bucket));
    let epoch = world.state.tip().running.clock.drawable().expect("the network has a beacon");
    let draw = Draw { epoch, number: 0 };
    assert_eq!(world.drawn(&bucket, draw, code("2/4")), world.drawn(&alice(), draw, code("2/4")));
    let commit = world.commit(&bucket, 1, code("2/4"), 64);
    world.does(&bucket, Action::Commit(commit.clone()));
    let stored = world.state.commitments_of(&commit.object, 1);
    assert_eq!(stored.first().map(|stored| stored.id.owner), Some(id(&bucket)), "it pays by itself");
}

#[test]
fn permission_and_commit_may_be_together_and_the_permission_may_be_laid_down() {
    let (mut world, bucket) = World::with_newcomer();
    let mut commit = world.commit(&alice(), 1, code("2/4"), 64);
    world.sign_all(&bucket, &mut commit);
    let parts = vec![as_account(&world, &alice(), &bucket), Action::Commit(commit)];
    world.does(&bucket, Action::Together(Together::new(parts).expect("two parts")));
    world.does(&bucket, Action::DrawAs(DrawAs { permission: None }));
    assert_eq!(world.account(&bucket).draws_as, None);
    let mut commit = world.commit(&alice(), 2, code("2/4"), 64);
    world.sign_all(&bucket, &mut commit);
    let verdict = world.verdict(&world.tx(&bucket, Action::Commit(commit))).map_err(cause);
    assert!(matches!(verdict, Err(TxError::NoPulse { .. } | TxError::NotDrawn { .. })), "{verdict:?}");
}

#[test]
fn nobody_draws_as_an_account_that_did_not_permit_it() {
    let (world, bucket) = World::with_newcomer();
    let verdict = |action| world.verdict(&world.tx(&bucket, action));
    let refused = |account: &Keypair| Err(TxError::DrawPermission { account: id(account) });
    assert_eq!(verdict(as_account(&world, &alice(), &bob())), refused(&alice()), "it was for another");
    let other = DrawPermission::sign(&alice(), &ChainId::new([1; 32]), &id(&bucket));
    assert_eq!(verdict(Action::DrawAs(DrawAs { permission: Some(other) })), refused(&alice()), "on another chain");
    let forged =
        DrawPermission { account: id(&bob()), ..DrawPermission::sign(&alice(), &world.rules.chain, &id(&bucket)) };
    assert_eq!(verdict(Action::DrawAs(DrawAs { permission: Some(forged) })), refused(&bob()), "by another");
    let nobody = key(91);
    let absent = TxError::NoDrawAccount { account: id(&nobody) };
    assert_eq!(verdict(as_account(&world, &nobody, &bucket)), Err(absent));
}

#[test]
fn an_account_that_begins_again_draws_as_itself() {
    let (mut world, bucket) = World::with_newcomer();
    world.does(&bucket, as_account(&world, &alice(), &bucket));
    let mut body = world.body(&bucket, Action::Transfer(Transfer { to: id(&alice()), amount: Amount(1) }));
    let all = Amount(world.account(&bucket).balance.0 - body.fee.0);
    body.action = Action::Transfer(Transfer { to: id(&alice()), amount: all });
    world.block(vec![crate::ledger::tx::Tx::sign(body, &bucket, &world.rules.chain)]);
    world.does(&alice(), Action::Transfer(Transfer { to: id(&bucket), amount: Amount(100_000_000) }));
    assert_eq!(world.account(&bucket).draws_as, None);
}
