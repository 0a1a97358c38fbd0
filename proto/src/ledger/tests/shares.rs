//! No infrastructure has more than its share, of the votes or of the bytes.

use super::world::{CAPACITY, World, alice, code, genesis, node_key, vote_key};
use crate::{
    id::Amount,
    ledger::{
        Genesis, GenesisError, TxError,
        state::Records,
        tx::{Action, Bond},
    },
    placement::{Dimension, Tag},
};

const BOND: u64 = 1_000_000_000;

/// Four validators on the infrastructures given, with bonds of so many thousand obols.
fn founded(validators: [(&str, u64); 4], most: u8) -> Genesis {
    let mut founding = genesis();
    founding.params.governance.max_power_share = most;
    founding.accounts[0].balance = Amount(1_000 * BOND);
    for (validator, (infrastructure, bond)) in founding.validators.iter_mut().zip(validators) {
        validator.domain.infrastructure = infrastructure.to_owned();
        validator.bond = Amount(bond * BOND);
        validator.owner = founding.accounts[0].account;
    }
    founding
}

#[test]
fn a_network_is_founded_with_its_shares() {
    let check = |validators, most, expect: Option<(u8, u8, u8)>| {
        let refused = expect.map(|(index, share, limit)| GenesisError::Validator {
            key: vote_key(index).public(),
            error: TxError::PowerShare { share, limit },
        });
        assert_eq!(founded(validators, most).validate().err(), refused, "{validators:?} {most}");
    };
    check([("a", 1), ("a", 1), ("a", 1), ("a", 1)], 20, None);
    check([("a", 1), ("a", 1), ("b", 1), ("b", 1)], 20, None);
    check([("a", 1), ("b", 1), ("c", 1), ("d", 1)], 20, None);
    check([("a", 1), ("a", 1), ("b", 1), ("c", 1)], 20, Some((0, 50, 34)));
    check([("a", 1), ("b", 1), ("b", 1), ("c", 1)], 20, Some((1, 50, 34)));
    check([("a", 1), ("b", 2), ("c", 1), ("d", 1)], 20, Some((1, 40, 25)));
    check([("a", 1), ("b", 2), ("c", 1), ("d", 1)], 40, None);
    check([("a", 9), ("a", 1), ("a", 1), ("b", 1)], 100, None);
}

#[test]
fn who_joins_or_bonds_stays_within_the_share() {
    let world = World::of(&founded([("a", 2), ("b", 2), ("c", 2), ("d", 2)], 20));
    let join = |infrastructure: &str, bond: u64| {
        let mut join = world.join(&alice(), 4);
        join.domain.infrastructure = infrastructure.to_owned();
        join.bond = Amount(bond);
        world.verdict(&world.tx(&alice(), Action::Join(join)))
    };
    let refused = |share, limit| Err(TxError::PowerShare { share, limit });
    assert_eq!(join("a", BOND), refused(33, 25), "four share: a quarter each");
    assert_eq!(join("e", BOND), Ok(()));
    assert_eq!(join("e", 2 * BOND), Ok(()), "a fifth");
    assert_eq!(join("e", 2 * BOND + 99_000_000), Ok(()), "a fifth and less than a percent");
    assert_eq!(join("e", 3 * BOND), refused(27, 20));
    assert_eq!(join("e", 900 * BOND), refused(99, 20));
    let bond = |amount| {
        let bond = Bond { key: vote_key(1).public(), amount: Amount(amount) };
        world.verdict(&world.tx(&alice(), Action::Bond(bond)))
    };
    assert_eq!(bond(999_999), Ok(()), "no whole obol, no power");
    assert_eq!(bond(BOND / 100), Ok(()));
    assert_eq!(bond(BOND), refused(33, 25));
}

/// Seven providers on one infrastructure, and seven on as many others.
fn lopsided(most: u8) -> World {
    let mut founding = genesis();
    founding.params.governance.max_stored_share = most;
    for (index, provider) in founding.providers.iter_mut().enumerate() {
        provider.domain.infrastructure = if index < 7 { "big".to_owned() } else { format!("small-{}", index % 3) };
        provider.domain.region = format!("region-{index}");
    }
    World::of(&founding)
}

#[test]
fn an_infrastructure_keeps_no_more_than_its_share_of_the_bytes() {
    // Of twelve columns, big gets five: small-1, with three providers, and the two others with two can carry no more.
    let verdict = |world: &World| {
        let commit = world.commit(&alice(), 1, code("4/12"), 4096);
        let big = |provider| (0..7).any(|index| node_key(index).public::<crate::id::NodeKind>() == provider);
        let columns = commit.slots.iter().filter(|slot| big(slot.provider)).count();
        (columns, world.verdict(&world.tx(&alice(), Action::Commit(commit))))
    };
    let (columns, refused) = verdict(&lopsided(33));
    assert_eq!(columns, 5);
    assert!(matches!(refused, Err(TxError::StoredShare { share: 41, limit: 33, .. })), "{refused:?}");
    assert_eq!(verdict(&lopsided(41)).1, Ok(()));
    assert_eq!(verdict(&lopsided(100)).1, Ok(()));
    // Spread as evenly as four infrastructures allow, an extent is never refused.
    let world = lopsided(1);
    let commit = world.commit(&alice(), 1, code("2/4"), 4096);
    assert_eq!(world.verdict(&world.tx(&alice(), Action::Commit(commit))), Ok(()));
}

#[test]
fn bytes_are_counted_by_infrastructure_as_they_come_and_go() {
    let mut world = World::new();
    let tags: Vec<Tag> = (0..7).map(|number| Dimension::Infrastructure.tag(&format!("cloud-{number}"))).collect();
    let used = |world: &World| tags.iter().map(|tag| world.state.infrastructure(tag).used).sum::<u128>();
    world.does(&alice(), Action::Commit(world.commit(&alice(), 1, code("4/12"), CAPACITY)));
    let all = 12 * u128::from(CAPACITY);
    assert_eq!((used(&world), world.state.tip().running.stored), (all, all));
    world.wait_for(10);
    assert_eq!((used(&world), world.state.tip().running.stored), (0, 0));
}
