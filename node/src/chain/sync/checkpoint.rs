//! Holds the chain to the block that the operator trusts: it has that block, or is another chain.

use ostrakon_proto::id::{BlockId, Height};

pub use ostrakon_proto::light::Checkpoint;

use crate::chain::store::LedgerError;

/// Checks a block of the chain against a checkpoint.
///
/// # Errors
/// [`LedgerError::Checkpoint`] when the chain has another block at the checkpoint's height.
pub(in crate::chain) fn check(checkpoint: Checkpoint, height: Height, block: BlockId) -> Result<(), LedgerError> {
    if height != checkpoint.height || block == checkpoint.block {
        return Ok(());
    }
    Err(LedgerError::Checkpoint { height, expected: checkpoint.block, got: block })
}
