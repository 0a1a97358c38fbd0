//! Requests of others that have no answer yet, and whether one more is taken.
//!
//! In goes a request, out comes its answer, in time. Whoever is refused hears so at once, as [`RefusalCode::Busy`]:
//! nothing is dropped in silence. Requests go straight to whoever holds the receiver: the actor has no part in them.
//! Not here: reading requests ([`super::codec`]).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use ostrakon_proto::{
    id::NodeId,
    wire::{Frame, Protocol, RefusalCode},
};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::codec::Request;
use crate::peers::{self, Inbound, Reply};

/// Requests of all nodes without an answer.
const UNANSWERED: usize = 1024;
/// Requests of one node without an answer: all that an honest one sends at once.
const UNANSWERED_PER_NODE: usize = Protocol::ALL.len() * super::calls::IN_FLIGHT;

/// All requests of others that have no answer yet.
#[derive(Debug)]
pub(super) struct Answers {
    inbound: mpsc::Sender<Inbound>,
    unanswered: Arc<Mutex<Unanswered>>,
}

/// How many requests have no answer yet.
#[derive(Debug, Default)]
struct Unanswered {
    all: usize,
    per_node: BTreeMap<NodeId, usize>,
}

/// What a request takes until it is answered, also when who asked is gone by then.
#[derive(Debug)]
struct Taken {
    from: NodeId,
    unanswered: Arc<Mutex<Unanswered>>,
    #[expect(dead_code, reason = "held, not read: dropping it gives the memory back")]
    room: Option<OwnedSemaphorePermit>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut unanswered = self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        unanswered.all = unanswered.all.saturating_sub(1);
        if let Some(count) = unanswered.per_node.get_mut(&self.from) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                unanswered.per_node.remove(&self.from);
            }
        }
    }
}

impl Answers {
    pub(super) fn new(inbound: mpsc::Sender<Inbound>) -> Self {
        Self { inbound, unanswered: Arc::default() }
    }

    /// The answer to a request: of whoever takes requests, or a refusal.
    pub(super) async fn ask(&self, from: NodeId, protocol: Protocol, request: Request) -> Frame {
        match self.take(from, protocol, request) {
            Ok(answered) => answer(answered).await,
            Err(reason) => {
                tracing::debug!(%from, ?protocol, reason, "request refused: busy");
                peers::refusal(RefusalCode::Busy, reason)
            }
        }
    }

    /// Passes a request on to be answered, or says why not.
    fn take(
        &self,
        from: NodeId,
        protocol: Protocol,
        request: Request,
    ) -> Result<oneshot::Receiver<Frame>, &'static str> {
        let Request::Frame(request, room) = request else {
            return Err("the node holds as many bytes of requests as it can");
        };
        let taken = self.count(from, room)?;
        let (reply, answered) = Reply::pair(protocol);
        pass_on(&self.inbound, Inbound { from, protocol, request, reply: reply.holding(taken) })?;
        Ok(answered)
    }

    fn count(&self, from: NodeId, room: Option<OwnedSemaphorePermit>) -> Result<Taken, &'static str> {
        let mut unanswered = self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        if unanswered.all >= UNANSWERED {
            return Err("the node answers as many requests as it can");
        }
        let theirs = unanswered.per_node.entry(from).or_default();
        if *theirs >= UNANSWERED_PER_NODE {
            return Err("you have too many requests under way to this node");
        }
        *theirs += 1;
        unanswered.all += 1;
        Ok(Taken { from, unanswered: self.unanswered.clone(), room })
    }
}

/// The answer of this node to itself, or a refusal.
pub(super) async fn ask_oneself(
    inbound: mpsc::Sender<Inbound>,
    from: NodeId,
    protocol: Protocol,
    request: Frame,
) -> Frame {
    let (reply, answered) = Reply::pair(protocol);
    let passed = pass_on(&inbound, Inbound { from, protocol, request, reply });
    // Whoever takes requests must hear when the network has stopped.
    drop(inbound);
    match passed {
        Ok(()) => answer(answered).await,
        Err(reason) => peers::refusal(RefusalCode::Busy, reason),
    }
}

fn pass_on(inbound: &mpsc::Sender<Inbound>, request: Inbound) -> Result<(), &'static str> {
    inbound.try_send(request).map_err(|refused| match refused {
        mpsc::error::TrySendError::Full(_) => "too many requests wait at the node",
        mpsc::error::TrySendError::Closed(_) => "the node takes no requests now",
    })
}

async fn answer(answered: oneshot::Receiver<Frame>) -> Frame {
    answered.await.unwrap_or_else(|_| peers::refusal(RefusalCode::Internal, "the node gave the request up"))
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::wire::Refusal;

    use super::*;

    fn node(number: u8) -> NodeId {
        NodeId::new([number; 32])
    }

    fn request() -> Request {
        Request::Frame(Frame::default(), None)
    }

    #[test]
    fn one_node_has_a_bounded_share_until_it_is_answered() {
        let (inbound, mut requests) = mpsc::channel(2 * UNANSWERED_PER_NODE);
        let answers = Answers::new(inbound);
        for _ in 0..UNANSWERED_PER_NODE {
            answers.take(node(1), Protocol::Get, request()).expect("taken");
        }
        assert!(answers.take(node(1), Protocol::Put, request()).expect_err("refused").contains("too many"));
        answers.take(node(2), Protocol::Get, request()).expect("another node's");
        drop(requests.try_recv().expect("a request"));
        answers.take(node(1), Protocol::Put, request()).expect("one was given up");
        while let Ok(Inbound { reply, .. }) = requests.try_recv() {
            reply.send(Frame::default());
        }
        let unanswered = answers.unanswered.lock().expect("whole");
        assert!(unanswered.all == 0 && unanswered.per_node.is_empty());
    }

    #[tokio::test]
    async fn refusals_say_why() {
        let (inbound, requests) = mpsc::channel(1);
        let answers = Answers::new(inbound);
        let refused = |answer: Frame| answer.decode::<Result<(), Refusal>>().expect("canonical").expect_err("refused");
        answers.take(node(1), Protocol::Get, request()).expect("taken");
        for (request, reason) in [(Request::NoRoom, "bytes"), (request(), "wait")] {
            let refusal = refused(answers.ask(node(1), Protocol::Get, request).await);
            assert!(refusal.code == RefusalCode::Busy && refusal.reason.contains(reason), "{refusal:?}");
        }
        drop(requests);
        assert_eq!(refused(answers.ask(node(1), Protocol::Get, request()).await).code, RefusalCode::Busy);
        assert_eq!(answers.unanswered.lock().expect("whole").all, 0);
    }
}
