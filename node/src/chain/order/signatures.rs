//! The signatures of one height: each vote is verified once, and a node that delivers forged ones is not heard any
//! more.
//!
//! In come signed messages, out comes whether the named validator signed them. A signature check costs more than all
//! else that is done with a message, so a node that delivers messages must not choose how many are made:
//!
//! - Votes of others than the validators, and proofs with two votes of one validator, are rejected before any check.
//! - A vote that was verified, in whatever message, is not verified again ([`Signatures`]).
//! - Every honest node verifies a message before it passes it on. So after [`FORGED`] signatures that do not verify,
//!   nothing that the node delivers is checked until the height is over. Strangers count as one node: identities cost
//!   nothing, and an honest validator is seldom a stranger ([`Forgers`]).

use std::collections::{BTreeMap, BTreeSet};

use ostrakon_net::admission::Source;
use ostrakon_proto::{
    id::{ChainId, NodeId, VoteKey},
    ledger::vote::{SignedProposal, SignedVote, ValidatorSet, Vote},
};

/// Votes of one height that are remembered as verified: some rounds of a hundred validators.
const VERIFIED: usize = 4096;
/// Signatures that do not verify of one node, at one height, after which nothing of it is checked.
const FORGED: u64 = 8;
/// Members whose forgeries are counted. When more forge, the count of one that forged least is given up: each costs
/// some checks again.
const MEMBERS: usize = 128;

/// Which votes of one height are verified.
#[derive(Debug)]
pub(super) struct Signatures {
    chain: ChainId,
    set: ValidatorSet,
    verified: BTreeMap<(VoteKey, Vote), SignedVote>,
    forged: u64,
}

impl Signatures {
    /// Nothing of these validators is verified yet.
    pub(super) fn new(chain: ChainId, set: ValidatorSet) -> Self {
        Self { chain, set, verified: BTreeMap::new(), forged: 0 }
    }

    /// The vote was verified elsewhere: it is in the log, or was when it was buffered.
    pub(super) fn trust(&mut self, signed: &SignedVote) {
        if self.verified.len() < VERIFIED {
            self.verified.insert((signed.voter, signed.vote), *signed);
        }
    }

    /// Whether a validator cast the vote.
    pub(super) fn verifies(&mut self, signed: &SignedVote) -> bool {
        if self.set.power(&signed.voter).is_none() {
            return false;
        }
        if self.verified.get(&(signed.voter, signed.vote)) == Some(signed) {
            return true;
        }
        let is_cast = signed.verify(&self.chain).is_ok();
        self.count(is_cast);
        if is_cast {
            self.trust(signed);
        }
        is_cast
    }

    /// Whether a validator made the proposal. Not remembered: of a round only two are looked at.
    pub(super) fn verifies_proposal(&mut self, signed: &SignedProposal) -> bool {
        let is_made = self.set.power(&signed.proposer).is_some() && signed.verify(&self.chain).is_ok();
        self.count(is_made);
        is_made
    }

    /// The same vote with the signature that was verified, if one was: a validator may make several.
    pub(super) fn as_verified(&self, signed: SignedVote) -> SignedVote {
        self.verified.get(&(signed.voter, signed.vote)).copied().unwrap_or(signed)
    }

    /// Whether these can be the votes of a proof: each of another validator.
    pub(super) fn can_prove<'a>(&self, votes: impl ExactSizeIterator<Item = &'a SignedVote>) -> bool {
        let count = votes.len();
        if count > self.set.len() {
            return false;
        }
        let voters: BTreeSet<VoteKey> = votes.map(|signed| signed.voter).collect();
        voters.len() == count && voters.iter().all(|voter| self.set.power(voter).is_some())
    }

    /// How many signatures were found forged so far.
    pub(super) fn forged(&self) -> u64 {
        self.forged
    }

    fn count(&mut self, is_genuine: bool) {
        self.forged += u64::from(!is_genuine);
    }
}

/// Nodes that delivered forged signatures at this height.
#[derive(Debug, Default)]
pub(super) struct Forgers {
    members: BTreeMap<NodeId, u64>,
    strangers: u64,
}

impl Forgers {
    /// A height starts.
    pub(super) fn start_height(&mut self) {
        *self = Self::default();
    }

    /// The node delivered so many signatures that do not verify.
    pub(super) fn note(&mut self, from: &Source, forged: u64) {
        if forged == 0 {
            return;
        }
        let (node, count) = (from.node, self.count(from));
        let before = *count;
        *count += forged;
        if before < FORGED && *count >= FORGED {
            let whom = if from.is_member() { "it" } else { "all nodes that are not members" };
            tracing::warn!(%node, forged = *count, "node delivers forged signatures: ignoring {whom} at this height");
        }
    }

    /// Whether nothing that the node delivers is looked at.
    pub(super) fn is_excluded(&self, from: &Source) -> bool {
        let count = if from.is_member() { self.members.get(&from.node).copied() } else { Some(self.strangers) };
        count.is_some_and(|forged| forged >= FORGED)
    }

    fn count(&mut self, from: &Source) -> &mut u64 {
        if !from.is_member() {
            return &mut self.strangers;
        }
        if self.members.len() >= MEMBERS && !self.members.contains_key(&from.node) {
            let least = self.members.iter().min_by_key(|(_, count)| **count).map(|(node, _)| *node);
            least.map(|least| self.members.remove(&least));
        }
        self.members.entry(from.node).or_default()
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_net::admission::Prefix;
    use ostrakon_proto::{
        id::{BlockId, Height},
        ledger::vote::VoteKind,
        sign::{Keypair, Signature},
    };

    use super::*;

    const CHAIN: ChainId = ChainId::new([1; 32]);

    fn key(seed: u8) -> Keypair {
        Keypair::from_seed(&[seed; 32])
    }

    fn vote(seed: u8, round: u32) -> SignedVote {
        let block = Some(BlockId::new([9; 32]));
        SignedVote::sign(Vote { kind: VoteKind::Prevote, height: Height(5), round, block }, &key(seed), &CHAIN)
    }

    fn forged(seed: u8, round: u32) -> SignedVote {
        SignedVote { signature: Signature([7; 64]), ..vote(seed, round) }
    }

    fn signatures() -> Signatures {
        Signatures::new(CHAIN, ValidatorSet::new((1..=4).map(|seed| (key(seed).public(), 1))))
    }

    #[test]
    fn each_vote_is_verified_once() {
        let steps = [
            ("a vote", vote(1, 0), true, 0),
            ("the same", vote(1, 0), true, 0),
            ("of no validator", vote(9, 0), false, 0),
            ("forged, though the vote was cast", forged(1, 0), false, 1),
            ("forged", forged(2, 0), false, 2),
            ("which does not keep the true one out", vote(2, 0), true, 2),
            ("forged, but trusted: it is not verified again", forged(3, 0), true, 2),
        ];
        let mut signatures = signatures();
        signatures.trust(&forged(3, 0));
        for (desc, signed, expect, count) in steps {
            assert_eq!((signatures.verifies(&signed), signatures.forged()), (expect, count), "{desc}");
        }
        assert_eq!(signatures.as_verified(forged(1, 0)), vote(1, 0));
        assert_eq!(signatures.as_verified(forged(4, 0)), forged(4, 0));
    }

    #[test]
    fn a_proof_has_one_vote_of_each() {
        let signatures = signatures();
        let check = |votes: &[SignedVote], expect: bool| assert_eq!(signatures.can_prove(votes.iter()), expect);
        check(&[vote(1, 0), vote(2, 0), vote(3, 0)], true);
        check(&[vote(1, 0), vote(1, 1)], false);
        check(&[vote(1, 0), vote(9, 0)], false);
        check(&vec![vote(1, 0); 590], false);
    }

    fn member(number: u8) -> Source {
        Source::member(NodeId::new([number; 32]))
    }

    fn stranger(number: u8) -> Source {
        let node = NodeId::new([number; 32]);
        Source::stranger(node, Prefix::of_node(&node))
    }

    #[test]
    fn who_forges_is_not_heard_until_the_height_is_over() {
        let mut forgers = Forgers::default();
        forgers.note(&member(1), 0);
        forgers.note(&member(1), FORGED - 1);
        assert!(!forgers.is_excluded(&member(1)));
        forgers.note(&member(1), 1);
        assert!(forgers.is_excluded(&member(1)) && !forgers.is_excluded(&member(2)));
        (2..=255).for_each(|number| forgers.note(&member(number), 1));
        assert!(
            forgers.is_excluded(&member(1)) && forgers.members.len() == MEMBERS,
            "many that forge little hide nobody"
        );
        forgers.start_height();
        assert!(!forgers.is_excluded(&member(1)));
    }

    #[test]
    fn strangers_count_as_one() {
        let mut forgers = Forgers::default();
        (1..8).for_each(|number| forgers.note(&stranger(number), 1));
        assert!(!forgers.is_excluded(&stranger(100)));
        forgers.note(&stranger(8), 1);
        assert!(forgers.is_excluded(&stranger(100)) && !forgers.is_excluded(&member(100)));
    }
}
