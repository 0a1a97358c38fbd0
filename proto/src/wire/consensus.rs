//! consensus/1: messages between validators until a block is decided.
//!
//! Every message is signed by its validator's vote key, so that it is valid whichever node relays it. The body of
//! [`ConsensusRequest::Proposal`] and of [`ConsensusResponse::Block`] is the whole block, canonical. Decided blocks are
//! [`super::chain`]'s.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;

use super::{Call, InvalidAnswer, Protocol, Request};
use crate::{
    id::{BlockId, ChainId, Height, VoteKey},
    ledger::vote::{SignedProposal, SignedVote, Vote, VoteKind},
    sign::{BadSignature, Keypair, Purpose, Signature, verify},
};

/// A request of consensus/1.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ConsensusRequest {
    /// A block is proposed; it is the body.
    Proposal(SignedProposal),
    /// A vote is cast.
    Vote(SignedVote),
    /// More than two thirds prevote for one block.
    Polka(Polka),
    /// Votes that prove why the sender is in a later round.
    Round(RoundProof),
    /// The proposal of this block and the block itself, as [`ConsensusResponse::Block`].
    Block {
        /// Height of the block.
        height: Height,
        /// The block.
        block: BlockId,
    },
    /// The newest messages that the node has received from this validator, as [`ConsensusResponse::Seen`]. A starting
    /// validator detects with it messages that its sign state lacks, and other processes with its key.
    LastSeen(SignedClaim),
}

/// An answer of consensus/1.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ConsensusResponse {
    /// The message was received; it may still be invalid.
    Taken,
    /// How the block was proposed; the body is the block.
    Block(SignedProposal),
    /// The newest messages of the validator asked about.
    Seen(Seen),
}

impl Request for ConsensusRequest {
    const PROTOCOL: Protocol = Protocol::Consensus;
    type Response = ConsensusResponse;
}

/// Brings a message to a validator. The body is a proposal's block, and empty for all others.
pub fn message(message: &ConsensusRequest, body: Bytes) -> Call<()> {
    Call::new(message, body, |response, _| match response {
        ConsensusResponse::Taken => Ok(()),
        _ => Err(InvalidAnswer::Mismatch),
    })
}

/// Asks for a block of `height` and how it was proposed, neither checked yet.
pub fn block(height: Height, block: BlockId) -> Call<(SignedProposal, Bytes)> {
    Call::new(&ConsensusRequest::Block { height, block }, Bytes::new(), |response, body| match response {
        ConsensusResponse::Block(signed) => Ok((signed, body)),
        _ => Err(InvalidAnswer::Mismatch),
    })
}

/// Asks what a validator has received of the one that claims.
pub fn last_seen(claim: SignedClaim) -> Call<Seen> {
    Call::new(&ConsensusRequest::LastSeen(claim), Bytes::new(), |response, _| match response {
        ConsensusResponse::Seen(seen) => Ok(seen),
        _ => Err(InvalidAnswer::Mismatch),
    })
}

/// A polka: prevotes of more than two thirds of the power for one block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Polka {
    /// Height of the votes.
    pub height: Height,
    /// Round of the votes.
    pub round: u32,
    /// The block voted for.
    pub block: BlockId,
    /// The prevotes' signatures.
    pub signatures: BTreeMap<VoteKey, Signature>,
}

impl Polka {
    /// The prevotes.
    pub fn votes(&self) -> impl Iterator<Item = SignedVote> {
        let vote = Vote { kind: VoteKind::Prevote, height: self.height, round: self.round, block: Some(self.block) };
        self.signatures.iter().map(move |(voter, signature)| SignedVote { voter: *voter, vote, signature: *signature })
    }
}

/// Why a later round is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum RoundReason {
    /// More than a third has voted in it.
    Skip,
    /// More than two thirds have precommitted in the round before.
    Precommits,
}

/// Votes that prove that a later round may be entered.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RoundProof {
    /// Height of the votes.
    pub height: Height,
    /// The round of the votes.
    pub round: u32,
    /// Why the round is entered.
    pub reason: RoundReason,
    /// The votes, one of each validator.
    pub votes: Vec<SignedVote>,
}

/// Names one run of a validator's process: 16 random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Incarnation(pub [u8; 16]);

/// A claim of a validator's process to be the only one that signs.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Claim {
    /// The validator's key.
    pub key: VoteKey,
    /// The validator that is asked to grant it, so that it cannot be replayed to others.
    pub asked: VoteKey,
    /// This process.
    pub incarnation: Incarnation,
    /// Earlier processes on the same disk, at most [`Claim::EARLIER`]: this one follows them, while a process on a copy
    /// of the disk does not follow this one.
    pub earlier: Vec<Incarnation>,
}

impl Claim {
    /// Earlier processes in a claim at most.
    pub const EARLIER: usize = 8;
}

/// A claim with its validator's signature.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedClaim {
    /// The claim.
    pub claim: Claim,
    /// Signature by the key claimed.
    pub signature: Signature,
}

impl SignedClaim {
    /// Signs a claim with the validator's key.
    pub fn sign(claim: Claim, key: &Keypair, chain: &ChainId) -> Self {
        let signature = key.sign(Purpose::Claim, chain, &claim);
        Self { claim, signature }
    }

    /// Checks that the validator signed it for this network.
    ///
    /// # Errors
    /// [`BadSignature`] when it did not.
    pub fn verify(&self, chain: &ChainId) -> Result<(), BadSignature> {
        verify(&self.claim.key, &self.signature, Purpose::Claim, chain, &self.claim)
    }
}

/// The newest messages that a node has received from a validator.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Seen {
    /// The height in progress at the node; all below are decided.
    pub height: Height,
    /// The newest proposal.
    pub proposal: Option<SignedProposal>,
    /// The newest vote.
    pub vote: Option<SignedVote>,
    /// Whether the node grants the claim: it has not granted it to another process recently.
    pub grants: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{codec, limits, sign::Keypair};

    #[test]
    fn the_votes_of_two_hundred_fit_a_head() {
        let chain = crate::id::ChainId::new([1; 32]);
        let vote = Vote { kind: VoteKind::Precommit, height: Height(7), round: 2, block: Some(BlockId::new([9; 32])) };
        let signed = |seed: u8| SignedVote::sign(vote, &Keypair::from_seed(&[seed; 32]), &chain);
        let votes: Vec<SignedVote> = (0..200).map(signed).collect();
        let proof = RoundProof { height: Height(7), round: 2, reason: RoundReason::Precommits, votes };
        assert!(codec::encode(&ConsensusRequest::Round(proof)).len() <= limits::HEAD);
    }

    #[test]
    fn a_polka_is_its_votes() {
        let (chain, key) = (crate::id::ChainId::new([1; 32]), Keypair::from_seed(&[3; 32]));
        let (height, round, block) = (Height(7), 2, BlockId::new([9; 32]));
        let cast = SignedVote::sign(Vote { kind: VoteKind::Prevote, height, round, block: Some(block) }, &key, &chain);
        let signatures = [(cast.voter, cast.signature)].into();
        let polka = Polka { height, round, block, signatures };
        assert_eq!(polka.votes().collect::<Vec<_>>(), [cast]);
    }
}
