//! Validators tell each other of new transactions: directly, in batches, each validator once.
//!
//! In come transactions that a validator took from somebody who is none, out go they to all other validators. Why no
//! gossip protocol: a transaction is only needed where blocks are made, those are few, and all know each other. Pushed
//! directly each of them gets it once, and other nodes not at all; a gossip mesh would bring it to every node of the
//! network several times. Nothing here is promised: a queue that is full forgets its oldest, a batch that does not
//! arrive is lost, and what still waits after some seconds is pushed again ([`super::submit`]).

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use ostrakon_net::peer_id_text;
use ostrakon_proto::{id::NodeId, ledger::CheckedTx, limits};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{Chain, ask};

/// As many are sent at once.
const BATCH: usize = 100;
/// Fewer wait this long for others.
const GATHER: Duration = Duration::from_millis(5);
/// Transactions that may wait for one validator.
const QUEUE: usize = 16_384;
/// Batches under way to one validator.
const IN_FLIGHT: usize = 4;

/// What is to be pushed to whom.
#[derive(Debug, Default)]
pub(super) struct Gossip {
    queues: Mutex<Queues>,
    bell: Notify,
}

/// Pure: one queue for each validator.
#[derive(Debug, Default)]
struct Queues {
    of: BTreeMap<NodeId, VecDeque<Arc<CheckedTx>>>,
}

impl Queues {
    /// Adds to the queues of exactly these nodes; what waits for others is forgotten with them.
    fn push(&mut self, to: &[NodeId], txs: &[Arc<CheckedTx>]) {
        self.of.retain(|node, _| to.contains(node));
        for node in to {
            let queue = self.of.entry(*node).or_default();
            queue.extend(txs.iter().cloned());
            queue.drain(..queue.len().saturating_sub(QUEUE));
        }
    }

    fn longest(&self) -> usize {
        self.of.values().map(VecDeque::len).max().unwrap_or(0)
    }

    /// What goes to `node` next: all that waits, as far as one request may carry it.
    fn pop(&mut self, node: &NodeId) -> Vec<Arc<CheckedTx>> {
        let Some(queue) = self.of.get_mut(node) else { return Vec::new() };
        let count = fitting(queue.iter());
        queue.drain(..count).collect()
    }

    fn nodes(&self) -> Vec<NodeId> {
        self.of.iter().filter(|(_, queue)| !queue.is_empty()).map(|(node, _)| *node).collect()
    }
}

/// How many of `txs` one request may carry.
pub(super) fn fitting<'a>(txs: impl Iterator<Item = &'a Arc<CheckedTx>>) -> usize {
    let mut bytes = size_of::<u32>();
    let fits = |tx: &&Arc<CheckedTx>| {
        bytes += tx.bytes();
        bytes <= limits::SUBMIT
    };
    txs.take(limits::SUBMIT_COUNT).take_while(fits).count()
}

impl Gossip {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has these pushed to these validators.
    pub(super) fn push(&self, to: &[NodeId], txs: &[Arc<CheckedTx>]) {
        if !to.is_empty() && !txs.is_empty() {
            self.queues().push(to, txs);
            self.bell.notify_one();
        }
    }
}

/// Batches under way.
#[derive(Default)]
struct Sending {
    calls: FuturesUnordered<BoxFuture<'static, NodeId>>,
    to: BTreeMap<NodeId, usize>,
}

impl Chain {
    /// Pushes what is to be pushed. Never returns.
    pub(crate) async fn gossip(&self) -> Infallible {
        let gossip = &self.shared.gossip;
        let (mut sending, mut flush_at) = (Sending::default(), None);
        loop {
            tokio::select! {
                biased;
                Some(node) = sending.calls.next() => {
                    sending.done(&node);
                    if flush_at.is_none() {
                        self.send_next(&mut sending, node);
                    }
                }
                () = sleep_until(flush_at.unwrap_or_else(Instant::now)), if flush_at.is_some() => {
                    flush_at = None;
                    let nodes = gossip.queues().nodes();
                    nodes.into_iter().for_each(|node| self.send_next(&mut sending, node));
                }
                () = gossip.bell.notified() => {
                    let now = Instant::now();
                    let full = gossip.queues().longest() >= BATCH;
                    flush_at = Some(if full { now } else { flush_at.unwrap_or(now + GATHER) });
                }
            }
        }
    }

    /// Begins batches to `node` while any waits and not too many are under way.
    fn send_next(&self, sending: &mut Sending, node: NodeId) {
        while sending.to.get(&node).is_none_or(|count| *count < IN_FLIGHT) {
            let txs = self.shared.gossip.queues().pop(&node);
            if txs.is_empty() {
                return;
            }
            *sending.to.entry(node).or_default() += 1;
            let peers = Arc::clone(&self.shared.peers);
            let call = async move {
                match ask::submit(&*peers, node, &txs).await {
                    Ok(verdicts) => {
                        let refused = verdicts.iter().filter(|verdict| verdict.is_err()).count();
                        tracing::trace!(node = peer_id_text(&node), pushed = txs.len(), refused, "transactions pushed");
                    }
                    Err(error) => tracing::debug!(%error, lost = txs.len(), "transactions are not pushed"),
                }
                node
            };
            sending.calls.push(call.boxed());
        }
    }
}

impl Sending {
    fn done(&mut self, node: &NodeId) {
        if let Some(count) = self.to.get_mut(node) {
            *count -= 1;
            if *count == 0 {
                self.to.remove(node);
            }
        }
    }
}

#[cfg(test)]
mod tests;
