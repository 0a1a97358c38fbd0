//! The tip as it moves, for everyone in this node who waits for it.
//!
//! In goes each new tip, out it goes to whoever waits, first come first served. As tokio's `watch`, but without its
//! chance: that one wakes its receivers in random order, and a simulated world could not be lived through twice.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ostrakon_proto::wire::chain::Head;
use tokio::sync::Notify;

/// The tip, and how it is told.
#[derive(Debug)]
pub(super) struct Heads {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    moved: Notify,
}

#[derive(Debug)]
struct State {
    head: Head,
    version: u64,
}

/// One who follows the tip.
#[derive(Debug)]
pub struct Follower {
    shared: Arc<Shared>,
    seen: u64,
}

impl Heads {
    /// Begins with this tip.
    pub(super) fn new(head: Head) -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::new(State { head, version: 0 }), moved: Notify::new() }) }
    }

    /// The tip now.
    pub(super) fn current(&self) -> Head {
        self.shared.state().head.clone()
    }

    /// The tip has moved.
    pub(super) fn advance(&self, head: Head) {
        let mut state = self.shared.state();
        state.head = head;
        state.version += 1;
        drop(state);
        self.shared.moved.notify_waiters();
    }

    /// One who has seen the tip of now.
    pub(super) fn follow(&self) -> Follower {
        Follower { shared: Arc::clone(&self.shared), seen: self.shared.state().version }
    }
}

impl Follower {
    /// The tip, which is then seen.
    pub fn see(&mut self) -> Head {
        let state = self.shared.state();
        self.seen = state.version;
        state.head.clone()
    }

    /// The next tip that was not seen yet. Cancel-safe: what was not returned was not seen.
    pub async fn next(&mut self) -> Head {
        loop {
            // Listens before it looks: a move in between is not missed.
            let moved = self.shared.moved.notified();
            if self.shared.state().version != self.seen {
                break;
            }
            moved.await;
        }
        self.see()
    }

    /// The first tip, from the one of now on, that is as wanted. Cancel-safe.
    pub async fn until(&mut self, wanted: impl Fn(&Head) -> bool) -> Head {
        let mut head = self.see();
        while !wanted(&head) {
            head = self.next().await;
        }
        head
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use ostrakon_proto::{
        id::{Amount, BlockId, Epoch, Height},
        ledger::FeeFactor,
    };

    use super::*;

    fn head(height: u64) -> Head {
        Head {
            height: Height(height),
            block: BlockId::new([0; 32]),
            epoch: Epoch(0),
            beacon: [0; 32],
            time_ms: 0,
            state: [0; 32],
            minted: Amount::ZERO,
            burnt: Amount::ZERO,
            fee_factor: FeeFactor::ONE,
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_follower_sees_each_newest_tip_once() {
        let heads = Heads::new(head(1));
        let mut follower = heads.follow();
        assert!(follower.next().now_or_never().is_none(), "the tip of the beginning is no news");
        heads.advance(head(2));
        heads.advance(head(3));
        assert_eq!(follower.next().await.height, Height(3));
        assert!(follower.next().now_or_never().is_none());
        assert_eq!(follower.until(|head| head.height >= Height(2)).await.height, Height(3));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn whoever_waits_is_woken_in_the_order_they_came() {
        let (heads, order) = (Heads::new(head(1)), Mutex::new(Vec::new()));
        let waiters = (0..50).map(|number| {
            let (mut follower, order) = (heads.follow(), &order);
            async move {
                follower.next().await;
                order.lock().expect("no holder panics").push(number);
            }
        });
        let waiting = futures::future::join_all(waiters);
        tokio::join!(biased; waiting, async { heads.advance(head(2)) });
        assert_eq!(*order.lock().expect("no holder panics"), (0..50).collect::<Vec<_>>());
    }
}
