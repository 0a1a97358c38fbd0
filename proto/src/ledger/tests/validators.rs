//! Joining, bonding and leaving.

use super::world::{World, alice, beacon_key, bob, genesis, id, landlord, node_key, pauper, vote_key};
use crate::{
    beacon::{BeaconKey, BeaconSignature, BeaconTurn},
    id::{Amount, Epoch, Height},
    ledger::{
        TxError,
        state::{Membership, Records, ValidatorStatus},
        tx::{Action, Bond, Join, Leave, Move},
    },
    limits,
    sign::{Keypair, Signature},
};

const BOND: Amount = Amount(1_000_000_000);

/// A world in which alice can afford several validators.
fn rich() -> World {
    let mut founding = genesis();
    founding.params.bonds.unbonding_epochs = 3;
    founding.params.governance.max_power_share = 100;
    founding.accounts[0].balance = Amount(50_000_000_000);
    World::of(&founding)
}

fn leave(index: u8) -> Action {
    Action::Leave(Leave { key: vote_key(index).public() })
}

fn bond(index: u8, amount: u64) -> Action {
    Action::Bond(Bond { key: vote_key(index).public(), amount: Amount(amount) })
}

#[test]
fn who_joins_votes_from_the_next_block_and_who_leaves_does_not() {
    let mut world = rich();
    let before = world.account(&alice()).balance;
    let tx = world.tx(&alice(), Action::Join(world.join(&alice(), 4)));
    let fee = tx.body.fee;
    world.block(vec![tx]);
    let joined = world.validator(4).expect("joined");
    assert_eq!((joined.owner, joined.bond, joined.power), (id(&alice()), BOND, 1_000));
    assert_eq!(world.account(&alice()).balance, Amount(before.0 - BOND.0 - fee.0));
    assert_eq!(world.state.validator_set().power(&joined.key), Some(1_000));
    world.does(&alice(), bond(4, 500_000_001));
    assert_eq!(world.validator(4).map(|validator| (validator.bond.0, validator.power)), Some((1_500_000_001, 1_500)));
    world.does(&alice(), leave(4));
    assert_eq!(world.state.validator_set().power(&joined.key), None);
    let until = world.epoch().after(3);
    assert_eq!(world.validator(4).map(|validator| validator.status), Some(ValidatorStatus::Left { until }));
    let again = world.tx(&alice(), Action::Join(world.join(&alice(), 4)));
    assert_eq!(world.verdict(&again), Err(TxError::Unbonding { until }));
    let (sleeping, balance) = (world.tx(&alice(), bond(4, 1)), world.account(&alice()).balance);
    assert_eq!(world.verdict(&sleeping), Err(TxError::NoValidator { key: joined.key }));
    while world.epoch().after(1) < until {
        world.block(vec![]);
        assert_eq!(world.account(&alice()).balance, balance);
    }
    world.wait_for(until.0);
    assert_eq!(world.account(&alice()).balance, Amount(balance.0 + 1_500_000_001));
    assert_eq!(world.validator(4), None);
    world.does(&alice(), Action::Join(world.join(&alice(), 4)));
    assert!(world.validator(4).is_some_and(|validator| validator.votes()));
}

#[test]
fn who_moves_has_other_addresses_and_the_same_power() {
    let mut world = rich();
    let to = |addresses: &[&str]| {
        let addresses = addresses.iter().map(ToString::to_string).collect();
        Action::Move(Move { key: vote_key(4).public(), addresses })
    };
    let new = "/dns/node.example/tcp/4001";
    let early = world.tx(&alice(), to(&[new]));
    assert_eq!(world.verdict(&early), Err(TxError::NoValidator { key: vote_key(4).public() }));
    world.does(&alice(), Action::Join(world.join(&alice(), 4)));
    let (before, set) = (world.validator(4).expect("joined"), world.state.validator_set());
    world.does(&alice(), to(&[new]));
    let moved = world.validator(4).expect("still there");
    assert_eq!(moved.addresses, [new]);
    assert_eq!((moved.power, world.state.validator_set()), (before.power, set));
    for wrong in [&[][..], &["node.example"], &["/x/p2p/y"], &["/x"; 9]] {
        assert_eq!(world.verdict(&world.tx(&alice(), to(wrong))), Err(TxError::Addresses), "{wrong:?}");
    }
    let others = world.tx(&bob(), to(&[new]));
    assert!(matches!(world.verdict(&others), Err(TxError::OtherValidator { .. })));
    world.does(&alice(), leave(4));
    let late = world.tx(&alice(), to(&[new]));
    assert_eq!(world.verdict(&late), Err(TxError::NoValidator { key: vote_key(4).public() }));
}

#[test]
fn joinings_are_checked() {
    let world = rich();
    let (node, key) = (node_key(4).public(), vote_key(4).public());
    let check = |desc: &str, change: &dyn Fn(&mut Join), expect: Result<(), TxError>| {
        let mut join = world.join(&alice(), 4);
        change(&mut join);
        assert_eq!(world.verdict(&world.tx(&alice(), Action::Join(join))), expect, "{desc}");
    };
    check("as it should be", &|_| {}, Ok(()));
    check("nowhere", &|join| join.addresses.clear(), Err(TxError::Addresses));
    check("nameless", &|join| join.domain.operator.clear(), Err(TxError::DomainName));
    check("no beacon key", &|join| join.beacon_key = BeaconKey([0; 96]), Err(TxError::BeaconKey));
    check("a node that did not consent", &|join| join.consent = join.vote_consent, Err(TxError::Consent { node }));
    check("a key that did not consent", &|join| join.vote_consent = join.consent, Err(TxError::VoteConsent { key }));
    check("no consent", &|join| join.vote_consent = Signature([0; 64]), Err(TxError::VoteConsent { key }));
    check("no proof", &|join| join.beacon_proof = BeaconSignature([0; 48]), Err(TxError::BeaconProof));
    let turn = BeaconTurn { chain: &world.rules.chain, height: Height(1), mix: &[0; 32] };
    let share = beacon_key(4).sign(&turn);
    check("a share of the beacon as proof", &|join| join.beacon_proof = share, Err(TxError::BeaconProof));
    let others = world.join(&bob(), 4);
    check("consent for another owner", &|join| join.consent = others.consent, Err(TxError::Consent { node }));
    check("proof for another owner", &|join| join.beacon_proof = others.beacon_proof, Err(TxError::BeaconProof));
    let low = |bond| Err(TxError::BondTooLow { least: BOND, bond });
    check("no bond", &|join| join.bond = Amount(0), low(Amount(0)));
    check("one too little", &|join| join.bond = Amount(BOND.0 - 1), low(Amount(BOND.0 - 1)));
    let all = TxError::Funds { need: Amount(u64::MAX), have: world.account(&alice()).balance };
    check("all there could be", &|join| join.bond = Amount(u64::MAX), Err(all));
    let poor = world.tx(&pauper(), Action::Join(world.join(&pauper(), 4)));
    assert!(matches!(world.verdict(&poor), Err(TxError::Funds { .. })));
    // Bob can pay the fee and not the bond: his proof is not verified.
    let mut unproven = world.join(&bob(), 4);
    unproven.beacon_proof = BeaconSignature([0; 48]);
    let verdict = world.verdict(&world.tx(&bob(), Action::Join(unproven)));
    assert!(matches!(verdict, Err(TxError::Funds { .. })), "{verdict:?}");
}

#[test]
fn each_validator_has_keys_of_its_own() {
    let mut world = rich();
    let taken = |world: &World, join: Join| world.verdict(&world.tx(&alice(), Action::Join(join)));
    assert_eq!(taken(&world, world.join(&alice(), 2)), Err(TxError::SeatTaken { what: "vote key" }));
    // Validator 4 with the node, then with the beacon key, of validator 2.
    let sign = |world: &World, node: Keypair, beacon: u8| {
        let (vote, beacon) = (vote_key(4), beacon_key(beacon));
        let seat = crate::ledger::tx::Seat {
            owner: id(&alice()),
            key: vote.public(),
            node: node.public(),
            beacon_key: beacon.public(),
        };
        let (purpose, chain) = (crate::sign::Purpose::Seat, &world.rules.chain);
        Join {
            node: seat.node,
            beacon_key: seat.beacon_key,
            consent: node.sign(purpose, chain, &seat),
            vote_consent: vote.sign(purpose, chain, &seat),
            beacon_proof: beacon.prove(&seat.statement(chain)),
            ..world.join(&alice(), 4)
        }
    };
    assert_eq!(taken(&world, sign(&world, node_key(2), 4)), Err(TxError::SeatTaken { what: "node" }));
    assert_eq!(taken(&world, sign(&world, node_key(4), 2)), Err(TxError::SeatTaken { what: "beacon key" }));
    // A node may get new keys once the old ones do not vote.
    world.does(&landlord(), leave(2));
    assert_eq!(taken(&world, sign(&world, node_key(2), 4)), Ok(()));
}

#[test]
fn only_the_owner_manages_a_validator_and_the_last_stays() {
    let mut world = rich();
    let (key, owner) = (vote_key(0).public(), id(&landlord()));
    let check = |world: &World, sender: &Keypair, action, expect| {
        assert_eq!(world.verdict(&world.tx(sender, action)), expect);
    };
    check(&world, &alice(), leave(0), Err(TxError::OtherValidator { key, owner }));
    check(&world, &alice(), bond(0, 1), Err(TxError::OtherValidator { key, owner }));
    check(&world, &landlord(), bond(0, 0), Err(TxError::ZeroAmount));
    check(&world, &landlord(), bond(0, 1), Ok(()));
    check(&world, &landlord(), leave(9), Err(TxError::NoValidator { key: vote_key(9).public() }));
    for index in 1..4 {
        world.does(&landlord(), leave(index));
    }
    check(&world, &landlord(), leave(0), Err(TxError::LastValidator { key }));
    check(&world, &landlord(), leave(1), Err(TxError::NoValidator { key: vote_key(1).public() }));
    assert_eq!(world.state.validator_set().len(), 1);
    world.block(vec![]);
}

#[test]
fn seats_are_counted() {
    let mut world = rich();
    let mut changes = World::new().propose(vec![]).changes;
    changes.tip = world.state.tip();
    changes.tree = crate::ledger::tree::Patch::default();
    let template = world.validator(0).expect("a member");
    let most = u8::try_from(limits::VALIDATORS).expect("a small constant");
    changes.records = (4..most)
        .map(|number| {
            let (key, node) = (crate::id::VoteKey::new([number; 32]), crate::id::NodeId::new([number; 32]));
            let validator =
                crate::ledger::state::Validator { key, node, beacon_key: BeaconKey([number; 96]), ..template.clone() };
            let record = crate::ledger::state::Record::Validator(validator);
            (crate::ledger::state::Key::Validator(key), Some(record))
        })
        .collect();
    world.state.commit(&changes);
    let tx = world.tx(&alice(), Action::Join(world.join(&alice(), 4)));
    assert_eq!(world.verdict(&tx), Err(TxError::Seats { least: BOND }), "as much as the least bonded");
    let mut join = world.join(&alice(), 4);
    join.bond = Amount(BOND.0 + 1);
    assert_eq!(world.verdict(&world.tx(&alice(), Action::Join(join))), Ok(()), "more displaces it");
}

#[test]
fn where_each_is_let_in_all_have_one_vote() {
    let mut founding = genesis();
    founding.membership = Membership::Majority;
    founding.validators[1].bond = Amount(7 * BOND.0);
    let world = World::of(&founding);
    assert_eq!(world.state.validator_set(), founding.validator_set());
    assert_eq!(world.state.validator_set().iter().map(|(_, power)| power).collect::<Vec<_>>(), [1, 1, 1, 1]);
    let not = Err(TxError::KeyNotAdmitted { key: vote_key(4).public() });
    assert_eq!(world.verdict(&world.tx(&alice(), Action::Join(world.join(&alice(), 4)))), not);
    let node = node_key(50).public();
    let register = world.tx(&alice(), Action::Register(world.register(&alice(), 50)));
    assert_eq!(world.verdict(&register), Err(TxError::NodeNotAdmitted { node }));
    // Founders are members: they change their offer, and come again after they left.
    let update = world.tx(&landlord(), Action::Register(world.register(&landlord(), 3)));
    assert_eq!(world.verdict(&update), Ok(()));
    let mut world = world;
    world.does(&landlord(), leave(3));
    let until = world.epoch().after(world.rules.params.bonds.unbonding_epochs);
    let again = world.tx(&landlord(), Action::Join(world.join(&landlord(), 3)));
    assert_eq!(world.verdict(&again), Err(TxError::Unbonding { until }));
    assert!(until > Epoch(500));
}
