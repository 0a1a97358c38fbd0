//! The way out: every message goes straight to the node of every other validator.
//!
//! In go messages, out go calls: a few at once to each node, the newest kept when a node is slow. A node that does not
//! answer holds nobody else up, and what is lost is said again when the engine repeats itself. Not here: what comes
//! back, which nobody reads.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use ostrakon_net::Peers;
use ostrakon_proto::{
    id::NodeId,
    wire::{Frame, Protocol, consensus::Request},
};
use tokio::time::timeout;

/// Messages that wait for one node; older ones are dropped. Two rounds of a node's own, repeated.
const WAITING: usize = 32;
/// Calls to one node at once, so that a vote need not wait for a block.
const CALLS: usize = 4;
/// How long one call may take. A vote that is late by more is said again.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long one with a block may.
const PATIENCE_BLOCK: Duration = Duration::from_secs(10);

/// What is on its way out.
pub(super) struct Gossip {
    peers: Arc<dyn Peers>,
    lanes: BTreeMap<NodeId, Lane>,
    calls: FuturesUnordered<BoxFuture<'static, NodeId>>,
}

#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Frame>,
    calls: usize,
}

impl fmt::Debug for Gossip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gossip").field("lanes", &self.lanes).finish_non_exhaustive()
    }
}

impl Gossip {
    /// Nothing to nobody.
    pub(super) fn new(peers: Arc<dyn Peers>) -> Self {
        Self { peers, lanes: BTreeMap::new(), calls: FuturesUnordered::new() }
    }

    /// From now on talks to these nodes, and not to this one itself. What waited is of a height that is over.
    pub(super) fn talk_to(&mut self, nodes: impl IntoIterator<Item = NodeId>) {
        let nodes: BTreeSet<NodeId> = nodes.into_iter().filter(|node| *node != self.peers.local()).collect();
        self.lanes.retain(|node, lane| nodes.contains(node) || lane.calls > 0);
        for lane in self.lanes.values_mut() {
            lane.waiting.clear();
        }
        for node in nodes {
            self.lanes.entry(node).or_default();
        }
    }

    /// Tells everyone.
    pub(super) fn send(&mut self, message: &Request, body: &Bytes) {
        let frame = Frame::new(message, body.clone());
        for lane in self.lanes.values_mut() {
            if lane.waiting.len() >= WAITING {
                lane.waiting.pop_front();
            }
            lane.waiting.push_back(frame.clone());
        }
        let nodes: Vec<NodeId> = self.lanes.keys().copied().collect();
        nodes.into_iter().for_each(|node| self.fill(node));
    }

    /// Moves the calls on until one has ended. Never ends when there are none. Cancel-safe.
    pub(super) async fn drive(&mut self) {
        let Some(node) = self.calls.next().await else { return std::future::pending().await };
        if let Some(lane) = self.lanes.get_mut(&node) {
            lane.calls = lane.calls.saturating_sub(1);
        }
        self.fill(node);
    }

    fn fill(&mut self, node: NodeId) {
        let Some(lane) = self.lanes.get_mut(&node) else { return };
        while lane.calls < CALLS
            && let Some(frame) = lane.waiting.pop_front()
        {
            lane.calls += 1;
            let patience = if frame.body.is_empty() { PATIENCE } else { PATIENCE_BLOCK };
            let call = self.peers.call(node, Protocol::Consensus, frame);
            self.calls.push(Box::pin(async move {
                if !matches!(timeout(patience, call).await, Ok(Ok(_))) {
                    tracing::debug!(%node, "a consensus message may be lost");
                }
                node
            }));
        }
    }
}
