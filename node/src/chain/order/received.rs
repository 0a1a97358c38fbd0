//! Messages of the other validators that the engine does not hold: the newest of each, and those of later heights.
//!
//! In go messages whose signatures verified; out come answers to a validator that asks for the newest message with its
//! key and for a lease to sign, and a height's buffered messages when it starts. Bounded for each validator. Not here:
//! messages of the height in progress.

use std::{cmp::Reverse, collections::BTreeMap};

use bytes::Bytes;
use ostrakon_proto::{
    id::{ChainId, Height, VoteKey},
    ledger::{
        Rotation,
        vote::{SignedProposal, SignedVote, ValidatorSet, VoteKind},
    },
    wire::consensus::{Claim, Seen},
};

use tokio::time::Instant;

use super::{leases::Leases, sign_state::Statement, wal::WalEntry};

/// Heights above the one in progress of which messages are buffered.
const HEIGHTS: u64 = 2;
/// Buffered votes of one validator at one height: eight rounds.
const VOTES: usize = 16;
/// Buffered proposals at one height, with their blocks, one of each validator. Other blocks are fetched when validators
/// vote for them.
const PROPOSALS: usize = 4;

/// A message as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A proposal, and what should be its block.
    Proposal(SignedProposal, Bytes),
    /// A vote.
    Vote(SignedVote),
}

impl Message {
    /// The validator that signed it, if its signature verifies.
    pub(super) fn signer(&self) -> VoteKey {
        match self {
            Self::Proposal(signed, _) => signed.proposer,
            Self::Vote(signed) => signed.voter,
        }
    }

    /// What is signed.
    pub(super) fn statement(&self) -> Statement {
        match self {
            Self::Proposal(signed, _) => signed.into(),
            Self::Vote(signed) => signed.into(),
        }
    }

    /// Whether its signature verifies.
    pub(super) fn verifies(&self, chain: &ChainId) -> bool {
        match self {
            Self::Proposal(signed, _) => signed.verify(chain).is_ok(),
            Self::Vote(signed) => signed.verify(chain).is_ok(),
        }
    }
}

/// What was received.
#[derive(Debug, Default)]
pub(super) struct Received {
    newest: BTreeMap<VoteKey, (Option<SignedProposal>, Option<SignedVote>)>,
    early: BTreeMap<Height, Early>,
    leases: Leases,
}

/// Buffered messages of one height.
#[derive(Debug, Default)]
struct Early {
    votes: BTreeMap<VoteKey, Vec<SignedVote>>,
    proposals: BTreeMap<VoteKey, (SignedProposal, Bytes)>,
}

impl Received {
    /// The height starts, with these validators.
    pub(super) fn start_height(&mut self, height: Height, rotation: &Rotation) {
        self.newest.retain(|key, _| rotation.set().power(key).is_some());
        self.leases.retain(rotation.set());
        self.early.retain(|early, _| *early >= height);
    }

    /// Whether it is newer than the last one known of its signer, whose heights may be over already.
    pub(super) fn is_new(&self, message: &Message) -> bool {
        let (proposal, vote) = self.newest.get(&message.signer()).copied().unwrap_or_default();
        let last = match message {
            Message::Proposal(..) => proposal.as_ref().map(Statement::from),
            Message::Vote(_) => vote.as_ref().map(Statement::from),
        };
        last.is_none_or(|last| last.progress() < message.statement().progress())
    }

    /// Whether it is its signer's newest, and so was verified.
    pub(super) fn is_newest(&self, message: &Message) -> bool {
        let (proposal, vote) = self.newest.get(&message.signer()).copied().unwrap_or_default();
        match message {
            Message::Proposal(signed, _) => proposal == Some(*signed),
            Message::Vote(signed) => vote == Some(*signed),
        }
    }

    /// Remembers it as its signer's newest, if it is.
    pub(super) fn note(&mut self, message: &Message) {
        if self.is_new(message) {
            let newest = self.newest.entry(message.signer()).or_default();
            match message {
                Message::Proposal(signed, _) => newest.0 = Some(*signed),
                Message::Vote(signed) => newest.1 = Some(*signed),
            }
        }
    }

    /// The validators that have not voted in this round, or not as far as `me`: the first time, and not the second.
    pub(super) fn missing(&self, set: &ValidatorSet, me: &VoteKey, (height, round): (Height, u32)) -> Vec<VoteKey> {
        let newest = |key: &VoteKey| {
            let (_, vote) = self.newest.get(key)?;
            vote.map(|signed| (signed.vote.height, signed.vote.round, signed.vote.kind))
        };
        let wanted = newest(me).max(Some((height, round, VoteKind::Prevote)));
        set.iter().map(|(key, _)| key).filter(|key| newest(key) < wanted).collect()
    }

    /// The height at which or above which validators with more than a third of the power have signed, of whom one is
    /// honest; `None` while fewer were heard.
    pub(super) fn signed_by_honest(&self, set: &ValidatorSet) -> Option<Height> {
        let mut heights: Vec<(Height, u128)> = Vec::new();
        for (key, (proposal, vote)) in &self.newest {
            let signed = [proposal.as_ref().map(Statement::from), vote.as_ref().map(Statement::from)];
            let newest = signed.into_iter().flatten().map(|statement| statement.progress().0).max();
            heights.extend(newest.zip(set.power(key).map(u128::from)));
        }
        heights.sort_by_key(|(height, _)| Reverse(*height));
        let mut power = 0;
        let has_honest = |(_, more): &(Height, u128)| {
            power += more;
            power * 3 > set.total()
        };
        heights.into_iter().find(has_honest).map(|(height, _)| height)
    }

    /// As [`Received::note`], for an entry of the log.
    pub(super) fn record(&mut self, entry: &WalEntry) {
        match entry {
            WalEntry::Vote(signed) => self.note(&Message::Vote(*signed)),
            WalEntry::Proposal(signed) => self.note(&Message::Proposal(*signed, Bytes::new())),
            _ => {}
        }
    }

    /// The newest messages of the validator that makes the claim, and whether it gets the lease. `height` is the one in
    /// progress here.
    pub(super) fn seen(&mut self, claim: &Claim, height: Height, now: Instant) -> Seen {
        let (proposal, vote) = self.newest.get(&claim.key).copied().unwrap_or_default();
        Seen { height, proposal, vote, grants: self.leases.grant(claim, now) }
    }

    /// Whether the message is one to buffer: of a height from `now` on, within bounds, and not buffered yet.
    pub(super) fn takes(&self, message: &Message, now: Height) -> bool {
        let height = message.statement().progress().0;
        if height < now || height.0 > now.0.saturating_add(HEIGHTS) {
            return false;
        }
        self.early.get(&height).is_none_or(|early| match message {
            Message::Vote(signed) => {
                early.votes.get(&signed.voter).is_none_or(|votes| votes.len() < VOTES && !votes.contains(signed))
            }
            Message::Proposal(signed, _) => {
                early.proposals.len() < PROPOSALS && !early.proposals.contains_key(&signed.proposer)
            }
        })
    }

    /// Buffers a message that was verified, if it is one to buffer.
    pub(super) fn buffer(&mut self, message: Message, now: Height) {
        if !self.takes(&message, now) {
            return;
        }
        let early = self.early.entry(message.statement().progress().0).or_default();
        match message {
            Message::Vote(signed) => early.votes.entry(signed.voter).or_default().push(signed),
            Message::Proposal(signed, block) => _ = early.proposals.insert(signed.proposer, (signed, block)),
        }
    }

    /// Whether anything of this height is buffered.
    pub(super) fn has_buffered(&self, height: Height) -> bool {
        self.early.contains_key(&height)
    }

    /// What is buffered of this height, proposals first.
    pub(super) fn drain(&mut self, height: Height) -> Vec<Message> {
        let early = self.early.remove(&height).unwrap_or_default();
        let proposals = early.proposals.into_values().map(|(signed, block)| Message::Proposal(signed, block));
        proposals.chain(early.votes.into_values().flatten().map(Message::Vote)).collect()
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::{ledger::vote::Vote, sign::Keypair, wire::consensus::Incarnation};

    use super::*;

    fn vote(seed: u8, height: u64, round: u32) -> SignedVote {
        let vote = Vote { kind: VoteKind::Prevote, height: Height(height), round, block: None };
        SignedVote::sign(vote, &Keypair::from_seed(&[seed; 32]), &ChainId::new([1; 32]))
    }

    #[test]
    fn the_newest_of_each_is_known() {
        let mut received = Received::default();
        for signed in [vote(1, 5, 2), vote(1, 5, 1), vote(2, 9, 0), vote(1, 4, 7)] {
            received.note(&Message::Vote(signed));
        }
        let claim = |seed| {
            let (key, asked) = (vote(seed, 0, 0).voter, vote(9, 0, 0).voter);
            Claim { key, asked, incarnation: Incarnation([1; 16]), earlier: Vec::new() }
        };
        assert_eq!(received.seen(&claim(1), Height(6), Instant::now()).vote, Some(vote(1, 5, 2)));
        let nothing = Seen { height: Height(6), grants: true, ..Seen::default() };
        assert_eq!(received.seen(&claim(3), Height(6), Instant::now()), nothing);
    }

    #[test]
    fn who_has_not_voted_in_a_round_is_missing() {
        let key = |seed| vote(seed, 0, 0).voter;
        let set = ValidatorSet::new([1, 2, 3, 4].map(|seed| (key(seed), 1)));
        let mut received = Received::default();
        for signed in [vote(1, 5, 2), vote(2, 5, 1), vote(3, 6, 0)] {
            received.note(&Message::Vote(signed));
        }
        let missing = |received: &Received| received.missing(&set, &key(1), (Height(5), 2));
        let among =
            |keys: &[VoteKey]| set.iter().map(|(key, _)| key).filter(|key| keys.contains(key)).collect::<Vec<_>>();
        assert_eq!(missing(&received), among(&[key(2), key(4)]));
        received.note(&Message::Vote(vote(4, 5, 2)));
        assert_eq!(missing(&received), among(&[key(2)]));
        let second = Vote { kind: VoteKind::Precommit, ..vote(1, 5, 2).vote };
        received.note(&Message::Vote(SignedVote { vote: second, ..vote(1, 5, 2) }));
        assert_eq!(missing(&received), among(&[key(2), key(4)]), "the fourth has not cast its second vote");
    }

    #[test]
    fn one_validator_alone_does_not_show_how_far_the_others_are() {
        let key = |seed| vote(seed, 0, 0).voter;
        let set = ValidatorSet::new([(key(1), 1), (key(2), 1), (key(3), 1), (key(4), 1)]);
        let steps = [(1, 1000, None), (2, 7, Some(7)), (2, 6, Some(7)), (3, 9, Some(9)), (9, 2000, Some(9))];
        let mut received = Received::default();
        for (seed, height, expect) in steps {
            received.note(&Message::Vote(vote(seed, height, 0)));
            assert_eq!(received.signed_by_honest(&set), expect.map(Height), "{seed} at {height}");
        }
    }

    #[test]
    fn the_buffer_is_bounded() {
        let (mut received, now) = (Received::default(), Height(5));
        for height in [4, 5, 6, 7, 8, 1000] {
            (0..100).for_each(|round| received.buffer(Message::Vote(vote(1, height, round)), now));
        }
        received.buffer(Message::Vote(vote(2, 5, 0)), now);
        let buffered: Vec<usize> = [4, 5, 6, 7, 8, 1000].map(|height| received.drain(Height(height)).len()).into();
        assert_eq!(buffered, [0, VOTES + 1, VOTES, VOTES, 0, 0]);
        assert!(!received.has_buffered(now));
    }
}
