//! The network as everyone above sees it: [`Peers`] to ask, [`Inbound`] to be asked.
//!
//! A call is one frame there and one frame back; [`crate::ask`] is the typed way to make one. In goes the node and the
//! request; out comes the answer or an [`AskError`]. A refusal is an answer here, whose head tells. Not here: how a
//! frame travels ([`crate::swarm`], [`crate::sim`]).

use std::{collections::BTreeSet, fmt, future};

use bytes::Bytes;
use futures::future::BoxFuture;
use ostrakon_proto::{
    id::NodeId,
    limits,
    wire::{Frame, Protocol, Refusal, RefusalCode},
};
use tokio::sync::oneshot;

use crate::{
    AskError,
    admission::{Held, Source, requests::Charge},
};

/// A network that this node is part of.
pub trait Peers: Send + Sync + fmt::Debug + 'static {
    /// The node that calls are made as.
    fn local(&self) -> NodeId;

    /// Stores where a node can be dialed, as multiaddresses. They replace those stored before.
    fn learn(&self, node: NodeId, addresses: &[String]);

    /// From now on these nodes are the members of the network, which have a share of their own of what this node does
    /// for others. A network that does not share anything out ignores it.
    fn recognise(&self, _members: BTreeSet<NodeId>) {}

    /// Closes the connections to a node, which deliver nothing any more: the next call makes a new one. A network
    /// without connections ignores it.
    fn reconnect(&self, _node: NodeId) {}

    /// Connects with a node at this multiaddress, on a new connection, to see whether others can.
    fn dial_back(&self, _node: NodeId, _address: &str) -> BoxFuture<'static, Result<(), DialBackError>> {
        Box::pin(future::ready(Err(DialBackError::Elsewhere)))
    }

    /// Closes all connections, and waits until the other nodes are told; later calls fail. A network without
    /// connections ignores it.
    fn leave(&self) -> BoxFuture<'static, ()> {
        Box::pin(future::ready(()))
    }

    /// Sends `request` to `to`, and returns its answer within [`limits::STALL_SECONDS`]. Nothing happens before the
    /// future is polled; dropping it forgets the call, which may still be carried out. A node may call itself.
    fn call(&self, to: NodeId, protocol: Protocol, request: Frame) -> BoxFuture<'static, Result<Frame, AskError>>;
}

/// Why a node was not connected with at the address that it named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialBackError {
    /// It was not tried: nobody is dialed for others.
    #[error("a node is only dialed at an IP address from which it is connected")]
    Elsewhere,
    /// It was not tried: too many want to be dialed, or this node is stopping.
    #[error("too many nodes want to be dialed: try again later")]
    Busy,
    /// It was tried.
    #[error("{0}")]
    Failed(String),
}

/// A request from another node.
#[derive(Debug)]
pub struct Inbound {
    /// The node that asks, and with whom it shares what this node does for others.
    pub source: Source,
    /// The protocol of the request.
    pub protocol: Protocol,
    /// Within the protocol's limits, otherwise unchecked.
    pub request: Frame,
    /// Where the answer goes.
    pub reply: Reply,
}

/// Answers a request. When it is dropped unused, the request is refused as [`RefusalCode::Internal`].
#[derive(Debug)]
pub struct Reply {
    protocol: Protocol,
    answer: oneshot::Sender<Frame>,
    /// Memory that the request holds until it is answered.
    held: Option<Held>,
    /// Tells the queue that the request came from what the answer cost.
    charge: Option<Charge>,
}

impl Reply {
    /// A reply to a request of `protocol`, and where its answer arrives.
    pub fn pair(protocol: Protocol) -> (Self, oneshot::Receiver<Frame>) {
        let (answer, answered) = oneshot::channel();
        (Self { protocol, answer, held: None, charge: None }, answered)
    }

    /// Holds this until the request is answered or dropped.
    pub(crate) fn holding(self, held: Option<Held>) -> Self {
        Self { held, ..self }
    }

    /// Charges this when the request is answered.
    pub(crate) fn charging(self, charge: Charge) -> Self {
        Self { charge: Some(charge), ..self }
    }

    /// Answers. An answer over the protocol's limits is replaced by a refusal.
    pub fn send(self, answer: Frame) {
        let answer = match Bounds::response(self.protocol).admit_frame(&answer) {
            Ok(()) => answer,
            Err(over) => refusal(
                RefusalCode::Internal,
                format!("the node's answer is over the protocol's limit, which is a bug: {over}"),
            ),
        };
        // Before the answer is sent, so that the next request of the same node is admitted.
        drop(self.held);
        if let Some(charge) = self.charge {
            charge.answered(&answer);
        }
        // The node that asked may be gone.
        let _gone = self.answer.send(answer);
    }

    /// Answers with a refusal.
    pub fn refuse(self, refusal: &Refusal) {
        self.send(refusal_frame(refusal));
    }
}

/// The frame that refuses on every protocol: a head that is `Err(refusal)`.
pub(crate) fn refusal(code: RefusalCode, reason: impl fmt::Display) -> Frame {
    refusal_frame(&Refusal::new(code, reason))
}

fn refusal_frame(refusal: &Refusal) -> Frame {
    Frame::new(&Err::<(), _>(refusal), Bytes::new())
}

/// A part of a frame is longer than its protocol allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part} of {len} bytes is over the limit of {max}")]
pub struct OverLimit {
    /// The part: `head` or `body`.
    pub part: &'static str,
    /// Its length.
    pub len: usize,
    /// The most allowed.
    pub max: usize,
}

/// How long the parts of a frame may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    body: usize,
}

impl Bounds {
    /// Those of a request.
    pub(crate) const fn request(protocol: Protocol) -> Self {
        Self { body: protocol.request_body_max() }
    }

    /// Those of an answer.
    pub(crate) const fn response(protocol: Protocol) -> Self {
        Self { body: protocol.response_body_max() }
    }

    /// Whether parts of these lengths may travel.
    pub(crate) fn admit(self, head: usize, body: usize) -> Result<(), OverLimit> {
        if head > limits::HEAD {
            return Err(OverLimit { part: "head", len: head, max: limits::HEAD });
        }
        if body > self.body {
            return Err(OverLimit { part: "body", len: body, max: self.body });
        }
        Ok(())
    }

    /// Whether this frame may travel.
    pub(crate) fn admit_frame(self, frame: &Frame) -> Result<(), OverLimit> {
        self.admit(frame.head.len(), frame.body.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(head: usize, body: usize) -> Frame {
        Frame { head: vec![0; head].into(), body: vec![0; body].into() }
    }

    #[test]
    fn bounds_hold_per_protocol_and_direction() {
        let check = |bounds: Bounds, head, body, expect: Option<&str>| {
            assert_eq!(bounds.admit(head, body).err().map(|over| over.part), expect, "{bounds:?} {head} {body}");
        };
        check(Bounds::request(Protocol::Get), limits::HEAD, 0, None);
        check(Bounds::request(Protocol::Get), limits::HEAD + 1, 0, Some("head"));
        check(Bounds::request(Protocol::Get), 0, 1, Some("body"));
        check(Bounds::response(Protocol::Get), 0, limits::CHUNK, None);
        check(Bounds::response(Protocol::Get), 0, limits::CHUNK + 1, Some("body"));
        check(Bounds::response(Protocol::Put), 0, 1, Some("body"));
    }

    #[tokio::test]
    async fn an_answer_over_the_limits_becomes_a_refusal() {
        let (reply, answered) = Reply::pair(Protocol::Put);
        reply.send(frame(1, 1));
        let head: Result<(), Refusal> = answered.await.expect("sent").decode().expect("canonical");
        assert_eq!(head.expect_err("refused").code, RefusalCode::Internal);
    }
}
