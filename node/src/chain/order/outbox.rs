//! The outbox: every message goes directly to the node of every other validator.
//!
//! In go messages, out go calls: a few at a time to each node, of which a slow one loses the oldest. A node that does
//! not respond does not delay the others. What a busy node refuses is sent again after a pause. Lost votes are sent
//! again when the engine repeats them; it does not repeat proposals, so those are retried here. [`Letter::retry`] is
//! the rule, pure. To a node that answers nothing for [`UNANSWERED`] a new connection is made: after an outage TCP
//! waits about as long again as the outage took before it retransmits. Not here: answers, which carry nothing.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use ostrakon_net::{Peers, ask};
use ostrakon_proto::{
    id::NodeId,
    wire::{
        Call, RefusalCode,
        consensus::{self, ConsensusRequest},
    },
};
use tokio::time::{Instant, sleep};

/// Messages queued for one node; older ones are dropped. Two rounds of a node's own, repeated.
const WAITING: usize = 32;
/// Concurrent calls to one node, so that a vote need not wait for a block.
const CALLS: usize = 4;
/// How long a call with a vote may take. A vote that is later is sent again.
const VOTE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a call with a block may take.
const BLOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Attempts to send a proposal that is lost.
const TRIES: u32 = 4;
/// Attempts to send a message that the node is too busy for: 4.5 seconds of pauses, in which it has one of the node's
/// [`CALLS`].
const BUSY_TRIES: u32 = 10;
/// Pause after the first failed attempt; each further one adds as much, for a busy node is not helped by more.
const PAUSE: Duration = Duration::from_millis(100);

/// How long all messages to a node may be lost, without one that comes from it, before its connections are closed.
const UNANSWERED: Duration = Duration::from_secs(2);

/// Messages on their way out.
pub(super) struct Outbox {
    peers: Arc<dyn Peers>,
    queues: BTreeMap<NodeId, Queue>,
    calls: FuturesUnordered<BoxFuture<'static, (NodeId, Letter, Delivery)>>,
    /// Heights started so far.
    heights: u64,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Letter>,
    calls: usize,
    /// When the first of the messages was lost that were all lost.
    lost_since: Option<Instant>,
}

impl Queue {
    /// Notes the outcome of an attempt. Returns whether all have been lost for too long; then the time starts again.
    fn is_stalled(&mut self, delivery: Delivery, now: Instant) -> bool {
        let since = (delivery == Delivery::Lost).then(|| self.lost_since.unwrap_or(now));
        let is_stalled = since.is_some_and(|since| now >= since + UNANSWERED);
        self.lost_since = since.filter(|_| !is_stalled);
        is_stalled
    }
}

/// The outcome of an attempt to deliver a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    /// The node has it.
    Taken,
    /// The node is overloaded, and did not look at it.
    Busy,
    /// The node does not want it: it would not want it again.
    Refused,
    /// There was no answer: it may have arrived.
    Lost,
}

/// A message for one node.
#[derive(Clone, Debug)]
struct Letter {
    call: Call<()>,
    /// The height of its session.
    height: u64,
    tries: u32,
}

impl Letter {
    fn is_proposal(&self) -> bool {
        !self.call.request.body.is_empty()
    }

    /// Sends it, after a pause if it was sent before.
    async fn deliver(&self, peers: Arc<dyn Peers>, node: NodeId) -> Delivery {
        if self.tries > 0 {
            sleep(PAUSE * self.tries).await;
        }
        match ask(&*peers, node, self.call.clone()).await {
            Ok(()) => Delivery::Taken,
            Err(error) if error.is_refused_as(RefusalCode::Busy) => Delivery::Busy,
            Err(error) if error.refusal().is_some() => Delivery::Refused,
            Err(_) => Delivery::Lost,
        }
    }

    /// The next attempt, if there is one.
    fn retry(self, delivery: Delivery) -> Option<Self> {
        let most = match delivery {
            Delivery::Busy => BUSY_TRIES,
            Delivery::Lost if self.is_proposal() => TRIES,
            Delivery::Lost | Delivery::Taken | Delivery::Refused => 0,
        };
        let tries = self.tries + 1;
        (tries < most).then_some(Self { tries, ..self })
    }
}

impl Outbox {
    /// An empty outbox without recipients.
    pub(super) fn new(peers: Arc<dyn Peers>) -> Self {
        Self { peers, queues: BTreeMap::new(), calls: FuturesUnordered::new(), heights: 0 }
    }

    /// A height starts: messages go to these nodes, without this one. What is queued is of a height that is over.
    pub(super) fn start_height(&mut self, nodes: impl IntoIterator<Item = NodeId>) {
        self.heights += 1;
        let nodes: BTreeSet<NodeId> = nodes.into_iter().filter(|node| *node != self.peers.local()).collect();
        self.queues.retain(|node, queue| nodes.contains(node) || queue.calls > 0);
        for queue in self.queues.values_mut() {
            queue.waiting.clear();
        }
        for node in nodes {
            self.queues.entry(node).or_default();
        }
    }

    /// A message of the node arrived: it is there, though a slow line may delay what goes to it.
    pub(super) fn heard(&mut self, node: &NodeId) {
        if let Some(queue) = self.queues.get_mut(node) {
            queue.lost_since = None;
        }
    }

    /// Sends a message to all.
    pub(super) fn send(&mut self, message: &ConsensusRequest, body: &Bytes) {
        let limit = if body.is_empty() { VOTE_TIMEOUT } else { BLOCK_TIMEOUT };
        let call = consensus::message(message, body.clone()).within(limit);
        let letter = Letter { call, height: self.heights, tries: 0 };
        for queue in self.queues.values_mut() {
            if queue.waiting.len() >= WAITING {
                queue.waiting.pop_front();
            }
            queue.waiting.push_back(letter.clone());
        }
        let nodes: Vec<NodeId> = self.queues.keys().copied().collect();
        nodes.into_iter().for_each(|node| self.fill(node));
    }

    /// Drives the calls in flight until one ends; pending when there are none. Cancel-safe.
    pub(super) async fn drive(&mut self) {
        let Some((node, letter, delivery)) = self.calls.next().await else { return std::future::pending().await };
        if delivery != Delivery::Taken {
            tracing::debug!(%node, tries = letter.tries, ?delivery, "consensus message was not delivered");
        }
        if let Some(queue) = self.queues.get_mut(&node) {
            queue.calls = queue.calls.saturating_sub(1);
            let retry = letter.retry(delivery).filter(|letter| letter.height == self.heights);
            queue.waiting.extend(retry.filter(|_| queue.waiting.len() < WAITING));
            if queue.is_stalled(delivery, Instant::now()) {
                tracing::debug!(%node, "validator has not answered for a while: reconnecting");
                self.peers.reconnect(node);
            }
        }
        self.fill(node);
    }

    fn fill(&mut self, node: NodeId) {
        let Some(queue) = self.queues.get_mut(&node) else { return };
        while queue.calls < CALLS
            && let Some(letter) = queue.waiting.pop_front()
        {
            queue.calls += 1;
            let peers = Arc::clone(&self.peers);
            self.calls.push(Box::pin(async move {
                let delivery = letter.deliver(peers, node).await;
                (node, letter, delivery)
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use ostrakon_net::{AskError, Failure};
    use ostrakon_proto::{
        id::{BlockId, Height},
        wire::{Frame, Protocol, Refusal},
    };
    use tokio::time::timeout;

    use super::*;

    const OTHER: NodeId = NodeId::new([2; 32]);

    #[test]
    fn a_connection_that_delivers_nothing_is_replaced() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        for (second, delivery, expect) in [
            (0, Delivery::Lost, false),
            (1, Delivery::Lost, false),
            (1, Delivery::Busy, false),
            (3, Delivery::Lost, false),
            (4, Delivery::Lost, false),
            (5, Delivery::Lost, true),
            (6, Delivery::Lost, false),
            (8, Delivery::Lost, true),
            (9, Delivery::Taken, false),
        ] {
            let now = start + Duration::from_secs(second);
            assert_eq!(queue.is_stalled(delivery, now), expect, "{second} s");
        }
    }

    /// A network in which every call fails in the same way; counts them.
    #[derive(Debug)]
    struct Deaf {
        calls: AtomicU32,
        failure: Failure,
    }

    impl Peers for Deaf {
        fn local(&self) -> NodeId {
            NodeId::new([1; 32])
        }

        fn learn(&self, _: NodeId, _: &[String]) {}

        fn call(&self, node: NodeId, _: Protocol, _: Frame) -> BoxFuture<'static, Result<Frame, AskError>> {
            self.calls.fetch_add(1, Ordering::Relaxed);
            let error = AskError::new(node, self.failure.clone());
            Box::pin(async move { Err(error) })
        }
    }

    /// How often `body` was tried, where every call fails like this and the height is over after `over`.
    async fn tries(failure: Failure, body: &'static [u8], over: Duration) -> u32 {
        let deaf = Arc::new(Deaf { calls: AtomicU32::new(0), failure });
        let mut outbox = Outbox::new(deaf.clone());
        outbox.start_height([OTHER]);
        let message = ConsensusRequest::Block { height: Height(1), block: BlockId::new([0; 32]) };
        outbox.send(&message, &Bytes::from_static(body));
        let began = Instant::now();
        for until in [over, Duration::from_secs(60)] {
            while timeout(until.saturating_sub(began.elapsed()), outbox.drive()).await.is_ok() {}
            outbox.start_height([OTHER]);
        }
        deaf.calls.load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_lost_or_refused_by_a_busy_node_is_tried_again_while_its_height_lasts() {
        let lost = || Failure::Closed("nobody listens".to_owned());
        let refused = |code| Failure::Refused(Refusal::new(code, "no"));
        let (busy, denied) = (|| refused(RefusalCode::Busy), || refused(RefusalCode::Denied));
        let (minute, soon) = (Duration::from_secs(60), PAUSE * 2);
        assert_eq!(tries(lost(), b"a block", minute).await, TRIES);
        assert_eq!(tries(lost(), b"", minute).await, 1, "the engine repeats votes");
        assert_eq!(tries(lost(), b"a block", soon).await, 3, "the one that waits for its turn is the last");
        assert_eq!(tries(busy(), b"a block", minute).await, BUSY_TRIES);
        assert_eq!(tries(busy(), b"", minute).await, BUSY_TRIES);
        assert_eq!(tries(busy(), b"", soon).await, 3);
        assert_eq!(tries(denied(), b"a block", minute).await, 1);
    }
}
