//! Transactions that wait for a block: pure, bounded, in the order of nonces within each account.
//!
//! In come transactions that the chain has judged, out go those that the next block may take. Whether a transaction is
//! valid is not decided here, and nothing here touches a clock or a lock.

use std::collections::BTreeMap;

use ostrakon_proto::{
    codec,
    id::{AccountId, Height, TxId},
    ledger::tx::Tx,
    limits,
};

/// What the pool may hold. Strangers fill it, so every dimension has an end.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Transactions.
    pub count: usize,
    /// Bytes of them together.
    pub bytes: usize,
    /// Transactions of one account.
    pub per_account: usize,
    /// Nonces that may be missing before a transaction: what is pooled out of order.
    pub gap: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { count: 16_384, bytes: 32 * 1024 * 1024, per_account: 64, gap: 16 }
    }
}

/// Why a transaction is not pooled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// Its nonce was used: sign it again with the next one.
    #[error("nonce {nonce} is used already; the account's next is {next}")]
    Used {
        /// Its nonce.
        nonce: u64,
        /// The account's.
        next: u64,
    },
    /// Transactions before it are missing: submit those first.
    #[error("nonce {nonce} is too far ahead; the account's next is {next}")]
    Ahead {
        /// Its nonce.
        nonce: u64,
        /// The first that is missing.
        next: u64,
    },
    /// Another transaction waits under this nonce: raise the fee by a tenth to replace it.
    #[error("another transaction with nonce {nonce} waits already; a replacement must pay {need} micro-obols or more")]
    Underpriced {
        /// Its nonce.
        nonce: u64,
        /// The least fee that replaces the other.
        need: u64,
    },
    /// The account has as many as it may: wait for a block.
    #[error("{max} transactions of the account wait already")]
    AccountFull {
        /// How many it may have.
        max: usize,
    },
    /// The pool has as much as it may: wait, or ask another node.
    #[error("the node has all the waiting transactions it may keep")]
    Full,
}

#[derive(Clone, Debug)]
struct Pooled {
    tx: Tx,
    id: TxId,
    bytes: usize,
    arrival: u64,
}

/// The waiting transactions.
#[derive(Debug, Default)]
pub struct Mempool {
    bounds: Bounds,
    accounts: BTreeMap<AccountId, BTreeMap<u64, Pooled>>,
    ids: BTreeMap<TxId, (AccountId, u64)>,
    bytes: usize,
    arrivals: u64,
}

impl Mempool {
    /// An empty pool with these bounds.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, ..Self::default() }
    }

    /// Transactions that wait.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether this one waits.
    pub fn contains(&self, id: &TxId) -> bool {
        self.ids.contains_key(id)
    }

    /// The account's waiting transactions that follow `nonce` without a gap, up to and without `until`.
    pub fn run_of(&self, account: &AccountId, nonce: u64, until: u64) -> Vec<Tx> {
        let waiting = self.accounts.get(account).into_iter().flat_map(|of| of.range(nonce..until.max(nonce)));
        waiting
            .zip(nonce..)
            .take_while(|((at, _), want)| *at == want)
            .map(|((_, pooled), _)| pooled.tx.clone())
            .collect()
    }

    /// Takes `tx` in; `next` is its account's nonce in the ledger. What it replaces is dropped.
    ///
    /// # Errors
    /// [`PoolError`] says what stands against it; the pool is then unchanged.
    pub fn insert(&mut self, tx: Tx, next: u64) -> Result<(), PoolError> {
        let id = tx.id();
        if self.contains(&id) {
            return Ok(());
        }
        let bytes = codec::encode(&tx).len();
        self.admit(&tx, bytes, next)?;
        let (account, nonce, arrival) = (tx.body.account, tx.body.nonce, self.arrivals);
        self.remove(&account, nonce);
        self.arrivals += 1;
        self.bytes += bytes;
        self.ids.insert(id, (account, nonce));
        self.accounts.entry(account).or_default().insert(nonce, Pooled { tx, id, bytes, arrival });
        Ok(())
    }

    fn admit(&self, tx: &Tx, bytes: usize, next: u64) -> Result<(), PoolError> {
        let nonce = tx.body.nonce;
        if nonce < next {
            return Err(PoolError::Used { nonce, next });
        }
        let mine = self.accounts.get(&tx.body.account);
        let missing = next + u64::try_from(self.run_of(&tx.body.account, next, nonce).len()).expect("a count fits");
        if nonce - missing > self.bounds.gap {
            return Err(PoolError::Ahead { nonce, next: missing });
        }
        let replaced = mine.and_then(|of| of.get(&nonce));
        if let Some(other) = replaced {
            let need = other.tx.body.fee.0.saturating_add(other.tx.body.fee.0.div_ceil(10).max(1));
            if tx.body.fee.0 < need {
                return Err(PoolError::Underpriced { nonce, need });
            }
        } else if mine.is_some_and(|of| of.len() >= self.bounds.per_account) {
            return Err(PoolError::AccountFull { max: self.bounds.per_account });
        }
        let count = self.len() + usize::from(replaced.is_none());
        let total = self.bytes - replaced.map_or(0, |other| other.bytes) + bytes;
        if count > self.bounds.count || total > self.bounds.bytes { Err(PoolError::Full) } else { Ok(()) }
    }

    /// What a block may take now: the accounts' next transactions, first come first served, at most
    /// [`limits::BLOCK`] bytes. They stay until [`Mempool::advance`] or [`Mempool::drop_tx`].
    pub fn ready(&self, next: impl Fn(&AccountId) -> u64) -> Vec<Tx> {
        let mut heads: BTreeMap<u64, &Pooled> = BTreeMap::new();
        for (account, of) in &self.accounts {
            heads.extend(of.get(&next(account)).map(|pooled| (pooled.arrival, pooled)));
        }
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some((_, pooled)) = heads.pop_first() {
            if bytes + pooled.bytes > limits::BLOCK {
                continue;
            }
            bytes += pooled.bytes;
            taken.push(pooled.tx.clone());
            let body = &pooled.tx.body;
            let follower = self.accounts.get(&body.account).and_then(|of| of.get(&(body.nonce + 1)));
            heads.extend(follower.map(|pooled| (pooled.arrival, pooled)));
        }
        taken
    }

    /// All that wait, in the order of arrival: what a node tells the proposer again.
    pub fn waiting(&self) -> Vec<Tx> {
        let all = self.accounts.values().flat_map(BTreeMap::values);
        let by_arrival: BTreeMap<u64, &Pooled> = all.map(|pooled| (pooled.arrival, pooled)).collect();
        by_arrival.into_values().map(|pooled| pooled.tx.clone()).collect()
    }

    /// Drops what a block at `height` used or outlived: the used nonces of `accounts` and what expired.
    pub fn advance(&mut self, height: Height, accounts: impl IntoIterator<Item = (AccountId, u64)>) {
        for (account, next) in accounts {
            let used = self.accounts.get(&account).into_iter().flat_map(|of| of.range(..next));
            let used: Vec<u64> = used.map(|(nonce, _)| *nonce).collect();
            used.into_iter().for_each(|nonce| self.remove(&account, nonce));
        }
        let all = self.accounts.values().flat_map(BTreeMap::values);
        let expired = all.filter(|pooled| pooled.tx.body.valid_until <= height).map(|pooled| pooled.id);
        let expired: Vec<TxId> = expired.collect();
        expired.iter().for_each(|id| self.drop_tx(id));
    }

    /// Drops one transaction: the rules refuse it for good.
    pub fn drop_tx(&mut self, id: &TxId) {
        if let Some((account, nonce)) = self.ids.get(id).copied() {
            self.remove(&account, nonce);
        }
    }

    fn remove(&mut self, account: &AccountId, nonce: u64) {
        let Some(of) = self.accounts.get_mut(account) else { return };
        if let Some(pooled) = of.remove(&nonce) {
            self.ids.remove(&pooled.id);
            self.bytes -= pooled.bytes;
        }
        if of.is_empty() {
            self.accounts.remove(account);
        }
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::{
        id::{Amount, ChainId},
        ledger::tx::{Action, Transfer, TxBody},
        sign::Keypair,
    };

    use super::*;

    /// A transfer by account number `who`, with this nonce and fee.
    fn tx(who: u8, nonce: u64, fee: u64) -> Tx {
        let key = Keypair::from_seed(&[who; 32]);
        let action = Action::Transfer(Transfer { to: key.public(), amount: Amount(1) });
        let body = TxBody { account: key.public(), nonce, valid_until: Height(100), fee: Amount(fee), action };
        Tx::sign(body, &key, &ChainId::new([0; 32]))
    }

    fn nonces(txs: &[Tx]) -> Vec<u64> {
        txs.iter().map(|tx| tx.body.nonce).collect()
    }

    #[test]
    fn takes_in_what_its_bounds_allow() {
        let bounds = Bounds { count: 4, bytes: 4096, per_account: 3, gap: 2 };
        let mut pool = Mempool::new(bounds);
        let mut check = |tx: Tx, next, expect| assert_eq!(pool.insert(tx, next), expect);
        check(tx(1, 4, 100), 5, Err(PoolError::Used { nonce: 4, next: 5 }));
        check(tx(1, 8, 100), 5, Err(PoolError::Ahead { nonce: 8, next: 5 }));
        check(tx(1, 7, 100), 5, Ok(()));
        check(tx(1, 7, 100), 5, Ok(()));
        check(tx(1, 5, 100), 5, Ok(()));
        check(tx(1, 8, 100), 5, Ok(()));
        check(tx(1, 6, 100), 5, Err(PoolError::AccountFull { max: 3 }));
        check(tx(1, 5, 109), 5, Err(PoolError::Underpriced { nonce: 5, need: 110 }));
        check(tx(1, 5, 110), 5, Ok(()));
        check(tx(2, 0, 100), 0, Ok(()));
        check(tx(3, 0, 100), 0, Err(PoolError::Full));
        assert_eq!(pool.len(), 4);
    }

    #[test]
    fn bytes_are_bounded_and_counted_back() {
        let size = codec::encode(&tx(1, 0, 100)).len();
        let mut pool = Mempool::new(Bounds { bytes: 2 * size, ..Bounds::default() });
        pool.insert(tx(1, 0, 100), 0).expect("room");
        pool.insert(tx(2, 0, 100), 0).expect("room");
        assert_eq!(pool.insert(tx(3, 0, 100), 0), Err(PoolError::Full));
        pool.advance(Height(1), [(Keypair::from_seed(&[1; 32]).public(), 1)]);
        pool.insert(tx(3, 0, 100), 0).expect("room again");
        pool.advance(Height(100), []);
        assert!(pool.is_empty());
        assert_eq!(pool.bytes, 0);
    }

    #[test]
    fn hands_out_runs_of_nonces_in_order_of_arrival() {
        let mut pool = Mempool::default();
        for (who, nonce) in [(1, 1), (2, 0), (1, 0), (2, 2), (1, 2)] {
            pool.insert(tx(who, nonce, 100), 0).expect("room");
        }
        let first: AccountId = Keypair::from_seed(&[1; 32]).public();
        let ready = pool.ready(|_| 0);
        let mine =
            |who: &AccountId| nonces(&ready.iter().filter(|tx| tx.body.account == *who).cloned().collect::<Vec<_>>());
        assert_eq!(mine(&first), [0, 1, 2]);
        assert_eq!(mine(&Keypair::from_seed(&[2; 32]).public()), [0]);
        assert_ne!(ready[0].body.account, first, "who came first is served first");
        assert_eq!(nonces(&pool.run_of(&first, 1, 2)), [1]);
        assert_eq!(nonces(&pool.run_of(&first, 0, u64::MAX)), [0, 1, 2]);
        assert_eq!(nonces(&pool.run_of(&first, 5, 2)), []);
        assert_eq!(pool.waiting().len(), 5);
    }

    #[test]
    fn a_block_is_not_overfilled() {
        let mut pool = Mempool::new(Bounds { per_account: 10_000, gap: 10_000, ..Bounds::default() });
        let size = codec::encode(&tx(1, 0, 100)).len();
        for who in 0..250 {
            for nonce in 0..24 {
                pool.insert(tx(who, nonce, 100), 0).expect("room");
            }
        }
        assert_eq!(pool.ready(|_| 0).len(), limits::BLOCK / size);
    }
}
