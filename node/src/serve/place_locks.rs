//! Finishes of one column, or of one object, run one after the other, and wait for that here: in the store, which locks
//! the same, each would wait inside a worker, and a handful of them would have all. What waits has no turn, either.

use std::{
    collections::BTreeSet,
    pin::pin,
    sync::{Arc, Mutex},
};

use ostrakon_net::lock;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::store::PlaceKey;

/// The columns and objects that are being finished. Both are hashes, so no column collides with an object.
#[derive(Debug, Default)]
pub(super) struct PlaceLocks {
    locked: Mutex<BTreeSet<[u8; 32]>>,
    released: Notify,
}

/// A column and an object that are locked until this is dropped.
#[derive(Debug)]
pub(super) struct PlaceLock<'a> {
    locks: &'a PlaceLocks,
    names: [[u8; 32]; 2],
}

impl PlaceLocks {
    /// Waits until neither is locked, without the turn, and locks both together, so that no deadlock is possible;
    /// returns with a turn. Cancel-safe.
    pub(super) async fn take(
        &self,
        place: PlaceKey,
        turn: OwnedSemaphorePermit,
    ) -> (PlaceLock<'_>, OwnedSemaphorePermit) {
        if let Some(lock) = self.try_take(place) {
            return (lock, turn);
        }
        let turns = Arc::clone(turn.semaphore());
        drop(turn);
        let lock = self.wait(place).await;
        (lock, turns.acquire_owned().await.expect("the semaphore is never closed"))
    }

    async fn wait(&self, place: PlaceKey) -> PlaceLock<'_> {
        loop {
            let mut released = pin!(self.released.notified());
            // Before the look: what is released after it is noticed.
            released.as_mut().enable();
            if let Some(lock) = self.try_take(place) {
                return lock;
            }
            released.await;
        }
    }

    fn try_take(&self, place: PlaceKey) -> Option<PlaceLock<'_>> {
        let names = [*place.column.bytes(), *place.object.bytes()];
        let mut locked = lock(&self.locked);
        if names.iter().any(|name| locked.contains(name)) {
            return None;
        }
        locked.extend(names);
        Some(PlaceLock { locks: self, names })
    }
}

impl Drop for PlaceLock<'_> {
    fn drop(&mut self) {
        {
            let mut locked = lock(&self.locks.locked);
            for name in &self.names {
                locked.remove(name);
            }
        }
        self.locks.released.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures::poll;
    use ostrakon_proto::id::{ColumnId, ObjectId};
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_shares_a_column_or_an_object_waits_without_a_turn() {
        let (locks, turns) = (PlaceLocks::default(), Arc::new(Semaphore::new(4)));
        let take = async |column, object| {
            let turn = Arc::clone(&turns).acquire_owned().await.expect("open");
            let (column, object) = (ColumnId::new([column; 32]), ObjectId::new([object; 32]));
            locks.take(PlaceKey { column, object, extent: 0, index: 0 }, turn).await
        };
        let (first, other) = (take(1, 101).await, take(2, 102).await);
        assert_eq!(turns.available_permits(), 2);
        let mut column = pin!(take(1, 103));
        assert!(poll!(&mut column).is_pending());
        {
            let mut object = pin!(take(3, 101));
            assert!(poll!(&mut object).is_pending());
            assert_eq!(turns.available_permits(), 2, "those who wait have none");
            drop(other);
            assert!(poll!(&mut object).is_pending(), "another one's release changes nothing");
        }
        drop(first);
        let column = column.await;
        assert_eq!(turns.available_permits(), 3, "one with a turn again");
        drop(column);
        let _all = (take(1, 101).await, take(2, 102).await);
    }
}
