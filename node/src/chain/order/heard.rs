//! What others said that the engine does not hold: the newest of each validator, and what is of a height to come.
//!
//! In go messages whose signatures verified, out come answers to "what have you heard of me, and may I speak", and a
//! height's first messages when it begins. Bounded for each validator. Not here: messages of the present height.

use std::collections::BTreeMap;

use bytes::Bytes;
use ostrakon_proto::{
    id::{Height, VoteKey},
    ledger::{
        Rotation,
        vote::{SignedProposal, SignedVote},
    },
    wire::consensus::{Claim, Seen},
};

use tokio::time::Instant;

use super::{leases::Leases, sign_state::Statement, wal::Entry};

/// Heights above the present one of which messages are kept.
const HEIGHTS: u64 = 2;
/// Votes of one validator at one height to come: eight rounds.
const VOTES: usize = 16;
/// Proposals at one height to come, with their blocks; one of each validator. Others are asked for when they are voted
/// for.
const PROPOSALS: usize = 4;

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A proposal, and what should be its block.
    Proposal(SignedProposal, Bytes),
    /// A vote.
    Vote(SignedVote),
}

/// What was heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    newest: BTreeMap<VoteKey, (Option<SignedProposal>, Option<SignedVote>)>,
    early: BTreeMap<Height, Early>,
    leases: Leases,
}

#[derive(Debug, Default)]
struct Early {
    votes: BTreeMap<VoteKey, Vec<SignedVote>>,
    proposals: BTreeMap<VoteKey, (SignedProposal, Bytes)>,
}

impl Heard {
    /// The height is this now, and these are its validators.
    pub(super) fn advance(&mut self, height: Height, rotation: &Rotation) {
        self.newest.retain(|key, _| rotation.set().power(key).is_some());
        self.leases.advance(rotation.set());
        self.early.retain(|early, _| *early >= height);
    }

    /// Whether it is newer than what is known of who signed it. One who is late speaks of heights that are over.
    pub(super) fn is_new(&self, message: &Message) -> bool {
        match message {
            Message::Vote(signed) => self.is_new_vote(signed),
            Message::Proposal(signed, _) => self.is_new_proposal(signed),
        }
    }

    /// Remembers what an entry of the log says, if it is newer.
    pub(super) fn note(&mut self, entry: &Entry) {
        match entry {
            Entry::Vote(signed) => self.note_vote(signed),
            Entry::Proposal(signed) => self.note_proposal(signed),
            _ => {}
        }
    }

    /// Remembers a vote, if it is newer.
    pub(super) fn note_vote(&mut self, signed: &SignedVote) {
        if self.is_new_vote(signed) {
            self.newest.entry(signed.voter).or_default().1 = Some(*signed);
        }
    }

    /// Remembers a proposal, if it is newer.
    pub(super) fn note_proposal(&mut self, signed: &SignedProposal) {
        if self.is_new_proposal(signed) {
            self.newest.entry(signed.proposer).or_default().0 = Some(*signed);
        }
    }

    fn is_new_vote(&self, signed: &SignedVote) -> bool {
        let last = self.newest.get(&signed.voter).and_then(|newest| newest.1);
        last.is_none_or(|last| Statement::from(&last).progress() < Statement::from(signed).progress())
    }

    fn is_new_proposal(&self, signed: &SignedProposal) -> bool {
        let last = self.newest.get(&signed.proposer).and_then(|newest| newest.0);
        last.is_none_or(|last| Statement::from(&last).progress() < Statement::from(signed).progress())
    }

    /// What was heard of who claims this, by one who is at `height`, and whether the claim is granted.
    pub(super) fn seen(&mut self, claim: &Claim, height: Height, now: Instant) -> Seen {
        let (proposal, vote) = self.newest.get(&claim.key).copied().unwrap_or_default();
        Seen { height, proposal, vote, grants: self.leases.grant(claim, now) }
    }

    /// Keeps a message of a height from `now` on, as far as there is room.
    pub(super) fn keep(&mut self, message: Message, now: Height) {
        let height = match &message {
            Message::Proposal(signed, _) => signed.proposal.height,
            Message::Vote(signed) => signed.vote.height,
        };
        if height < now || height.0 > now.0.saturating_add(HEIGHTS) {
            return;
        }
        let early = self.early.entry(height).or_default();
        match message {
            Message::Vote(signed) => {
                let votes = early.votes.entry(signed.voter).or_default();
                if votes.len() < VOTES && !votes.contains(&signed) {
                    votes.push(signed);
                }
            }
            Message::Proposal(signed, block) => {
                if early.proposals.len() < PROPOSALS {
                    early.proposals.entry(signed.proposer).or_insert((signed, block));
                }
            }
        }
    }

    /// Whether there is anything of this height.
    pub(super) fn has(&self, height: Height) -> bool {
        self.early.contains_key(&height)
    }

    /// What was kept of this height: proposals first.
    pub(super) fn take(&mut self, height: Height) -> Vec<Message> {
        let early = self.early.remove(&height).unwrap_or_default();
        let proposals = early.proposals.into_values().map(|(signed, block)| Message::Proposal(signed, block));
        proposals.chain(early.votes.into_values().flatten().map(Message::Vote)).collect()
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::{
        id::ChainId,
        ledger::vote::{Vote, VoteKind},
        sign::Keypair,
        wire::consensus::Incarnation,
    };

    use super::*;

    fn vote(seed: u8, height: u64, round: u32) -> SignedVote {
        let vote = Vote { kind: VoteKind::Prevote, height: Height(height), round, block: None };
        SignedVote::sign(vote, &Keypair::from_seed(&[seed; 32]), &ChainId::new([1; 32]))
    }

    #[test]
    fn the_newest_of_each_is_known() {
        let mut heard = Heard::default();
        for signed in [vote(1, 5, 2), vote(1, 5, 1), vote(2, 9, 0), vote(1, 4, 7)] {
            heard.note_vote(&signed);
        }
        let claim = |seed| {
            let (key, asked) = (vote(seed, 0, 0).voter, vote(9, 0, 0).voter);
            Claim { key, asked, incarnation: Incarnation([1; 16]), earlier: Vec::new() }
        };
        assert_eq!(heard.seen(&claim(1), Height(6), Instant::now()).vote, Some(vote(1, 5, 2)));
        let nothing = Seen { height: Height(6), grants: true, ..Seen::default() };
        assert_eq!(heard.seen(&claim(3), Height(6), Instant::now()), nothing);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (mut heard, now) = (Heard::default(), Height(5));
        for height in [4, 5, 6, 7, 8, 1000] {
            (0..100).for_each(|round| heard.keep(Message::Vote(vote(1, height, round)), now));
        }
        heard.keep(Message::Vote(vote(2, 5, 0)), now);
        let kept: Vec<usize> = [4, 5, 6, 7, 8, 1000].map(|height| heard.take(Height(height)).len()).into();
        assert_eq!(kept, [0, VOTES + 1, VOTES, VOTES, 0, 0]);
        assert!(!heard.has(now));
    }
}
