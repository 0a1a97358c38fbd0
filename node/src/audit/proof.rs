//! Makes a storage proof: reads the leaves that are asked for, each with its path, and checks them.

use ostrakon_proto::{
    audit::{ChallengedLeaf, LeafProof, LeavesError, StorageProof},
    tree::{Range, RangeError, group_of_leaf},
};

use crate::store::{Columns, ProvenRange, StoreError};

/// Why a proof cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MakeError {
    /// A column cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored column is not as long as the ledger says.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// What was read is not what is asked for.
    #[error("a stored column is damaged: {0}")]
    Leaves(#[from] LeavesError),
}

/// The leaves that are asked for. It may block on the disk.
///
/// # Errors
/// [`MakeError`] names the column that is missing or damaged.
pub(crate) fn make(columns: &dyn Columns, asked: &[ChallengedLeaf]) -> Result<StorageProof, MakeError> {
    let leaves = asked.iter().map(|asked| leaf(columns, asked)).collect::<Result<_, _>>()?;
    let proof = StorageProof { leaves };
    if let Err(error) = proof.verify(asked) {
        // Scrubbing finds which of them it is, and the column is not served any more.
        asked.iter().try_for_each(|asked| columns.scrub_column(&asked.column))?;
        return Err(error.into());
    }
    Ok(proof)
}

fn leaf(columns: &dyn Columns, asked: &ChallengedLeaf) -> Result<LeafProof, MakeError> {
    let ChallengedLeaf { column, column_len, leaf } = *asked;
    let Range { start, length } = group_of_leaf(leaf);
    let ProvenRange { bytes, siblings } = columns.read(&column, start, length)?;
    Ok(LeafProof::of_group(column_len, leaf, &bytes, &siblings)?)
}
