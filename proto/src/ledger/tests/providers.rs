//! Registering providers, and what they may change.

use super::world::{CAPACITY, World, alice, bob, code, domain, genesis, id, landlord, node_key, object, pauper};
use crate::{
    id::{Amount, NodeId},
    ledger::{
        ExitError, TakeError, TxError,
        state::{ProviderStatus, Records},
        tx::{Action, Drain, Register, Release, Withdraw},
    },
    sign::{Keypair, Signature},
};

#[test]
fn a_provider_is_founded_with_its_bond() {
    let mut world = World::new();
    let (before, register) = (world.account(&alice()).balance, world.register(&alice(), 50));
    let bond = register.bond;
    let tx = world.tx(&alice(), Action::Register(register));
    let fee = tx.body.fee;
    world.block(vec![tx]);
    let provider = world.state.provider(&node_key(50).public()).expect("registered");
    assert_eq!((provider.owner, provider.used, provider.bond), (id(&alice()), 0, bond));
    assert_eq!(provider.status, ProviderStatus::Active);
    assert_eq!(world.account(&alice()).balance, Amount(before.0 - bond.0 - fee.0));
    // An update costs its fee alone.
    let mut again = world.register(&alice(), 50);
    (again.price, again.domain) = (Amount(77), domain(51));
    world.does(&alice(), Action::Register(again));
    let provider = world.state.provider(&node_key(50).public()).expect("registered");
    assert_eq!((provider.price, provider.bond, provider.domain), (Amount(77), bond, domain(51)));
}

#[test]
fn registrations_are_checked() {
    let world = World::new();
    let node: NodeId = node_key(50).public();
    let check = |desc: &str, change: &dyn Fn(&mut Register), expect: Result<(), TxError>| {
        let mut register = world.register(&alice(), 50);
        change(&mut register);
        assert_eq!(world.verdict(&world.tx(&alice(), Action::Register(register))), expect, "{desc}");
    };
    let addresses = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    check("as it should be", &|_| {}, Ok(()));
    check("no address", &|register| register.addresses = vec![], Err(TxError::Addresses));
    let nine = vec!["/ip4/1.2.3.4/tcp/1".to_owned(); 9];
    check("nine addresses", &|register| register.addresses = nine.clone(), Err(TxError::Addresses));
    check("eight addresses", &|register| register.addresses = nine[..8].to_vec(), Ok(()));
    let relayed = "/ip4/1.2.3.4/udp/1/quic-v1/p2p/12D3/p2p-circuit";
    check("through a relay", &|register| register.addresses = addresses(&[relayed]), Ok(()));
    let long = "/".repeat(256);
    check("512 characters", &|register| register.addresses = addresses(&[&long, &long]), Ok(()));
    check("513", &|register| register.addresses = addresses(&[&long, &long, "/"]), Err(TxError::Addresses));
    let node_behind_relay = format!("{relayed}/p2p/12D4");
    for bad in [
        "",
        "127.0.0.1:1",
        "/ip4/1.2.3.4/tcp/1/p2p/12D3",
        "/dns4/a b/tcp/1",
        "/dns4/ü/tcp/1",
        &node_behind_relay,
        "/ip4/1.2.3.4/tcp/1/p2p/12D3/p2p/12D4/p2p-circuit",
    ] {
        check(bad, &|register| register.addresses = addresses(&[bad]), Err(TxError::Addresses));
    }
    for bad in ["", "Cloud", "a b", "a/b", "ü", "a\n", &"a".repeat(65)] {
        check(bad, &|register| register.domain.operator = bad.to_owned(), Err(TxError::DomainName));
        check(bad, &|register| register.domain.infrastructure = bad.to_owned(), Err(TxError::DomainName));
        check(bad, &|register| register.domain.region = bad.to_owned(), Err(TxError::DomainName));
    }
    let no_consent = || Err(TxError::Consent { node });
    check("consent of nobody", &|register| register.consent = Signature([0; 64]), no_consent());
    let bobs = world.register(&bob(), 50).consent;
    check("consent for another owner", &|register| register.consent = bobs, no_consent());
    check("no capacity: takes nothing yet", &|register| register.capacity = 0, Ok(()));
    check("all the capacity there could be", &|register| register.capacity = u64::MAX, Ok(()));
}

/// For the points of small order every message has the same signature: anyone could sign for such a node.
#[test]
fn weak_keys_are_refused() {
    let world = World::new();
    let identity = {
        let mut bytes = [0; 32];
        bytes[0] = 1;
        bytes
    };
    let order_eight = [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ];
    for bytes in [identity, [0; 32], order_eight] {
        let node = NodeId::new(bytes);
        let register = Register { node, ..world.register(&alice(), 50) };
        let verdict = world.verdict(&world.tx(&alice(), Action::Register(register)));
        assert_eq!(verdict, Err(TxError::WeakKey { node }));
    }
}

#[test]
fn a_bond_may_be_raised_and_not_lowered() {
    let mut world = World::new();
    let (params, register) = (world.rules.params.clone(), world.register(&alice(), 50));
    let least = params.bonds.provider;
    let low = Register { bond: Amount(least.0 - 1), ..register.clone() };
    let too_low = Err(TxError::BondTooLow { least, bond: low.bond });
    assert_eq!(world.verdict(&world.tx(&alice(), Action::Register(low))), too_low);
    world.does(&alice(), Action::Register(Register { bond: least, ..register.clone() }));
    let before = world.account(&alice()).balance;
    let tx = world.tx(&alice(), Action::Register(Register { bond: Amount(least.0 + 7), ..register.clone() }));
    let fee = tx.body.fee;
    world.block(vec![tx]);
    let provider = world.state.provider(&node_key(50).public()).expect("registered");
    assert_eq!(provider.bond, Amount(least.0 + 7));
    assert_eq!(world.account(&alice()).balance, Amount(before.0 - fee.0 - 7), "the difference was locked");
    let lower = Register { bond: Amount(least.0 + 6), ..register };
    let lowered = Err(TxError::BondLowered { have: provider.bond, bond: lower.bond });
    assert_eq!(world.verdict(&world.tx(&alice(), Action::Register(lower))), lowered);
}

/// Neither an invented capacity nor a low price covers anything.
#[test]
fn who_has_bonded_the_least_is_in_no_roster() {
    let mut founding = genesis();
    founding.params.bonds.provider = Amount(1_000_000);
    let mut world = World::of(&founding);
    for index in 50..74 {
        let price = Amount(u64::from(index % 2));
        let bond = world.rules.params.bonds.provider;
        let register = Register { capacity: 1 << 63, price, bond, ..world.register(&alice(), index) };
        world.does(&alice(), Action::Register(register));
    }
    world.wait_for(world.epoch().0 + 1);
    assert_eq!(world.roster(world.epoch()).len(), 14, "those of the genesis");
    let more = Amount(world.rules.params.bonds.provider.0 + 1_000);
    let register = Register { capacity: 1 << 63, bond: more, ..world.register(&alice(), 50) };
    world.does(&alice(), Action::Register(register));
    world.wait_for(world.epoch().0 + 1);
    let weight = world.listed(world.epoch(), node_key(50).public()).map(|offer| offer.weight);
    assert_eq!(weight, Some(1_000 * (1 << 30) / world.rules.params.bonds.gib.0), "what its bond is good for");
}

#[test]
fn a_bond_must_be_paid() {
    let world = World::new();
    let tx = world.tx(&pauper(), Action::Register(world.register(&pauper(), 50)));
    assert!(matches!(world.verdict(&tx), Err(TxError::Funds { .. })));
}

#[test]
fn only_the_owner_updates_and_never_below_what_is_kept() {
    let mut world = World::new();
    let commit = world.commit(&alice(), 1, code("4/12"), 4096);
    let holder = (0..14).find(|index| node_key(*index).public::<crate::id::NodeKind>() == commit.slots[0].provider);
    let holder = holder.expect("it is one of them");
    world.does(&alice(), Action::Commit(commit));
    let check = |desc: &str, change: &dyn Fn(&mut Register), expect: Result<(), TxError>| {
        let mut register = world.register(&landlord(), holder);
        change(&mut register);
        assert_eq!(world.verdict(&world.tx(&landlord(), Action::Register(register))), expect, "{desc}");
    };
    check("the same", &|_| {}, Ok(()));
    check("as much as it keeps", &|register| register.capacity = 4096, Ok(()));
    let below = TxError::CapacityBelowUsed { used: 4096, capacity: 4095 };
    check("less than it keeps", &|register| register.capacity = 4095, Err(below));
    let moved = |register: &mut Register| register.domain.region = "elsewhere".to_owned();
    check("moved", &moved, Err(TxError::DomainInUse { used: 4096 }));
    let tx = world.tx(&alice(), Action::Register(world.register(&alice(), holder)));
    let node = node_key(holder).public();
    assert_eq!(world.verdict(&tx), Err(TxError::OtherOwner { node, owner: id(&landlord()) }));
}

/// The roster knows the provider as it was; the rule must hold for where it is.
#[test]
fn a_provider_that_moved_since_the_draw_takes_no_slot() {
    let mut world = World::new();
    let provider = world.commit(&alice(), 1, code("4/12"), 64).slots[3].provider;
    let index =
        (0..14).find(|index| node_key(*index).public::<crate::id::NodeKind>() == provider).expect("one of them");
    let mut register = world.register(&landlord(), index);
    register.domain.region = "elsewhere".to_owned();
    world.does(&landlord(), Action::Register(register));
    let mut commit = world.commit(&alice(), 1, code("4/12"), 64);
    let gone = Err(TxError::CannotTake { index: 3, provider, reason: TakeError::Gone });
    assert_eq!(world.verdict(&world.tx(&alice(), Action::Commit(commit.clone()))), gone);
    commit.slots[3].receipt = None;
    assert_eq!(world.verdict(&world.tx(&alice(), Action::Commit(commit))), Ok(()), "but may stand as missing");
}

#[test]
fn a_provider_drains_withdraws_and_gets_its_bond_back() {
    let mut founding = genesis();
    founding.params.bonds.unbonding_epochs = 3;
    let mut world = World::of(&founding);
    let commit = world.commit(&alice(), 1, code("4/12"), 4096);
    let node = commit.slots[0].provider;
    let index = (0..14).find(|index| node_key(*index).public::<crate::id::NodeKind>() == node).expect("one of them");
    world.does(&alice(), Action::Commit(commit));
    let check = |world: &World, who: &Keypair, action: Action, expect: Result<(), TxError>| {
        assert_eq!(world.verdict(&world.tx(who, action)), expect);
    };
    let (drain, withdraw) = (Action::Drain(Drain { node }), Action::Withdraw(Withdraw { node }));
    let owner = id(&landlord());
    check(&world, &alice(), drain.clone(), Err(TxError::OtherOwner { node, owner }));
    check(&world, &alice(), withdraw.clone(), Err(TxError::OtherOwner { node, owner }));
    check(&world, &landlord(), withdraw.clone(), Err(ExitError::NotDraining { node }.into()));
    let none = NodeId::new([9; 32]);
    check(&world, &landlord(), Action::Drain(Drain { node: none }), Err(TxError::NoProvider { node: none }));
    world.does(&landlord(), drain.clone());
    check(&world, &landlord(), drain, Err(ExitError::Draining { node }.into()));
    check(&world, &landlord(), withdraw.clone(), Err(ExitError::StillStores { node, used: 4096 }.into()));
    world.does(&landlord(), Action::Register(world.register(&landlord(), index)));
    let status = |world: &World| world.state.provider(&node).map(|provider| provider.status);
    assert_eq!(status(&world), Some(ProviderStatus::Draining), "an update does not bring it back");
    world.does(&alice(), Action::Release(Release { object: object(1), extent: 0 }));
    let released = world.epoch().0;
    check(&world, &landlord(), withdraw.clone(), Err(ExitError::StillStores { node, used: 4096 }.into()));
    world.wait_for(released + 1);
    check(&world, &landlord(), withdraw.clone(), Err(ExitError::StillStores { node, used: 4096 }.into()));
    world.wait_for(released + 2);
    world.does(&landlord(), withdraw.clone());
    let until = world.epoch().after(3);
    assert_eq!(status(&world), Some(ProviderStatus::Exited { until }));
    check(&world, &landlord(), withdraw, Err(TxError::Unbonding { until }));
    let register = Action::Register(world.register(&landlord(), index));
    check(&world, &landlord(), register.clone(), Err(TxError::Unbonding { until }));
    let (before, bond) = (world.account(&landlord()).balance, world.state.provider(&node).expect("unbonding").bond);
    world.wait_for(until.0);
    assert_eq!(status(&world), None);
    assert_eq!(world.account(&landlord()).balance, Amount(before.0 + bond.0));
    check(&world, &landlord(), register, Ok(()));
}

#[test]
fn a_draining_provider_takes_no_slot() {
    let mut world = World::new();
    let provider = world.commit(&alice(), 1, code("4/12"), 64).slots[3].provider;
    world.does(&landlord(), Action::Drain(Drain { node: provider }));
    let commit = world.commit(&alice(), 1, code("4/12"), 64);
    let gone = Err(TxError::CannotTake { index: 3, provider, reason: TakeError::Gone });
    assert_eq!(world.verdict(&world.tx(&alice(), Action::Commit(commit))), gone);
    world.wait_for(1);
    assert_eq!(world.listed(world.epoch(), provider), None);
}

/// Two commits that each fit do not fit together: the roster is frozen, the room is not.
#[test]
fn a_full_provider_is_named() {
    let mut world = World::new();
    let large = |world: &World, who: &Keypair, number| world.commit(who, number, code("4/12"), CAPACITY);
    world.does(&alice(), Action::Commit(large(&world, &alice(), 1)));
    let second = world.tx(&bob(), Action::Commit(large(&world, &bob(), 2)));
    let Err(TxError::CannotTake { reason: TakeError::Full { free: 0 }, .. }) = world.verdict(&second) else {
        panic!("twelve of fourteen are full: {:?}", world.verdict(&second))
    };
}

/// Its record says what rosters have of it: it goes, and the bond returns, when draws of the last of them have expired.
#[test]
fn a_record_stays_while_a_valid_roster_has_the_provider() {
    let mut founding = genesis();
    founding.params.bonds.unbonding_epochs = 1;
    let mut world = World::of(&founding);
    let (node, last) = (node_key(0).public(), world.epoch());
    world.does(&landlord(), Action::Drain(Drain { node }));
    world.does(&landlord(), Action::Withdraw(Withdraw { node }));
    assert!(world.listed(last, node).is_some() && world.epoch() == last);
    let expired = last.after(founding.params.draw_epochs);
    let listing = world.state.provider(&node).expect("it has a bond").listing;
    assert_eq!(listing.forgotten_in(last, founding.params.draw_epochs), expired);
    for epoch in last.0 + 1..=expired.0 {
        world.wait_for(epoch);
        assert_eq!(world.state.provider(&node).is_some(), world.epoch() < expired, "in epoch {epoch}");
    }
}
