//! One account's waiting transactions, and what each of them is worth to a block.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    ops::{AddAssign, SubAssign},
    sync::Arc,
};

use ostrakon_proto::ledger::{CheckedTx, priority::TxPriority, tx::Action};

use super::{Rank, Tail};

/// Micro-obols for one byte, in units of 2^-32: compared, never paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rate(u128);

impl Rate {
    /// Of what cannot be taken.
    pub(super) const NOTHING: Self = Self(0);
    const MAX: Self = Self(u128::MAX);

    pub(super) fn of(tx: &CheckedTx) -> Self {
        let bytes = u128::try_from(tx.bytes()).expect("a usize fits");
        Self((u128::from(tx.tx().body.fee.0) << 32) / bytes.max(1))
    }
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) count: usize,
    pub(super) bytes: usize,
}

impl AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.count += other.count;
        self.bytes += other.bytes;
    }
}

impl SubAssign for Size {
    fn sub_assign(&mut self, other: Self) {
        self.count -= other.count;
        self.bytes -= other.bytes;
    }
}

/// A waiting transaction.
#[derive(Clone, Debug)]
pub(super) struct Pooled {
    pub(super) tx: Arc<CheckedTx>,
    pub(super) arrival: u64,
    rate: Rate,
    /// The lane it waits in: its own, unless one before it waits in the ordinary one.
    pub(super) lane: TxPriority,
    /// The least rate of it and those before it; nothing behind a gap.
    pub(super) worth: Rate,
}

impl Pooled {
    /// One whose standing in its account's line is not known yet.
    pub(super) fn new(tx: Arc<CheckedTx>, arrival: u64) -> Self {
        let rate = Rate::of(&tx);
        Self { tx, arrival, rate, lane: TxPriority::Ordinary, worth: Rate::NOTHING }
    }

    pub(super) const fn rank(&self) -> Rank {
        (Reverse(self.rate), self.arrival)
    }

    pub(super) const fn tail(&self) -> Tail {
        (self.worth, Reverse(self.arrival))
    }

    pub(super) fn size(&self) -> Size {
        Size { count: 1, bytes: self.tx.bytes() }
    }
}

/// What a transaction is worth where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) lane: TxPriority,
    pub(super) worth: Rate,
}

impl Standing {
    /// Before the first of a line.
    const FIRST: Self = Self { lane: TxPriority::Deadline, worth: Rate::MAX };
    /// Of whatever waits behind a gap.
    const GAP: Self = Self { lane: TxPriority::Ordinary, worth: Rate::NOTHING };

    /// Of one right behind this, with this rate and lane of its own.
    fn then(self, rate: Rate, lane: TxPriority) -> Self {
        Self { lane: self.lane.max(lane), worth: self.worth.min(rate) }
    }
}

/// One account's line.
#[derive(Debug)]
pub(super) struct Queue {
    /// The account's next nonce in the ledger.
    pub(super) next: u64,
    /// The first nonce from there on that does not wait.
    pub(super) missing: u64,
    /// By nonce.
    pub(super) txs: BTreeMap<u64, Pooled>,
    proofs: Size,
    others: Size,
}

impl Queue {
    pub(super) const fn new(next: u64) -> Self {
        let nothing = Size { count: 0, bytes: 0 };
        Self { next, missing: next, txs: BTreeMap::new(), proofs: nothing, others: nothing }
    }

    /// The one that a block can take, if it is there.
    pub(super) fn head(&self) -> Option<&Pooled> {
        self.txs.get(&self.next)
    }

    /// The one that nothing waits for.
    pub(super) fn tail(&self) -> Option<&Pooled> {
        self.txs.values().next_back()
    }

    pub(super) const fn size_in(&self, lane: TxPriority) -> Size {
        match lane {
            TxPriority::Deadline => self.proofs,
            TxPriority::Ordinary => self.others,
        }
    }

    /// Where `tx` would stand in this line, of which it is not, or would replace one.
    pub(super) fn standing(queue: Option<&Self>, next: u64, tx: &CheckedTx, lane: TxPriority) -> Standing {
        let nonce = tx.tx().body.nonce;
        if nonce == next {
            return Standing::FIRST.then(Rate::of(tx), lane);
        }
        match queue.and_then(|queue| Some((queue, queue.txs.get(&(nonce.checked_sub(1)?))?))) {
            Some((queue, before)) if nonce <= queue.missing => {
                Standing { lane: before.lane, worth: before.worth }.then(Rate::of(tx), lane)
            }
            _ => Standing::GAP,
        }
    }

    /// Says of each where it stands, after any change.
    pub(super) fn settle(&mut self, lane_of: fn(&Action) -> TxPriority) {
        let (mut standing, mut expected) = (Standing::FIRST, self.next);
        (self.proofs, self.others) = (Size::default(), Size::default());
        for (nonce, pooled) in &mut self.txs {
            if *nonce == expected {
                expected = expected.saturating_add(1);
                standing = standing.then(pooled.rate, lane_of(&pooled.tx.tx().body.action));
            } else {
                standing = Standing::GAP;
            }
            (pooled.lane, pooled.worth) = (standing.lane, standing.worth);
            match standing.lane {
                TxPriority::Deadline => self.proofs += pooled.size(),
                TxPriority::Ordinary => self.others += pooled.size(),
            }
        }
        self.missing = expected;
    }
}
