//! Makes room in a full pool: whom a newcomer displaces, if anybody.
//!
//! A lane within its share takes room from the one that has more than its own, whatever that is worth. Else a newcomer
//! displaces those of its lane that are worth less than itself: the last of an account each time, so that no gap is
//! made, and none of its own account, whose last may be what it follows.

use std::collections::BTreeMap;

use ostrakon_proto::{
    id::AccountId,
    ledger::{CheckedTx, priority::TxPriority},
};

use super::{
    Mempool, Tail,
    queue::{Pooled, Queue, Rate, Size},
};

/// The part of the pool that is the proofs' own.
const PROOF_SHARE: usize = 3;

/// Whom to drop for `tx`, as accounts and nonces in the order of dropping; `None` when there is no room for it.
pub(super) fn victims(pool: &Mempool, tx: &CheckedTx, next: u64) -> Option<Vec<(AccountId, u64)>> {
    let (account, nonce) = (tx.tx().body.account, tx.tx().body.nonce);
    let queue = pool.accounts.get(&account);
    let own = (pool.lane)(&tx.tx().body.action);
    let standing = Queue::standing(queue, next, tx, own);
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
    let mine = pool.lanes.of(standing.lane).size;
    let share = share(pool, standing.lane);
    let within = mine.count < share.count && mine.bytes + tx.bytes() <= share.bytes;
    let search = if within && standing.worth > Rate::NOTHING {
        Search { lane: other(standing.lane), below: None, except: account }
    } else {
        Search { lane: standing.lane, below: Some(standing.worth), except: account }
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

/// Who may be displaced.
struct Search {
    lane: TxPriority,
    /// Only what is worth less than this.
    below: Option<Rate>,
    /// Whose are spared.
    except: AccountId,
}

impl Search {
    fn run(&self, pool: &Mempool, over: Size) -> Option<Vec<(AccountId, u64)>> {
        let mut tails = pool.lanes.of(self.lane).tails.iter().peekable();
        // The ones before those found: they are the last of their account once those are gone.
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
