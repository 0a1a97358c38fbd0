//! What everyone above sees of the network: [`Peers`] to ask, [`Inbound`] to be asked.
//!
//! A call is one frame there and one frame back. In goes the node and the request; out comes the answer or a
//! [`CallError`] that says what to do instead. A refusal is no error here: it is an answer, whose head says so. Not
//! here: how a frame travels ([`crate::swarm`], [`crate::sim`]).

use std::fmt;

use bytes::Bytes;
use futures::future::BoxFuture;
use ostrakon_proto::{
    id::NodeId,
    limits,
    wire::{Frame, Protocol, Refusal, RefusalCode},
};
use tokio::sync::oneshot;

use crate::identity::peer_id_text;

/// A network that this node is part of.
pub trait Peers: Send + Sync + fmt::Debug + 'static {
    /// The node that calls are made as.
    fn local(&self) -> NodeId;

    /// Remembers where a node can be dialed: multiaddresses without `/p2p/`. They replace those learned before.
    fn learn(&self, node: NodeId, addresses: &[String]);

    /// Sends `request` to `to`, and returns its answer within [`limits::STALL_SECONDS`]. Nothing happens before the
    /// future is polled; dropping it forgets the call, which may still be carried out. A node may call itself.
    fn call(&self, to: NodeId, protocol: Protocol, request: Frame) -> BoxFuture<'static, Result<Frame, CallError>>;
}

/// A request from another node.
#[derive(Debug)]
pub struct Inbound {
    /// Who asks: proven by the connection's handshake.
    pub from: NodeId,
    /// On which protocol.
    pub protocol: Protocol,
    /// What is asked: within the protocol's limits, otherwise unchecked.
    pub request: Frame,
    /// Where the answer goes.
    pub reply: Reply,
}

/// The way back to who asked. When it is dropped unused, the asker is refused as [`RefusalCode::Internal`].
#[derive(Debug)]
pub struct Reply {
    protocol: Protocol,
    answer: oneshot::Sender<Frame>,
    /// What the request takes until it is answered.
    held: Option<Box<dyn fmt::Debug + Send + Sync>>,
}

impl Reply {
    /// A reply to a request of `protocol`, and where its answer arrives.
    pub fn pair(protocol: Protocol) -> (Self, oneshot::Receiver<Frame>) {
        let (answer, answered) = oneshot::channel();
        (Self { protocol, answer, held: None }, answered)
    }

    /// Keeps this until the request is answered or given up.
    pub(crate) fn holding(self, held: impl fmt::Debug + Send + Sync + 'static) -> Self {
        Self { held: Some(Box::new(held)), ..self }
    }

    /// Answers. An answer over the protocol's limits is replaced by a refusal; one that nobody awaits is dropped.
    pub fn send(self, answer: Frame) {
        let answer = match Bounds::response(self.protocol).admit_frame(&answer) {
            Ok(()) => answer,
            Err(over) => refusal(RefusalCode::Internal, format!("the node's answer broke its own limits: {over}")),
        };
        // Before the asker hears, so that what it asks next finds it free.
        drop(self.held);
        // An asker that has gone away is no matter of the one who answers.
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

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No connection could be made: learn a newer address, try later, or ask another node.
    #[error("node {} cannot be reached: {reason}", peer_id_text(node))]
    Unreachable {
        /// Who was called.
        node: NodeId,
        /// Each address that was tried, with what happened.
        reason: String,
    },
    /// No answer came in time; it is unknown whether the request was carried out.
    #[error("node {} gave no answer within {} s", peer_id_text(node), limits::STALL_SECONDS)]
    Timeout {
        /// Who was called.
        node: NodeId,
    },
    /// The connection ended before the answer; it is unknown whether the request was carried out. It may be repeated.
    #[error("node {} went away before it answered: {reason}", peer_id_text(node))]
    Closed {
        /// Who was called.
        node: NodeId,
        /// What ended it.
        reason: String,
    },
    /// The node does not speak the protocol: it is on another network, of another version, or takes no requests.
    #[error("node {} does not speak {protocol}: it may be on another network or version", peer_id_text(node))]
    Unsupported {
        /// Who was called.
        node: NodeId,
        /// The protocol's name on this network.
        protocol: String,
    },
    /// The answer breaks the protocol: ask another node.
    #[error("node {} gave a bad answer: {reason}", peer_id_text(node))]
    BadAnswer {
        /// Who was called.
        node: NodeId,
        /// What is wrong.
        reason: String,
    },
    /// The request is over the protocol's limits, and was not sent: ask for less at once.
    #[error("request to node {} was not sent: {over}", peer_id_text(node))]
    TooLong {
        /// Who was called.
        node: NodeId,
        /// Which limit.
        over: OverLimit,
    },
    /// This side's network has been shut down.
    #[error("this node's network has been shut down")]
    Stopped,
}

/// A part of a frame is longer than its protocol allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part} of {len} bytes is over the limit of {max}")]
pub struct OverLimit {
    /// Which part: `head` or `body`.
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

    #[test]
    fn errors_name_the_node_as_operators_know_it() {
        let node = NodeId::new([7; 32]);
        let text = CallError::Closed { node, reason: "reset".into() }.to_string();
        assert!(text.contains("12D3KooW") && text.contains("reset"), "{text}");
    }
}
