//! The tip of the chain as it moves, for all tasks of this node that wait for it.
//!
//! In goes each new tip, out it goes to the waiting tasks, in the order in which they began to wait. This is tokio's
//! `watch` without its randomness: that one wakes its receivers in random order, and a simulation would not replay.

use std::sync::{Arc, Mutex};

use ostrakon_net::lock;
use ostrakon_proto::wire::chain::Head;
use tokio::sync::Notify;

/// The tip, and the tasks that wait for the next.
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

/// Watches the tip.
#[derive(Debug)]
pub struct HeadWatcher {
    shared: Arc<Shared>,
    seen: u64,
}

impl Heads {
    /// Starts with this tip.
    pub(super) fn new(head: Head) -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::new(State { head, version: 0 }), moved: Notify::new() }) }
    }

    /// The tip now.
    pub(super) fn current(&self) -> Head {
        lock(&self.shared.state).head.clone()
    }

    /// The tip has moved.
    pub(super) fn advance(&self, head: Head) {
        let mut state = lock(&self.shared.state);
        state.head = head;
        state.version += 1;
        drop(state);
        self.shared.moved.notify_waiters();
    }

    /// A watcher that has seen the current tip.
    pub(super) fn follow(&self) -> HeadWatcher {
        HeadWatcher { shared: Arc::clone(&self.shared), seen: lock(&self.shared.state).version }
    }
}

impl HeadWatcher {
    /// The tip, which counts as seen.
    pub fn see(&mut self) -> Head {
        let state = lock(&self.shared.state);
        self.seen = state.version;
        state.head.clone()
    }

    /// The next tip that was not seen yet. Cancel-safe: what was not returned was not seen.
    pub async fn next(&mut self) -> Head {
        loop {
            // Registers before it looks: a move in between is not missed.
            let moved = self.shared.moved.notified();
            if lock(&self.shared.state).version != self.seen {
                break;
            }
            moved.await;
        }
        self.see()
    }

    /// The first tip, from the current one on, that `wanted` accepts. Cancel-safe.
    pub async fn until(&mut self, mut wanted: impl FnMut(&Head) -> bool) -> Head {
        let mut head = self.see();
        while !wanted(&head) {
            head = self.next().await;
        }
        head
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
            time_ms: 0,
            state: [0; 32],
            minted: Amount::ZERO,
            burnt: Amount::ZERO,
            fee_factor: FeeFactor::ONE,
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_watcher_sees_each_newest_tip_once() {
        let heads = Heads::new(head(1));
        let mut watcher = heads.follow();
        assert!(watcher.next().now_or_never().is_none(), "the first tip is seen already");
        heads.advance(head(2));
        heads.advance(head(3));
        assert_eq!(watcher.next().await.height, Height(3));
        assert!(watcher.next().now_or_never().is_none());
        assert_eq!(watcher.until(|head| head.height >= Height(2)).await.height, Height(3));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn waiters_are_woken_in_the_order_they_came() {
        let (heads, order) = (Heads::new(head(1)), Mutex::new(Vec::new()));
        let waiters = (0..50).map(|number| {
            let (mut watcher, order) = (heads.follow(), &order);
            async move {
                watcher.next().await;
                order.lock().expect("no holder panics").push(number);
            }
        });
        let waiting = futures::future::join_all(waiters);
        tokio::join!(biased; waiting, async { heads.advance(head(2)) });
        assert_eq!(*order.lock().expect("no holder panics"), (0..50).collect::<Vec<_>>());
    }
}
