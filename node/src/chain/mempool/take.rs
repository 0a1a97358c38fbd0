//! Fills a block: first the proofs, up to their share, then the highest fee rates.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, btree_map},
    iter::Peekable,
    sync::Arc,
};

use ostrakon_proto::{
    id::AccountId,
    ledger::{CheckedTx, priority::TxPriority},
    limits,
};

use super::{Mempool, Rank, queue::Pooled};

/// Transactions that may be skipped because they do not fit any more; they are among the first of the next block.
const PASSED_OVER: usize = 32;

pub(super) fn take(pool: &Mempool, max_bytes: usize) -> Vec<Arc<CheckedTx>> {
    let mut taking = Taking::new(pool);
    taking.fill_with_proofs(max_bytes / 100 * limits::RESERVED_PERCENT);
    taking.fill(max_bytes);
    taking.taken
}

/// One lane as a block draws from it: the first of each account, and the successors of those that were included.
struct Line<'a> {
    heads: Peekable<btree_map::Iter<'a, Rank, AccountId>>,
    followers: BTreeMap<Rank, &'a Pooled>,
}

/// A block being filled.
struct Taking<'a> {
    pool: &'a Mempool,
    proofs: Line<'a>,
    others: Line<'a>,
    taken: Vec<Arc<CheckedTx>>,
    bytes: usize,
    /// How many of those taken a block charges.
    charged: usize,
}

impl<'a> Line<'a> {
    fn new(pool: &'a Mempool, lane: TxPriority) -> Self {
        Self { heads: pool.lanes.of(lane).heads.iter().peekable(), followers: BTreeMap::new() }
    }

    /// The rank of the next.
    fn peek(&mut self) -> Option<Rank> {
        let (head, follower) = (self.heads.peek().map(|(rank, _)| **rank), self.followers.keys().next().copied());
        match (head, follower) {
            (Some(head), Some(follower)) => Some(head.min(follower)),
            (head, follower) => head.or(follower),
        }
    }

    fn pop(&mut self, pool: &'a Mempool) -> Option<&'a Pooled> {
        let rank = self.peek()?;
        if let Some(follower) = self.followers.remove(&rank) {
            return Some(follower);
        }
        let (_, account) = self.heads.next()?;
        pool.accounts.get(account)?.head()
    }
}

impl<'a> Taking<'a> {
    fn new(pool: &'a Mempool) -> Self {
        let (proofs, others) = (Line::new(pool, TxPriority::Deadline), Line::new(pool, TxPriority::Ordinary));
        Self { pool, proofs, others, taken: Vec::new(), bytes: 0, charged: 0 }
    }

    /// Includes proofs until the next would exceed `max` bytes.
    fn fill_with_proofs(&mut self, max: usize) {
        while let Some(pooled) = self.proofs.pop(self.pool) {
            if self.bytes + pooled.tx.bytes() > max {
                self.proofs.followers.insert(pooled.rank(), pooled);
                return;
            }
            self.put(pooled);
        }
    }

    /// Includes from both lanes while they fit.
    fn fill(&mut self, max: usize) {
        let mut passed_over = 0;
        while passed_over < PASSED_OVER
            && let Some(pooled) = self.best()
        {
            if pooled.is_charged && self.charged >= limits::CHARGED {
                continue;
            }
            if self.bytes + pooled.tx.bytes() > max {
                passed_over += 1;
            } else {
                self.put(pooled);
            }
        }
    }

    /// The next of both lanes.
    fn best(&mut self) -> Option<&'a Pooled> {
        let never = (Reverse(super::FeeRate::NOTHING), u64::MAX);
        let (proof, other) = (self.proofs.peek().unwrap_or(never), self.others.peek().unwrap_or(never));
        if proof < other { self.proofs.pop(self.pool) } else { self.others.pop(self.pool) }
    }

    /// Includes it; its successor becomes available, unless it fails: a block charges after all others.
    fn put(&mut self, pooled: &'a Pooled) {
        self.bytes += pooled.tx.bytes();
        self.taken.push(Arc::clone(&pooled.tx));
        if pooled.is_charged {
            self.charged += 1;
            return;
        }
        let body = &pooled.tx.tx().body;
        let queue = self.pool.accounts.get(&body.account);
        let follower = body.nonce.checked_add(1).and_then(|nonce| queue?.txs.get(&nonce));
        if let Some(follower) = follower {
            let line = if follower.lane == TxPriority::Deadline { &mut self.proofs } else { &mut self.others };
            line.followers.insert(follower.rank(), follower);
        }
    }
}
