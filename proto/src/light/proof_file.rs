//! Proof files: proofs that need neither node nor network to be verified, only the genesis (SPEC, "Proof files").
//!
//! In go a file and a genesis, out comes what the file proves. The validators are followed from genesis to the newest
//! header in the file, and everything else is proven against that header. Changing any byte makes the file invalid.
//! [`Certificate`] proves that an object is committed, [`AnchorProof`] that a hash was known at a certain time. Whether
//! the validators' signatures are still to be believed is for [`Basis::check`].

use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

mod anchor;
mod basis;

pub use anchor::{AnchorProof, Anchored};
pub use basis::Basis;

use super::{Answer, BadAnswer, CertifiedHeader, Handover, ProvenRecord, Trust, TrustError, records};
use crate::{
    codec::{self, DecodeError},
    id::{AccountId, BlockId, ChainId, Height, ObjectId},
    ledger::{
        Genesis,
        state::{Commitment, CommitmentId, EpochClock, Key, Record},
        tx::Header,
    },
    limits,
};

/// First bytes of a certificate file.
const CERTIFICATE: [u8; 16] = *b"ostrakon cert 01";

/// Bytes of a proof file at most.
pub const PROOF_FILE_MAX: usize = 16 * 1024 * 1024;

/// A certificate that an object is committed, as `ostrakon certificate` writes it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Certificate {
    format: [u8; 16],
    chain: ChainId,
    handovers: Vec<Handover>,
    object: ObjectId,
    owner: AccountId,
    /// The network's running values, then the owner's commitments from extent 0 on, in as many answers as they took.
    answers: Vec<Answer<Vec<ProvenRecord>>>,
}

/// The content of a verified certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Committed {
    /// The object.
    #[serde(rename = "cid")]
    pub object: ObjectId,
    /// The account that pays for it.
    pub owner: AccountId,
    /// The commitments of all its extents, in their order.
    pub commitments: Vec<Commitment>,
    /// The block at which it is proven.
    #[serde(flatten)]
    pub basis: Basis,
    /// The epoch clock of the first block that the certificate proves something by.
    pub clock: EpochClock,
}

/// Why a proof file is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofFileError {
    /// It is damaged, or not a proof file.
    #[error("not a proof file, or damaged: {0}")]
    Decode(#[from] DecodeError),
    /// It is of another kind or version.
    #[error("the proof file is of another kind, or of a version that this program does not support")]
    Format,
    /// It is of another network.
    #[error(
        "the proof file is of chain {found}, but the genesis is of chain {wanted}: use the genesis of that network"
    )]
    OtherChain {
        /// Chain of the file.
        found: ChainId,
        /// Chain of the genesis.
        wanted: ChainId,
    },
    /// Its content is not proven.
    #[error(transparent)]
    Answer(#[from] BadAnswer),
    /// It proves something else than asked for.
    #[error("the proof file is valid, but proves something else than was asked for: check that it is the right one")]
    Other,
    /// It lacks commitments, or has too many.
    #[error("the proof file does not have exactly one commitment for each extent of the object")]
    Incomplete,
    /// A checkpoint is needed.
    #[error(
        "the proof file is too old to be trusted without a checkpoint: validators that signed for this network at \
         first have their bonds back, and could sign any block {height} today; get the id of block {height} from a \
         source that you trust, and verify the file with it as a checkpoint"
    )]
    BeyondTrust {
        /// Height of the block that the file rests on.
        height: Height,
    },
    /// It is of another chain than the checkpoint: forged, or of a fork.
    #[error(
        "the proof file is not of the checkpoint's chain: block {height} is {got} in the file, and {have} in the \
         checkpoint; one of them is forged or of another network: check the checkpoint with a second source"
    )]
    Fork {
        /// The height.
        height: Height,
        /// The checkpoint's block.
        have: BlockId,
        /// The file's.
        got: BlockId,
    },
    /// The checkpoint is of another height.
    #[error(
        "the proof file rests on block {height}, and the checkpoint is block {given}: get the id of block {height} \
         from the same source"
    )]
    Checkpoint {
        /// Height of the block that the file rests on.
        height: Height,
        /// Height of the checkpoint.
        given: Height,
    },
    /// Several blocks prove parts of it.
    #[error(
        "parts of the proof file rest on earlier blocks, from {oldest} on, so no checkpoint covers it: create it \
         again, to have all of it proven by one block"
    )]
    Scattered {
        /// Height of the oldest.
        oldest: Height,
        /// Height of the newest.
        height: Height,
    },
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

/// All headers in a proof file with their certificates, in its order, whether or not they are to be believed: what
/// [`CertifiedHeader::accuse`] takes.
///
/// # Errors
/// [`ProofFileError`] when it is neither a certificate nor an anchor proof.
pub fn signed_headers(bytes: &[u8]) -> Result<Vec<CertifiedHeader>, ProofFileError> {
    let (handovers, tips) = match Certificate::from_bytes(bytes) {
        Ok(Certificate { handovers, answers, .. }) => {
            (handovers, answers.into_iter().map(|answer| answer.tip).collect())
        }
        Err(_) => AnchorProof::from_bytes(bytes)?.into_headers(),
    };
    let followed =
        handovers.into_iter().map(|Handover { header, certificate, .. }| CertifiedHeader { header, certificate });
    Ok(followed.chain(tips).collect())
}

fn accept<'a, T>(trust: &mut Trust, answer: &'a Answer<T>) -> Result<&'a Header, ProofFileError> {
    trust.accept(&answer.tip.header, &answer.tip.certificate)?;
    Ok(&answer.tip.header)
}

impl Certificate {
    /// A certificate from these answers about its [keys](Self::keys).
    pub fn new(
        chain: ChainId,
        handovers: Vec<Handover>,
        (object, owner): (ObjectId, AccountId),
        answers: Vec<Answer<Vec<ProvenRecord>>>,
    ) -> Self {
        Self { format: CERTIFICATE, chain, handovers, object, owner, answers }
    }

    /// Keys of the records that prove the owner's commitments of the object's first extents.
    pub fn keys(object: ObjectId, owner: AccountId, extents: u32) -> Vec<Key> {
        let commitments = (0..extents).map(|extent| Key::Commitment(CommitmentId { object, extent, owner }));
        std::iter::once(Key::Running).chain(commitments).collect()
    }

    /// Its bytes, for a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Decodes a file.
    ///
    /// # Errors
    /// [`ProofFileError`] when it is not a certificate.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProofFileError> {
        let read: Self = codec::decode(bytes, PROOF_FILE_MAX)?;
        if read.format == CERTIFICATE { Ok(read) } else { Err(ProofFileError::Format) }
    }

    /// Verifies it against the genesis. [`Basis::check`] tells whether the validators are to be believed.
    ///
    /// # Errors
    /// [`ProofFileError`] says what is not proven.
    pub fn verify(&self, genesis: &Genesis) -> Result<Committed, ProofFileError> {
        let mut trust = follow(genesis, self.chain, &self.handovers)?;
        let extents = self.answers.iter().map(|answer| answer.said.len()).sum::<usize>().saturating_sub(1);
        let extents = u32::try_from(extents.min(limits::EXTENTS + 1)).map_err(|_| ProofFileError::Incomplete)?;
        let keys = Self::keys(self.object, self.owner, extents);
        let (mut commitments, mut keys, mut oldest, mut clock) = (Vec::new(), keys.as_slice(), None, None);
        for answer in &self.answers {
            let (asked, rest) = keys.split_at_checked(answer.said.len()).ok_or(ProofFileError::Incomplete)?;
            let header = accept(&mut trust, answer)?;
            for record in records(&answer.said, header, asked)? {
                match record {
                    Some(Record::Running(running)) => clock = Some(running.clock),
                    Some(Record::Commitment(commitment)) => commitments.push(commitment),
                    _ => return Err(ProofFileError::Incomplete),
                }
            }
            (keys, oldest) = (rest, oldest.or(Some(header.height)));
        }
        let whole = commitments.first().and_then(|first| usize::try_from(first.extents).ok());
        if whole != Some(commitments.len()) {
            return Err(ProofFileError::Incomplete);
        }
        let (oldest, clock) = oldest.zip(clock).ok_or(ProofFileError::Incomplete)?;
        let basis = Basis::new(&trust, oldest);
        Ok(Committed { object: self.object, owner: self.owner, commitments, basis, clock })
    }
}
