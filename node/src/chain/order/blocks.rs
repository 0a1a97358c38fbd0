//! The blocks of the height being decided: their bytes, how they were proposed, what was found of them, and which are
//! missing.
//!
//! In go proposals and votes, out come blocks to judge, to hand on and to ask for. Bounded: each round keeps as many
//! blocks as one proposer may contradict itself with, and those that others vote for. Pure. Not here: doing any of it.

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

use super::wal::Entry;

/// Blocks of one round that are kept unasked: two are enough to convict their proposer.
const PER_ROUND: usize = 2;
/// Blocks that are missing at once.
const WANTED: usize = 16;
/// A vote travels faster than the block that it is for: so long the block may still come by itself.
const LATE: Duration = Duration::from_millis(150);

/// What is known of the height's blocks.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    bytes: BTreeMap<BlockId, Bytes>,
    proposals: BTreeMap<BlockId, SignedProposal>,
    rounds: BTreeMap<u32, BTreeSet<BlockId>>,
    found: BTreeMap<BlockId, Finding>,
    built: BTreeMap<u32, BlockId>,
    wanted: BTreeMap<BlockId, Wanted>,
}

/// What was found of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    /// It is being judged.
    Judging,
    /// It may be decided.
    Valid,
    /// As it was proposed, it must not.
    Invalid,
}

/// A block that is missing.
#[derive(Debug)]
struct Wanted {
    /// Who should have it and was not asked yet.
    holders: VecDeque<NodeId>,
    asked: BTreeSet<NodeId>,
    at: Instant,
    is_asking: bool,
}

impl Blocks {
    /// What the log has.
    pub(super) fn restore(log: &[Entry]) -> Self {
        let mut blocks = Self::default();
        for entry in log {
            match entry {
                Entry::Block { id, bytes } => {
                    blocks.bytes.insert(*id, bytes.clone().into());
                }
                Entry::Built { round, id } => {
                    blocks.built.insert(*round, *id);
                    blocks.found.insert(*id, Finding::Valid);
                }
                Entry::Value(value) => blocks.judged(value.block, value.valid),
                Entry::Proposal(signed) => blocks.propose(*signed),
                Entry::Vote(_) | Entry::Polka(_) | Entry::Timeout { .. } => {}
            }
        }
        blocks
    }

    /// The bytes of a block.
    pub(super) fn bytes(&self, id: &BlockId) -> Option<&Bytes> {
        self.bytes.get(id)
    }

    /// A block as it was proposed.
    pub(super) fn proposed(&self, id: &BlockId) -> Option<(SignedProposal, Bytes)> {
        Some((*self.proposals.get(id)?, self.bytes.get(id)?.clone()))
    }

    /// What this validator built for the round.
    pub(super) fn built(&self, round: u32) -> Option<BlockId> {
        self.built.get(&round).copied().filter(|id| self.bytes.contains_key(id))
    }

    /// This validator built this for the round.
    pub(super) fn build(&mut self, round: u32, id: BlockId, bytes: Bytes) {
        self.built.insert(round, id);
        self.found.insert(id, Finding::Valid);
        self.bytes.insert(id, bytes);
    }

    /// The block was proposed so; its signature verified.
    pub(super) fn propose(&mut self, signed: SignedProposal) {
        let proposal = signed.proposal;
        self.rounds.entry(proposal.round).or_default().insert(proposal.block);
        self.proposals.insert(proposal.block, signed);
    }

    /// Whether one more proposal is taken in.
    pub(super) fn has_room(&self, signed: &SignedProposal) -> bool {
        let id = &signed.proposal.block;
        let round = self.rounds.get(&signed.proposal.round);
        self.wanted.contains_key(id) || round.is_none_or(|round| round.contains(id) || round.len() < PER_ROUND)
    }

    /// The bytes of a block came. Whether they are new.
    pub(super) fn insert(&mut self, id: BlockId, bytes: Bytes) -> bool {
        self.wanted.remove(&id);
        self.bytes.insert(id, bytes).is_none()
    }

    /// The block to judge because of this proposal: one that is here, and was not found valid already.
    pub(super) fn take_unjudged(&mut self, id: &BlockId) -> Option<Bytes> {
        let bytes = self.bytes.get(id)?;
        if matches!(self.found.get(id), Some(Finding::Judging | Finding::Valid)) {
            return None;
        }
        self.found.insert(*id, Finding::Judging);
        Some(bytes.clone())
    }

    /// The block was judged.
    pub(super) fn judged(&mut self, id: BlockId, valid: bool) {
        self.found.insert(id, if valid { Finding::Valid } else { Finding::Invalid });
    }

    /// `holder` spoke for this block: if it is not here, `holder` may be asked for it.
    pub(super) fn want(&mut self, id: BlockId, holder: NodeId, now: Instant) {
        if self.bytes.contains_key(&id) || (self.wanted.len() >= WANTED && !self.wanted.contains_key(&id)) {
            return;
        }
        let wanted = self.wanted.entry(id).or_insert_with(|| Wanted {
            holders: VecDeque::new(),
            asked: BTreeSet::new(),
            at: now + LATE,
            is_asking: false,
        });
        if wanted.asked.insert(holder) {
            wanted.holders.push_back(holder);
        }
    }

    /// When the next missing block is to be asked for.
    pub(super) fn next_question(&self) -> Option<Instant> {
        let open = self.wanted.values().filter(|wanted| !wanted.is_asking && !wanted.holders.is_empty());
        open.map(|wanted| wanted.at).min()
    }

    /// The next missing block to ask for, and whom.
    pub(super) fn question(&mut self, now: Instant) -> Option<(BlockId, NodeId)> {
        let ready = |wanted: &Wanted| !wanted.is_asking && wanted.at <= now;
        let mut open = self.wanted.iter_mut().filter(|(_, wanted)| ready(wanted));
        let (id, wanted) = open.find(|(_, wanted)| !wanted.holders.is_empty())?;
        let holder = wanted.holders.pop_front()?;
        wanted.is_asking = true;
        Some((*id, holder))
    }

    /// The answer came, whatever it was.
    pub(super) fn answered(&mut self, id: &BlockId) {
        if let Some(wanted) = self.wanted.get_mut(id) {
            wanted.is_asking = false;
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
        assert_eq!((blocks.question(late), blocks.next_question()), (None, None), "nobody is asked twice");
        assert!(blocks.insert(id(9), Bytes::new()) && blocks.wanted.is_empty());
        (0..100).for_each(|byte| blocks.want(id(byte), node(1), now));
        assert_eq!(blocks.wanted.len(), WANTED);
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
