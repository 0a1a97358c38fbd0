//! What an equivocation costs a validator.

use super::world::{World, alice, bob, genesis, id, landlord, vote_key};
use crate::{
    id::{Amount, BlockId, Height},
    ledger::{
        Genesis, TxError,
        state::{Records, ValidatorStatus},
        tx::{Action, Evidence, Leave},
        vote::{BlockProposal, SignedProposal, SignedVote, Vote, VoteKind},
    },
    sign::Signature,
};

pub(super) const BOND: u64 = 1_000_000_000;
pub(super) const PENALTY: u64 = BOND / 20;

pub(super) fn quick() -> Genesis {
    let mut founding = genesis();
    founding.params.bonds.unbonding_epochs = 3;
    founding.accounts[0].balance = Amount(10 * BOND);
    founding
}

fn give(world: &World, evidence: Evidence) -> Result<(), TxError> {
    world.verdict(&world.tx(&alice(), Action::Evidence(evidence)))
}

#[test]
fn an_equivocation_costs_a_part_of_the_bond_and_the_vote() {
    let mut world = World::of(&quick());
    world.block(vec![]);
    let key = vote_key(1).public();
    let evidence = world.double_vote(1, Height(1));
    let (before, burnt) = (world.account(&alice()).balance, world.state.sums().burnt);
    let tx = world.tx(&alice(), Action::Evidence(evidence.clone()));
    let fee = tx.body.fee.0;
    world.block(vec![tx]);
    let removed = world.validator(1).expect("its bond is locked");
    let until = world.epoch().after(3);
    assert_eq!((removed.bond.0, removed.status), (BOND - PENALTY, ValidatorStatus::Removed { until }));
    assert_eq!(world.account(&alice()).balance, Amount(before.0 - fee + PENALTY / 10));
    assert_eq!(world.state.sums().burnt, burnt + u128::from(fee + PENALTY - PENALTY / 10));
    assert_eq!(world.state.validator_set().power(&key), None);
    // Once, whatever else it signed, and never again.
    assert_eq!(give(&world, evidence.clone()), Err(TxError::Barred { key }));
    assert_eq!(give(&world, world.double_vote(1, Height(2))), Err(TxError::Barred { key }));
    let join = |world: &World| world.verdict(&world.tx(&landlord(), Action::Join(world.join(&landlord(), 1))));
    assert_eq!(join(&world), Err(TxError::Barred { key }));
    let rest = world.account(&landlord()).balance;
    world.wait_for(until.0);
    assert_eq!((world.validator(1), world.account(&landlord()).balance), (None, Amount(rest.0 + BOND - PENALTY)));
    assert_eq!(join(&world), Err(TxError::Barred { key }));
    assert_eq!(give(&world, world.double_vote(1, Height(9))), Err(TxError::Barred { key }));
}

#[test]
fn only_a_contradiction_is_evidence() {
    let mut world = World::of(&quick());
    world.block(vec![]);
    let chain = world.rules.chain;
    let vote = Vote { kind: VoteKind::Prevote, height: Height(1), round: 0, block: Some(BlockId::new([1; 32])) };
    let other = Vote { block: Some(BlockId::new([2; 32])), ..vote };
    let sign = |index, vote| SignedVote::sign(vote, &vote_key(index), &chain);
    let check = |desc: &str, first: SignedVote, second: SignedVote, expect| {
        assert_eq!(give(&world, Evidence::Votes(first, second)), expect, "{desc}");
    };
    let (first, second, none) = (sign(0, vote), sign(0, other), || Err(TxError::NoContradiction));
    check("two blocks", first, second, Ok(()));
    check("a block and none", sign(0, Vote { block: None, ..vote }), first, Ok(()));
    check("in the other order", second, first, none());
    check("the same twice", first, first, none());
    check("of two keys", first, sign(1, other), none());
    check("of two rounds", first, sign(0, Vote { round: 1, ..other }), none());
    check("of two heights", first, sign(0, Vote { height: Height(2), ..other }), none());
    check("of two kinds", first, sign(0, Vote { kind: VoteKind::Precommit, ..other }), none());
    let unsigned = || Err(TxError::EvidenceSignature);
    check("never signed", first, SignedVote { signature: Signature([0; 64]), ..second }, unsigned());
    check("signed for another block", SignedVote { signature: second.signature, ..first }, second, unsigned());
    let stranger = Err(TxError::NoValidator { key: vote_key(9).public() });
    check("of nobody here", sign(9, vote), sign(9, other), stranger);
    let elsewhere = World::of(&Genesis { name: "other".to_owned(), ..quick() }).rules.chain;
    let foreign = |vote| SignedVote::sign(vote, &vote_key(0), &elsewhere);
    check("of another chain", foreign(vote), foreign(other), unsigned());
    let proposal = BlockProposal { height: Height(1), round: 0, valid_round: None, block: BlockId::new([1; 32]) };
    let propose = |block, valid_round| {
        let proposal = BlockProposal { block: BlockId::new([block; 32]), valid_round, ..proposal };
        SignedProposal::sign(proposal, &vote_key(0), &chain)
    };
    assert_eq!(give(&world, Evidence::Proposals(propose(1, None), propose(2, None))), Ok(()));
    assert_eq!(give(&world, Evidence::Proposals(propose(2, None), propose(1, None))), none());
    assert_eq!(give(&world, Evidence::Proposals(propose(1, None), propose(1, Some(0)))), none());
}

#[test]
fn one_answers_for_as_long_as_ones_bond_is_locked() {
    let mut world = World::of(&quick());
    world.wait_for(2);
    let height = world.state.tip().height.next();
    assert_eq!(give(&world, world.double_vote(1, height)), Ok(()));
    let height = height.next();
    assert_eq!(give(&world, world.double_vote(1, height)), Err(TxError::EvidenceHeight { height }), "not yet");
    let height = Height(u64::MAX);
    assert_eq!(give(&world, world.double_vote(1, height)), Err(TxError::EvidenceHeight { height }));
    // Having left does not help.
    world.does(&landlord(), Action::Leave(Leave { key: vote_key(1).public() }));
    let Some(ValidatorStatus::Left { until }) = world.validator(1).map(|validator| validator.status) else {
        panic!("it has left: {:?}", world.validator(1))
    };
    world.wait_for(until.0 - 1);
    let evidence = world.double_vote(1, Height(8));
    world.does(&alice(), Action::Evidence(evidence));
    let removed = world.validator(1).expect("its bond is locked");
    assert_eq!((removed.bond.0, removed.status), (BOND - PENALTY, ValidatorStatus::Removed { until }));
    world.wait_for(until.0);
    assert_eq!(world.validator(1), None);
    world.wait_for(60);
    assert_eq!(give(&world, world.double_vote(2, Height(1))), Ok(()), "the same bond since then");
    let joins = world.state.tip().height.next();
    world.does(&alice(), Action::Join(world.join(&alice(), 4)));
    let height = Height(joins.0 - 1);
    assert_eq!(give(&world, world.double_vote(4, height)), Err(TxError::EvidenceHeight { height }), "before it joined");
    assert_eq!(give(&world, world.double_vote(4, joins)), Ok(()));
}

/// A set of nobody could never decide again: the last one is punished, but votes on.
#[test]
fn the_last_validator_is_slashed_and_stays() {
    let mut world = World::of(&quick());
    world.block(vec![]);
    for index in 0..4 {
        world.does(&bob(), Action::Evidence(world.double_vote(index, Height(1))));
    }
    let (key, last) = (vote_key(3).public(), world.validator(3).expect("it is there"));
    assert_eq!((last.bond.0, last.power, last.status), (BOND - PENALTY, 950, ValidatorStatus::Condemned));
    assert_eq!(world.state.validator_set().power(&key), Some(950));
    assert_eq!(give(&world, world.double_vote(3, Height(2))), Err(TxError::Barred { key }), "once");
    let leave = Action::Leave(Leave { key });
    assert_eq!(world.verdict(&world.tx(&landlord(), leave.clone())), Err(TxError::LastValidator { key }));
    // An equal part of the votes is as much as a newcomer may have.
    let mut join = world.join(&alice(), 5);
    join.domain.infrastructure = "cloud-3".to_owned();
    world.does(&alice(), Action::Join(join));
    world.does(&landlord(), leave);
    let until = world.epoch().after(3);
    assert_eq!(world.validator(3).map(|last| last.status), Some(ValidatorStatus::Removed { until }));
    assert_eq!(world.state.validator(&vote_key(5).public()).map(|new| new.owner), Some(id(&alice())));
}

#[test]
fn a_bond_too_small_for_a_percent_is_no_harm() {
    let mut founding = quick();
    founding.params.bonds.validator = Amount(1_000_000);
    for validator in &mut founding.validators {
        validator.bond = Amount(1_000_000);
    }
    founding.params.bonds.slash_percent = 100;
    let mut world = World::of(&founding);
    world.block(vec![]);
    for index in 0..4 {
        world.does(&bob(), Action::Evidence(world.double_vote(index, Height(1))));
    }
    let last = world.validator(3).expect("it is there");
    assert_eq!((last.bond, last.power), (Amount(0), 1), "somebody must vote");
    world.wait_for(5);
}
