//! What a read begins with: enough to read by, and nothing in it can be false.

use super::world::{World, alice, bob, code, key, object};
use crate::{
    id::NodeId,
    ledger::{state::Key, tx::Action},
    light::{BadAnswer, ProvenObject, ProvenRecord, object_keys},
};

/// Alice and Bob have committed object 1, and Alice object 2.
fn world() -> World {
    let mut world = World::new();
    world.wait_for(1);
    for (who, number) in [(alice(), 1), (bob(), 1), (alice(), 2)] {
        let commit = world.commit(&who, number, code("2/4"), 4096);
        world.does(&who, Action::Commit(commit));
    }
    world
}

#[test]
fn it_has_the_owners_with_their_commitments_and_the_holders() {
    let world = world();
    let (items, header) = world.proven(&object_keys(object(1), &world.state));
    let found = ProvenObject::verify(&items, object(1), &header).expect("an honest answer");
    let owners: Vec<_> = found.commitments.iter().map(|made| made.id.owner).collect();
    assert_eq!(found.owners.into_keys().collect::<Vec<_>>(), owners);
    assert_eq!(owners.len(), 2);
    let slots = found.commitments.iter().flat_map(|made| &made.slots);
    let known: Vec<NodeId> = found.providers.iter().map(|provider| provider.node).collect();
    assert!(slots.map(|slot| slot.provider).all(|holder| known.contains(&holder)));
    assert!(found.providers.iter().all(|provider| !provider.addresses.is_empty()));
}

#[test]
fn that_there_is_no_such_object_is_proven() {
    let world = world();
    let (items, header) = world.proven(&object_keys(object(9), &world.state));
    let none = ProvenObject::verify(&items, object(9), &header).expect("an honest answer");
    assert!(none.owners.is_empty() && none.commitments.is_empty() && none.providers.is_empty());
}

#[test]
fn nothing_in_it_can_be_false() {
    let world = world();
    let (honest, header) = world.proven(&object_keys(object(1), &world.state));
    let refused = |items: &[ProvenRecord], desc: &str| ProvenObject::verify(items, object(1), &header).expect_err(desc);
    assert!(matches!(refused(&[], "nothing"), BadAnswer::OtherKeys { .. }));
    assert!(matches!(refused(&honest[1..], "without the object"), BadAnswer::OtherKeys { .. }));
    for at in 0..honest.len() {
        let mut hidden = honest.clone();
        hidden[at].value = None;
        assert!(matches!(refused(&hidden, "a record hidden"), BadAnswer::Record { .. }));
    }
    let of_other = world.proven(&object_keys(object(2), &world.state)).0;
    assert!(matches!(refused(&of_other, "another object"), BadAnswer::OtherKeys { .. }));
    let with_other = [&honest[..], &of_other[1..2]].concat();
    assert!(matches!(refused(&with_other, "a commitment of another object"), BadAnswer::OtherKeys { .. }));
    let money = world.proven(&[Key::Account(super::world::id(&key(1)))]).0;
    assert!(matches!(refused(&[honest, money].concat(), "an account"), BadAnswer::OtherKeys { .. }));
}
