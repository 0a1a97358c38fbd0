//! One call over one of our streams.
//!
//! A call that its caller has given up is carried out all the same and its answer dropped: the other side counts the
//! request as ours until it has answered, and what it sends is under way already.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures::{AsyncRead, AsyncWrite, AsyncWriteExt};
use ostrakon_proto::{
    id::NodeId,
    wire::{Frame, Protocol},
};

use super::deadline::Deadline;
use crate::{
    peers::{Bounds, CallError},
    swarm::{calls::Call, codec},
};

/// A stream of ours.
#[derive(Debug)]
pub(super) struct Kept<T> {
    io: T,
    deadline: Deadline,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Kept<T> {
    /// Must be called on the runtime.
    pub(super) fn new(io: T) -> Self {
        Self { io, deadline: Deadline::new() }
    }

    /// Whether the stream may carry a call: it has not ended, and nothing has come that was not asked for.
    pub(super) fn is_open(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        matches!(Pin::new(&mut self.io).poll_read(&mut context, &mut [0]), Poll::Pending)
    }

    /// Carries a call and tells its caller; returns the stream when it may carry another.
    pub(super) async fn carry(mut self, call: Call) -> Option<Self> {
        let Call { to: node, protocol, request, caller } = call;
        let outcome = match self.deadline.within(exchange(&mut self.io, protocol, request)).await {
            Some(outcome) => outcome.map_err(|error| failure(node, &error)),
            None => Err(CallError::Timeout { node }),
        };
        let is_whole = outcome.is_ok();
        caller.tell(outcome);
        is_whole.then_some(self)
    }
}

async fn exchange<T>(io: &mut T, protocol: Protocol, request: Frame) -> io::Result<Frame>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    codec::write(io, Bounds::request(protocol), &request).await?;
    drop(request);
    io.flush().await?;
    codec::read_response(io, Bounds::response(protocol)).await
}

/// What a stream's failure means to the caller.
fn failure(node: NodeId, error: &io::Error) -> CallError {
    let reason = error.to_string();
    match error.kind() {
        io::ErrorKind::InvalidData => CallError::BadAnswer { node, reason },
        _ => CallError::Closed { node, reason },
    }
}
