//! consensus/1: what validators say to each other until a block is decided.
//!
//! Every message is signed by the vote key of who says it, so that it counts whoever brings it. The body of
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
    /// Why the sender is in a later round.
    Round(RoundProof),
    /// The proposal of this block and the block itself, as [`ConsensusResponse::Block`].
    Block {
        /// Of which height.
        height: Height,
        /// Which.
        block: BlockId,
    },
    /// The newest that the node has heard of this validator, as [`ConsensusResponse::Seen`]. A validator that starts
    /// asks so whether it has spoken since its memory ends, and whether another process begins to speak for it.
    LastSeen(SignedClaim),
}

/// An answer of consensus/1.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ConsensusResponse {
    /// The message is taken, which is not to say that it is believed.
    Taken,
    /// How the block was proposed; the body is the block.
    Block(SignedProposal),
    /// What was asked for.
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

/// The prevotes of more than two thirds for one block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Polka {
    /// Of which height.
    pub height: Height,
    /// In which round they were cast.
    pub round: u32,
    /// For which block.
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

/// Why a round is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum RoundReason {
    /// More than a third has voted in it.
    Skip,
    /// More than two thirds precommit in the round before.
    Precommits,
}

/// Votes because of which a later round is entered.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RoundProof {
    /// Of which height.
    pub height: Height,
    /// The round of the votes.
    pub round: u32,
    /// What they show.
    pub reason: RoundReason,
    /// The votes, one of each validator.
    pub votes: Vec<SignedVote>,
}

/// Names one run of a validator's process: 16 random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Incarnation(pub [u8; 16]);

/// A validator's process claims to be the one that speaks.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Claim {
    /// For whom.
    pub key: VoteKey,
    /// Which validator is asked to grant it: nobody else can make use of it.
    pub asked: VoteKey,
    /// This process.
    pub incarnation: Incarnation,
    /// The processes before it that the disk remembers, at most [`Claim::EARLIER`]: it follows them, while a copy of
    /// the disk does not follow it.
    pub earlier: Vec<Incarnation>,
}

impl Claim {
    /// Processes that one follows, at most.
    pub const EARLIER: usize = 8;
}

/// A claim with its validator's signature.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedClaim {
    /// What is claimed.
    pub claim: Claim,
    /// By the key that it is claimed for.
    pub signature: Signature,
}

impl SignedClaim {
    /// The claim, signed with the key that it is for.
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

/// What a node has heard of a validator.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Seen {
    /// The height that the node decides now; all below are decided.
    pub height: Height,
    /// The newest proposal.
    pub proposal: Option<SignedProposal>,
    /// The newest vote.
    pub vote: Option<SignedVote>,
    /// Whether the node grants what is claimed: no other process was granted the same a moment ago.
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
