//! Evidence: what a validator signed although no validator that follows the rules ever does (SPEC, "Evidence").
//!
//! Not here: who is liable and what it costs, which are the rules of the action.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Serialize, Serializer};

use crate::{
    id::{BlockId, Height, VoteKey},
    ledger::{
        history::HistoryProof,
        tx::Header,
        vote::{SignedProposal, SignedVote, Vote, VoteKind},
    },
};

/// What proves that a validator violated the rules of voting. Of two messages for one height and round, the one with
/// the lesser block is first; a vote for nil is less than any.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Evidence {
    /// Two votes of one kind for different blocks.
    Votes(SignedVote, SignedVote),
    /// Two proposals of different blocks.
    Proposals(SignedProposal, SignedProposal),
    /// A precommit for a header that contradicts the chain.
    Header(Box<FalseHeader>),
}

/// A precommit, in any round, for a header of a decided height that contradicts the chain in what follows from the
/// parent alone. Such headers deceive light clients; validators, who execute blocks, never accept one.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct FalseHeader {
    /// The precommit.
    pub vote: SignedVote,
    /// The header that it is for.
    pub header: Header,
    /// The chain's header of that height.
    pub decided: Header,
    /// Proof that it is the chain's, [below a peak](HistoryProof::below_peak) of the history.
    pub proof: HistoryProof,
}

impl FalseHeader {
    /// Whether the precommit is for the header, and the header contradicts the chain's, if that is the chain's.
    ///
    /// Blocks of different rounds of one height may differ in transactions, time, proposer, and in all that follows
    /// from these, and an honest validator may precommit several of them. But all have the parent that was decided
    /// before, the history up to it, and the validators that it names. Prevotes do not count: no certificate has them,
    /// so they deceive nobody, and a validator whose own disk is faulty prevotes alone.
    pub fn contradicts(&self) -> bool {
        let Vote { kind, height, block, .. } = self.vote.vote;
        kind == VoteKind::Precommit
            && block == Some(self.header.id())
            && height == self.header.height
            && height == self.decided.height
            && given_by_parent(&self.header) != given_by_parent(&self.decided)
    }
}

/// The fields that the parent determines.
const fn given_by_parent(header: &Header) -> (BlockId, [u8; 32], [u8; 32]) {
    (header.parent, header.history, header.validators)
}

impl Evidence {
    /// The validator accused.
    pub fn accused(&self) -> VoteKey {
        match self {
            Self::Votes(first, _) => first.voter,
            Self::Proposals(first, _) => first.proposer,
            Self::Header(found) => found.vote.voter,
        }
    }

    /// The height that was signed for.
    pub fn height(&self) -> Height {
        match self {
            Self::Votes(first, _) => first.vote.height,
            Self::Proposals(first, _) => first.proposal.height,
            Self::Header(found) => found.vote.vote.height,
        }
    }
}

/// Who is accused of what; not the signatures that prove it.
impl Serialize for Evidence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown {
            accused: VoteKey,
            accused_height: Height,
        }
        Shown { accused: self.accused(), accused_height: self.height() }.serialize(serializer)
    }
}
