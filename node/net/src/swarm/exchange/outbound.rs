//! One call over one of our streams.
//!
//! A call whose caller has given up is carried out all the same and its answer dropped: the other side counts the
//! request as ours until it has answered.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::core::upgrade::NegotiationError;

use super::negotiate::ProtocolName;
use crate::{
    AskError, Failure,
    ask::STALL,
    awake::Deadline,
    metrics::PathTraffic,
    peers::Bounds,
    swarm::{calls::Call, codec},
};

/// Bytes of a request that go with the name of its stream's protocol, before the other side has confirmed it. What is
/// sent until then is not read, and the window of a QUIC connection is shared: were it full of that in both directions,
/// no confirmation could pass.
const UNCONFIRMED: usize = 16 * 1024;

/// A stream that this node opened: it carries one call at a time.
#[derive(Debug)]
pub(super) struct OutboundStream<T> {
    io: T,
    name: ProtocolName,
    deadline: Deadline,
}

impl<T: AsyncRead + AsyncWrite + Unpin> OutboundStream<T> {
    /// A stream of this protocol, which the other side may still refuse. Must be called on the runtime.
    pub(super) fn new(io: T, name: ProtocolName) -> Self {
        Self { io, name, deadline: Deadline::new(STALL) }
    }

    /// Whether the stream may carry a call: it has not ended, and no unrequested bytes have arrived.
    pub(super) fn is_open(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        matches!(Pin::new(&mut self.io).poll_read(&mut context, &mut [0]), Poll::Pending)
    }

    /// Carries a call, whose bytes are counted, and tells its caller; returns the stream when it may carry another.
    pub(super) async fn carry(mut self, call: Call, traffic: &PathTraffic) -> Option<Self> {
        let Call { to: node, protocol, request, caller } = call;
        let exchange = async {
            if request.head.len() + request.body.len() > UNCONFIRMED {
                // Waits for the confirmation, unless it has come, and reads nothing.
                let _none = self.io.read(&mut []).await?;
            }
            codec::write(&mut self.io, Bounds::request(protocol), &request).await?;
            traffic.sent(&request);
            drop(request);
            self.io.flush().await?;
            let response = codec::read_response(&mut self.io, Bounds::response(protocol)).await?;
            traffic.received(&response);
            Ok(response)
        };
        let outcome = match self.deadline.within(exchange).await {
            Some(outcome) => outcome.map_err(|error| AskError::new(node, failure(&self.name, &error))),
            None => Err(AskError::new(node, Failure::Timeout(STALL))),
        };
        let is_whole = outcome.is_ok();
        caller.tell(outcome);
        is_whole.then_some(self)
    }
}

/// The caller's error for a stream's.
fn failure(name: &ProtocolName, error: &io::Error) -> Failure {
    let negotiation = error.get_ref().and_then(|inner| inner.downcast_ref());
    match error.kind() {
        _ if matches!(negotiation, Some(NegotiationError::Failed)) => Failure::Unsupported(name.as_ref().to_owned()),
        io::ErrorKind::InvalidData => Failure::InvalidAnswer(error.to_string()),
        _ => Failure::Closed(error.to_string()),
    }
}
