//! Priority of transactions: which have a deadline, and which do not.
//!
//! A share of each block ([`crate::limits::RESERVED_PERCENT`]) is reserved for transactions that have a deadline and
//! cost their sender money when they are late, and their fee does not rise under load. This is the one place that says
//! which those are. Not here: how a block is filled, which the proposer's mempool decides; no rule of the ledger
//! requires it.

use crate::ledger::tx::Action;

/// Priority of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TxPriority {
    /// Has a deadline: space is reserved for it, and its fee does not rise under load.
    Deadline,
    /// Any other transaction.
    Ordinary,
}

/// The priority of a transaction with this action.
pub const fn priority(action: &Action) -> TxPriority {
    match action {
        Action::Evidence(_) | Action::Repaired(_) | Action::Restore(_) => TxPriority::Deadline,
        Action::Transfer(_)
        | Action::Register(_)
        | Action::Commit(_)
        | Action::Extend(_)
        | Action::Release(_)
        | Action::Join(_)
        | Action::Bond(_)
        | Action::Leave(_)
        | Action::Drain(_)
        | Action::Withdraw(_)
        | Action::Propose(_)
        | Action::Vote(_)
        | Action::SetName(_)
        | Action::Anchor(_)
        | Action::Together(_)
        | Action::DrawAs(_)
        | Action::Move(_)
        | Action::ReportLoss(_)
        | Action::Mismatch(_)
        | Action::Inconsistent(_)
        | Action::SetRenewal(_)
        | Action::Maintain(_) => TxPriority::Ordinary,
    }
}
