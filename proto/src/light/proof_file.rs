//! Proofs in files: what needs neither node nor network to be checked, only the genesis (SPEC, "Vouchers").
//!
//! In goes a file and a genesis, out comes what it proves. The validators are followed from genesis to the newest
//! header that the file has, and all it says is proven against that. Every byte counts: with any other byte it proves
//! nothing. [`Certificate`] is that an object is committed, [`AnchorProof`] that something was known by then.

use borsh::{BorshDeserialize, BorshSerialize};

mod anchor;

pub use anchor::{AnchorProof, Anchored};

use super::{Answer, BadAnswer, Handover, ProvenRecord, Trust, TrustError, records};
use crate::{
    codec::{self, DecodeError},
    id::{AccountId, ChainId, Height, ObjectId},
    ledger::{
        Genesis,
        state::{Commitment, CommitmentId, Key, Record},
        tx::Header,
    },
    limits,
};

/// What a file begins with, by its kind.
const CERTIFICATE: [u8; 16] = *b"ostrakon cert 01";

/// Bytes of a file at most.
pub const PROOF_FILE_MAX: usize = 16 * 1024 * 1024;

/// That an object is committed: what `ostrakon certificate` writes.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Certificate {
    format: [u8; 16],
    chain: ChainId,
    handovers: Vec<Handover>,
    object: ObjectId,
    owner: AccountId,
    /// The owner's commitments, from extent 0 on, in as many answers as they took.
    answers: Vec<Answer<Vec<ProvenRecord>>>,
}

/// What a certificate proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The object.
    pub object: ObjectId,
    /// Who pays for it.
    pub owner: AccountId,
    /// The commitments of all its extents, in their order.
    pub commitments: Vec<Commitment>,
    /// As of which block.
    pub height: Height,
    /// When that block was, in milliseconds of Unix time.
    pub time_ms: u64,
}

/// Why a file proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofFileError {
    /// It is no such file, or damaged.
    #[error("the file cannot be read: {0}")]
    Decode(#[from] DecodeError),
    /// It is of another kind or version.
    #[error("the file is of another kind or version")]
    Format,
    /// It is of another network.
    #[error("the file is of chain {found}, the genesis is of {wanted}")]
    OtherChain {
        /// Its chain.
        found: ChainId,
        /// That of the genesis.
        wanted: ChainId,
    },
    /// What it says is not proven.
    #[error(transparent)]
    Answer(#[from] BadAnswer),
    /// It is of something else.
    #[error("the file is no proof of what it is shown for")]
    Other,
    /// It lacks commitments, or has too many.
    #[error("the file does not have one commitment for each extent of the object")]
    Incomplete,
}

impl From<TrustError> for ProofFileError {
    fn from(error: TrustError) -> Self {
        Self::Answer(error.into())
    }
}

/// Follows the validators from genesis.
fn follow(genesis: &Genesis, chain: ChainId, handovers: &[Handover]) -> Result<Trust, ProofFileError> {
    let (mut trust, wanted) = (Trust::genesis(genesis), genesis.id());
    if chain != wanted {
        return Err(ProofFileError::OtherChain { found: chain, wanted });
    }
    for handover in handovers {
        trust.hand_over(handover)?;
    }
    Ok(trust)
}

fn accept<'a, T>(trust: &mut Trust, answer: &'a Answer<T>) -> Result<&'a Header, ProofFileError> {
    trust.accept(&answer.tip.header, &answer.tip.certificate)?;
    Ok(&answer.tip.header)
}

impl Certificate {
    /// A certificate of what these answers say of the owner's commitments, from extent 0 on.
    pub fn new(
        chain: ChainId,
        handovers: Vec<Handover>,
        (object, owner): (ObjectId, AccountId),
        answers: Vec<Answer<Vec<ProvenRecord>>>,
    ) -> Self {
        Self { format: CERTIFICATE, chain, handovers, object, owner, answers }
    }

    /// Keys of the owner's commitments of the object's first extents.
    pub fn keys(object: ObjectId, owner: AccountId, extents: u32) -> Vec<Key> {
        (0..extents).map(|extent| Key::Commitment(CommitmentId { object, extent, owner })).collect()
    }

    /// Its bytes, as a file has them.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ProofFileError`] when it is none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProofFileError> {
        let read: Self = codec::decode(bytes, PROOF_FILE_MAX)?;
        if read.format == CERTIFICATE { Ok(read) } else { Err(ProofFileError::Format) }
    }

    /// What it proves to whoever believes in this genesis.
    ///
    /// # Errors
    /// [`ProofFileError`] says what does not hold.
    pub fn verify(&self, genesis: &Genesis) -> Result<Committed, ProofFileError> {
        let mut trust = follow(genesis, self.chain, &self.handovers)?;
        let extents: usize = self.answers.iter().map(|answer| answer.said.len()).sum();
        let extents = u32::try_from(extents.min(limits::EXTENTS + 1)).map_err(|_| ProofFileError::Incomplete)?;
        let keys = Self::keys(self.object, self.owner, extents);
        let (mut commitments, mut keys, mut time_ms) = (Vec::new(), keys.as_slice(), 0);
        for answer in &self.answers {
            let (asked, rest) = keys.split_at_checked(answer.said.len()).ok_or(ProofFileError::Incomplete)?;
            let header = accept(&mut trust, answer)?;
            for record in records(&answer.said, header, asked)? {
                let Some(Record::Commitment(commitment)) = record else { return Err(ProofFileError::Incomplete) };
                commitments.push(commitment);
            }
            (keys, time_ms) = (rest, header.time_ms);
        }
        let whole = commitments.first().and_then(|first| usize::try_from(first.extents).ok());
        if whole != Some(commitments.len()) {
            return Err(ProofFileError::Incomplete);
        }
        Ok(Committed { object: self.object, owner: self.owner, commitments, height: trust.height(), time_ms })
    }
}
