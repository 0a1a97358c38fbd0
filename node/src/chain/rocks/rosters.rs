//! The rosters of the newest state, in memory: they follow from the records of providers, and draws need all of them.
//!
//! In come rosters with their height, before the block is written; out go those of a view, whose snapshot of the
//! database is of the height before or after. So a view has the rosters of its own height, whenever it was made.

use std::sync::Mutex;

use ostrakon_net::lock;
use ostrakon_proto::{id::Height, ledger::Rosters};

/// The rosters of the newest height, and of the one before it.
#[derive(Clone, Debug, Default)]
pub(super) struct TwoRosters([(Height, Rosters); 2]);

impl TwoRosters {
    /// Those of this height, which is one of the two.
    pub(super) fn of(&self, height: Height) -> Rosters {
        let found = self.0.iter().rev().find(|(of, _)| *of == height).map(|(_, rosters)| rosters.clone());
        found.expect("invariant: a snapshot is of the height whose block was written last")
    }
}

/// The rosters that views are given.
#[derive(Debug, Default)]
pub(super) struct RecentRosters(Mutex<TwoRosters>);

impl RecentRosters {
    /// The block of this height is about to be written, or was written last.
    pub(super) fn note(&self, height: Height, rosters: Rosters) {
        let TwoRosters([before, newest]) = &mut *lock(&self.0);
        *before = std::mem::replace(newest, (height, rosters));
    }

    /// The result of `make`, with the rosters of the height that it saw: none is noted while it runs.
    pub(super) fn beside<T>(&self, make: impl FnOnce() -> T) -> (T, TwoRosters) {
        let two = lock(&self.0);
        (make(), two.clone())
    }
}
