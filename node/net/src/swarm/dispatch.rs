//! Requests of other nodes that have no answer yet, and whether one more is admitted.
//!
//! In goes a request, out comes its answer. One that is not admitted is refused immediately as [`RefusalCode::Busy`];
//! none is dropped silently. Requests go straight to the holder of the receiver, without the actor. Not here: reading
//! requests ([`super::codec`]).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use ostrakon_proto::{
    id::NodeId,
    wire::{Frame, Protocol, RefusalCode},
};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::codec::Received;
use crate::{
    lock,
    peers::{self, Inbound, Reply},
};

/// Requests of all nodes that may be unanswered at a time.
const UNANSWERED: usize = 1024;
/// Requests of one node that may be unanswered at a time: all that an honest one sends.
const UNANSWERED_PER_NODE: usize = Protocol::ALL.len() * super::calls::IN_FLIGHT;

/// Admits requests of other nodes, and passes them on to be answered.
#[derive(Debug)]
pub(super) struct Dispatch {
    inbound: mpsc::Sender<Inbound>,
    unanswered: Arc<Mutex<Unanswered>>,
}

/// How many requests have no answer yet.
#[derive(Debug, Default)]
struct Unanswered {
    all: usize,
    per_node: BTreeMap<NodeId, usize>,
}

/// What a request holds until it is answered, also when the node that asked is gone by then.
#[derive(Debug)]
struct Admitted {
    from: NodeId,
    unanswered: Arc<Mutex<Unanswered>>,
    #[expect(dead_code, reason = "held, not read: dropping it gives the memory back")]
    memory: Option<OwnedSemaphorePermit>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut unanswered = lock(&self.unanswered);
        unanswered.all = unanswered.all.saturating_sub(1);
        if let Some(count) = unanswered.per_node.get_mut(&self.from) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                unanswered.per_node.remove(&self.from);
            }
        }
    }
}

impl Dispatch {
    pub(super) fn new(inbound: mpsc::Sender<Inbound>) -> Self {
        Self { inbound, unanswered: Arc::default() }
    }

    /// The answer to a request, or a refusal.
    pub(super) async fn ask(&self, from: NodeId, protocol: Protocol, request: Received) -> Frame {
        match self.admit(from, protocol, request) {
            Ok(answered) => answer(answered).await,
            Err(reason) => {
                tracing::debug!(node = %from, ?protocol, reason, "request refused: busy");
                peers::refusal(RefusalCode::Busy, reason)
            }
        }
    }

    /// Passes a request on to be answered, or says why not.
    fn admit(
        &self,
        from: NodeId,
        protocol: Protocol,
        request: Received,
    ) -> Result<oneshot::Receiver<Frame>, &'static str> {
        let Received::Frame(request, memory) = request else {
            return Err("too many bytes of requests wait at the node");
        };
        let admitted = self.count(from, memory)?;
        let (reply, answered) = Reply::pair(protocol);
        pass_on(&self.inbound, Inbound { from, protocol, request, reply: reply.holding(admitted) })?;
        Ok(answered)
    }

    fn count(&self, from: NodeId, memory: Option<OwnedSemaphorePermit>) -> Result<Admitted, &'static str> {
        let mut unanswered = lock(&self.unanswered);
        if unanswered.all >= UNANSWERED {
            return Err("too many requests are unanswered at the node");
        }
        let theirs = unanswered.per_node.entry(from).or_default();
        if *theirs >= UNANSWERED_PER_NODE {
            return Err("too many of your requests are unanswered at the node");
        }
        *theirs += 1;
        unanswered.all += 1;
        Ok(Admitted { from, unanswered: self.unanswered.clone(), memory })
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
    // The receiver must end when the network has stopped.
    drop(inbound);
    match passed {
        Ok(()) => answer(answered).await,
        Err(reason) => peers::refusal(RefusalCode::Busy, reason),
    }
}

fn pass_on(inbound: &mpsc::Sender<Inbound>, request: Inbound) -> Result<(), &'static str> {
    inbound.try_send(request).map_err(|refused| match refused {
        mpsc::error::TrySendError::Full(_) => "too many requests wait at the node",
        mpsc::error::TrySendError::Closed(_) => "the node is shutting down",
    })
}

async fn answer(answered: oneshot::Receiver<Frame>) -> Frame {
    answered.await.unwrap_or_else(|_| peers::refusal(RefusalCode::Internal, "the node dropped the request"))
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::wire::Refusal;

    use super::*;

    fn node(number: u8) -> NodeId {
        NodeId::new([number; 32])
    }

    fn request() -> Received {
        Received::Frame(Frame::default(), None)
    }

    #[test]
    fn one_node_has_a_bounded_share_until_it_is_answered() {
        let (inbound, mut requests) = mpsc::channel(2 * UNANSWERED_PER_NODE);
        let dispatch = Dispatch::new(inbound);
        for _ in 0..UNANSWERED_PER_NODE {
            dispatch.admit(node(1), Protocol::Get, request()).expect("admitted");
        }
        assert!(dispatch.admit(node(1), Protocol::Put, request()).expect_err("refused").contains("too many"));
        dispatch.admit(node(2), Protocol::Get, request()).expect("another node's");
        drop(requests.try_recv().expect("a request"));
        dispatch.admit(node(1), Protocol::Put, request()).expect("one was given up");
        while let Ok(Inbound { reply, .. }) = requests.try_recv() {
            reply.send(Frame::default());
        }
        let unanswered = dispatch.unanswered.lock().expect("whole");
        assert!(unanswered.all == 0 && unanswered.per_node.is_empty());
    }

    #[tokio::test]
    async fn refusals_say_why() {
        let (inbound, requests) = mpsc::channel(1);
        let dispatch = Dispatch::new(inbound);
        let refused = |answer: Frame| answer.decode::<Result<(), Refusal>>().expect("canonical").expect_err("refused");
        dispatch.admit(node(1), Protocol::Get, request()).expect("admitted");
        for (request, reason) in [(Received::OverBudget, "bytes"), (request(), "wait")] {
            let refusal = refused(dispatch.ask(node(1), Protocol::Get, request).await);
            assert!(refusal.code == RefusalCode::Busy && refusal.reason.contains(reason), "{refusal:?}");
        }
        drop(requests);
        assert_eq!(refused(dispatch.ask(node(1), Protocol::Get, request()).await).code, RefusalCode::Busy);
        assert_eq!(dispatch.unanswered.lock().expect("whole").all, 0);
    }
}
