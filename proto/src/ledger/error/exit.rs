//! Why a provider cannot leave yet.

use crate::id::{Amount, NodeId};

/// Why the ledger refuses to drain a provider, or to withdraw it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExitError {
    /// Wait until the node stores nothing any more.
    #[error("node {node} is draining already")]
    Draining {
        /// The node.
        node: NodeId,
    },
    /// Drain it first.
    #[error("node {node} is not draining: drain it first")]
    NotDraining {
        /// The node.
        node: NodeId,
    },
    /// Wait until the node stores nothing.
    #[error("node {node} still stores {used} bytes: wait until their commitments end")]
    StillStores {
        /// The node.
        node: NodeId,
        /// Bytes stored.
        used: u64,
    },
    /// Wait until they are rebuilt, or paid for.
    #[error(
        "node {node} lost columns that are not rebuilt yet, and {behind} obols of its bond are held as collateral for \
         them: wait until they are rebuilt or paid for"
    )]
    LossesOpen {
        /// The node.
        node: NodeId,
        /// The bond behind them.
        behind: Amount,
    },
}
