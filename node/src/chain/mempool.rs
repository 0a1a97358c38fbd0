//! The mempool, transactions that wait for a block: pure, bounded, each account's in the order of nonces, best fee
//! first.
//!
//! In come transactions that the chain has checked, out go those that the next block may include. What a transaction is
//! worth to a block is the lowest fee rate of it and those of its account before it: a high fee behind a low one waits
//! as long as the low one does, and a transaction behind a nonce gap is worth nothing. So a transaction that pays the
//! going rate is evicted only by others that pay more, never by what merely looks expensive. Proofs have a lane of
//! their own, with a reserved share of the pool and of each block; a proof behind an ordinary transaction of its own
//! account waits in that one's lane.
//!
//! Whether a transaction is valid is not decided here, and nothing here touches a clock or a lock. [`queue`] is one
//! account's queue, [`take`] fills a block, [`evict`] frees space when the pool is full. Every operation but
//! [`Mempool::drop_if`] takes time logarithmic in the size of the pool, and linear in the bounded number of one
//! account's transactions.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use ostrakon_proto::{
    id::{AccountId, Height, TxId},
    ledger::{
        CheckedTx,
        priority::{self, TxPriority},
        tx::Action,
    },
};

use crate::metrics::PoolMetrics;

mod evict;
mod queue;
mod take;

use queue::{FeeRate, Pooled, Queue, Size};

/// Limits of the pool. Strangers fill it, so every dimension is bounded.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// Transactions.
    pub count: usize,
    /// Their total bytes.
    pub bytes: usize,
    /// Transactions of one account.
    pub per_account: usize,
    /// Nonces that may be missing before a transaction that is pooled out of order.
    pub gap: u64,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self { count: 16_384, bytes: 32 * 1024 * 1024, per_account: 64, gap: 16 }
    }
}

/// Why a transaction is not pooled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// Its nonce was used: sign it again with the next one.
    #[error("nonce {nonce} is used already; sign again with the account's next nonce {next}")]
    Used {
        /// Its nonce.
        nonce: u64,
        /// The account's next nonce.
        next: u64,
    },
    /// Transactions before it are missing: submit those first.
    #[error("nonce {nonce} is too far ahead; submit the transaction with nonce {next} first")]
    Ahead {
        /// Its nonce.
        nonce: u64,
        /// The first that is missing.
        next: u64,
    },
    /// Another transaction waits under this nonce: raise the fee by a tenth to replace it.
    #[error("another transaction with nonce {nonce} is pending; a fee of {need} micro-obols or more replaces it")]
    Underpriced {
        /// Its nonce.
        nonce: u64,
        /// The lowest fee that replaces the other, in micro-obols.
        need: u64,
    },
    /// The account has as many as it may: wait for a block.
    #[error("the account has {max} pending transactions, the most it may have; wait for a block")]
    AccountFull {
        /// The most it may have.
        max: usize,
    },
    /// The pool is full: pay more, wait, or use another node.
    #[error("the node's mempool is full of transactions with higher fees; pay a higher fee, or wait")]
    Full,
}

/// The order in which a block includes: the highest rate first, of equals the one that came first.
type Rank = (Reverse<FeeRate>, u64);
/// The order of eviction: the least worth first, of equals the one that came last.
type Tail = (FeeRate, Reverse<u64>);

/// The waiting transactions.
#[derive(Debug)]
pub struct Mempool {
    bounds: PoolLimits,
    lane: fn(&Action) -> TxPriority,
    accounts: BTreeMap<AccountId, Queue>,
    ids: BTreeMap<TxId, (AccountId, u64)>,
    arrivals: BTreeMap<u64, TxId>,
    expiries: BTreeMap<(Height, u64), TxId>,
    lanes: Lanes,
    arrived: u64,
    metrics: PoolMetrics,
}

/// The index of each lane.
#[derive(Debug, Default)]
struct Lanes {
    proof: Index,
    ordinary: Index,
}

/// One lane: whose transaction a block includes next, and whose is evicted first.
#[derive(Debug, Default)]
struct Index {
    heads: BTreeMap<Rank, AccountId>,
    tails: BTreeMap<Tail, AccountId>,
    size: Size,
}

impl Lanes {
    const fn of(&self, lane: TxPriority) -> &Index {
        match lane {
            TxPriority::Deadline => &self.proof,
            TxPriority::Ordinary => &self.ordinary,
        }
    }

    const fn of_mut(&mut self, lane: TxPriority) -> &mut Index {
        match lane {
            TxPriority::Deadline => &mut self.proof,
            TxPriority::Ordinary => &mut self.ordinary,
        }
    }
}

impl Default for Mempool {
    fn default() -> Self {
        Self::new(PoolLimits::default())
    }
}

impl Mempool {
    /// An empty pool with these limits.
    pub fn new(bounds: PoolLimits) -> Self {
        Self::with_lanes(bounds, priority::priority)
    }

    /// An empty pool with this assignment of lanes.
    fn with_lanes(bounds: PoolLimits, lane: fn(&Action) -> TxPriority) -> Self {
        Self {
            bounds,
            lane,
            accounts: BTreeMap::new(),
            ids: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            expiries: BTreeMap::new(),
            lanes: Lanes::default(),
            arrived: 0,
            metrics: PoolMetrics::default(),
        }
    }

    /// Counts in `metrics` from now on.
    #[must_use]
    pub fn counting(self, metrics: PoolMetrics) -> Self {
        Self { metrics, ..self }
    }

    /// Transactions in the pool.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether a block could include any now.
    pub fn is_ready(&self) -> bool {
        !self.lanes.proof.heads.is_empty() || !self.lanes.ordinary.heads.is_empty()
    }

    /// Whether it has this one.
    pub fn contains(&self, id: &TxId) -> bool {
        self.ids.contains_key(id)
    }

    /// This one, if it has it.
    pub fn get(&self, id: &TxId) -> Option<&Arc<CheckedTx>> {
        let (account, nonce) = self.ids.get(id)?;
        Some(&self.accounts.get(account)?.txs.get(nonce)?.tx)
    }

    /// The account's transactions from `nonce` on, without a gap.
    pub fn run_of(&self, account: &AccountId, nonce: u64) -> Vec<Arc<CheckedTx>> {
        let waiting = self.accounts.get(account).into_iter().flat_map(|queue| queue.txs.range(nonce..));
        let run = waiting.zip(nonce..).take_while(|((at, _), want)| *at == want);
        run.map(|((_, pooled), _)| Arc::clone(&pooled.tx)).collect()
    }

    /// Whether the pool would take `tx`; `next` is its account's next nonce in the ledger. Asked before costly checks,
    /// so that nobody has them made for what cannot be pooled, and so is never charged.
    pub fn has_space_for(&self, tx: &CheckedTx, next: u64) -> bool {
        let next = self.accounts.get(&tx.tx().body.account).map_or(next, |queue| queue.next.max(next));
        self.admit(tx, next).is_ok() && evict::victims(self, tx, next).is_some()
    }

    /// A block is expected to charge this one: it fails after costly checks. A block takes a bounded number of those,
    /// and nothing of their account that comes after them.
    pub fn expect_charge(&mut self, id: &TxId) {
        let Some((account, nonce)) = self.ids.get(id) else { return };
        if let Some(pooled) = self.accounts.get_mut(account).and_then(|queue| queue.txs.get_mut(nonce)) {
            pooled.is_charged = true;
        }
    }

    /// Whether a block is expected to charge this one.
    pub fn expects_charge(&self, id: &TxId) -> bool {
        let pooled = self.ids.get(id).and_then(|(account, nonce)| self.accounts.get(account)?.txs.get(nonce));
        pooled.is_some_and(|pooled| pooled.is_charged)
    }

    /// Up to `max` transactions after arrival number `after`, in the order of arrival, each with its number: those to
    /// forward again.
    pub fn waiting(&self, after: Option<u64>, max: usize) -> Vec<(u64, Arc<CheckedTx>)> {
        let from = after.map_or(0, |after| after.saturating_add(1));
        let ids = self.arrivals.range(from..).take(max);
        ids.filter_map(|(arrival, id)| Some((*arrival, Arc::clone(self.get(id)?)))).collect()
    }

    /// Transactions for the next block, at most `max_bytes` of them. They stay in the pool until [`Mempool::advance`]
    /// or [`Mempool::drop_tx`]: the block may not be decided.
    pub fn take(&self, max_bytes: usize) -> Vec<Arc<CheckedTx>> {
        take::take(self, max_bytes)
    }

    /// Adds `tx`; `next` is its account's next nonce in the ledger. What it replaces or evicts is dropped.
    ///
    /// # Errors
    /// [`PoolError`] says why not; the pool is then unchanged, except that used nonces are dropped.
    pub fn insert(&mut self, tx: Arc<CheckedTx>, next: u64) -> Result<(), PoolError> {
        let inserted = self.try_insert(tx, next);
        self.metrics.set_len(self.len());
        inserted.inspect_err(|error| self.metrics.refuse(error))
    }

    fn try_insert(&mut self, tx: Arc<CheckedTx>, next: u64) -> Result<(), PoolError> {
        if self.contains(&tx.id()) {
            return Ok(());
        }
        let (account, nonce) = (tx.tx().body.account, tx.tx().body.nonce);
        self.advance_account(&account, next);
        let next = self.accounts.get(&account).map_or(next, |queue| queue.next);
        self.admit(&tx, next)?;
        let evicted = evict::victims(self, &tx, next).ok_or(PoolError::Full)?;
        evicted.iter().for_each(|(account, nonce)| self.remove(account, *nonce));
        let arrival = self.arrived;
        self.arrived += 1;
        self.ids.insert(tx.id(), (account, nonce));
        self.arrivals.insert(arrival, tx.id());
        self.expiries.insert((tx.tx().body.valid_until, arrival), tx.id());
        let mut queue = self.detach(&account).unwrap_or_else(|| Queue::new(next));
        let replaced = queue.txs.insert(nonce, Pooled::new(tx, arrival));
        replaced.iter().for_each(|old| self.forget(old));
        self.attach(account, queue);
        Ok(())
    }

    /// Whether the account may have it pooled.
    fn admit(&self, tx: &CheckedTx, next: u64) -> Result<(), PoolError> {
        let (nonce, fee) = (tx.tx().body.nonce, tx.tx().body.fee);
        if nonce < next {
            return Err(PoolError::Used { nonce, next });
        }
        let queue = self.accounts.get(&tx.tx().body.account);
        let missing = queue.map_or(next, |queue| queue.missing);
        if nonce.saturating_sub(missing) > self.bounds.gap {
            return Err(PoolError::Ahead { nonce, next: missing });
        }
        if let Some(other) = queue.and_then(|queue| queue.txs.get(&nonce)) {
            let other = other.tx.tx().body.fee.0;
            let need = other.saturating_add(other.div_ceil(10).max(1));
            return if fee.0 < need { Err(PoolError::Underpriced { nonce, need }) } else { Ok(()) };
        }
        let mine = queue.map_or(0, |queue| queue.txs.len());
        if mine >= self.bounds.per_account {
            return Err(PoolError::AccountFull { max: self.bounds.per_account });
        }
        Ok(())
    }

    /// Drops what a block at `height` included or outlived: the used nonces of `accounts` and what expired.
    pub fn advance(&mut self, height: Height, accounts: impl IntoIterator<Item = (AccountId, u64)>) {
        accounts.into_iter().for_each(|(account, next)| self.advance_account(&account, next));
        let expired: Vec<TxId> = self.expiries.range(..=(height, u64::MAX)).map(|(_, id)| *id).collect();
        expired.iter().for_each(|id| self.drop_tx(id));
    }

    /// Drops one transaction.
    pub fn drop_tx(&mut self, id: &TxId) {
        if let Some((account, nonce)) = self.ids.get(id).copied() {
            self.remove(&account, nonce);
        }
    }

    /// Drops all for which `is_out` holds, because their fee is too low now, say. Looks at each.
    pub fn drop_if(&mut self, is_out: impl Fn(&CheckedTx) -> bool) {
        let waiting = self.accounts.values().flat_map(|queue| queue.txs.values());
        let out: Vec<TxId> = waiting.map(|pooled| &pooled.tx).filter(|tx| is_out(tx)).map(|tx| tx.id()).collect();
        out.iter().for_each(|id| self.drop_tx(id));
    }

    fn remove(&mut self, account: &AccountId, nonce: u64) {
        let Some(mut queue) = self.detach(account) else { return };
        queue.txs.remove(&nonce).iter().for_each(|pooled| self.forget(pooled));
        self.attach(*account, queue);
    }

    /// The account's next nonce is `next` or later: nonces before it are used.
    fn advance_account(&mut self, account: &AccountId, next: u64) {
        if self.accounts.get(account).is_none_or(|queue| queue.next >= next) {
            return;
        }
        let Some(mut queue) = self.detach(account) else { return };
        queue.next = next;
        let left = queue.txs.split_off(&next);
        queue.txs.values().for_each(|used| self.forget(used));
        queue.txs = left;
        self.attach(*account, queue);
    }

    fn forget(&mut self, pooled: &Pooled) {
        self.ids.remove(&pooled.tx.id());
        self.arrivals.remove(&pooled.arrival);
        self.expiries.remove(&(pooled.tx.tx().body.valid_until, pooled.arrival));
        self.metrics.set_len(self.len());
    }

    /// Takes the account's queue out of all indexes, to be changed.
    fn detach(&mut self, account: &AccountId) -> Option<Queue> {
        let queue = self.accounts.remove(account)?;
        if let Some(head) = queue.head() {
            self.lanes.of_mut(head.lane).heads.remove(&head.rank());
        }
        if let Some(tail) = queue.tail() {
            self.lanes.of_mut(tail.lane).tails.remove(&tail.tail());
        }
        for lane in [TxPriority::Deadline, TxPriority::Ordinary] {
            self.lanes.of_mut(lane).size -= queue.size_in(lane);
        }
        Some(queue)
    }

    /// Puts a queue back, and updates the indexes.
    fn attach(&mut self, account: AccountId, mut queue: Queue) {
        queue.settle(self.lane);
        if queue.txs.is_empty() {
            return;
        }
        if let Some(head) = queue.head() {
            self.lanes.of_mut(head.lane).heads.insert(head.rank(), account);
        }
        if let Some(tail) = queue.tail() {
            self.lanes.of_mut(tail.lane).tails.insert(tail.tail(), account);
        }
        for lane in [TxPriority::Deadline, TxPriority::Ordinary] {
            self.lanes.of_mut(lane).size += queue.size_in(lane);
        }
        self.accounts.insert(account, queue);
    }
}

#[cfg(test)]
mod tests;
