//! propose and vote: how a network changes its parameters, its members and its rules (ARCHITECTURE 5.6).
//!
//! Accounts that may vote may also propose. Votes are counted whenever one is cast, with the voting rights of that
//! moment; the vote that passes a proposal carries it out. A proposal that does not pass in time is removed, and its
//! deposit returns.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    id::{AccountId, Amount, Epoch, NodeId, VoteKey},
    ledger::{
        action::{ActionContext, seat},
        draft::Draft,
        error::TxError,
        money::{self, Pool},
        state::{
            Key, Membership, Proposal, ProposalOutcome, ProposedChange, Provider, ProviderStatus, Record, Records,
            Upgrade, Validator,
        },
        tx::{Ballot, Propose},
    },
    limits,
    params::Params,
};

/// Accounts whose votes are counted together, with the weight of each.
struct VotingBody {
    weights: BTreeMap<AccountId, u128>,
    majority: Majority,
}

/// The part of a body that must be exceeded.
#[derive(Clone, Copy, Debug)]
enum Majority {
    Half,
    TwoThirds,
}

impl VotingBody {
    fn of_equals(members: impl IntoIterator<Item = AccountId>) -> Self {
        Self { weights: members.into_iter().map(|account| (account, 1)).collect(), majority: Majority::Half }
    }

    fn agrees(&self, votes: &BTreeMap<AccountId, bool>) -> bool {
        let all: u128 = self.weights.values().sum();
        let for_it = |account: &AccountId| votes.get(account) == Some(&true);
        let yes: u128 = self.weights.iter().filter(|(account, _)| for_it(account)).map(|(_, weight)| weight).sum();
        match self.majority {
            Majority::Half => yes * 2 > all,
            Majority::TwoThirds => yes * 3 > all * 2,
        }
    }
}

/// The bodies that decide now: each must agree.
fn bodies(draft: &Draft<'_>) -> Vec<VotingBody> {
    let validators = draft.validators();
    let voting = || validators.iter().filter(|validator| validator.votes());
    let owners = || VotingBody::of_equals(voting().map(|validator| validator.owner));
    match draft.charter().membership {
        Membership::Permissionless => {
            let mut weights = BTreeMap::new();
            for Validator { owner, power, .. } in voting() {
                *weights.entry(*owner).or_default() += u128::from(*power);
            }
            vec![VotingBody { weights, majority: Majority::TwoThirds }]
        }
        Membership::Single { operator } => vec![VotingBody::of_equals([operator])],
        Membership::Majority => vec![owners()],
        Membership::Hybrid { council } => vec![VotingBody::of_equals(council), owners()],
    }
}

fn electorate(bodies: &[VotingBody]) -> BTreeSet<AccountId> {
    bodies.iter().flat_map(|body| body.weights.keys().copied()).collect()
}

pub(super) fn form(propose: &Propose) -> Result<(), TxError> {
    match &propose.change {
        ProposedChange::Params(params) => Ok(params.validate()?),
        _ => Ok(()),
    }
}

pub(super) fn propose(context: &mut ActionContext<'_, '_>, propose: &Propose) -> Result<(), TxError> {
    let proposer = context.account;
    if !electorate(&bodies(context.draft)).contains(&proposer) {
        return Err(TxError::NoVote);
    }
    let epochs = context.rules.params.governance.proposal_epochs;
    let until = context.epoch().after(epochs);
    if let ProposedChange::Upgrade(Upgrade { epoch, .. }) = propose.change {
        // Even if the last vote decides, there is as much time to update as there was to vote.
        let earliest = until.after(epochs);
        if epoch < earliest {
            return Err(TxError::UpgradeTooSoon { epoch, earliest });
        }
    }
    check(context, &propose.change)?;
    make_room(context.draft, proposer)?;
    let deposit = context.rules.params.bonds.proposal;
    money::lock(context.draft, &proposer, deposit, Pool::Bonds)?;
    context.draft.gain(&proposer);
    let mut charter = context.draft.charter();
    let number = charter.proposals;
    charter.proposals = number.checked_add(1).expect("nobody can pay for so many proposals");
    context.draft.put_charter(charter);
    let (change, votes, outcome) = (propose.change.clone(), BTreeMap::new(), ProposalOutcome::Open);
    context.draft.put_proposal(Proposal { number, proposer, change, deposit, until, votes, outcome });
    Ok(())
}

/// Makes room for one more proposal, by removing one that is not open any more if needed.
fn make_room(draft: &mut Draft<'_>, proposer: AccountId) -> Result<(), TxError> {
    let kept = draft.proposals();
    let open = || kept.iter().filter(|proposal| proposal.outcome == ProposalOutcome::Open);
    let own = open().filter(|proposal| proposal.proposer == proposer).count();
    let open = open().count();
    if open >= limits::PROPOSALS || own >= limits::PROPOSALS_EACH {
        return Err(TxError::ManyProposals { open, own });
    }
    if kept.len() >= limits::PROPOSALS {
        let passed = kept.iter().find(|proposal| proposal.outcome != ProposalOutcome::Open);
        let passed = passed.expect("not all that are kept are open");
        draft.remove_owned(&passed.proposer, Key::Proposal(passed.number));
    }
    Ok(())
}

/// Checks that the change can be carried out in the present state.
fn check(context: &ActionContext<'_, '_>, change: &ProposedChange) -> Result<(), TxError> {
    let (now, charter) = (&context.rules.params, context.draft.charter());
    match change {
        ProposedChange::Params(params) => check_params(now, params),
        ProposedChange::Upgrade(Upgrade { protocol, epoch }) => {
            let current = charter.protocol;
            if *protocol < current {
                return Err(TxError::Downgrade { protocol: *protocol, current });
            }
            let earliest = context.epoch().after(1);
            if *epoch >= earliest { Ok(()) } else { Err(TxError::UpgradeTooSoon { epoch: *epoch, earliest }) }
        }
        ProposedChange::AdmitProvider(_)
        | ProposedChange::ExpelProvider(_)
        | ProposedChange::AdmitValidator(_)
        | ProposedChange::ExpelValidator(_) => {
            if charter.membership.is_open() {
                Err(TxError::OpenNetwork)
            } else {
                Ok(())
            }
        }
    }
}

/// Parameters that cannot change: the length of an epoch, because every deadline is in epochs; that of pulses, because
/// their numbers are heights; and the validity of draws beyond the time that holders have kept columns for until now.
fn check_params(now: &Params, then: &Params) -> Result<(), TxError> {
    if then.time.epoch_ms != now.time.epoch_ms {
        return Err(TxError::FixedParam { name: "time.epoch_ms" });
    }
    if then.time.beacon_blocks != now.time.beacon_blocks {
        return Err(TxError::FixedParam { name: "time.beacon_blocks" });
    }
    if then.draw_epochs > now.time.trash_epochs {
        return Err(TxError::FixedParam { name: "draw_epochs beyond time.trash_epochs" });
    }
    Ok(())
}

pub(super) fn vote(context: &mut ActionContext<'_, '_>, ballot: &Ballot) -> Result<(), TxError> {
    let number = ballot.proposal;
    let open = |proposal: &Proposal| proposal.outcome == ProposalOutcome::Open;
    let mut proposal = context.draft.proposal(number).filter(open).ok_or(TxError::NoProposal { number })?;
    let bodies = bodies(context.draft);
    let electorate = electorate(&bodies);
    if !electorate.contains(&context.account) {
        return Err(TxError::NoVote);
    }
    proposal.votes.insert(context.account, ballot.yes);
    proposal.votes.retain(|account, _| electorate.contains(account));
    if bodies.iter().all(|body| body.agrees(&proposal.votes)) {
        check(context, &proposal.change)?;
        let (change, passed) = (proposal.change.clone(), ProposalOutcome::Passed(context.draft.height()));
        end(context.draft, proposal, passed);
        carry_out(context, &change)?;
    } else {
        context.draft.put_proposal(proposal);
    }
    Ok(())
}

/// Closes a proposal, and returns its deposit.
fn end(draft: &mut Draft<'_>, proposal: Proposal, outcome: ProposalOutcome) {
    money::unlock(draft, &proposal.proposer, proposal.deposit, Pool::Bonds);
    draft.put_proposal(Proposal { deposit: Amount::ZERO, outcome, ..proposal });
}

fn carry_out(context: &mut ActionContext<'_, '_>, change: &ProposedChange) -> Result<(), TxError> {
    match change {
        ProposedChange::Params(params) => {
            supersede_tables(context.draft);
            context.draft.put(Key::Params, Record::Params(Params::clone(params)));
        }
        ProposedChange::AdmitProvider(node) => context.draft.put(Key::AdmittedProvider(*node), Record::Mark),
        ProposedChange::AdmitValidator(key) => context.draft.put(Key::AdmittedValidator(*key), Record::Mark),
        ProposedChange::ExpelProvider(node) => expel_provider(context, *node),
        ProposedChange::ExpelValidator(key) => expel_validator(context, *key)?,
        ProposedChange::Upgrade(upgrade) => {
            let mut charter = context.draft.charter();
            charter.upgrade = Some(*upgrade);
            context.draft.put_charter(charter);
        }
    }
    Ok(())
}

/// Closes the open proposals of parameter tables: each was made from the table that is replaced now, and would undo the
/// change.
fn supersede_tables(draft: &mut Draft<'_>) {
    let superseded = ProposalOutcome::Superseded(draft.height());
    let of_table = |proposal: &Proposal| matches!(proposal.change, ProposedChange::Params(_));
    let open = |proposal: &Proposal| proposal.outcome == ProposalOutcome::Open;
    for proposal in draft.proposals().into_iter().filter(|proposal| open(proposal) && of_table(proposal)) {
        end(draft, proposal, superseded);
    }
}

fn expel_provider(context: &mut ActionContext<'_, '_>, node: NodeId) {
    context.draft.remove(Key::AdmittedProvider(node));
    let provider = context.draft.provider(&node);
    let stays = |provider: &Provider| !matches!(provider.status, ProviderStatus::Exited { .. });
    if let Some(provider) = provider.filter(stays) {
        context.draft.put_provider(Provider { status: ProviderStatus::Draining, ..provider });
    }
}

fn expel_validator(context: &mut ActionContext<'_, '_>, key: VoteKey) -> Result<(), TxError> {
    context.draft.remove(Key::AdmittedValidator(key));
    let until = context.unbonded();
    match context.draft.validator(&key).filter(Validator::votes) {
        Some(validator) => seat::retire(context.draft, validator, until),
        None => Ok(()),
    }
}

/// Removes the proposals whose last epoch is over; the deposits of those that did not pass return.
pub(in crate::ledger) fn expire(draft: &mut Draft<'_>, epoch: Epoch) {
    for proposal in draft.proposals().into_iter().filter(|proposal| proposal.until <= epoch) {
        money::unlock(draft, &proposal.proposer, proposal.deposit, Pool::Bonds);
        draft.remove_owned(&proposal.proposer, Key::Proposal(proposal.number));
    }
}
