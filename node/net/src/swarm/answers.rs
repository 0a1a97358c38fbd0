//! Requests of others that have no answer yet, and whether one more is taken.
//!
//! Pure state of the actor: in goes a request, out come its reply and, later, the answer. Whoever is refused hears so
//! at once, as [`Code::Busy`]: nothing is dropped in silence. Not here: reading requests ([`super::codec`]).

use std::collections::BTreeMap;

use futures::{
    future::BoxFuture,
    stream::{FuturesUnordered, StreamExt},
};
use libp2p::request_response::ResponseChannel;
use ostrakon_proto::{
    id::NodeId,
    wire::{Code, Frame, Protocol},
};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::calls::Caller;
use crate::peers::{self, Inbound, Reply};

/// Requests of all nodes without an answer.
const UNANSWERED: usize = 1024;
/// Requests of one node without an answer: all that an honest one sends at once.
const UNANSWERED_PER_NODE: usize = Protocol::ALL.len() * super::calls::IN_FLIGHT;

/// Who asked: another node, or this one.
#[derive(Debug)]
pub(super) enum Asker {
    /// The way back through libp2p.
    Remote(ResponseChannel<Frame>),
    /// A call of this node to itself.
    Local(Caller),
}

/// A request with the memory that it takes.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) from: NodeId,
    pub(super) protocol: Protocol,
    pub(super) request: Frame,
    pub(super) room: Option<OwnedSemaphorePermit>,
}

/// An answer that is to be sent.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) from: NodeId,
    pub(super) protocol: Protocol,
    pub(super) asker: Asker,
    pub(super) frame: Frame,
}

/// All requests that have no answer yet.
#[derive(Debug)]
pub(super) struct Answers {
    inbound: mpsc::Sender<Inbound>,
    pending: FuturesUnordered<BoxFuture<'static, Answer>>,
    per_node: BTreeMap<NodeId, usize>,
}

impl Answers {
    pub(super) fn new(inbound: mpsc::Sender<Inbound>) -> Self {
        Self { inbound, pending: FuturesUnordered::new(), per_node: BTreeMap::new() }
    }

    /// Passes a request on to be answered. When it is not taken, the refusal is returned, to be sent.
    pub(super) fn take(&mut self, question: Question, asker: Asker) -> Option<Answer> {
        let Question { from, protocol, request, room } = question;
        let refuse = |asker, reason: &str| Answer { from, protocol, asker, frame: peers::refusal(Code::Busy, reason) };
        let theirs = self.per_node.get(&from).copied().unwrap_or(0);
        if self.pending.len() >= UNANSWERED {
            return Some(refuse(asker, "the node answers as many requests as it can"));
        }
        if theirs >= UNANSWERED_PER_NODE && matches!(asker, Asker::Remote(_)) {
            return Some(refuse(asker, "you have too many requests under way to this node"));
        }
        let (reply, answered) = Reply::pair(protocol);
        if let Err(full) = self.inbound.try_send(Inbound { from, protocol, request, reply }) {
            return Some(refuse(
                asker,
                match full {
                    mpsc::error::TrySendError::Full(_) => "too many requests wait at the node",
                    mpsc::error::TrySendError::Closed(_) => "the node takes no requests now",
                },
            ));
        }
        self.per_node.insert(from, theirs + 1);
        self.pending.push(Box::pin(async move {
            let unanswered = || peers::refusal(Code::Internal, "the node gave the request up");
            let frame = answered.await.unwrap_or_else(|_| unanswered());
            drop(room);
            Answer { from, protocol, asker, frame }
        }));
        None
    }

    /// Refuses a request that was not even read.
    pub(super) fn no_room(from: NodeId, protocol: Protocol, asker: Asker) -> Answer {
        let frame = peers::refusal(Code::Busy, "the node holds as many bytes of requests as it can");
        Answer { from, protocol, asker, frame }
    }

    /// The next answer. Cancel-safe; must not be awaited when [`Answers::is_empty`].
    pub(super) async fn next(&mut self) -> Option<Answer> {
        let answer = self.pending.next().await?;
        if let Some(count) = self.per_node.get_mut(&answer.from) {
            *count -= 1;
            if *count == 0 {
                self.per_node.remove(&answer.from);
            }
        }
        Some(answer)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}
