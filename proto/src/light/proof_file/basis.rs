//! What a proof file rests on: the signatures under one block, and why they are to be believed (ARCHITECTURE 5.7).
//!
//! Validators whose bonds are back lose nothing by signing another chain. So following them from the genesis is enough
//! for as long as the bonds of the first ones are locked. After that a verifier needs the id of the block from a source
//! that it trusts, however recent the block claims to be: its time is the signers' word, too.

use serde::Serialize;

use super::{Genesis, ProofFileError, Trust};
use crate::{
    id::{BlockId, Height},
    light::{Checkpoint, trust_period_ms},
};

/// The block that a proof file rests on: the newest in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Basis {
    /// Its height.
    pub height: Height,
    /// The block.
    pub block: BlockId,
    /// Its timestamp, in milliseconds of Unix time.
    pub time_ms: u64,
    /// Height of the oldest block that proves a part of the file.
    #[serde(skip)]
    pub(super) oldest: Height,
}

impl Basis {
    /// The newest block of `trust`, where parts of the file are proven by blocks from `oldest` on.
    pub(super) fn new(trust: &Trust, oldest: Height) -> Self {
        Self { height: trust.height(), block: trust.block(), time_ms: trust.time_ms(), oldest }
    }

    /// Checks that the signatures under the block are to be believed at `now_ms`: by a checkpoint, or without one
    /// because the genesis is within the [trust period](trust_period_ms).
    ///
    /// # Errors
    /// [`ProofFileError::Fork`] when the checkpoint is of another chain, [`ProofFileError::Checkpoint`] when it is of
    /// another block, and [`ProofFileError::BeyondTrust`] when one is needed.
    pub fn check(&self, genesis: &Genesis, checkpoint: Option<Checkpoint>, now_ms: u64) -> Result<(), ProofFileError> {
        let height = self.height;
        match checkpoint {
            Some(given) if given.height != height => Err(ProofFileError::Checkpoint { height, given: given.height }),
            Some(given) if given.block != self.block => {
                Err(ProofFileError::Fork { height, have: given.block, got: self.block })
            }
            // What older blocks prove may be of another chain than the newest.
            Some(_) if self.oldest < height => Err(ProofFileError::Scattered { oldest: self.oldest, height }),
            Some(_) => Ok(()),
            None => Trust::genesis(genesis)
                .check_age(now_ms, trust_period_ms(&genesis.params))
                .map_err(|_| ProofFileError::BeyondTrust { height }),
        }
    }
}
