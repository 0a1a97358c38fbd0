//! Who works on what: two operations on one column, or on one object's manifest, go one after the other.

use std::{
    collections::BTreeSet,
    sync::{Condvar, Mutex, MutexGuard},
};

use ostrakon_proto::id::{ColumnId, ObjectId};

/// What is being worked on. Columns and objects are both hashes: none is ever the other's.
#[derive(Debug, Default)]
pub(super) struct Claims {
    taken: Mutex<BTreeSet<[u8; 32]>>,
    released: Condvar,
}

/// A column and an object that nobody else works on until this is dropped.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    claims: &'a Claims,
    names: [[u8; 32]; 2],
}

impl Claims {
    /// Waits until nobody works on either; both at once, so that no two can wait for each other.
    pub(super) fn take(&self, column: &ColumnId, object: &ObjectId) -> Claim<'_> {
        let names = [*column.bytes(), *object.bytes()];
        let busy = |taken: &mut BTreeSet<_>| names.iter().any(|name| taken.contains(name));
        let mut taken = self.released.wait_while(self.lock(), busy).expect("no holder of this lock panics");
        taken.extend(names);
        Claim { claims: self, names }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<[u8; 32]>> {
        self.taken.lock().expect("no holder of this lock panics")
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut taken = self.claims.lock();
        for name in &self.names {
            taken.remove(name);
        }
        drop(taken);
        self.claims.released.notify_all();
    }
}
