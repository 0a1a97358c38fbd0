//! What providers report of losses and repairs: the actions of transactions (SPEC, "Repair").

use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

use crate::{
    audit::LeafProof,
    id::{ColumnId, Epoch, NodeId},
    ledger::state::CommitmentId,
    sign::Signature,
};

/// Columns of a commitment that were rebuilt, or moved off a provider that is draining.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Repaired {
    /// The commitment.
    #[serde(flatten)]
    pub commitment: CommitmentId,
    /// The sender's provider, which was drawn to rebuild them, or which is draining.
    pub rebuilder: NodeId,
    /// The epoch by whose draw they were handed out.
    pub draw: Epoch,
    /// Where they are now, in the order of column indexes: at least one.
    pub slots: Vec<RepairedSlot>,
}

/// A column, and who stores it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct RepairedSlot {
    /// Index of the column.
    pub index: u8,
    /// Who stores it.
    pub provider: NodeId,
    /// Its signature over [`crate::ledger::tx::Receipt`], whose draw is the repair's.
    pub receipt: Signature,
}

/// Brings back a column that the sender's provider had lost and that nobody has rebuilt yet.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Restore {
    /// The commitment.
    #[serde(flatten)]
    pub commitment: CommitmentId,
    /// Index of the column.
    pub index: u8,
    /// The epoch whose beacon asks for the leaf: the newest with one, or the one before.
    pub epoch: Epoch,
    /// The leaf that has the byte [`super::returning_point`].
    pub leaf: LeafProof,
}

/// The sender's provider does not have a column any more: it pays for its repair, and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct ReportLoss {
    /// The commitment.
    #[serde(flatten)]
    pub commitment: CommitmentId,
    /// Index of the column.
    pub index: u8,
}

/// The sender's provider rebuilt columns, and made others than the commitment names.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Mismatch {
    /// The commitment.
    #[serde(flatten)]
    pub commitment: CommitmentId,
    /// The sender's provider, which was drawn to rebuild them.
    pub rebuilder: NodeId,
    /// The epoch by whose draw it was.
    pub draw: Epoch,
    /// What it made, in the order of column indexes: at least one.
    pub columns: Vec<MadeColumn>,
}

/// A column that a rebuilder made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct MadeColumn {
    /// Index of the column.
    pub index: u8,
    /// What it made.
    pub column: ColumnId,
}

/// Leaves of one number, of k + 1 columns, that cannot all be of one codeword.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Inconsistent {
    /// The commitment.
    #[serde(flatten)]
    pub commitment: CommitmentId,
    /// The number of the leaves in their columns.
    pub leaf: u64,
    /// The leaves, in the order of column indexes.
    pub leaves: Vec<ColumnLeaf>,
}

/// A leaf of one of the columns of a commitment.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct ColumnLeaf {
    /// Index of the column.
    pub index: u8,
    /// The leaf.
    pub leaf: LeafProof,
}
