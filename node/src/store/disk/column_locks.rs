//! Locks by column and object: two operations on one column, or on one object's manifest, run one after the other.

use std::{
    collections::BTreeSet,
    sync::{Condvar, Mutex, PoisonError},
};

use ostrakon_net::lock;
use ostrakon_proto::id::{ColumnId, ObjectId};

/// The columns and objects that are locked. Both are hashes, so no column collides with an object.
#[derive(Debug, Default)]
pub(super) struct ColumnLocks {
    locked: Mutex<BTreeSet<[u8; 32]>>,
    released: Condvar,
}

/// Columns and objects that are locked until this is dropped.
#[derive(Debug)]
pub(super) struct ColumnLock<'a> {
    locks: &'a ColumnLocks,
    names: BTreeSet<[u8; 32]>,
}

impl ColumnLocks {
    /// Waits until neither is locked, and locks both.
    pub(super) fn take(&self, column: &ColumnId, object: &ObjectId) -> ColumnLock<'_> {
        self.take_all([(*column, *object)])
    }

    /// Waits until none is locked, and locks all together, so that no deadlock is possible.
    pub(super) fn take_all(&self, pairs: impl IntoIterator<Item = (ColumnId, ObjectId)>) -> ColumnLock<'_> {
        let names = pairs.into_iter().flat_map(|(column, object)| [*column.bytes(), *object.bytes()]);
        let names: BTreeSet<_> = names.collect();
        let busy = |taken: &mut BTreeSet<_>| names.iter().any(|name| taken.contains(name));
        let mut taken = self.released.wait_while(lock(&self.locked), busy).unwrap_or_else(PoisonError::into_inner);
        taken.extend(names.iter().copied());
        drop(taken);
        ColumnLock { locks: self, names }
    }
}

impl Drop for ColumnLock<'_> {
    fn drop(&mut self) {
        let mut taken = lock(&self.locks.locked);
        for name in &self.names {
            taken.remove(name);
        }
        drop(taken);
        self.locks.released.notify_all();
    }
}
