//! The light client: how a client without state verifies what nodes tell it (SPEC, "Light client").
//!
//! In go headers, certificates and proofs from any node; out come verdicts, and [`Trust`], which a client stores. It
//! starts from genesis or from a checkpoint. From there every header that more than two thirds of the trusted set
//! signed is trusted, without the headers between: a header names the set of the next height, so the set is the same
//! until a header names another. Such a header is a [`Handover`], and none may be skipped.
//!
//! # Weak subjectivity
//! A set that was replaced can certify nothing that comes after. But a client that has not seen its handover cannot
//! know that it was replaced: validators that left and have their bond back risk nothing by signing another chain from
//! there. So trust expires when they may be unbonded ([`Trust::check_age`], [`trust_period_ms`]); after that, and where
//! genesis is older than that, a client needs a checkpoint from a source that its user trusts.
//!
//! Not here: which nodes are asked, and clocks: times come in by argument.

mod accuse;
pub mod activity;
mod basis;
mod checkpoint;
mod object;
pub mod proof_file;
mod proven;
#[cfg(test)]
mod tests;

use borsh::{BorshDeserialize, BorshSerialize};

pub use activity::Activity;
pub use basis::{BasisQuery, ProvenBasis, UploadBasis};
pub use checkpoint::{Checkpoint, InvalidCheckpoint};
pub use object::{ProvenObject, object_keys};
pub use proven::{
    Answer, BadAnswer, CertifiedHeader, Inclusion, PastBlock, PastHeader, ProvenRecord, check_records, records,
};

pub use crate::ledger::tx::TxPlace;
use crate::{
    id::{BlockId, ChainId, Height},
    ledger::{
        BlockError, Genesis,
        tx::Header,
        verify_header,
        vote::{QuorumCertificate, ValidatorSet},
    },
    params::Params,
};

/// An unbonding time under a day cannot protect clients that are offline for longer.
const BRIEF_MS: u64 = 24 * 60 * 60 * 1_000;

/// The trust period of a network with these parameters: two thirds of the least unbonding time. The last third is for
/// submitting evidence. Where the unbonding time is under a day, as on devnets, trust does not expire.
pub fn trust_period_ms(params: &Params) -> u64 {
    match params.bonds.unbonding_epochs.checked_mul(params.time.epoch_ms) {
        Some(bonded @ BRIEF_MS..) => bonded / 3 * 2,
        // An overflow means that trust does not expire, too.
        Some(_) | None => u64::MAX,
    }
}

/// The newest trusted block, and the validators of the next.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Trust {
    chain: ChainId,
    height: Height,
    block: BlockId,
    time_ms: u64,
    /// Hash of the validator set of the next height.
    next: [u8; 32],
    /// The set with this hash, or the one before it until the handover is received.
    set: ValidatorSet,
}

/// A block after which the validator set changes.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Handover {
    /// Its header, which names the next set by its hash.
    pub header: Header,
    /// The certificate of the block.
    pub certificate: QuorumCertificate,
    /// The next validator set.
    pub next: ValidatorSet,
}

/// Why a header is not trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// It is older than the trusted one: ask another node, or verify it by the history.
    #[error("stale header of height {got}: height {have} is trusted already")]
    Old {
        /// The trusted height.
        have: Height,
        /// The header's.
        got: Height,
    },
    /// It is on another chain than the trusted block. If its certificate is valid, more than a third of the power
    /// equivocated, and the certificates prove it.
    #[error("fork: block {got} at height {height} is not on the chain of trusted block {have}")]
    OtherChain {
        /// The height.
        height: Height,
        /// The trusted block.
        have: BlockId,
        /// The other block.
        got: BlockId,
    },
    /// The validators change after the trusted height, and the handover is missing: request it.
    #[error("handover missing: the validators change after height {height}, request the handover first")]
    HandoverMissing {
        /// The height of the handover.
        height: Height,
    },
    /// The validator set is not the one that the header names.
    #[error("wrong validator set: the one received with the header of height {height} is not the one it names")]
    OtherSet {
        /// The header's height.
        height: Height,
    },
    /// The trusted set did not decide it. A handover in between may be missing.
    #[error(transparent)]
    Undecided(#[from] BlockError),
    /// The trusted block is so old that later ones may be forged: use a checkpoint.
    #[error(
        "trust expired: the newest trusted block is {} hours older than is safe; a recent checkpoint is needed",
        oldest.saturating_sub(*have).div_ceil(3_600_000)
    )]
    Expired {
        /// Timestamp of the trusted block.
        have: u64,
        /// The oldest timestamp that may be trusted.
        oldest: u64,
    },
}

impl Trust {
    /// Trust in the genesis of a network.
    pub fn genesis(genesis: &Genesis) -> Self {
        let (chain, set) = (genesis.id(), genesis.validator_set());
        let block = BlockId::new(*chain.bytes());
        Self { chain, height: Height(0), block, time_ms: genesis.time_ms, next: set.hash(), set }
    }

    /// Trust in a checkpoint: only the block's id must come from a trusted source; its header and the validator set
    /// that the header names may come from any node.
    ///
    /// # Errors
    /// [`TrustError`] when they are not the block's.
    pub fn checkpoint(chain: ChainId, block: BlockId, header: &Header, next: ValidatorSet) -> Result<Self, TrustError> {
        let (height, got) = (header.height, header.id());
        if got != block {
            return Err(TrustError::OtherChain { height, have: block, got });
        }
        if next.hash() != header.next_validators {
            return Err(TrustError::OtherSet { height });
        }
        Ok(Self { chain, height, block, time_ms: header.time_ms, next: header.next_validators, set: next })
    }

    /// The chain.
    pub fn chain(&self) -> &ChainId {
        &self.chain
    }

    /// Height of the newest trusted block.
    pub fn height(&self) -> Height {
        self.height
    }

    /// Timestamp of the newest trusted block, in milliseconds of Unix time.
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// The newest trusted block.
    pub fn block(&self) -> BlockId {
        self.block
    }

    /// The validators of the next height; `None` when they change there and the handover was not received.
    pub fn set(&self) -> Option<&ValidatorSet> {
        (self.set.hash() == self.next).then_some(&self.set)
    }

    /// Checks that a header is the newest trusted one, or a newer one that the trusted set decided.
    ///
    /// # Errors
    /// [`TrustError`] says why it is not, and what to do.
    pub fn check(&self, header: &Header, certificate: &QuorumCertificate) -> Result<(), TrustError> {
        let (height, got) = (header.height, header.id());
        if height < self.height {
            return Err(TrustError::Old { have: self.height, got: height });
        }
        if height == self.height {
            let other = TrustError::OtherChain { height, have: self.block, got };
            return if got == self.block { Ok(()) } else { Err(other) };
        }
        let set = self.set().ok_or(TrustError::HandoverMissing { height: self.height })?;
        verify_header(&self.chain, set, header, certificate)?;
        if height == self.height.next() && header.parent != self.block {
            return Err(TrustError::OtherChain { height: self.height, have: self.block, got: header.parent });
        }
        Ok(())
    }

    /// Advances to a header that passes [`Self::check`].
    ///
    /// # Errors
    /// [`TrustError`] when it does not; then nothing has changed.
    pub fn accept(&mut self, header: &Header, certificate: &QuorumCertificate) -> Result<(), TrustError> {
        self.check(header, certificate)?;
        (self.height, self.block, self.time_ms) = (header.height, header.id(), header.time_ms);
        // After a change only the set that the header names counts, whether it is known here or not.
        self.next = header.next_validators;
        Ok(())
    }

    /// Advances to a header and to the validator set that it names.
    ///
    /// # Errors
    /// [`TrustError`] when the header fails the check, or names another set; then nothing has changed.
    pub fn hand_over(&mut self, handover: &Handover) -> Result<(), TrustError> {
        let Handover { header, certificate, next } = handover;
        if next.hash() != header.next_validators {
            return Err(TrustError::OtherSet { height: header.height });
        }
        self.accept(header, certificate)?;
        self.set.clone_from(next);
        Ok(())
    }

    /// Checks that validators that left since the trusted block are still bonded: that it is within the
    /// [trust period](trust_period_ms). A clock behind the block's timestamp counts as age zero.
    ///
    /// # Errors
    /// [`TrustError::Expired`] when a checkpoint is needed.
    pub fn check_age(&self, now_ms: u64, trust_period_ms: u64) -> Result<(), TrustError> {
        let oldest = now_ms.saturating_sub(trust_period_ms);
        if self.time_ms < oldest {
            return Err(TrustError::Expired { have: self.time_ms, oldest });
        }
        Ok(())
    }
}
