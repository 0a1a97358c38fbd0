//! Broadcasts new transactions to the other validators: pushed directly, in batches, once to each.
//!
//! In come transactions that a validator received from a node that is none, out they go to all other validators. Why no
//! gossip protocol: a transaction is only needed where blocks are made, validators are few, and all know each other.
//! Pushed directly, each of them gets it once and other nodes not at all; a gossip mesh would send it to every node of
//! the network several times. Delivery is not guaranteed: a full queue drops its oldest, a batch that fails is lost,
//! and what still waits after some seconds is pushed again ([`super::submit`]).

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use ostrakon_net::{ask, lock};
use ostrakon_proto::{
    id::NodeId,
    ledger::CheckedTx,
    limits,
    wire::{self, chain::Relayed},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::Chain;

/// A batch of this many is sent immediately.
const BATCH: usize = 100;
/// Fewer wait this long for more.
const GATHER: Duration = Duration::from_millis(5);
/// Transactions queued for one validator.
const QUEUE: usize = 16_384;
/// Batches in flight to one validator.
const IN_FLIGHT: usize = 4;

/// Transactions to push, by validator.
#[derive(Debug, Default)]
pub(super) struct TxBroadcast {
    queues: Mutex<Queues>,
    pushed: Notify,
    /// Held while a transaction of this node's operator is on its way to a block.
    pub(super) own: tokio::sync::Mutex<()>,
}

/// One queue for each validator; pure.
#[derive(Debug, Default)]
struct Queues {
    of: BTreeMap<NodeId, VecDeque<Arc<CheckedTx>>>,
}

impl Queues {
    /// Adds to the queues of exactly these nodes; the queues of others are dropped.
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

    /// The next batch for `node`: as much of its queue as fits one request.
    fn pop(&mut self, node: &NodeId) -> Vec<Arc<CheckedTx>> {
        let Some(queue) = self.of.get_mut(node) else { return Vec::new() };
        let count = fitting(queue.iter());
        queue.drain(..count).collect()
    }

    fn nodes(&self) -> Vec<NodeId> {
        self.of.iter().filter(|(_, queue)| !queue.is_empty()).map(|(node, _)| *node).collect()
    }
}

/// How many of `txs` fit one request.
pub(super) fn fitting<'a>(txs: impl Iterator<Item = &'a Arc<CheckedTx>>) -> usize {
    let mut bytes = size_of::<u32>();
    let fits = |tx: &&Arc<CheckedTx>| {
        bytes += tx.bytes();
        bytes <= limits::SUBMIT
    };
    txs.take(limits::SUBMIT_COUNT).take_while(fits).count()
}

impl TxBroadcast {
    /// Queues these for these validators.
    pub(super) fn push(&self, to: &[NodeId], txs: &[Arc<CheckedTx>]) {
        if !to.is_empty() && !txs.is_empty() {
            lock(&self.queues).push(to, txs);
            self.pushed.notify_one();
        }
    }
}

/// Batches in flight.
#[derive(Default)]
struct Sending {
    calls: FuturesUnordered<BoxFuture<'static, NodeId>>,
    to: BTreeMap<NodeId, usize>,
}

impl Chain {
    /// Sends queued transactions. Never returns.
    pub(crate) async fn broadcast(&self) -> Infallible {
        let broadcast = &self.shared.broadcast;
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
                    let nodes = lock(&broadcast.queues).nodes();
                    nodes.into_iter().for_each(|node| self.send_next(&mut sending, node));
                }
                () = broadcast.pushed.notified() => {
                    let now = Instant::now();
                    let full = lock(&broadcast.queues).longest() >= BATCH;
                    flush_at = Some(if full { now } else { flush_at.unwrap_or(now + GATHER) });
                }
            }
        }
    }

    /// Sends batches to `node` while it has a queue and not too many are in flight.
    fn send_next(&self, sending: &mut Sending, node: NodeId) {
        while sending.to.get(&node).is_none_or(|count| *count < IN_FLIGHT) {
            let txs = lock(&self.shared.broadcast.queues).pop(&node);
            if txs.is_empty() {
                return;
            }
            *sending.to.entry(node).or_default() += 1;
            let peers = Arc::clone(&self.shared.peers);
            let call = async move {
                match ask(&*peers, node, wire::chain::submit(txs.iter().map(|tx| tx.tx()), Relayed::Yes)).await {
                    Ok(verdicts) => {
                        let refused = verdicts.iter().filter(|verdict| verdict.is_err()).count();
                        tracing::trace!(%node, pushed = txs.len(), refused, "transactions pushed");
                    }
                    Err(error) => tracing::debug!(%node, %error, lost = txs.len(), "transactions not pushed"),
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
