//! Commitments that others pay for, and those that the ledger renews by itself.

use super::world::{World, alice, bob, code, id, key_of, landlord, node_key, object};
use crate::{
    id::{Amount, NodeId},
    ledger::{
        TxError,
        state::{Commitment, Key, Records, Renewal},
        tx::{Action, Extend, Register, Release, SetRenewal, Transfer},
    },
    sign::Keypair,
};

const LENGTH: u64 = 65_536;
const EPOCHS: u64 = 5;

fn set(renewal: Option<Renewal>) -> Action {
    Action::SetRenewal(SetRenewal { object: object(1), extent: 0, renewal })
}

const fn renewal(most: u64) -> Option<Renewal> {
    Some(Renewal { epochs: EPOCHS, most: Amount(most) })
}

/// A commitment of Alice's, which the ledger is to renew.
fn renewed(most: u64) -> World {
    let mut world = World::new();
    world.does(&alice(), Action::Commit(world.commit(&alice(), 1, code("2/4"), LENGTH)));
    world.does(&alice(), set(renewal(most)));
    world
}

fn find(world: &World) -> Option<Commitment> {
    world.state.commitment(&key_of(&alice(), 1))
}

fn made(world: &World) -> Commitment {
    find(world).expect("committed")
}

fn balance(world: &World, of: &Keypair) -> u64 {
    world.account(of).balance.0
}

#[test]
fn anyone_may_pay_for_more_epochs() {
    let mut world = World::new();
    world.does(&alice(), Action::Commit(world.commit(&alice(), 1, code("2/4"), LENGTH)));
    let (before, had) = (made(&world), balance(&world, &alice()));
    let end = before.end.after(EPOCHS);
    let tx = world.tx(&bob(), Action::Extend(Extend { commitment: before.id, end, most: Amount(0) }));
    let paid = before.cap().0 * EPOCHS;
    let left = balance(&world, &bob()) - paid - tx.body.fee.0;
    world.block(vec![tx]);
    let after = made(&world);
    assert_eq!((after.end, after.escrow.0), (end, before.escrow.0 + paid));
    assert_eq!((balance(&world, &bob()), balance(&world, &alice())), (left, had));
    world.check();
}

#[test]
fn a_commitment_renews_itself_while_its_owner_can_pay() {
    let mut world = renewed(0);
    let (first, base) = (made(&world), world.rules.params.fees.base);
    let each = first.cap().0 * EPOCHS + base.0;
    let had = balance(&world, &alice());
    world.wait_for(first.end.0);
    let second = made(&world);
    assert_eq!((second.end, second.cap()), (first.end.after(EPOCHS), first.cap()));
    assert_eq!(balance(&world, &alice()), had - each);
    world.check();
    world.wait_for(second.end.0);
    assert_eq!(made(&world).end, second.end.after(EPOCHS), "and again");
    world.check();
    // What is left pays for all of it but a micro-obol.
    let spare = balance(&world, &alice()) - (each - 1);
    let mut send = world.tx(&alice(), Action::Transfer(Transfer { to: id(&bob()), amount: Amount(spare) }));
    let fee = send.body.fee.0;
    send = world.tx(&alice(), Action::Transfer(Transfer { to: id(&bob()), amount: Amount(spare - fee) }));
    world.block(vec![send]);
    assert_eq!(balance(&world, &alice()), each - 1);
    world.wait_for(made(&world).end.0);
    assert_eq!((find(&world), world.state.get(&Key::Renewal(first.id))), (None, None));
    assert!(balance(&world, &alice()) >= each - 1, "nothing was charged for a renewal that was not made");
    assert_eq!(world.state.tip().running.escrowed, Amount::ZERO);
    world.check();
}

#[test]
fn a_holder_that_asks_too_much_ends_it_and_what_the_owner_allowed_is_paid() {
    let dear = Amount(2_000_000);
    for (most, is_renewed) in [(dear.0 - 1, false), (dear.0, true)] {
        let mut world = renewed(most);
        let before = made(&world);
        let node: NodeId = before.slots[1].provider;
        let index = (0..14).find(|index| node_key(*index).public() == node).expect("of the genesis");
        let register = world.register(&landlord(), index);
        world.does(&landlord(), Action::Register(Register { price: dear, ..register }));
        // Until then its receipt is valid, whatever it asks meanwhile.
        while find(&world).is_some_and(|made| made.end <= before.until) {
            world.wait_for(made(&world).end.0);
        }
        assert_eq!(find(&world).is_some(), is_renewed, "at most {most}");
        if is_renewed {
            assert_eq!(made(&world).slots[1].ask, dear);
        }
        world.check();
    }
}

#[test]
fn only_the_owner_sets_a_renewal_and_may_change_its_mind() {
    let mut world = renewed(0);
    let none = Err(TxError::NoCommitment { object: object(1), extent: 0 });
    assert_eq!(world.verdict(&world.tx(&bob(), set(renewal(0)))), none);
    let max = world.rules.params.term_epochs;
    for (epochs, expect) in [(0, false), (1, true), (max, true), (max + 1, false)] {
        let action = set(Some(Renewal { epochs, most: Amount(0) }));
        let expect = if expect { Ok(()) } else { Err(TxError::RenewalTerm { epochs, max }) };
        assert_eq!(world.verdict(&world.tx(&alice(), action)), expect, "{epochs}");
    }
    let key = Key::Renewal(key_of(&alice(), 1));
    world.does(&alice(), set(None));
    assert_eq!(world.state.get(&key), None);
    world.does(&alice(), set(renewal(0)));
    world.does(&alice(), Action::Release(Release { object: object(1), extent: 0 }));
    assert_eq!(world.state.get(&key), None, "what is released is not renewed");
    world.wait_for(world.epoch().0 + 1);
    assert_eq!(find(&world), None);
    world.check();
}
