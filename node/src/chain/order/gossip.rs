//! The way out: every message goes straight to the node of every other validator.
//!
//! In go messages, out go calls: a few at once to each node, the newest kept when a node is slow. A node that does not
//! answer holds nobody else up. Votes that are lost are said again when the engine repeats itself; it does not repeat
//! proposals, so those are tried again here. Not here: what comes back, which nobody reads.

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
use tokio::time::{sleep, timeout};

/// Messages that wait for one node; older ones are dropped. Two rounds of a node's own, repeated.
const WAITING: usize = 32;
/// Calls to one node at once, so that a vote need not wait for a block.
const CALLS: usize = 4;
/// How long one call may take. A vote that is late by more is said again.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long one with a block may.
const PATIENCE_BLOCK: Duration = Duration::from_secs(10);

/// How often a proposal is tried at most.
const TRIES: u32 = 4;
/// How long after a try that failed it is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// What is on its way out.
pub(super) struct Gossip {
    peers: Arc<dyn Peers>,
    lanes: BTreeMap<NodeId, Lane>,
    calls: FuturesUnordered<BoxFuture<'static, (NodeId, Option<Letter>)>>,
    /// Counts the heights.
    heights: u64,
}

#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Letter>,
    calls: usize,
}

/// A message for one node.
#[derive(Clone, Debug)]
struct Letter {
    frame: Frame,
    /// At which height.
    height: u64,
    tries: u32,
}

impl Letter {
    fn is_proposal(&self) -> bool {
        !self.frame.body.is_empty()
    }

    /// Whether the node has it now.
    async fn call(&self, peers: Arc<dyn Peers>, node: NodeId) -> bool {
        if self.tries > 0 {
            sleep(PAUSE).await;
        }
        let patience = if self.is_proposal() { PATIENCE_BLOCK } else { PATIENCE };
        let call = peers.call(node, Protocol::Consensus, self.frame.clone());
        matches!(timeout(patience, call).await, Ok(Ok(_)))
    }

    /// The next try, if it is worth one.
    fn again(self) -> Option<Self> {
        let tries = self.tries + 1;
        (self.is_proposal() && tries < TRIES).then_some(Self { tries, ..self })
    }
}

impl fmt::Debug for Gossip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gossip").field("lanes", &self.lanes).finish_non_exhaustive()
    }
}

impl Gossip {
    /// Nothing to nobody.
    pub(super) fn new(peers: Arc<dyn Peers>) -> Self {
        Self { peers, lanes: BTreeMap::new(), calls: FuturesUnordered::new(), heights: 0 }
    }

    /// From now on talks to these nodes, and not to this one itself. What waited is of a height that is over.
    pub(super) fn talk_to(&mut self, nodes: impl IntoIterator<Item = NodeId>) {
        self.heights += 1;
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
        let letter = Letter { frame: Frame::new(message, body.clone()), height: self.heights, tries: 0 };
        for lane in self.lanes.values_mut() {
            if lane.waiting.len() >= WAITING {
                lane.waiting.pop_front();
            }
            lane.waiting.push_back(letter.clone());
        }
        let nodes: Vec<NodeId> = self.lanes.keys().copied().collect();
        nodes.into_iter().for_each(|node| self.fill(node));
    }

    /// Moves the calls on until one has ended. Never ends when there are none. Cancel-safe.
    pub(super) async fn drive(&mut self) {
        let Some((node, lost)) = self.calls.next().await else { return std::future::pending().await };
        if let Some(lane) = self.lanes.get_mut(&node) {
            lane.calls = lane.calls.saturating_sub(1);
            let again = lost.and_then(Letter::again).filter(|letter| letter.height == self.heights);
            lane.waiting.extend(again.filter(|_| lane.waiting.len() < WAITING));
        }
        self.fill(node);
    }

    fn fill(&mut self, node: NodeId) {
        let Some(lane) = self.lanes.get_mut(&node) else { return };
        while lane.calls < CALLS
            && let Some(letter) = lane.waiting.pop_front()
        {
            lane.calls += 1;
            let peers = Arc::clone(&self.peers);
            self.calls.push(Box::pin(async move {
                if letter.call(peers, node).await {
                    return (node, None);
                }
                tracing::debug!(%node, tries = letter.tries, "a consensus message may be lost");
                (node, Some(letter))
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use ostrakon_net::CallError;
    use ostrakon_proto::id::{BlockId, Height};
    use tokio::time::Instant;

    use super::*;

    const OTHER: NodeId = NodeId::new([2; 32]);

    /// A network in which nothing arrives; counts what was tried.
    #[derive(Debug, Default)]
    struct Deaf(AtomicU32);

    impl Peers for Deaf {
        fn local(&self) -> NodeId {
            NodeId::new([1; 32])
        }

        fn learn(&self, _: NodeId, _: &[String]) {}

        fn call(&self, node: NodeId, _: Protocol, _: Frame) -> BoxFuture<'static, Result<Frame, CallError>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move { Err(CallError::Closed { node, reason: "nobody listens".to_owned() }) })
        }
    }

    /// How often `body` was tried, where the height is over after `over`.
    async fn tries(body: &'static [u8], over: Duration) -> u32 {
        let deaf = Arc::new(Deaf::default());
        let mut gossip = Gossip::new(deaf.clone());
        gossip.talk_to([OTHER]);
        let message = Request::Block { height: Height(1), block: BlockId::new([0; 32]) };
        gossip.send(&message, &Bytes::from_static(body));
        let began = Instant::now();
        for until in [over, Duration::from_secs(60)] {
            while timeout(until.saturating_sub(began.elapsed()), gossip.drive()).await.is_ok() {}
            gossip.talk_to([OTHER]);
        }
        deaf.0.load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn a_proposal_is_tried_again_while_its_height_lasts_and_a_vote_is_not() {
        let minute = Duration::from_secs(60);
        assert_eq!((tries(b"a block", minute).await, tries(b"", minute).await), (TRIES, 1));
        assert_eq!(tries(b"a block", PAUSE * 3 / 2).await, 3, "the one that waits for its turn is the last");
    }
}
