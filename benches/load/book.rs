//! What was sent and when, and when a block had it: recorded while blocks come in, read when they are all there.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use ostrakon_proto::{
    id::{Height, TxId},
    ledger::tx::{DecidedBlock, Tx},
};
use ostrakon_tests::interrupt;
use tokio::sync::Notify;

use crate::network::Network;

/// How long nothing may become of what is sent: much longer than anything that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// The book. The task that sends and the task that follows write into it concurrently.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pages: Mutex<Pages>,
    /// Rung for each block.
    bell: Notify,
}

#[derive(Debug, Default)]
struct Pages {
    /// What no block has yet, and when it was sent.
    open: HashMap<TxId, Instant>,
    blocks: Vec<Seen>,
    sent: usize,
    done: usize,
}

/// A block that a client has seen.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// When it was seen.
    pub(crate) at: Instant,
    /// In which round it was decided: the first is 0.
    pub(crate) round: u32,
    /// How long each of its transactions was in flight that this book knows, in seconds.
    pub(crate) latencies: Vec<f64>,
}

impl Book {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that these are sent at `at`.
    pub(crate) fn send(&self, ids: &[TxId], at: Instant) {
        let mut pages = self.pages();
        pages.sent += ids.len();
        pages.open.extend(ids.iter().map(|id| (*id, at)));
    }

    fn see(&self, decided: &DecidedBlock) {
        let (at, ids): (_, Vec<TxId>) = (Instant::now(), decided.block.txs.iter().map(Tx::id).collect());
        let mut pages = self.pages();
        let known = ids.iter().filter_map(|id| pages.open.remove(id));
        let latencies: Vec<f64> = known.map(|sent| at.duration_since(sent).as_secs_f64()).collect();
        pages.done += latencies.len();
        pages.blocks.push(Seen { at, round: decided.certificate.round, latencies });
        drop(pages);
        self.bell.notify_waiters();
    }

    /// Waits until fewer than `window` are in flight.
    pub(crate) async fn room(&self, window: usize) {
        loop {
            let rung = self.bell.notified();
            if self.pages().open.len() < window {
                return;
            }
            rung.await;
        }
    }

    /// How many are sent, and how many of them a block has.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let pages = self.pages();
        (pages.sent, pages.done)
    }

    /// The blocks so far.
    pub(crate) fn blocks(&self) -> Vec<Seen> {
        self.pages().blocks.clone()
    }

    /// Records the blocks of node `index` from `next` on, until `over` returns true.
    ///
    /// # Errors
    /// When no block includes what is sent for long, or the node sends a block that is not certified.
    pub(crate) async fn follow(
        &self,
        network: &Network,
        index: usize,
        mut next: Height,
        over: impl Fn(&Self) -> bool,
    ) -> Result<()> {
        let mut last = Instant::now();
        while !over(self) {
            interrupt::check()?;
            let before = self.counts();
            for decided in network.blocks(index, next).await? {
                self.see(&decided);
                next = decided.block.header.height.next();
            }
            let (sent, done) = self.counts();
            if (sent, done) != before || sent == done {
                last = Instant::now();
            }
            let waiting = sent - done;
            ensure!(last.elapsed() < PATIENCE, "{waiting} transactions are in no block after {} s", PATIENCE.as_secs());
        }
        Ok(())
    }
}
