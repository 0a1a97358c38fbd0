//! The actions of transactions: one file for each group, with the stateless checks of its form and its rules.

use crate::{
    id::{AccountId, Amount, Epoch, NodeId, ObjectId, TxId},
    ledger::{
        draft::Draft,
        error::TxError,
        money::{self, Pool},
        rules::Rules,
        state::{Commitment, CommitmentId, Key, Provider, Records},
        tx::{Action, Together},
    },
};

mod commit;
mod draw_as;
mod evidence;
mod exit;
mod extend;
mod govern;
mod inconsistent;
mod maintain;
mod mismatch;
mod name;
mod register;
mod release;
mod renewal;
mod repaired;
mod restore;
mod seat;
mod shares;
mod transfer;

pub(super) use exit::pay_back;
pub(super) use govern::expire;
pub(super) use register::{check_least, check_offer};
pub(super) use release::close;
pub(super) use renewal::renew;
pub(super) use seat::{check_bond, check_power_shares, check_seat};

/// Context of one action, after the fee was paid: what it may read, and the draft it changes.
pub(super) struct ActionContext<'a, 'd> {
    pub(super) rules: &'a Rules,
    pub(super) draft: &'a mut Draft<'d>,
    pub(super) account: AccountId,
    pub(super) nonce: u64,
    /// The transaction that it is in.
    pub(super) tx: TxId,
    /// Whether signatures of others were verified: from then on, a failure is charged.
    pub(super) is_costly: bool,
}

/// Stateless checks, which do not even need the parameters: the verdict is final.
pub(super) fn form(rules: &Rules, account: AccountId, action: &Action) -> Result<(), TxError> {
    match action {
        Action::Transfer(transfer) => transfer::form(transfer),
        Action::Register(register) => register::form(rules, account, register),
        Action::Commit(commit) => commit::form(commit),
        Action::Join(join) => seat::form(rules, account, join),
        Action::Bond(bond) => seat::form_bond(bond),
        Action::Evidence(evidence) => evidence::form(rules, evidence),
        Action::Propose(propose) => govern::form(propose),
        Action::SetName(set) => name::form(set),
        Action::DrawAs(draw_as) => draw_as::form(rules, account, draw_as),
        Action::Move(to) => seat::form_move(to),
        Action::Repaired(repaired) => repaired::form(repaired),
        Action::Mismatch(mismatch) => mismatch::form(mismatch),
        Action::Together(together) => each(together, |part| form(rules, account, part)),
        Action::Extend(_)
        | Action::Release(_)
        | Action::Leave(_)
        | Action::Drain(_)
        | Action::Withdraw(_)
        | Action::Vote(_)
        | Action::Restore(_)
        | Action::ReportLoss(_)
        | Action::Inconsistent(_)
        | Action::Anchor(_)
        | Action::SetRenewal(_)
        | Action::Maintain(_) => Ok(()),
    }
}

/// Applies an action.
pub(super) fn apply(context: &mut ActionContext<'_, '_>, action: &Action) -> Result<(), TxError> {
    match action {
        Action::Transfer(transfer) => transfer::apply(context, transfer),
        Action::Register(register) => register::apply(context, register),
        Action::Commit(commit) => commit::apply(context, commit),
        Action::Extend(extend) => extend::apply(context, extend),
        Action::Release(release) => release::apply(context, release),
        Action::Join(join) => seat::join(context, join),
        Action::Bond(bond) => seat::bond(context, bond),
        Action::Leave(leave) => seat::leave(context, leave),
        Action::Drain(drain) => exit::drain(context, drain),
        Action::Withdraw(withdraw) => exit::withdraw(context, withdraw),
        Action::Evidence(evidence) => evidence::apply(context, evidence),
        Action::Propose(propose) => govern::propose(context, propose),
        Action::Vote(ballot) => govern::vote(context, ballot),
        Action::SetName(set) => name::apply(context, set),
        // The hash is in the block; the state does not change.
        Action::Anchor(_) => Ok(()),
        Action::DrawAs(draw_as) => draw_as::apply(context, draw_as),
        Action::Move(to) => seat::move_to(context, to),
        Action::Repaired(repaired) => repaired::apply(context, repaired),
        Action::Restore(restore) => restore::apply(context, restore),
        Action::ReportLoss(report) => restore::report(context, report),
        Action::Mismatch(mismatch) => mismatch::apply(context, mismatch),
        Action::Inconsistent(proof) => inconsistent::apply(context, proof),
        Action::SetRenewal(set) => renewal::apply(context, set),
        Action::Maintain(maintain) => maintain::apply(context, maintain),
        Action::Together(together) => each(together, |part| apply(context, part)),
    }
}

/// Does `one` with each part in turn, until one fails.
fn each(together: &Together, mut one: impl FnMut(&Action) -> Result<(), TxError>) -> Result<(), TxError> {
    let named = |(index, part)| one(part).map_err(|error| TxError::Part { index, error: Box::new(error) });
    together.parts().iter().enumerate().try_for_each(named)
}

impl ActionContext<'_, '_> {
    /// The block's epoch.
    fn epoch(&self) -> Epoch {
        self.draft.running().clock.epoch
    }

    /// Whether the network is permissionless, or has this mark of admission.
    fn admits(&self, key: Key) -> bool {
        self.draft.charter().membership.is_open() || self.draft.get(&key).is_some()
    }

    /// The epoch at whose begin a bond returns that starts unbonding now.
    fn unbonded(&self) -> Epoch {
        self.epoch().after(self.rules.params.bonds.unbonding_epochs)
    }

    /// Checks that a term may end at `end`, which must be later than `after`.
    fn check_term(&self, end: Epoch, after: Epoch) -> Result<(), TxError> {
        let (earliest, latest) = (after.after(1), self.epoch().after(self.rules.params.term_epochs));
        if earliest <= end && end <= latest { Ok(()) } else { Err(TxError::Term { end, earliest, latest }) }
    }

    /// The key of the sender's commitment.
    fn own(&self, object: ObjectId, extent: u32) -> CommitmentId {
        CommitmentId { object, extent, owner: self.account }
    }

    /// The sender's commitment, unless it has ended: then it only waits to be removed, and its holders may have deleted
    /// the columns.
    fn running(&self, object: ObjectId, extent: u32) -> Option<Commitment> {
        self.draft.commitment(&self.own(object, extent)).filter(|commitment| commitment.end > self.epoch())
    }

    /// Any commitment that has not ended.
    fn any_running(&self, id: &CommitmentId) -> Result<Commitment, TxError> {
        let CommitmentId { object, extent, .. } = *id;
        let running = self.draft.commitment(id).filter(|commitment| commitment.end > self.epoch());
        running.ok_or(TxError::NoCommitment { object, extent })
    }

    /// The sender's provider with this node.
    fn own_provider(&self, node: NodeId) -> Result<Provider, TxError> {
        let provider = self.draft.provider(&node).ok_or(TxError::NoProvider { node })?;
        if provider.owner != self.account {
            return Err(TxError::OtherOwner { node, owner: provider.owner });
        }
        Ok(provider)
    }

    /// Locks the price of the epochs `from..until`.
    fn lock_escrow(&mut self, price: Amount, from: Epoch, until: Epoch) -> Result<Amount, TxError> {
        let escrow = price_of_epochs(price, from, until);
        money::lock(self.draft, &self.account, escrow, Pool::Escrow)?;
        Ok(escrow)
    }
}

/// The price of the epochs `from..until`, none where that is before; unaffordable where it does not fit.
fn price_of_epochs(price: Amount, from: Epoch, until: Epoch) -> Amount {
    Amount(price.0.saturating_mul(until.0.saturating_sub(from.0)))
}
