//! evidence: an equivocation or a false header costs a validator a part of its bond, and its vote.
//!
//! A validator is liable for what it signed while its bond is locked, whether it still votes or has left. A tenth of
//! the penalty goes to the sender of the evidence, the rest is burnt. Each key is slashed once.

use crate::{
    id::Amount,
    ledger::{
        action::{ActionContext, seat::is_last},
        error::TxError,
        money::{self, Pool},
        rules::Rules,
        state::{Key, Records, Validator, ValidatorStatus},
        tx::{Evidence, FalseHeader},
        vote::{SignedProposal, SignedVote},
    },
};

/// The sender of the evidence gets one part in this many of the penalty.
const REWARD: u64 = 10;

pub(super) fn form(rules: &Rules, evidence: &Evidence) -> Result<(), TxError> {
    let (contradict, signed) = match evidence {
        Evidence::Votes(first, second) => {
            let place = |signed: &SignedVote| (signed.voter, signed.vote.kind, signed.vote.height, signed.vote.round);
            let contradict = place(first) == place(second) && first.vote.block < second.vote.block;
            (contradict, first.verify(&rules.chain).and_then(|()| second.verify(&rules.chain)))
        }
        Evidence::Proposals(first, second) => {
            let place = |signed: &SignedProposal| (signed.proposer, signed.proposal.height, signed.proposal.round);
            let contradict = place(first) == place(second) && first.proposal.block < second.proposal.block;
            (contradict, first.verify(&rules.chain).and_then(|()| second.verify(&rules.chain)))
        }
        Evidence::Header(found) => (found.contradicts(), found.vote.verify(&rules.chain)),
    };
    if !contradict {
        return Err(TxError::NoContradiction);
    }
    signed.map_err(|_| TxError::EvidenceSignature)
}

pub(super) fn apply(context: &mut ActionContext<'_, '_>, evidence: &Evidence) -> Result<(), TxError> {
    let (key, height) = (evidence.accused(), evidence.height());
    if context.draft.get(&Key::Barred(key)).is_some() {
        return Err(TxError::Barred { key });
    }
    let validator = context.draft.validator(&key).ok_or(TxError::NoValidator { key })?;
    if height < validator.since || height > context.draft.height() {
        return Err(TxError::EvidenceHeight { height });
    }
    if let Evidence::Header(found) = evidence {
        check_decided(context, found)?;
    }
    match validator.status {
        ValidatorStatus::Active => {
            let until = context.unbonded();
            if is_last(context.draft, key) {
                // No other validator could decide the next block: the chain would halt.
                let condemned = slash(context, Validator { status: ValidatorStatus::Condemned, ..validator });
                context.draft.put_validator(Validator { power: condemned.power.max(1), ..condemned });
            } else {
                let removed = slash(context, Validator { status: ValidatorStatus::Removed { until }, ..validator });
                context.draft.put_validator(removed);
                context.draft.list_unbonding(until, key);
            }
            Ok(())
        }
        ValidatorStatus::Left { until } => {
            let removed = slash(context, Validator { status: ValidatorStatus::Removed { until }, ..validator });
            context.draft.put_validator(removed);
            Ok(())
        }
        ValidatorStatus::Condemned | ValidatorStatus::Removed { .. } => Err(TxError::Barred { key }),
    }
}

/// The header said to be the chain's is. The history has the blocks up to this one's parent, so one whose height is
/// just being decided accuses nobody.
fn check_decided(context: &ActionContext<'_, '_>, found: &FalseHeader) -> Result<(), TxError> {
    let FalseHeader { decided, proof, .. } = found;
    let height = decided.height;
    let proven = context.draft.running().history.verify(height, decided.id(), proof);
    proven.map_err(|_| TxError::EvidenceProof { height })
}

/// Takes the penalty from the bond: a part goes to the sender, the rest is burnt.
fn slash(context: &mut ActionContext<'_, '_>, validator: Validator) -> Validator {
    let percent = u128::from(context.rules.params.bonds.slash_percent);
    let penalty = u64::try_from(u128::from(validator.bond.0) * percent / 100).expect("a part of the bond");
    let reward = penalty / REWARD;
    money::unlock(context.draft, &context.account, Amount(reward), Pool::Bonds);
    money::shift(context.draft, Amount(penalty - reward), (Pool::Bonds, Pool::Burnt));
    let bond = Amount(validator.bond.0 - penalty);
    let power = context.draft.charter().membership.power(bond);
    Validator { bond, power, ..validator }
}
