//! Requests of other nodes between the network and who serves them: one queue for each class, fair in each.
//!
//! Into an [`Intake`] goes each request as it arrives; it is queued, or refused immediately as
//! [`RefusalCode::Busy`], and none is dropped silently. Out of [`Requests`] they come, class by class. Not here: turns
//! and workers, which are the server's, and memory ([`super::quota`]).

use std::sync::{
    Arc, Mutex, Weak,
    atomic::{AtomicBool, Ordering},
};

use futures::future::select_all;
use ostrakon_proto::wire::{Frame, Protocol, RefusalCode, RequestClass};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{fair::FairQueue, quota::Held, source::Source};
use crate::{
    lock,
    metrics::{AdmissionMetrics, QueueMetrics, class_word},
    peers::{self, Inbound, Reply},
};

/// Requests of one class that wait: one of each connection that may be open.
const WAITING: usize = 2048;
/// Those of one node: an honest one has sixteen of a protocol in progress, and seldom uses several at a time.
const WAITING_OF_NODE: usize = 32;
/// Those of one validator: some rounds of votes of each other validator, which it may relay.
const VOTES_OF_NODE: usize = 128;
/// Bytes of a consensus message of a stranger. A validator that is not on the ledger yet, or not any more, may claim
/// its key and pass on votes; long proofs and blocks, which cost most, are not a stranger's to bring.
const CLAIM: u64 = 1024;
/// Why a stranger's message is refused, in a word.
const STRANGER: &str = "not_a_validator";
/// What a request costs besides its bytes, in bytes that take as long: decoding it and looking for the answer.
const REQUEST_COST: u64 = 16 * 1024;

/// Requests go in here. Clones share it; when the last one is dropped, the network has ended.
#[derive(Clone, Debug)]
pub struct Intake {
    queues: Arc<Queues>,
    alive: Arc<DropGuard>,
}

/// An intake that does not keep the network from ending.
#[derive(Clone, Debug)]
pub(crate) struct WeakIntake {
    queues: Arc<Queues>,
    alive: Weak<DropGuard>,
}

/// Requests come out here. Clones share it; when the last one is dropped, the server has stopped.
#[derive(Clone, Debug)]
pub struct Requests {
    serving: Arc<Serving>,
}

/// Refuses what waits when nobody serves any more.
#[derive(Debug)]
struct Serving(Arc<Queues>);

#[derive(Debug)]
struct Queues {
    classes: [ClassQueue; RequestClass::ALL.len()],
    /// No request comes any more.
    ended: CancellationToken,
    /// Nobody serves any more.
    stopped: AtomicBool,
    metrics: AdmissionMetrics,
}

#[derive(Debug)]
struct ClassQueue {
    /// Each with the time when it came.
    requests: Mutex<FairQueue<(Instant, Inbound)>>,
    arrived: Notify,
    metrics: QueueMetrics,
}

/// Charges the source of a request for what serving it took, once it is answered.
#[derive(Debug)]
pub(crate) struct Charge {
    queues: Weak<Queues>,
    class: RequestClass,
    source: Source,
}

impl Charge {
    pub(crate) fn answered(self, answer: &Frame) {
        if let Some(queues) = self.queues.upgrade() {
            lock(&queues.of(self.class).requests).charge(&self.source, bytes(answer));
        }
    }
}

/// Queues for the requests of other nodes.
pub fn request_queues(metrics: &AdmissionMetrics) -> (Intake, Requests) {
    let ended = CancellationToken::new();
    let classes = RequestClass::ALL.map(|class| {
        let of_node = if class == RequestClass::Consensus { VOTES_OF_NODE } else { WAITING_OF_NODE };
        let (requests, arrived) = (Mutex::new(FairQueue::new(WAITING, of_node)), Notify::new());
        ClassQueue { requests, arrived, metrics: metrics.queue(class) }
    });
    let alive = Arc::new(ended.clone().drop_guard());
    let queues = Arc::new(Queues { classes, ended, stopped: AtomicBool::new(false), metrics: metrics.clone() });
    let serving = Arc::new(Serving(Arc::clone(&queues)));
    (Intake { queues, alive }, Requests { serving })
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::SeqCst);
        for queue in &self.0.classes {
            while queue.pop().is_some() {}
        }
    }
}

impl ClassQueue {
    fn pop(&self) -> Option<Inbound> {
        let (since, inbound) = lock(&self.requests).pop()?;
        self.metrics.queued.dec();
        self.metrics.wait.observe(since.elapsed());
        Some(inbound)
    }
}

impl Queues {
    fn of(&self, class: RequestClass) -> &ClassQueue {
        let place = RequestClass::ALL.iter().position(|other| *other == class);
        &self.classes[place.expect("invariant: RequestClass::ALL has all classes")]
    }
}

impl Intake {
    /// Queues a request, which holds this memory until it is answered, and returns where its answer arrives: also when
    /// that is a refusal.
    pub(crate) fn put(
        &self,
        source: Source,
        protocol: Protocol,
        request: Frame,
        held: Option<Held>,
    ) -> oneshot::Receiver<Frame> {
        let (reply, answered) = Reply::pair(protocol);
        self.forward(Inbound { source, protocol, request, reply: reply.holding(held) });
        answered
    }

    /// Queues a request that came out of other queues: its answer goes where it was to go.
    pub fn forward(&self, inbound: Inbound) {
        let (class, source) = (RequestClass::of(inbound.protocol, &inbound.request), inbound.source);
        let refuse = |inbound: Inbound, word: &'static str, reason: &str| {
            self.queues.metrics.refuse(class_word(class), word);
            tracing::debug!(node = %inbound.source.node, protocol = ?inbound.protocol, reason, "request refused");
            let code = if word == STRANGER { RefusalCode::Denied } else { RefusalCode::Busy };
            inbound.reply.send(peers::refusal(code, reason));
        };
        if class == RequestClass::Consensus && !source.is_member() && bytes(&inbound.request) > CLAIM {
            return refuse(inbound, STRANGER, "only nodes of validators may send this");
        }
        let charge = Charge { queues: Arc::downgrade(&self.queues), class, source };
        let cost = REQUEST_COST.saturating_add(bytes(&inbound.request));
        let inbound = Inbound { reply: inbound.reply.charging(charge), ..inbound };
        let queue = self.queues.of(class);
        let mut waiting = lock(&queue.requests);
        // With the lock: what is queued before nobody serves is refused then.
        if self.is_stopped() {
            drop(waiting);
            return refuse(inbound, "stopping", "the node is shutting down");
        }
        queue.metrics.queued.inc();
        let dropped = waiting.push(&source, cost, (Instant::now(), inbound));
        drop(waiting);
        queue.arrived.notify_one();
        if let Some((_, dropped)) = dropped {
            queue.metrics.queued.dec();
            refuse(dropped, "queue_full", "too many requests wait at the node");
        }
    }

    /// Whether nobody serves any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.queues.stopped.load(Ordering::SeqCst)
    }

    pub(crate) fn downgrade(&self) -> WeakIntake {
        WeakIntake { queues: Arc::clone(&self.queues), alive: Arc::downgrade(&self.alive) }
    }
}

impl WeakIntake {
    /// The intake, while the network lasts.
    pub(crate) fn upgrade(&self) -> Option<Intake> {
        self.alive.upgrade().map(|alive| Intake { queues: Arc::clone(&self.queues), alive })
    }
}

impl Requests {
    /// The next request of this class; `None` once the network has ended. Cancel-safe.
    pub async fn next(&self, class: RequestClass) -> Option<Inbound> {
        let queue = self.serving.0.of(class);
        loop {
            if let Some(inbound) = queue.pop() {
                return Some(inbound);
            }
            tokio::select! {
                biased;
                () = queue.arrived.notified() => {}
                () = self.serving.0.ended.cancelled() => return queue.pop(),
            }
        }
    }

    /// The next request of any class, the most urgent first; `None` once the network has ended. Cancel-safe.
    pub async fn next_of_any(&self) -> Option<Inbound> {
        loop {
            if let Some(inbound) = self.try_next() {
                return Some(inbound);
            }
            let arrived = select_all(self.serving.0.classes.iter().map(|queue| Box::pin(queue.arrived.notified())));
            tokio::select! {
                biased;
                _ = arrived => {}
                () = self.serving.0.ended.cancelled() => return self.try_next(),
            }
        }
    }

    /// A request of any class that waits, the most urgent first.
    pub fn try_next(&self) -> Option<Inbound> {
        self.serving.0.classes.iter().find_map(ClassQueue::pop)
    }
}

/// What was answered, where who serves may have dropped the request.
pub(crate) async fn answer(answered: oneshot::Receiver<Frame>) -> Frame {
    answered.await.unwrap_or_else(|_| peers::refusal(RefusalCode::Internal, "the node dropped the request"))
}

fn bytes(frame: &Frame) -> u64 {
    u64::try_from(frame.head.len().saturating_add(frame.body.len())).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bytes::Bytes;
    use futures::FutureExt;
    use ostrakon_proto::{
        id::NodeId,
        wire::{Refusal, chain::ChainRequest},
    };

    use super::*;
    use crate::admission::source::Prefix;

    fn stranger(number: u8) -> Source {
        Source::stranger(NodeId::new([number; 32]), Prefix::of_ip([10, 0, number, 1].into()))
    }

    fn refusal(frame: Frame) -> Refusal {
        frame.decode::<Result<(), Refusal>>().expect("canonical").expect_err("refused")
    }

    #[tokio::test]
    async fn classes_do_not_wait_for_each_other() {
        let (intake, requests) = request_queues(&Default::default());
        let chunk = ChainRequest::Chunk { height: ostrakon_proto::id::Height(1), after: None };
        let _answers = [
            intake.put(stranger(1), Protocol::Chain, Frame::new(&chunk, Bytes::new()), None),
            intake.put(stranger(1), Protocol::Get, Frame::default(), None),
            intake.put(stranger(1), Protocol::Chain, Frame::new(&ChainRequest::Head, Bytes::new()), None),
            intake.put(stranger(1), Protocol::Consensus, Frame::default(), None),
        ];
        for (class, protocol) in [(RequestClass::Bulk, Protocol::Get), (RequestClass::Background, Protocol::Chain)] {
            let next = requests.next(class).now_or_never().flatten();
            assert_eq!(next.map(|next| next.protocol), Some(protocol));
        }
        let order: Vec<Protocol> = std::iter::from_fn(|| requests.try_next()).map(|next| next.protocol).collect();
        assert_eq!(order, [Protocol::Consensus, Protocol::Chain]);
        assert!(requests.next_of_any().now_or_never().is_none());
    }

    #[tokio::test]
    async fn strangers_bring_short_messages() {
        let (intake, requests) = request_queues(&Default::default());
        let member = Source::member(NodeId::new([9; 32]));
        let check = |source: Source, bytes: u64, is_refused: bool| {
            let body = vec![0; usize::try_from(bytes).expect("small")].into();
            let message = Frame { head: Bytes::new(), body };
            let answered = intake.put(source, Protocol::Consensus, message, None).now_or_never();
            let code = answered.map(|frame| refusal(frame.expect("answered")).code);
            assert_eq!(code, is_refused.then_some(RefusalCode::Denied), "{source:?} {bytes}");
            assert_eq!(requests.try_next().is_some(), !is_refused);
        };
        check(stranger(1), CLAIM, false);
        check(stranger(1), CLAIM + 1, true);
        check(member, CLAIM + 1, false);
    }

    #[tokio::test]
    async fn a_flood_is_refused_and_others_are_not() {
        let (intake, requests) = request_queues(&Default::default());
        let flood: Vec<_> = (0..100).map(|_| intake.put(stranger(1), Protocol::Get, Frame::default(), None)).collect();
        let modest = intake.put(stranger(2), Protocol::Get, Frame::default(), None);
        let refused: Vec<_> = flood.into_iter().filter_map(|answer| answer.now_or_never()).collect();
        assert_eq!(refused.len(), 100 - WAITING_OF_NODE);
        for answer in refused {
            assert_eq!(refusal(answer.expect("answered")).code, RefusalCode::Busy);
        }
        let served: BTreeSet<NodeId> =
            (0..2).filter_map(|_| requests.try_next()).map(|next| next.source.node).collect();
        assert_eq!(served, [stranger(1).node, stranger(2).node].into());
        assert_eq!(refusal(answer(modest).await).code, RefusalCode::Internal, "it was dropped");
    }

    #[tokio::test]
    async fn long_answers_cost_their_source_its_turns() {
        let (intake, requests) = request_queues(&Default::default());
        let mut answers = Vec::new();
        for _ in 0..10 {
            answers.push(intake.put(stranger(1), Protocol::Get, Frame::default(), None));
            answers.push(intake.put(stranger(2), Protocol::Get, Frame::default(), None));
        }
        let first = requests.try_next().expect("a request");
        assert_eq!(first.source, stranger(1));
        first.reply.send(Frame { head: Bytes::new(), body: vec![0; 256 * 1024].into() });
        let next: Vec<NodeId> = (0..10).filter_map(|_| requests.try_next()).map(|next| next.source.node).collect();
        assert_eq!(next, [stranger(2).node; 10]);
    }

    #[tokio::test]
    async fn both_ends_see_the_other_go() {
        let (intake, requests) = request_queues(&Default::default());
        let weak = intake.downgrade();
        let one = weak.upgrade().expect("alive").put(stranger(1), Protocol::Get, Frame::default(), None);
        drop(intake);
        assert!(weak.upgrade().is_none());
        let left = requests.next(RequestClass::Bulk).await.expect("what had arrived");
        assert!(requests.next(RequestClass::Bulk).await.is_none() && requests.next_of_any().await.is_none());
        left.reply.send(Frame::default());
        one.await.expect("answered");

        let (intake, requests) = request_queues(&Default::default());
        let waits = intake.put(stranger(1), Protocol::Get, Frame::default(), None);
        drop(requests);
        assert_eq!(refusal(answer(waits).await).code, RefusalCode::Internal);
        let late = answer(intake.put(stranger(1), Protocol::Get, Frame::default(), None)).await;
        assert!(refusal(late).reason.contains("shutting down"));
    }
}
