//! Eviction from a full pool: which transactions a new one displaces, if any.
//!
//! A lane within its share takes space from the lane that exceeds its own, whatever that is worth. Otherwise a new
//! transaction evicts those of its lane that are worth less than itself: the last of an account each time, so that no
//! nonce gap appears, and none of its own account, which it may depend on.

use std::collections::BTreeMap;

use ostrakon_proto::{
    id::AccountId,
    ledger::{CheckedTx, priority::TxPriority},
};

use super::{
    Mempool, Tail,
    queue::{FeeRate, Pooled, Queue, Size},
};

/// One part in this many of the pool is reserved for proofs.
const PROOF_SHARE: usize = 3;

/// The transactions to evict for `tx`, as accounts and nonces in order; `None` when there is no space for it.
pub(super) fn victims(pool: &Mempool, tx: &CheckedTx, next: u64) -> Option<Vec<(AccountId, u64)>> {
    let (account, nonce) = (tx.tx().body.account, tx.tx().body.nonce);
    let queue = pool.accounts.get(&account);
    let own = (pool.lane)(&tx.tx().body.action);
    let priority = Queue::priority(queue, next, tx, own);
    let replaced = queue.and_then(|queue| queue.txs.get(&nonce)).map_or(Size::default(), Pooled::size);
    let mut after = pool.lanes.proof.size;
    after += pool.lanes.ordinary.size;
    after += Size { count: 1, bytes: tx.bytes() };
    after -= replaced;
    let over = Size {
        count: after.count.saturating_sub(pool.bounds.count),
        bytes: after.bytes.saturating_sub(pool.bounds.bytes),
    };
    if over == Size::default() {
        return Some(Vec::new());
    }
    let mine = pool.lanes.of(priority.lane).size;
    let share = share(pool, priority.lane);
    let within = mine.count < share.count && mine.bytes + tx.bytes() <= share.bytes;
    let search = if within && priority.worth > FeeRate::NOTHING {
        Search { lane: other(priority.lane), below: None, except: account }
    } else {
        Search { lane: priority.lane, below: Some(priority.worth), except: account }
    };
    search.run(pool, over)
}

const fn other(lane: TxPriority) -> TxPriority {
    match lane {
        TxPriority::Deadline => TxPriority::Ordinary,
        TxPriority::Ordinary => TxPriority::Deadline,
    }
}

const fn share(pool: &Mempool, lane: TxPriority) -> Size {
    let (count, bytes) = (pool.bounds.count / PROOF_SHARE, pool.bounds.bytes / PROOF_SHARE);
    match lane {
        TxPriority::Deadline => Size { count, bytes },
        TxPriority::Ordinary => Size { count: pool.bounds.count - count, bytes: pool.bounds.bytes - bytes },
    }
}

/// Which transactions may be evicted.
struct Search {
    lane: TxPriority,
    /// Only those worth less than this.
    below: Option<FeeRate>,
    /// The account whose transactions are not evicted.
    except: AccountId,
}

impl Search {
    fn run(&self, pool: &Mempool, over: Size) -> Option<Vec<(AccountId, u64)>> {
        let mut tails = pool.lanes.of(self.lane).tails.iter().peekable();
        // Predecessors of those found: they are the last of their account once those are gone.
        let mut uncovered: BTreeMap<Tail, &Pooled> = BTreeMap::new();
        let (mut found, mut freed) = (Vec::new(), Size::default());
        while freed.count < over.count || freed.bytes < over.bytes {
            let from_tails = match (tails.peek(), uncovered.keys().next()) {
                (Some((tail, _)), Some(other)) => *tail < other,
                (tail, _) => tail.is_some(),
            };
            let pooled = if from_tails {
                tails.next().and_then(|(_, account)| pool.accounts.get(account)?.tail())?
            } else {
                uncovered.pop_first()?.1
            };
            let (account, nonce) = (pooled.tx.tx().body.account, pooled.tx.tx().body.nonce);
            if self.below.is_some_and(|below| pooled.worth >= below) {
                return None;
            }
            if account == self.except {
                continue;
            }
            freed += pooled.size();
            found.push((account, nonce));
            let before = pool.accounts.get(&account).and_then(|queue| queue.txs.range(..nonce).next_back());
            let before = before.map(|(_, before)| before).filter(|before| before.lane == self.lane);
            uncovered.extend(before.map(|before| (before.tail(), before)));
        }
        Some(found)
    }
}
