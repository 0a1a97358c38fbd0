//! One account's queue of transactions, and what each of them is worth to a block.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    ops::{AddAssign, SubAssign},
    sync::Arc,
};

use ostrakon_proto::ledger::{CheckedTx, priority::TxPriority, tx::Action};

use super::{Rank, Tail};

/// A fee in micro-obols for each byte, in units of 2^-32: compared, never paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FeeRate(u128);

impl FeeRate {
    /// The rate of what cannot be included.
    pub(super) const NOTHING: Self = Self(0);
    const MAX: Self = Self(u128::MAX);

    pub(super) fn of(tx: &CheckedTx) -> Self {
        let bytes = u128::try_from(tx.bytes()).expect("a usize fits");
        Self((u128::from(tx.tx().body.fee.0) << 32) / bytes.max(1))
    }
}

/// A number of transactions, and their bytes.
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

/// A transaction in the pool.
#[derive(Clone, Debug)]
pub(super) struct Pooled {
    pub(super) tx: Arc<CheckedTx>,
    pub(super) arrival: u64,
    rate: FeeRate,
    /// Whether it fails after costly checks, so that a block charges it.
    pub(super) is_charged: bool,
    /// The lane it waits in: its own, unless one before it waits in the ordinary one.
    pub(super) lane: TxPriority,
    /// The lowest rate of it and those before it; [`FeeRate::NOTHING`] behind a gap.
    pub(super) worth: FeeRate,
}

impl Pooled {
    /// A transaction whose priority is not known yet.
    pub(super) fn new(tx: Arc<CheckedTx>, arrival: u64) -> Self {
        let rate = FeeRate::of(&tx);
        Self { tx, arrival, rate, is_charged: false, lane: TxPriority::Ordinary, worth: FeeRate::NOTHING }
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

/// TxPriority and worth of a transaction at its position in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Priority {
    pub(super) lane: TxPriority,
    pub(super) worth: FeeRate,
}

impl Priority {
    /// Before the first of a queue.
    const FIRST: Self = Self { lane: TxPriority::Deadline, worth: FeeRate::MAX };
    /// Behind a gap.
    const GAP: Self = Self { lane: TxPriority::Ordinary, worth: FeeRate::NOTHING };

    /// Of the next one, with this rate and lane of its own.
    fn then(self, rate: FeeRate, lane: TxPriority) -> Self {
        Self { lane: self.lane.max(lane), worth: self.worth.min(rate) }
    }
}

/// One account's queue.
#[derive(Debug)]
pub(super) struct Queue {
    /// The account's next nonce in the ledger.
    pub(super) next: u64,
    /// The first nonce from there on that is not in the pool.
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

    /// The transaction that a block can include next, if it is there.
    pub(super) fn head(&self) -> Option<&Pooled> {
        self.txs.get(&self.next)
    }

    /// The transaction with the highest nonce.
    pub(super) fn tail(&self) -> Option<&Pooled> {
        self.txs.values().next_back()
    }

    pub(super) const fn size_in(&self, lane: TxPriority) -> Size {
        match lane {
            TxPriority::Deadline => self.proofs,
            TxPriority::Ordinary => self.others,
        }
    }

    /// The priority that `tx` would have in this queue, added or replacing another.
    pub(super) fn priority(queue: Option<&Self>, next: u64, tx: &CheckedTx, lane: TxPriority) -> Priority {
        let nonce = tx.tx().body.nonce;
        if nonce == next {
            return Priority::FIRST.then(FeeRate::of(tx), lane);
        }
        match queue.and_then(|queue| Some((queue, queue.txs.get(&(nonce.checked_sub(1)?))?))) {
            Some((queue, before)) if nonce <= queue.missing => {
                Priority { lane: before.lane, worth: before.worth }.then(FeeRate::of(tx), lane)
            }
            _ => Priority::GAP,
        }
    }

    /// Computes the priority of each, after any change.
    pub(super) fn settle(&mut self, lane_of: fn(&Action) -> TxPriority) {
        let (mut priority, mut expected) = (Priority::FIRST, self.next);
        (self.proofs, self.others) = (Size::default(), Size::default());
        for (nonce, pooled) in &mut self.txs {
            if *nonce == expected {
                expected = expected.saturating_add(1);
                priority = priority.then(pooled.rate, lane_of(&pooled.tx.tx().body.action));
            } else {
                priority = Priority::GAP;
            }
            (pooled.lane, pooled.worth) = (priority.lane, priority.worth);
            match priority.lane {
                TxPriority::Deadline => self.proofs += pooled.size(),
                TxPriority::Ordinary => self.others += pooled.size(),
            }
        }
        self.missing = expected;
    }
}
