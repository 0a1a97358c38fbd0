//! Trusted checkpoints: a block that the operator trusts, which the node's chain must contain.
//!
//! A node that was offline for longer than the unbonding time cannot tell the chain from one that former validators
//! made up (weak subjectivity). A checkpoint from a trusted source can.

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
