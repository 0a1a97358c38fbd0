//! Proposals and votes, under each kind of membership.

use super::world::{World, alice, bob, genesis, id, key, landlord, node_key, pauper, vote_key};
use crate::{
    id::{Amount, Epoch, Height, NodeId},
    ledger::{
        BlockError, Genesis, GenesisError, PROTOCOL, Pending, Proposer, Rules, TxError, judge, propose,
        state::{Membership, ProposalOutcome, ProposedChange, ProviderStatus, Records, Upgrade, ValidatorStatus},
        tx::{Action, Ballot, Propose, Transfer, Tx, TxBody},
    },
    limits,
    params::{Params, ParamsError},
    sign::Keypair,
};

/// A network of this membership. Validators 0 and 1 are alice's, 2 is bob's, 3 the landlord's.
fn founded(membership: Membership) -> World {
    World::of(&founding(membership))
}

fn founding(membership: Membership) -> Genesis {
    let mut founding = genesis();
    founding.membership = membership;
    founding.params.bonds.proposal = Amount(5_000_000);
    founding.params.governance.proposal_epochs = 3;
    founding.params.governance.max_power_share = 100;
    for (validator, owner) in founding.validators.iter_mut().zip([alice(), alice(), bob(), landlord()]) {
        validator.owner = owner.public();
    }
    for account in &mut founding.accounts {
        account.balance = Amount(10_000_000_000);
    }
    founding
}

fn table(world: &World, change: impl FnOnce(&mut Params)) -> ProposedChange {
    let mut params = world.rules.params.clone();
    change(&mut params);
    ProposedChange::Params(Box::new(params))
}

fn make(change: ProposedChange) -> Action {
    Action::Propose(Propose { change })
}

fn ballot(proposal: u64, yes: bool) -> Action {
    Action::Vote(Ballot { proposal, yes })
}

fn passed(world: &World, number: u64) -> bool {
    let outcome = world.state.proposal(number).map(|proposal| proposal.outcome);
    matches!(outcome, Some(ProposalOutcome::Passed(_)))
}

/// Proposes, as the first of `voters`, and has them vote for it one after the other; after how many it passed.
fn carried(world: &mut World, change: ProposedChange, voters: &[Keypair]) -> Option<usize> {
    let number = world.state.charter().proposals;
    world.does(&voters[0], make(change));
    for (count, voter) in (1..).zip(voters) {
        world.does(voter, ballot(number, true));
        if passed(world, number) {
            return Some(count);
        }
    }
    None
}

#[test]
fn who_decides_follows_from_the_membership() {
    let check = |membership: Membership, voters: &[Keypair], expect: Option<usize>| {
        let mut world = founded(membership.clone());
        let dearer = table(&world, |params| params.fees.byte = Amount(2));
        assert_eq!(carried(&mut world, dearer, voters), expect, "{membership:?}");
        assert_eq!(world.state.params().fees.byte, Amount(1 + u64::from(expect.is_some())));
    };
    // By power: alice has half of it, two thirds are not more than two thirds.
    check(Membership::Permissionless, &[alice(), bob(), landlord()], Some(2));
    check(Membership::Permissionless, &[bob(), landlord()], None);
    check(Membership::Single { operator: id(&bob()) }, &[bob()], Some(1));
    // By heads: alice is one of three owners.
    check(Membership::Majority, &[alice(), bob()], Some(2));
    check(Membership::Majority, &[alice()], None);
    let council = [id(&landlord()), id(&key(50)), id(&key(51))];
    let hybrid = |members: &[usize]| Membership::Hybrid { council: members.iter().map(|at| council[*at]).collect() };
    check(hybrid(&[0]), &[landlord(), bob()], Some(2));
    check(hybrid(&[0]), &[alice(), bob()], None);
    check(hybrid(&[0, 1]), &[landlord(), bob(), alice()], None);
    check(hybrid(&[0, 1, 2]), &[landlord(), bob(), alice()], None);
}

#[test]
fn exactly_two_thirds_are_not_enough() {
    let mut founding = founding(Membership::Permissionless);
    founding.validators.pop();
    let mut world = World::of(&founding);
    let change = table(&world, |params| params.fees.byte = Amount(2));
    assert_eq!(carried(&mut world, change.clone(), &[alice()]), None);
    world.does(&bob(), ballot(0, true));
    assert!(passed(&world, 0));
}

#[test]
fn a_table_that_passes_overtakes_those_made_of_the_one_before() {
    let mut world = founded(Membership::Single { operator: id(&bob()) });
    let admission = ProposedChange::AdmitProvider(node_key(50).public());
    let (one, other) =
        (|params: &mut Params| params.fees.byte = Amount(2), |params: &mut Params| params.term_epochs = 9);
    let changes = [table(&world, one), table(&world, other), admission];
    changes.into_iter().for_each(|change| world.does(&bob(), make(change)));
    let before = world.state.account(&id(&bob())).balance;
    world.does(&bob(), ballot(1, true));
    let proposals: Vec<_> = (0..3).filter_map(|number| world.state.proposal(number)).collect();
    let height = world.state.tip().height;
    let outcomes = proposals.iter().map(|proposal| (proposal.outcome, proposal.deposit == Amount(0)));
    let (superseded, passed) = (ProposalOutcome::Superseded(height), ProposalOutcome::Passed(height));
    let expect = [(superseded, true), (passed, true), (ProposalOutcome::Open, false)];
    assert_eq!(outcomes.collect::<Vec<_>>(), expect);
    let back = world.state.params().bonds.proposal.0 * 2;
    let fee = fee_of_ballot(&world);
    assert_eq!(world.state.account(&id(&bob())).balance.0, before.0 + back - fee.0, "both deposits return");
    let vote = world.tx(&bob(), ballot(0, true));
    assert_eq!(world.verdict(&vote), Err(TxError::NoProposal { number: 0 }));
    assert_eq!((world.state.params().fees.byte, world.state.params().term_epochs), (Amount(1), 9));
}

#[test]
fn proposals_are_checked() {
    let world = founded(Membership::Permissionless);
    let check = |desc: &str, sender: &Keypair, change: ProposedChange, expect: Result<(), TxError>| {
        assert_eq!(world.verdict(&world.tx(sender, make(change))), expect, "{desc}");
    };
    let dearer = || table(&world, |params| params.fees.byte = Amount(2));
    check("as it should be", &alice(), dearer(), Ok(()));
    check("by nobody", &key(60), dearer(), Err(TxError::Funds { need: fee_of(&world, dearer()), have: Amount(0) }));
    let small = ParamsError::TooSmall { name: "term_epochs", value: 0, least: 1 };
    check("no term", &alice(), table(&world, |params| params.term_epochs = 0), Err(TxError::Params(small)));
    let percent = ParamsError::Percent { name: "bonds.slash_percent", value: 101 };
    let more = table(&world, |params| params.bonds.slash_percent = 101);
    check("more than all", &alice(), more, Err(TxError::Params(percent)));
    let fixed = |name| Err(TxError::FixedParam { name });
    let epochs = table(&world, |params| params.time.epoch_ms += 1);
    check("other epochs", &alice(), epochs, fixed("time.epoch_ms"));
    let draws = table(&world, |params| (params.draw_epochs, params.time.trash_epochs) = (169, 169));
    check("draws outlive columns", &alice(), draws, fixed("draw_epochs beyond time.trash_epochs"));
    let node = node_key(50).public();
    check("admission where none is needed", &alice(), ProposedChange::AdmitProvider(node), Err(TxError::OpenNetwork));
    let key = vote_key(0).public();
    check("expulsion where there is none", &alice(), ProposedChange::ExpelValidator(key), Err(TxError::OpenNetwork));
    let upgrade = |protocol, epoch| ProposedChange::Upgrade(Upgrade { protocol, epoch: Epoch(epoch) });
    let soon = |epoch| Err(TxError::UpgradeTooSoon { epoch: Epoch(epoch), earliest: Epoch(6) });
    check("immediately", &alice(), upgrade(2, 0), soon(0));
    check("before all voted", &alice(), upgrade(2, 2), soon(2));
    check("before all updated", &alice(), upgrade(2, 5), soon(5));
    check("in time", &alice(), upgrade(2, 6), Ok(()));
    check("some day", &alice(), upgrade(u32::MAX, u64::MAX), Ok(()));
    check("back", &alice(), upgrade(0, 6), Err(TxError::Downgrade { protocol: 0, current: PROTOCOL }));
}

fn fee_of_ballot(world: &World) -> Amount {
    world.rules.fee(&world.body(&bob(), ballot(1, true)))
}

fn fee_of(world: &World, change: ProposedChange) -> Amount {
    world.rules.fee(&world.body(&key(60), make(change)))
}

#[test]
fn who_has_no_vote_neither_proposes_nor_votes() {
    let mut world = founded(Membership::Majority);
    world.does(&alice(), Action::Transfer(Transfer { to: id(&pauper()), amount: Amount(1_000_000_000) }));
    let change = table(&world, |params| params.fees.byte = Amount(2));
    let verdict = |world: &World, sender: &Keypair, action| world.verdict(&world.tx(sender, action));
    assert_eq!(verdict(&world, &pauper(), make(change.clone())), Err(TxError::NoVote));
    world.does(&alice(), make(change));
    assert_eq!(verdict(&world, &pauper(), ballot(0, true)), Err(TxError::NoVote));
    for number in [1, u64::MAX] {
        assert_eq!(verdict(&world, &alice(), ballot(number, true)), Err(TxError::NoProposal { number }));
    }
}

#[test]
fn votes_may_be_changed_until_they_have_decided() {
    let mut world = founded(Membership::Majority);
    let change = table(&world, |params| params.fees.byte = Amount(2));
    let before = world.account(&alice()).balance;
    let tx = world.tx(&alice(), make(change));
    let fee = tx.body.fee.0;
    world.block(vec![tx]);
    assert_eq!(world.account(&alice()).balance, Amount(before.0 - fee - 5_000_000));
    world.does(&landlord(), ballot(0, true));
    world.does(&landlord(), ballot(0, false));
    world.does(&bob(), ballot(0, true));
    assert!(!passed(&world, 0));
    world.does(&landlord(), ballot(0, true));
    assert!(passed(&world, 0));
    assert_eq!(world.account(&alice()).balance, Amount(before.0 - fee), "the deposit is back");
    let late = world.tx(&bob(), ballot(0, false));
    assert_eq!(world.verdict(&late), Err(TxError::NoProposal { number: 0 }));
    world.wait_for(4);
    assert_eq!(world.state.proposal(0), None);
}

#[test]
fn what_is_not_passed_in_time_is_gone_and_its_number_with_it() {
    let mut world = founded(Membership::Majority);
    let change = table(&world, |params| params.fees.byte = Amount(2));
    let before = world.account(&alice()).balance;
    let tx = world.tx(&alice(), make(change.clone()));
    let fee = tx.body.fee.0;
    world.block(vec![tx]);
    world.wait_for(2);
    world.does(&bob(), ballot(0, true));
    world.wait_for(3);
    assert_eq!((world.state.proposal(0), world.account(&alice()).balance), (None, Amount(before.0 - fee)));
    let late = world.tx(&landlord(), ballot(0, true));
    assert_eq!(world.verdict(&late), Err(TxError::NoProposal { number: 0 }));
    world.does(&alice(), make(change));
    assert!(world.state.proposal(0).is_none() && world.state.proposal(1).is_some());
}

#[test]
fn only_so_many_are_kept() {
    let mut world = founded(Membership::Majority);
    let change = table(&world, |params| params.fees.byte = Amount(2));
    for _ in 0..limits::PROPOSALS_EACH {
        world.does(&alice(), make(change.clone()));
    }
    let (open, own) = (limits::PROPOSALS_EACH, limits::PROPOSALS_EACH);
    let more = world.tx(&alice(), make(change.clone()));
    assert_eq!(world.verdict(&more), Err(TxError::ManyProposals { open, own }));
    assert_eq!(world.verdict(&world.tx(&bob(), make(change))), Ok(()));
}

/// Nobody has to wait for what has passed: it makes room.
#[test]
fn what_has_passed_keeps_nobody_from_proposing() {
    let mut world = founded(Membership::Single { operator: id(&bob()) });
    let count = u64::try_from(limits::PROPOSALS).expect("a small constant") + 16;
    for first in (0..count).step_by(16) {
        let nonce = world.account(&bob()).nonce;
        let pairs = (first..first + 16).flat_map(|number| {
            let node = NodeId::new(*blake3::hash(&number.to_le_bytes()).as_bytes());
            [make(ProposedChange::AdmitProvider(node)), ballot(number, true)]
        });
        let txs = pairs.zip(nonce..).map(|(action, nonce)| {
            let body = TxBody { nonce, ..world.body(&bob(), action) };
            Tx::sign(body, &bob(), &world.rules.chain)
        });
        world.block(txs.collect());
    }
    assert!((0..count).all(|number| passed(&world, number) == (number >= 16)), "the oldest made room");
}

/// Who sold its seat has no say in what is not decided yet.
#[test]
fn votes_count_by_who_has_a_vote_then() {
    let mut world = founded(Membership::Majority);
    let change = table(&world, |params| params.fees.byte = Amount(2));
    world.does(&alice(), make(change));
    world.does(&landlord(), ballot(0, true));
    world.does(&landlord(), Action::Leave(crate::ledger::tx::Leave { key: vote_key(3).public() }));
    // Alice and bob are left: one of the two is no majority.
    world.does(&bob(), ballot(0, true));
    let proposal = world.state.proposal(0).expect("open");
    assert_eq!((proposal.outcome, proposal.votes.len()), (ProposalOutcome::Open, 1));
    world.does(&alice(), ballot(0, true));
    assert!(passed(&world, 0));
}

#[test]
fn members_are_admitted_and_expelled() {
    let mut world = founded(Membership::Single { operator: id(&bob()) });
    let (node, key) = (node_key(50).public(), vote_key(4).public());
    let (join, register) = (
        |world: &World| world.tx(&alice(), Action::Join(world.join(&alice(), 4))),
        |world: &World| world.tx(&alice(), Action::Register(world.register(&alice(), 50))),
    );
    assert_eq!(world.verdict(&join(&world)), Err(TxError::KeyNotAdmitted { key }));
    assert_eq!(world.verdict(&register(&world)), Err(TxError::NodeNotAdmitted { node }));
    assert_eq!(carried(&mut world, ProposedChange::AdmitValidator(key), &[bob()]), Some(1));
    assert_eq!(carried(&mut world, ProposedChange::AdmitProvider(node), &[bob()]), Some(1));
    world.block(vec![join(&world)]);
    world.block(vec![register(&world)]);
    assert_eq!(world.state.validator_set().power(&key), Some(1));
    assert_eq!(carried(&mut world, ProposedChange::ExpelProvider(node), &[bob()]), Some(1));
    let status = world.state.provider(&node).map(|provider| provider.status);
    assert_eq!(status, Some(ProviderStatus::Draining));
    assert_eq!(carried(&mut world, ProposedChange::ExpelValidator(key), &[bob()]), Some(1));
    let status = world.validator(4).map(|validator| validator.status);
    assert!(matches!(status, Some(ValidatorStatus::Left { .. })), "{status:?}");
    assert_eq!(world.verdict(&join(&world)), Err(TxError::KeyNotAdmitted { key }));
    // Who is not there can be expelled too: its admission ends. The last validator cannot.
    world.wait_for(world.epoch().0 + 4);
    assert_eq!(carried(&mut world, ProposedChange::ExpelProvider(node_key(60).public()), &[bob()]), Some(1));
    for index in 0..3 {
        world.wait_for(world.epoch().0 + 4);
        let change = ProposedChange::ExpelValidator(vote_key(index).public());
        assert_eq!(carried(&mut world, change, &[bob()]), Some(1));
    }
    world.wait_for(world.epoch().0 + 4);
    let (last, number) = (vote_key(3).public(), world.state.charter().proposals);
    world.does(&bob(), make(ProposedChange::ExpelValidator(last)));
    assert_eq!(world.verdict(&world.tx(&bob(), ballot(number, true))), Err(TxError::LastValidator { key: last }));
}

#[test]
fn parameters_come_from_the_state() {
    let mut world = founded(Membership::Single { operator: id(&bob()) });
    let stale = world.rules.clone();
    let change = table(&world, |params| params.fees.base = Amount(77_000));
    assert_eq!(carried(&mut world, change, &[bob()]), Some(1));
    assert_eq!(Rules::at(stale.chain, &world.state), world.rules);
    assert_eq!(world.rules.params.fees.base, Amount(77_000));
    // A node with the old table computes the same block.
    let block = world.propose(vec![]).block;
    assert_eq!(judge(&stale, &world.state, &block), judge(&world.rules, &world.state, &block));
    let mut cheap = world.body(&alice(), ballot(0, true));
    cheap.fee = stale.fee(&cheap);
    let cheap = Tx::sign(cheap, &alice(), &stale.chain);
    assert!(matches!(world.verdict(&cheap), Err(TxError::FeeTooLow { .. })));
}

#[test]
fn fewer_epochs_to_draw_from_leave_none_behind() {
    let mut founding = founding(Membership::Single { operator: id(&bob()) });
    founding.params.draw_epochs = 6;
    let mut world = World::of(&founding);
    world.wait_for(6);
    let change = table(&world, |params| params.draw_epochs = 2);
    assert_eq!(carried(&mut world, change, &[bob()]), Some(1));
    world.wait_for(7);
    let kept: Vec<u64> = (0..8).filter(|epoch| world.state.epoch(Epoch(*epoch)).is_some()).collect();
    assert_eq!(kept, [6, 7]);
}

#[test]
fn from_an_unknown_upgrade_on_nothing_is_judged() {
    let mut world = founded(Membership::Single { operator: id(&bob()) });
    let upgrade = |protocol| ProposedChange::Upgrade(Upgrade { protocol, epoch: Epoch(7) });
    assert_eq!(carried(&mut world, upgrade(PROTOCOL), &[bob()]), Some(1));
    assert_eq!(carried(&mut world, upgrade(PROTOCOL + 1), &[bob()]), Some(1), "in place of the other");
    // The last block of epoch 6: the next one is a second later.
    while world.state.tip().height < Height(27) {
        world.block(vec![]);
    }
    let (tip, beacon) = (world.state.tip(), super::world::beacon_key(0));
    let refused = BlockError::Upgrade { protocol: PROTOCOL + 1, height: Height(28) };
    let proposed = |now_ms| {
        let proposer = Proposer { key: vote_key(0).public(), beacon: &beacon, round: 0, now_ms };
        propose(&world.rules, &world.state, Pending::txs(&[]), &proposer)
    };
    let mut block = proposed(tip.running.time_ms + 1).expect("still epoch 6").block;
    block.header.time_ms = tip.running.time_ms + 1_000;
    assert_eq!(judge(&world.rules, &world.state, &block), Err(refused.clone()));
    assert_eq!(proposed(block.header.time_ms).err().as_ref(), Some(&refused));
    assert!(refused.to_string().contains("update"));
}

#[test]
fn a_known_upgrade_is_activated_by_its_epoch() {
    let mut world = founded(Membership::Single { operator: id(&bob()) });
    let upgrade = Upgrade { protocol: PROTOCOL, epoch: Epoch(6) };
    assert_eq!(carried(&mut world, ProposedChange::Upgrade(upgrade), &[bob()]), Some(1));
    while world.state.tip().height < Height(23) {
        world.block(vec![]);
        assert_eq!(world.state.charter().upgrade, Some(upgrade));
    }
    world.block(vec![]);
    assert_eq!(world.epoch(), Epoch(6));
    assert_eq!((world.state.charter().protocol, world.state.charter().upgrade), (PROTOCOL, None));
}

#[test]
fn a_council_has_members() {
    let check = |count: u8| {
        let council = (0..count).map(|number| crate::id::AccountId::new([number; 32])).collect();
        Genesis { membership: Membership::Hybrid { council }, ..genesis() }.validate()
    };
    let most = u8::try_from(limits::COUNCIL).expect("a small constant");
    assert_eq!(check(0), Err(GenesisError::Council { have: 0 }));
    assert_eq!((check(1), check(most)), (Ok(()), Ok(())));
    assert_eq!(check(most + 1), Err(GenesisError::Council { have: limits::COUNCIL + 1 }));
}

#[test]
fn a_membership_is_written_in_the_genesis_file() {
    let council = [id(&alice()), id(&bob())].into();
    let all = [
        Membership::Permissionless,
        Membership::Single { operator: id(&alice()) },
        Membership::Majority,
        Membership::Hybrid { council },
    ];
    let ids: Vec<_> = all
        .into_iter()
        .map(|membership| {
            let genesis = Genesis { membership, ..genesis() };
            let text = toml::to_string(&genesis).expect("tables come last");
            assert_eq!(toml::from_str::<Genesis>(&text).as_ref(), Ok(&genesis));
            genesis.id()
        })
        .collect();
    assert!((1..ids.len()).all(|at| !ids[..at].contains(&ids[at])), "it is part of the chain's id");
    assert!(toml::from_str::<Membership>("rule = \"monarchy\"").is_err());
}
