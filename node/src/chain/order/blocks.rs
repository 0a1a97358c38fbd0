//! The blocks of the height in progress: their bytes, their proposals, whether they are valid, and which are missing.
//!
//! In go proposals and votes, out come blocks to validate, to send and to fetch. Bounded: each round has as many blocks
//! as it takes to prove that its proposer equivocated, and those that others vote for. Pure. Not here: the work itself
//! ([`super::proposals`]).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use ostrakon_proto::{
    id::{BlockId, NodeId},
    ledger::vote::SignedProposal,
};
use tokio::time::Instant;

use super::wal::WalEntry;

/// Blocks of one round that are accepted without a vote for them: two prove that their proposer equivocated.
const PER_ROUND: usize = 2;
/// Missing blocks that are tracked.
const MISSING: usize = 16;
/// How long a block may still arrive by itself: a vote travels faster than the block that it is for.
const LATE: Duration = Duration::from_millis(150);

/// The height's blocks.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    bytes: BTreeMap<BlockId, Bytes>,
    proposals: BTreeMap<BlockId, SignedProposal>,
    rounds: BTreeMap<u32, BTreeSet<BlockId>>,
    found: BTreeMap<BlockId, Validity>,
    built: BTreeMap<u32, BlockId>,
    missing: BTreeMap<BlockId, Missing>,
}

/// Whether a block may be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Validity {
    /// It is being validated.
    Pending,
    /// It may be decided.
    Valid,
    /// As it was proposed, it must not be decided.
    Invalid,
}

/// A block that is missing.
#[derive(Debug)]
struct Missing {
    /// Nodes that should have it and were not asked yet.
    holders: VecDeque<NodeId>,
    asked: BTreeSet<NodeId>,
    at: Instant,
    is_asking: bool,
}

impl Blocks {
    /// The blocks that the log has.
    pub(super) fn restore(log: &[WalEntry]) -> Self {
        let mut blocks = Self::default();
        for entry in log {
            match entry {
                WalEntry::Block { id, bytes } => {
                    blocks.bytes.insert(*id, bytes.clone().into());
                }
                WalEntry::Built { round, id } => {
                    blocks.built.insert(*round, *id);
                    blocks.found.insert(*id, Validity::Valid);
                }
                WalEntry::Judged(value) => blocks.judged(value.block, value.valid),
                WalEntry::Proposal(signed) => blocks.propose(*signed),
                WalEntry::Vote(_) | WalEntry::Polka(_) | WalEntry::Timeout { .. } => {}
            }
        }
        blocks
    }

    /// The bytes of a block.
    pub(super) fn bytes(&self, id: &BlockId) -> Option<&Bytes> {
        self.bytes.get(id)
    }

    /// A block with its proposal.
    pub(super) fn proposed(&self, id: &BlockId) -> Option<(SignedProposal, Bytes)> {
        Some((*self.proposals.get(id)?, self.bytes.get(id)?.clone()))
    }

    /// The block that this validator built for the round.
    pub(super) fn built(&self, round: u32) -> Option<BlockId> {
        self.built.get(&round).copied().filter(|id| self.bytes.contains_key(id))
    }

    /// This validator built this block for the round.
    pub(super) fn build(&mut self, round: u32, id: BlockId, bytes: Bytes) {
        self.built.insert(round, id);
        self.found.insert(id, Validity::Valid);
        self.bytes.insert(id, bytes);
    }

    /// The block was proposed like this; the signature verified.
    pub(super) fn propose(&mut self, signed: SignedProposal) {
        let proposal = signed.proposal;
        self.rounds.entry(proposal.round).or_default().insert(proposal.block);
        self.proposals.insert(proposal.block, signed);
    }

    /// Whether one more proposal is accepted.
    pub(super) fn accepts(&self, signed: &SignedProposal) -> bool {
        let id = &signed.proposal.block;
        let round = self.rounds.get(&signed.proposal.round);
        self.missing.contains_key(id) || round.is_none_or(|round| round.contains(id) || round.len() < PER_ROUND)
    }

    /// Stores the bytes of a block; whether they are new.
    pub(super) fn insert(&mut self, id: BlockId, bytes: Bytes) -> bool {
        self.missing.remove(&id);
        self.bytes.insert(id, bytes).is_none()
    }

    /// The bytes of a block to validate because of a proposal: one that is here, and is not known to be valid.
    pub(super) fn take_unjudged(&mut self, id: &BlockId) -> Option<Bytes> {
        let bytes = self.bytes.get(id)?;
        if matches!(self.found.get(id), Some(Validity::Pending | Validity::Valid)) {
            return None;
        }
        self.found.insert(*id, Validity::Pending);
        Some(bytes.clone())
    }

    /// The block was validated.
    pub(super) fn judged(&mut self, id: BlockId, valid: bool) {
        self.found.insert(id, if valid { Validity::Valid } else { Validity::Invalid });
    }

    /// `holder` voted for or proposed this block: if it is not here, `holder` may be asked for it.
    pub(super) fn want(&mut self, id: BlockId, holder: NodeId, now: Instant) {
        if self.bytes.contains_key(&id) || (self.missing.len() >= MISSING && !self.missing.contains_key(&id)) {
            return;
        }
        let missing = self.missing.entry(id).or_insert_with(|| Missing {
            holders: VecDeque::new(),
            asked: BTreeSet::new(),
            at: now + LATE,
            is_asking: false,
        });
        if missing.asked.insert(holder) {
            missing.holders.push_back(holder);
        }
    }

    /// When the next missing block is to be fetched.
    pub(super) fn next_question(&self) -> Option<Instant> {
        let open = self.missing.values().filter(|missing| !missing.is_asking && !missing.holders.is_empty());
        open.map(|missing| missing.at).min()
    }

    /// The next missing block to fetch, and the node to ask.
    pub(super) fn question(&mut self, now: Instant) -> Option<(BlockId, NodeId)> {
        let ready = |missing: &Missing| !missing.is_asking && missing.at <= now;
        let mut open = self.missing.iter_mut().filter(|(_, missing)| ready(missing));
        let (id, missing) = open.find(|(_, missing)| !missing.holders.is_empty())?;
        let holder = missing.holders.pop_front()?;
        missing.is_asking = true;
        Some((*id, holder))
    }

    /// The node that was asked answered, or did not in time.
    pub(super) fn answered(&mut self, id: &BlockId) {
        if let Some(missing) = self.missing.get_mut(id) {
            missing.is_asking = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> BlockId {
        BlockId::new([byte; 32])
    }

    #[test]
    fn missing_blocks_are_asked_for_one_holder_after_the_other() {
        let (mut blocks, now) = (Blocks::default(), Instant::now());
        let node = |byte| NodeId::new([byte; 32]);
        for holder in [1, 2, 1] {
            blocks.want(id(9), node(holder), now);
        }
        assert_eq!((blocks.question(now), blocks.next_question()), (None, Some(now + LATE)), "it may come by itself");
        let late = now + LATE;
        assert_eq!((blocks.question(late), blocks.question(late)), (Some((id(9), node(1))), None), "one at a time");
        blocks.answered(&id(9));
        assert_eq!(blocks.question(late), Some((id(9), node(2))));
        blocks.answered(&id(9));
        assert_eq!((blocks.question(late), blocks.next_question()), (None, None), "no node is asked twice");
        assert!(blocks.insert(id(9), Bytes::new()) && blocks.missing.is_empty());
        (0..100).for_each(|byte| blocks.want(id(byte), node(1), now));
        assert_eq!(blocks.missing.len(), MISSING);
    }

    #[test]
    fn a_block_that_was_not_valid_is_judged_again_when_it_is_proposed_again() {
        let mut blocks = Blocks::default();
        assert_eq!(blocks.take_unjudged(&id(1)), None);
        blocks.insert(id(1), Bytes::new());
        assert_eq!((blocks.take_unjudged(&id(1)), blocks.take_unjudged(&id(1))), (Some(Bytes::new()), None));
        blocks.judged(id(1), false);
        assert!(blocks.take_unjudged(&id(1)).is_some());
        blocks.judged(id(1), true);
        assert_eq!(blocks.take_unjudged(&id(1)), None);
    }
}
