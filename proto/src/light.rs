//! The light client: what one who keeps no state believes, and why (SPEC, "Light client").
//!
//! In come headers, certificates and proofs from anybody; out come verdicts, and [`Trust`], which a client keeps. It
//! begins with genesis or with a checkpoint. From there every header that more than two thirds of the trusted set
//! signed is believed, at once and whatever lies between: a header names the set of the next height, so the set is the
//! same until a header names another. Such a header is a [`Handover`], and none may be left out.
//!
//! # Weak subjectivity
//! A set that was replaced can vouch for nothing that comes after. But who has not seen its handover cannot know that
//! it was: validators who left and have their bond back risk nothing by signing another chain from there. So trust
//! keeps only as long as those who left are still bonded ([`Trust::check_age`], [`trust_period_ms`]); after that, and
//! to begin with where genesis is older, a client takes a checkpoint from people it believes.
//!
//! Not here: who is asked for all this, and clocks: times come in by argument.

pub mod activity;
mod checkpoint;
pub mod proof_file;
mod proven;
#[cfg(test)]
mod tests;

use borsh::{BorshDeserialize, BorshSerialize};

pub use activity::{Activity, TxPlace};
pub use checkpoint::{Checkpoint, InvalidCheckpoint};
pub use proven::{
    Answer, BadAnswer, CertifiedHeader, Inclusion, PastBlock, PastHeader, ProvenRecord, check_records, records,
};

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

/// The pace that blocks are meant to have, in milliseconds. Bonds are counted in blocks, and clients know only time.
pub const BLOCK_MS: u64 = 1_000;
/// Bonds that come back sooner than after a day bind nobody for as long as users are away.
const BRIEF_MS: u64 = 24 * 60 * 60 * 1_000;

/// For how long trust keeps on a network with these parameters: for two thirds of the time that bonds stay after their
/// validator left, at the pace that blocks are meant to have. The third that is left is for bringing evidence. Where
/// bonds are gone within a day, as on networks to try things on, age says nothing, and trust keeps for ever.
pub fn trust_period_ms(params: &Params) -> u64 {
    let blocks = params.bonds.unbonding_epochs.checked_mul(params.epoch_blocks);
    match blocks.and_then(|blocks| blocks.checked_mul(BLOCK_MS)) {
        Some(bonded @ BRIEF_MS..) => bonded / 3 * 2,
        // More than can be counted is for ever, too.
        Some(_) | None => u64::MAX,
    }
}

/// The newest block that is believed, and who decides what follows.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Trust {
    chain: ChainId,
    height: Height,
    block: BlockId,
    time_ms: u64,
    /// Hash of the set that decides the next height.
    next: [u8; 32],
    /// The set with this hash; the one before it until the handover brings it.
    set: ValidatorSet,
}

/// A block after which other validators decide.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Handover {
    /// Its header, which names the next set by its hash.
    pub header: Header,
    /// The proof that it is decided.
    pub certificate: QuorumCertificate,
    /// The next set.
    pub next: ValidatorSet,
}

/// Why a header is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// It is older than what is believed: ask a node that is further on, or prove it by the history.
    #[error("header of height {got} is older than that of {have}, which is known")]
    Old {
        /// The height that is known.
        have: Height,
        /// The header's.
        got: Height,
    },
    /// It is of another chain than the block that is believed. If its certificate holds, more than a third of the power
    /// signed two chains, and the certificates prove it.
    #[error("block {got} at height {height} is not on the chain of block {have}")]
    OtherChain {
        /// Where they part.
        height: Height,
        /// The block that is believed.
        have: BlockId,
        /// The other.
        got: BlockId,
    },
    /// The validators changed at the height that is believed, and their handover is missing: ask for it.
    #[error("other validators decide after height {height}: their handover is needed first")]
    HandoverMissing {
        /// The height of the handover.
        height: Height,
    },
    /// The next set is not the one that the header names.
    #[error("the validators that come with the header of height {height} are not those that it names")]
    OtherSet {
        /// The header's height.
        height: Height,
    },
    /// The trusted set did not decide it. A handover may be missing between.
    #[error(transparent)]
    Undecided(#[from] BlockError),
    /// What is believed is so old that what follows may be forged: take a checkpoint.
    #[error("the newest known header is of {have} ms, and validators of before {oldest} ms may not be bound any more")]
    Expired {
        /// Its time.
        have: u64,
        /// The oldest that may be trusted.
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

    /// Trust in a block: only its id must come from people who are believed, the header and the set that it names next
    /// may come from anybody.
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

    /// Height of the newest block that is believed.
    pub fn height(&self) -> Height {
        self.height
    }

    /// Time of that block, in milliseconds of Unix time.
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// The newest block that is believed.
    pub fn block(&self) -> BlockId {
        self.block
    }

    /// Who decides what follows; `None` when they changed and the handover has not come.
    pub fn set(&self) -> Option<&ValidatorSet> {
        (self.set.hash() == self.next).then_some(&self.set)
    }

    /// Checks a header: whether it is the newest that is believed, or a newer one that the trusted set decided.
    ///
    /// # Errors
    /// [`TrustError`] says why not, and what to do.
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

    /// Moves on to a header that [checks](Self::check).
    ///
    /// # Errors
    /// [`TrustError`] when it does not; then the trust is as it was.
    pub fn accept(&mut self, header: &Header, certificate: &QuorumCertificate) -> Result<(), TrustError> {
        self.check(header, certificate)?;
        (self.height, self.block, self.time_ms) = (header.height, header.id(), header.time_ms);
        // What follows a change is decided by those it names alone, known here or not.
        self.next = header.next_validators;
        Ok(())
    }

    /// Moves on to a header and to the validators that it names.
    ///
    /// # Errors
    /// [`TrustError`] when the header does not check, or names others; then the trust is as it was.
    pub fn hand_over(&mut self, handover: &Handover) -> Result<(), TrustError> {
        let Handover { header, certificate, next } = handover;
        if next.hash() != header.next_validators {
            return Err(TrustError::OtherSet { height: header.height });
        }
        self.accept(header, certificate)?;
        self.set.clone_from(next);
        Ok(())
    }

    /// Checks that those who decided since the newest block that is believed are still bonded, for as long as trust
    /// [keeps](keeps_ms). A clock that is behind the block finds it young.
    ///
    /// # Errors
    /// [`TrustError::Expired`] when a checkpoint is needed.
    pub fn check_age(&self, now_ms: u64, keeps_ms: u64) -> Result<(), TrustError> {
        let oldest = now_ms.saturating_sub(keeps_ms);
        if self.time_ms < oldest {
            return Err(TrustError::Expired { have: self.time_ms, oldest });
        }
        Ok(())
    }
}
