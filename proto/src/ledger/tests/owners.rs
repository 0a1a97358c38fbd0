//! Which owners of an object are listed.

use super::world::World;
use crate::{
    id::{AccountId, Epoch, ObjectId},
    ledger::{
        Draft,
        owners::{forget, note},
        state::{CommitmentId, Records},
    },
    limits,
};

fn id(account: u8, extent: u32) -> CommitmentId {
    CommitmentId { object: ObjectId::new([1; 32]), extent, owner: AccountId::new([account; 32]) }
}

fn listed(draft: &Draft<'_>) -> Vec<(u8, u32, u64)> {
    let owners = draft.object(&ObjectId::new([1; 32])).map(|object| object.owners).unwrap_or_default();
    owners.iter().map(|(account, owner)| (account.bytes()[0], owner.extents, owner.end.0)).collect()
}

#[test]
fn who_pays_longest_is_listed_and_nobody_is_lost() {
    let world = World::new();
    let mut draft = Draft::new(&world.state);
    let many = u8::try_from(limits::OWNERS).expect("few");
    for account in 0..many {
        note(&mut draft, &id(account, 0), Epoch(10), true);
    }
    note(&mut draft, &id(200, 0), Epoch(10), true);
    assert!(!listed(&draft).iter().any(|owner| owner.0 == 200), "as long as the others: the list is full");
    note(&mut draft, &id(200, 1), Epoch(11), true);
    assert!(listed(&draft).contains(&(200, 2, 11)), "longer than others: it displaces the first of them");
    assert!(!listed(&draft).iter().any(|owner| owner.0 == 0));
    note(&mut draft, &id(0, 0), Epoch(12), false);
    assert!(listed(&draft).contains(&(0, 1, 12)), "it pays for longer, and is back");
    assert!(!listed(&draft).iter().any(|owner| owner.0 == 1));
    forget(&mut draft, &id(200, 0));
    assert!(listed(&draft).contains(&(200, 1, 11)));
    forget(&mut draft, &id(200, 1));
    assert!(listed(&draft).contains(&(1, 1, 10)), "who was displaced takes the place");
    for account in 0..many {
        forget(&mut draft, &id(account, 0));
    }
    assert_eq!((listed(&draft), draft.object(&ObjectId::new([1; 32]))), (vec![], None));
}
