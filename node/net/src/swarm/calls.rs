//! Calls of ours that have no answer yet: which wait for a connection or their turn, and which are under way.
//!
//! Pure state of the actor: in go calls and what became of them; out comes what to send next. A node never has more
//! than [`IN_FLIGHT`] of our requests on one protocol, which an honest node's bound on streams always admits. Not
//! here: connections ([`super::dials`]), and sending ([`super::actor`]).

use std::collections::{BTreeMap, VecDeque};

use libp2p::{PeerId, request_response::OutboundRequestId};
use ostrakon_proto::{
    id::NodeId,
    wire::{Frame, Protocol},
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::peers::CallError;

/// Requests under way to one node on one protocol. Bulk needs 2-4 to fill a connection; long polls stay beside them.
pub(super) const IN_FLIGHT: usize = 16;

/// A call as the handle made it.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) to: NodeId,
    pub(super) protocol: Protocol,
    pub(super) request: Frame,
    pub(super) caller: Caller,
}

/// Who awaits the answer. Holds a place among the calls that there may be at once.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) answer: oneshot::Sender<Result<Frame, CallError>>,
    #[expect(dead_code, reason = "held, not read: dropping it lets the next call begin")]
    pub(super) place: OwnedSemaphorePermit,
}

impl Caller {
    /// Tells the caller; one that has gone away does not matter.
    pub(super) fn tell(self, outcome: Result<Frame, CallError>) {
        let _gone = self.answer.send(outcome);
    }
}

/// What waits for one node on one protocol.
#[derive(Debug, Default)]
struct Lane {
    in_flight: usize,
    waiting: VecDeque<(Frame, Caller)>,
}

/// All calls that have no answer yet.
#[derive(Debug, Default)]
pub(super) struct Calls {
    lanes: BTreeMap<(PeerId, Protocol), Lane>,
    /// Requests under way, by the protocol's own numbers.
    sent: BTreeMap<(Protocol, OutboundRequestId), (PeerId, Caller)>,
}

impl Calls {
    /// Adds a call at the end of its lane.
    pub(super) fn push(&mut self, peer: PeerId, protocol: Protocol, request: Frame, caller: Caller) {
        self.lanes.entry((peer, protocol)).or_default().waiting.push_back((request, caller));
    }

    /// The lane's next request to send now, if its turn has come and somebody still awaits the answer.
    pub(super) fn next(&mut self, peer: PeerId, protocol: Protocol) -> Option<(Frame, Caller)> {
        let lane = self.lanes.get_mut(&(peer, protocol))?;
        if lane.in_flight >= IN_FLIGHT {
            return None;
        }
        while let Some((request, caller)) = lane.waiting.pop_front() {
            if !caller.answer.is_closed() {
                lane.in_flight += 1;
                return Some((request, caller));
            }
        }
        self.forget_if_idle(peer, protocol);
        None
    }

    /// Notes that what [`Calls::next`] gave is under way.
    pub(super) fn sent(&mut self, peer: PeerId, protocol: Protocol, id: OutboundRequestId, caller: Caller) {
        self.sent.insert((protocol, id), (peer, caller));
    }

    /// Takes the call that this request came from, once it is over.
    pub(super) fn over(&mut self, protocol: Protocol, id: OutboundRequestId) -> Option<Caller> {
        let (peer, caller) = self.sent.remove(&(protocol, id))?;
        if let Some(lane) = self.lanes.get_mut(&(peer, protocol)) {
            lane.in_flight = lane.in_flight.saturating_sub(1);
        }
        self.forget_if_idle(peer, protocol);
        Some(caller)
    }

    /// Whether calls to this node wait to be sent.
    pub(super) fn waits(&self, peer: PeerId) -> bool {
        self.lanes_of(peer).any(|lane| !lane.waiting.is_empty())
    }

    /// Fails the calls to this node that wait to be sent.
    pub(super) fn fail_waiting(&mut self, peer: PeerId, error: &CallError) {
        for protocol in Protocol::ALL {
            let Some(lane) = self.lanes.get_mut(&(peer, protocol)) else { continue };
            for (_, caller) in std::mem::take(&mut lane.waiting) {
                caller.tell(Err(error.clone()));
            }
            self.forget_if_idle(peer, protocol);
        }
    }

    /// Forgets calls that wait and that nobody awaits any more.
    pub(super) fn forget_abandoned(&mut self) {
        for lane in self.lanes.values_mut() {
            lane.waiting.retain(|(_, caller)| !caller.answer.is_closed());
        }
        self.lanes.retain(|_, lane| lane.in_flight > 0 || !lane.waiting.is_empty());
    }

    /// Whether there is nothing at all to keep.
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    fn lanes_of(&self, peer: PeerId) -> impl Iterator<Item = &Lane> {
        Protocol::ALL.into_iter().filter_map(move |protocol| self.lanes.get(&(peer, protocol)))
    }

    fn forget_if_idle(&mut self, peer: PeerId, protocol: Protocol) {
        if self.lanes.get(&(peer, protocol)).is_some_and(|lane| lane.in_flight == 0 && lane.waiting.is_empty()) {
            self.lanes.remove(&(peer, protocol));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    type Answer = oneshot::Receiver<Result<Frame, CallError>>;

    fn caller(places: &Arc<Semaphore>) -> (Caller, Answer) {
        let (answer, answered) = oneshot::channel();
        let place = places.clone().try_acquire_owned().expect("a free place");
        (Caller { answer, place }, answered)
    }

    #[test]
    fn a_lane_sends_a_bounded_number_and_skips_the_abandoned() {
        let (places, peer, mut calls) = (Arc::new(Semaphore::new(64)), PeerId::random(), Calls::default());
        let mut answers: Vec<Answer> = Vec::new();
        for _ in 0..IN_FLIGHT + 2 {
            let (caller, answered) = caller(&places);
            calls.push(peer, Protocol::Get, Frame::default(), caller);
            answers.push(answered);
        }
        let sent: Vec<_> = std::iter::from_fn(|| calls.next(peer, Protocol::Get)).collect();
        assert_eq!(sent.len(), IN_FLIGHT);
        assert!(calls.next(peer, Protocol::Put).is_none(), "lanes are apart");
        assert!(calls.waits(peer));
        drop(answers);
        calls.forget_abandoned();
        assert!(!calls.waits(peer));
        assert_eq!(places.available_permits(), 64 - IN_FLIGHT, "abandoned calls give their places back");
        drop(sent);
    }

    #[test]
    fn failing_a_node_tells_its_callers_only() {
        let (places, mut calls) = (Arc::new(Semaphore::new(8)), Calls::default());
        let (dead, alive) = (PeerId::random(), PeerId::random());
        let ((first, mut told), (second, mut untold)) = (caller(&places), caller(&places));
        calls.push(dead, Protocol::Chain, Frame::default(), first);
        calls.push(alive, Protocol::Chain, Frame::default(), second);
        let error = CallError::Unreachable { node: NodeId::new([1; 32]), reason: "refused".into() };
        calls.fail_waiting(dead, &error);
        assert_eq!(told.try_recv(), Ok(Err(error)));
        assert!(untold.try_recv().is_err());
        assert!(calls.waits(alive) && !calls.waits(dead));
    }
}
