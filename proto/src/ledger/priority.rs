//! Which lane of a block a transaction takes: that of proofs, or that of everybody.
//!
//! A share of each block ([`crate::limits::RESERVED_PERCENT`]) is kept for transactions that are due by a certain time
//! and cost their sender money when they are late. This is the one place that says which those are. Not here: how the
//! lanes are filled, which is the proposer's business (the node's pool); no rule of the ledger asks for it.

use crate::ledger::tx::Action;

/// A lane of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TxPriority {
    /// Due by a certain time.
    Deadline,
    /// All others.
    Ordinary,
}

/// The lane of what this action does.
pub const fn priority(action: &Action) -> TxPriority {
    match action {
        Action::Evidence(_) => TxPriority::Deadline,
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
        | Action::Anchor(_) => TxPriority::Ordinary,
    }
}
