//! Why a repair, a return or the report of a loss is refused.

use crate::{
    id::{Amount, Epoch, NodeId},
    tree::ProofError,
};

use super::RepairBlock;

/// Why the ledger refuses a repair, a return or the report of a loss.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// Wait for what it names.
    #[error(transparent)]
    Blocked(#[from] RepairBlock),
    /// Leave it to the provider that was drawn.
    #[error("{node} does not repair this commitment now: {rebuilder} does")]
    NotRebuilder {
        /// Who reports it.
        node: NodeId,
        /// Who does.
        rebuilder: NodeId,
    },
    /// Name columns that are to be repaired, each once and in rising order, and at least one.
    #[error("column {index} is not to be repaired, or is named twice or out of order; at least one is needed")]
    Columns {
        /// Its index.
        index: u8,
    },
    /// Store it on one that was drawn, and on each one column.
    #[error("column {index} is on {provider}, which was not drawn for this repair or has another of its columns")]
    NotTarget {
        /// Its index.
        index: u8,
        /// The provider.
        provider: NodeId,
    },
    /// Spread the columns over more domains.
    #[error("the columns are not spread over domains as the network requires: use the first providers of the draw")]
    DomainRule,
    /// Prove it with leaves of k + 1 columns.
    #[error("{have} leaves of different columns in rising order are given, {need} are needed")]
    Leaves {
        /// Leaves given.
        have: usize,
        /// One more than the code's k.
        need: usize,
    },
    /// Do not report it.
    #[error("the leaves are of one codeword: the columns are consistent there")]
    Consistent,
    /// Report what was made, where it is another column.
    #[error("column {index} is reported to be what the commitment names")]
    NoMismatch {
        /// Its index.
        index: u8,
    },
    /// Return only what the provider lost, and what nobody has rebuilt.
    #[error("column {index} is not one that the sender's provider lost and that nobody has rebuilt")]
    NotLost {
        /// Its index.
        index: u8,
    },
    /// Report only what the provider stores by the ledger.
    #[error("column {index} is not stored by a provider of the sender")]
    NotStored {
        /// Its index.
        index: u8,
    },
    /// Answer the newest beacon.
    #[error("epoch {given} does not ask for a leaf now: epoch {newest} does")]
    Stale {
        /// The epoch given.
        given: Epoch,
        /// The newest with a beacon.
        newest: Epoch,
    },
    /// Read the column again.
    #[error("the leaf does not prove that the column is stored: {0}")]
    Leaf(#[from] ProofError),
    /// Offer more bytes, or bond more.
    #[error("{provider} has no space for the column: {free} bytes are free, and {bond} obols of its bond")]
    NoSpace {
        /// The provider.
        provider: NodeId,
        /// Bytes of its capacity.
        free: u64,
        /// Bond that is behind nothing.
        bond: Amount,
    },
}
