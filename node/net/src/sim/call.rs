//! One call through the simulated network: the request, the node's answer, and back.
//!
//! Each leg asks [`super::faults`] for its fate, and waits in virtual time. A request that is cut off is never
//! delivered, as a dial that fails; when an answer is lost, the request was carried out all the same, and its caller
//! cannot know.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use ostrakon_proto::{
    id::NodeId,
    wire::{Frame, Protocol},
};
use tokio::{sync::oneshot, time};
use tokio_util::sync::CancellationToken;

use super::{
    faults::{Fate, State},
    trace::Event,
};
use crate::{
    AskError, Failure,
    admission::{Prefix, requests},
    ask::STALL,
    lock,
    peers::Bounds,
};

/// Between whom a call is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) from: NodeId,
    /// The number of the caller's process.
    pub(super) incarnation: u64,
    pub(super) to: NodeId,
    pub(super) protocol: Protocol,
}

/// A request that was delivered to its node.
struct Delivered {
    answered: oneshot::Receiver<Frame>,
    callee_crashed: CancellationToken,
}

/// One call from its beginning to its end, with the record of both.
pub(super) async fn call(state: Arc<Mutex<State>>, route: Route, request: Frame) -> Result<Frame, AskError> {
    let Route { from, to, protocol, .. } = route;
    Bounds::request(protocol).admit_frame(&request).map_err(|over| AskError::new(to, Failure::TooLong(over)))?;
    let caller_crashed = {
        let mut state = lock(&state);
        state.trace.add(from, to, protocol, &Event::Sent(&request));
        let process = state.process(from).filter(|process| process.incarnation == route.incarnation);
        process.map(|process| process.crashed.clone()).ok_or(AskError::new(to, Failure::ShutDown))
    };
    let outcome = match caller_crashed {
        Err(stopped) => Err(stopped),
        Ok(caller_crashed) => tokio::select! {
            biased;
            () = caller_crashed.cancelled() => Err(AskError::new(to, Failure::ShutDown)),
            outcome = there_and_back(&state, route, request) => outcome,
            () = time::sleep(STALL) => Err(AskError::new(to, Failure::Timeout(STALL))),
        },
    };
    lock(&state).trace.add(from, to, protocol, &Event::Ended(&outcome));
    outcome
}

async fn there_and_back(state: &Mutex<State>, route: Route, request: Frame) -> Result<Frame, AskError> {
    let Route { from, to, .. } = route;
    let unreachable = |reason: &str| AskError::new(to, Failure::Unreachable(reason.to_string()));
    let closed = |reason: &str| AskError::new(to, Failure::Closed(reason.to_string()));
    let (fate, give_up) = fate(state, from, to);
    match fate {
        Fate::Arrives(delay) => time::sleep(delay).await,
        Fate::Lost => {
            time::sleep(give_up).await;
            return Err(closed("the request was lost"));
        }
        Fate::Cut => {
            time::sleep(give_up).await;
            return Err(unreachable("the dial timed out"));
        }
    }
    let Delivered { answered, callee_crashed } = deliver(state, route, request)?;
    let answer = tokio::select! {
        biased;
        () = callee_crashed.cancelled() => return Err(closed("the node crashed")),
        answer = requests::answer(answered) => answer,
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
fn deliver(state: &Mutex<State>, route: Route, request: Frame) -> Result<Delivered, AskError> {
    let Route { from, to, protocol, .. } = route;
    let mut state = lock(state);
    let refused = || AskError::new(to, Failure::Unreachable("connection refused".to_string()));
    let process = state.process(to).cloned().ok_or_else(refused)?;
    if process.intake.is_stopped() {
        return Err(refused());
    }
    state.trace.add(from, to, protocol, &Event::Delivered(&request));
    let source = process.members.source(from, Prefix::of_node(&from));
    let answered = process.intake.put(source, protocol, request, None);
    Ok(Delivered { answered, callee_crashed: process.crashed })
}
