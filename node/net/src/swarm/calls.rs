//! Calls of this node that wait for a connection, and their callers.
//!
//! Pure state of the actor: in go calls, out come all of a node's once there is a connection. Not here: connections
//! ([`super::dials`]), and calls that have one ([`super::exchange`]).

use std::collections::{BTreeMap, VecDeque};

use libp2p::PeerId;
use ostrakon_proto::{
    id::NodeId,
    wire::{Frame, Protocol},
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{AskError, Failure};

/// Requests in progress to one node on one protocol. Bulk needs 2-4 to fill a connection; long polls stay beside them.
pub(super) const IN_FLIGHT: usize = 16;

/// What a caller is told.
pub(super) type Answered = Result<Frame, AskError>;

/// A call as the handle made it.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) to: NodeId,
    pub(super) protocol: Protocol,
    pub(super) request: Frame,
    pub(super) caller: Caller,
}

/// Awaits the answer, and holds one of the permits for calls. A caller that is dropped untold is told that the
/// connection closed: the call was dropped with it.
#[derive(Debug)]
pub(super) struct Caller {
    node: NodeId,
    answer: Option<oneshot::Sender<Answered>>,
    #[expect(dead_code, reason = "held, not read: dropping it lets the next call begin")]
    permit: OwnedSemaphorePermit,
}

impl Caller {
    /// The caller of `node` that holds the other end of `answer`.
    pub(super) const fn new(node: NodeId, answer: oneshot::Sender<Answered>, permit: OwnedSemaphorePermit) -> Self {
        Self { node, answer: Some(answer), permit }
    }

    /// Tells the caller, if it still waits.
    pub(super) fn tell(mut self, outcome: Answered) {
        self.tell_once(outcome);
    }

    /// Whether the caller has given up.
    pub(super) fn is_gone(&self) -> bool {
        self.answer.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    fn tell_once(&mut self, outcome: Answered) {
        if let Some(answer) = self.answer.take() {
            let _gone = answer.send(outcome);
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let reason = || "the connection closed".to_string();
        if self.answer.is_some() {
            self.tell_once(Err(AskError::new(self.node, Failure::Closed(reason()))));
        }
    }
}

/// All calls that wait for a connection.
#[derive(Debug, Default)]
pub(super) struct Calls(BTreeMap<PeerId, VecDeque<Call>>);

impl Calls {
    /// Adds a call behind those that wait for the same node.
    pub(super) fn push(&mut self, peer: PeerId, call: Call) {
        self.0.entry(peer).or_default().push_back(call);
    }

    /// Whether calls wait for this node.
    pub(super) fn has(&self, peer: PeerId) -> bool {
        self.0.contains_key(&peer)
    }

    /// Takes all calls that wait for this node.
    pub(super) fn take(&mut self, peer: PeerId) -> VecDeque<Call> {
        self.0.remove(&peer).unwrap_or_default()
    }

    /// Drops calls whose callers have given up.
    pub(super) fn forget_abandoned(&mut self) {
        self.0.retain(|_, calls| {
            calls.retain(|call| !call.caller.is_gone());
            !calls.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    fn call(permits: &Arc<Semaphore>) -> (Call, oneshot::Receiver<Answered>) {
        let (answer, answered) = oneshot::channel();
        let permit = permits.clone().try_acquire_owned().expect("a free permit");
        let to = NodeId::new([1; 32]);
        let call =
            Call { to, protocol: Protocol::Chain, request: Frame::default(), caller: Caller::new(to, answer, permit) };
        (call, answered)
    }

    #[test]
    fn abandoned_calls_give_their_places_back() {
        let (permits, peer, mut calls) = (Arc::new(Semaphore::new(8)), PeerId::random(), Calls::default());
        let ((first, kept), (second, abandoned)) = (call(&permits), call(&permits));
        calls.push(peer, first);
        calls.push(peer, second);
        drop(abandoned);
        calls.forget_abandoned();
        assert_eq!(permits.available_permits(), 7);
        assert!(calls.take(PeerId::random()).is_empty());
        assert_eq!(calls.take(peer).len(), 1);
        assert!(calls.0.is_empty());
        drop(kept);
    }

    #[test]
    fn a_caller_is_told_once() {
        let permits = Arc::new(Semaphore::new(8));
        let ((told, mut answered), (dropped, mut closed)) = (call(&permits), call(&permits));
        told.caller.tell(Ok(Frame::default()));
        assert_eq!(answered.try_recv(), Ok(Ok(Frame::default())));
        drop(dropped);
        assert!(matches!(closed.try_recv(), Ok(Err(AskError { failure: Failure::Closed(_), .. }))));
        assert_eq!(permits.available_permits(), 8);
    }
}
