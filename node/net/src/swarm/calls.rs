//! Calls of ours that wait for a connection, and who awaits their answers.
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

use crate::peers::CallError;

/// Requests under way to one node on one protocol. Bulk needs 2-4 to fill a connection; long polls stay beside them.
pub(super) const IN_FLIGHT: usize = 16;

/// What a caller is told.
pub(super) type Answered = Result<Frame, CallError>;

/// A call as the handle made it.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) to: NodeId,
    pub(super) protocol: Protocol,
    pub(super) request: Frame,
    pub(super) caller: Caller,
}

/// Who awaits the answer. Holds a place among the calls that there may be at once. A caller that is dropped untold
/// hears that the connection closed: whatever carried the call went with it.
#[derive(Debug)]
pub(super) struct Caller {
    node: NodeId,
    answer: Option<oneshot::Sender<Answered>>,
    #[expect(dead_code, reason = "held, not read: dropping it lets the next call begin")]
    place: OwnedSemaphorePermit,
}

impl Caller {
    /// Who calls `node`, and awaits the other end of `answer`.
    pub(super) const fn new(node: NodeId, answer: oneshot::Sender<Answered>, place: OwnedSemaphorePermit) -> Self {
        Self { node, answer: Some(answer), place }
    }

    /// Tells the caller; one that has gone away does not matter.
    pub(super) fn tell(mut self, outcome: Answered) {
        self.tell_once(outcome);
    }

    /// Whether nobody awaits the answer any more.
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
            self.tell_once(Err(CallError::Closed { node: self.node, reason: reason() }));
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

    /// Takes all calls that wait for this node.
    pub(super) fn take(&mut self, peer: PeerId) -> VecDeque<Call> {
        self.0.remove(&peer).unwrap_or_default()
    }

    /// Forgets calls that nobody awaits any more.
    pub(super) fn forget_abandoned(&mut self) {
        self.0.retain(|_, calls| {
            calls.retain(|call| !call.caller.is_gone());
            !calls.is_empty()
        });
    }

    /// Whether no call waits.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    fn call(places: &Arc<Semaphore>) -> (Call, oneshot::Receiver<Answered>) {
        let (answer, answered) = oneshot::channel();
        let place = places.clone().try_acquire_owned().expect("a free place");
        let to = NodeId::new([1; 32]);
        let call =
            Call { to, protocol: Protocol::Chain, request: Frame::default(), caller: Caller::new(to, answer, place) };
        (call, answered)
    }

    #[test]
    fn abandoned_calls_give_their_places_back() {
        let (places, peer, mut calls) = (Arc::new(Semaphore::new(8)), PeerId::random(), Calls::default());
        let ((first, kept), (second, abandoned)) = (call(&places), call(&places));
        calls.push(peer, first);
        calls.push(peer, second);
        drop(abandoned);
        calls.forget_abandoned();
        assert_eq!(places.available_permits(), 7);
        assert!(calls.take(PeerId::random()).is_empty());
        assert_eq!(calls.take(peer).len(), 1);
        assert!(calls.is_empty());
        drop(kept);
    }

    #[test]
    fn a_caller_is_told_once() {
        let places = Arc::new(Semaphore::new(8));
        let ((told, mut answered), (dropped, mut closed)) = (call(&places), call(&places));
        told.caller.tell(Ok(Frame::default()));
        assert_eq!(answered.try_recv(), Ok(Ok(Frame::default())));
        drop(dropped);
        assert!(matches!(closed.try_recv(), Ok(Err(CallError::Closed { .. }))));
        assert_eq!(places.available_permits(), 8);
    }
}
