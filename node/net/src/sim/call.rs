//! The way of one call through the simulated network: there, the node's answer, and back.
//!
//! Each leg asks [`super::faults`] what becomes of it, and waits in virtual time. A request that is cut off is never
//! delivered, as a dial that fails; an answer that is lost or cut off was carried out all the same, and its caller can
//! not know.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use ostrakon_proto::{
    id::NodeId,
    limits,
    wire::{Frame, Protocol, RefusalCode},
};
use tokio::{
    sync::{mpsc::error::TrySendError, oneshot},
    time,
};
use tokio_util::sync::CancellationToken;

use super::{
    faults::{Fate, State},
    lock,
    trace::Event,
};
use crate::peers::{self, Bounds, CallError, Inbound, Reply};

/// Between whom a call is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) from: NodeId,
    /// Which life of the caller.
    pub(super) incarnation: u64,
    pub(super) to: NodeId,
    pub(super) protocol: Protocol,
}

/// A request that its node has.
struct Delivered {
    answered: oneshot::Receiver<Frame>,
    callee_crashed: CancellationToken,
}

/// One call from its beginning to its end, with the record of both.
pub(super) async fn call(state: Arc<Mutex<State>>, route: Route, request: Frame) -> Result<Frame, CallError> {
    let Route { from, to, protocol, .. } = route;
    Bounds::request(protocol).admit_frame(&request).map_err(|over| CallError::TooLong { node: to, over })?;
    let caller_crashed = {
        let mut state = lock(&state);
        state.trace.add(from, to, protocol, &Event::Sent(&request));
        let life = state.life(from).filter(|life| life.incarnation == route.incarnation);
        life.map(|life| life.crashed.clone()).ok_or(CallError::Stopped)
    };
    let outcome = match caller_crashed {
        Err(stopped) => Err(stopped),
        Ok(caller_crashed) => tokio::select! {
            biased;
            () = caller_crashed.cancelled() => Err(CallError::Stopped),
            outcome = there_and_back(&state, route, request) => outcome,
            () = time::sleep(Duration::from_secs(limits::STALL_SECONDS)) => Err(CallError::Timeout { node: to }),
        },
    };
    lock(&state).trace.add(from, to, protocol, &Event::Ended(&outcome));
    outcome
}

async fn there_and_back(state: &Mutex<State>, route: Route, request: Frame) -> Result<Frame, CallError> {
    let Route { from, to, .. } = route;
    let unreachable = |reason: &str| CallError::Unreachable { node: to, reason: reason.to_string() };
    let closed = |reason: &str| CallError::Closed { node: to, reason: reason.to_string() };
    let (fate, give_up) = fate(state, from, to);
    match fate {
        Fate::Arrives(delay) => time::sleep(delay).await,
        Fate::Lost => {
            time::sleep(give_up).await;
            return Err(closed("the request was lost"));
        }
        Fate::Cut => {
            time::sleep(give_up).await;
            return Err(unreachable("no answer to the dial"));
        }
    }
    let Delivered { answered, callee_crashed } = deliver(state, route, request)?;
    let answer = tokio::select! {
        biased;
        () = callee_crashed.cancelled() => return Err(closed("the node crashed")),
        answer = answered => {
            answer.unwrap_or_else(|_| peers::refusal(RefusalCode::Internal, "the node gave the request up"))
        }
    };
    let (fate, give_up) = self::fate(state, to, from);
    match fate {
        Fate::Arrives(delay) => {
            time::sleep(delay).await;
            Ok(answer)
        }
        Fate::Lost | Fate::Cut => {
            time::sleep(give_up).await;
            Err(closed("the answer was lost"))
        }
    }
}

fn fate(state: &Mutex<State>, from: NodeId, to: NodeId) -> (Fate, Duration) {
    let mut state = lock(state);
    (state.fate(from, to), state.config.give_up)
}

/// Hands the request to the node, if it is still there.
fn deliver(state: &Mutex<State>, route: Route, request: Frame) -> Result<Delivered, CallError> {
    let Route { from, to, protocol, .. } = route;
    let mut state = lock(state);
    let refused = || CallError::Unreachable { node: to, reason: "connection refused".to_string() };
    let life = state.life(to).cloned().ok_or_else(refused)?;
    let (reply, answered) = Reply::pair(protocol);
    let event_frame = request.clone();
    match life.inbound.try_send(Inbound { from, protocol, request, reply }) {
        Ok(()) => state.trace.add(from, to, protocol, &Event::Delivered(&event_frame)),
        Err(TrySendError::Full(inbound)) => {
            inbound.reply.send(peers::refusal(RefusalCode::Busy, "too many requests wait at the node"));
        }
        Err(TrySendError::Closed(_)) => return Err(refused()),
    }
    Ok(Delivered { answered, callee_crashed: life.crashed })
}
