//! One question, many nodes: who is asked, in which order, and what happens when they are silent.
//!
//! The node that answered last is asked first, so that a client sees one history. A node that fails or lingers is
//! joined by the next; all who failed go to the end of the line.

use std::{sync::Mutex, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream::FuturesUnordered};
use ostrakon_net::{Peers, identity};
use ostrakon_proto::{
    id::NodeId,
    wire::{
        Frame, Protocol, Refusal,
        chain::{Request, Response},
    },
};
use tokio::time::{sleep, timeout};

use super::{Chain, ChainError, Silence, lock};
use crate::client::Random;

/// A node may take this long: longer than the longest wait that a request can ask for.
const PATIENCE: Duration = Duration::from_secs(12);
/// After this long without an answer the next node is asked as well.
const LINGER: Duration = Duration::from_millis(500);
/// Nodes that refuse a question before it is given up: the others would say the same.
const REFUSALS: usize = 3;
/// Nodes remembered at most: enough to find one that answers, whatever the size of the network.
const NODES_MAX: usize = 1024;

/// The nodes that can be asked, best first.
#[derive(Debug)]
pub(super) struct Nodes {
    order: Mutex<Vec<NodeId>>,
}

impl Nodes {
    /// These nodes, from a random one on, so that not every client starts at the same.
    pub(super) fn new(mut order: Vec<NodeId>, random: &Random) -> Self {
        let mut seen = std::collections::BTreeSet::new();
        order.retain(|node| seen.insert(*node));
        let mut bytes = [0; 8];
        random(&mut bytes);
        if let Ok(count) = u64::try_from(order.len())
            && count > 0
        {
            order.rotate_left(usize::try_from(u64::from_le_bytes(bytes) % count).unwrap_or(0));
        }
        Self { order: Mutex::new(order) }
    }

    fn line(&self) -> Vec<NodeId> {
        lock(&self.order).clone()
    }

    pub(super) fn add(&self, node: NodeId) {
        let mut order = lock(&self.order);
        if order.len() < NODES_MAX && !order.contains(&node) {
            order.push(node);
        }
    }

    fn praise(&self, node: NodeId) {
        let mut order = lock(&self.order);
        if let Some(at) = order.iter().position(|other| *other == node) {
            order[..=at].rotate_right(1);
        }
    }

    pub(super) fn blame(&self, node: NodeId) {
        let mut order = lock(&self.order);
        if let Some(at) = order.iter().position(|other| *other == node) {
            order[at..].rotate_left(1);
        }
    }
}

/// Tells the network where the bootstrap nodes are, and returns who they are.
pub(super) fn learn_bootstrap(peers: &dyn Peers, bootstrap: &[String]) -> Vec<NodeId> {
    let parse = |text: &String| {
        let (node, address) = identity::parse_address(text).ok()?;
        peers.learn(node, &[address]);
        Some(node)
    };
    bootstrap.iter().filter_map(parse).collect()
}

/// What one node said.
#[derive(Clone, Debug)]
pub(super) struct Said<T> {
    pub(super) node: NodeId,
    pub(super) value: T,
}

/// A question: what is sent, how widely, and how its answer is read. An answer that `read` refuses is nonsense.
pub(super) struct Question<R> {
    pub(super) frame: Frame,
    /// How many nodes are asked at once.
    pub(super) at_once: usize,
    /// How many answers are wanted at most.
    pub(super) answers: usize,
    pub(super) read: R,
}

impl<T, R: Fn(Response, &Bytes) -> Option<T>> Question<R> {
    /// A question that any one node answers.
    pub(super) fn to_any(request: &Request, read: R) -> Self {
        Self { frame: Frame::new(request, Bytes::new()), at_once: 1, answers: 1, read }
    }
}

/// What several nodes said.
#[derive(Debug)]
pub(super) struct Survey<T> {
    pub(super) answers: Vec<Said<T>>,
    pub(super) failures: Vec<(NodeId, Silence)>,
}

impl Chain {
    /// Any node's answer.
    pub(super) async fn ask<T, R>(&self, question: Question<R>) -> Result<Said<T>, ChainError>
    where
        R: Fn(Response, &Bytes) -> Option<T>,
    {
        let mut survey = self.survey(question, |_| true).await;
        survey.answers.pop().ok_or_else(|| survey.into_error())
    }

    /// Asks node after node until an answer is `enough`, until enough answered, or until all were asked.
    pub(super) async fn survey<T, R>(&self, question: Question<R>, enough: impl Fn(&T) -> bool) -> Survey<T>
    where
        R: Fn(Response, &Bytes) -> Option<T>,
    {
        let Question { frame, at_once, answers, read } = question;
        let mut line = self.inner.nodes.line().into_iter();
        let call = |node| self.ask_node(node, frame.clone(), &read);
        let mut waiting = FuturesUnordered::new();
        waiting.extend(line.by_ref().take(at_once).map(call));
        let mut survey = Survey { answers: Vec::new(), failures: Vec::new() };
        while !waiting.is_empty() {
            tokio::select! { biased;
                Some(result) = waiting.next() => {
                    let done = survey.note(&self.inner.nodes, result, &enough);
                    if done || survey.answers.len() >= answers || survey.refusals() >= REFUSALS {
                        break;
                    }
                    waiting.extend(line.next().map(call));
                }
                () = sleep(LINGER), if line.len() > 0 => waiting.extend(line.next().map(call)),
            }
        }
        survey
    }

    /// This node's answer.
    pub(super) async fn ask_node<T, R>(
        &self,
        node: NodeId,
        frame: Frame,
        read: &R,
    ) -> Result<Said<T>, (NodeId, Silence)>
    where
        R: Fn(Response, &Bytes) -> Option<T>,
    {
        let answer = match timeout(PATIENCE, self.inner.peers.call(node, Protocol::Chain, frame)).await {
            Err(_) => return Err((node, Silence::Slow(node))),
            Ok(answer) => answer.map_err(|error| (node, Silence::Call(error)))?,
        };
        match answer.decode::<Result<Response, Refusal>>() {
            Err(_) => Err((node, Silence::Nonsense(node))),
            Ok(Err(refusal)) => Err((node, Silence::Refused(node, refusal))),
            Ok(Ok(response)) => match read(response, &answer.body) {
                Some(value) => Ok(Said { node, value }),
                None => Err((node, Silence::Nonsense(node))),
            },
        }
    }
}

impl<T> Survey<T> {
    /// Takes down one result; says whether it was enough.
    fn note(&mut self, nodes: &Nodes, result: Result<Said<T>, (NodeId, Silence)>, enough: impl Fn(&T) -> bool) -> bool {
        match result {
            Ok(said) => {
                nodes.praise(said.node);
                let done = enough(&said.value);
                self.answers.push(said);
                done
            }
            Err((node, silence)) => {
                nodes.blame(node);
                self.failures.push((node, silence));
                false
            }
        }
    }

    fn refusals(&self) -> usize {
        self.failures.iter().filter(|(_, silence)| matches!(silence, Silence::Refused(..))).count()
    }

    /// Why there is no answer: a refusal says more than silence.
    pub(super) fn into_error(self) -> ChainError {
        let asked = self.failures.len();
        let mut last = "no address of any node is known".to_owned();
        for (_, silence) in self.failures {
            if let Silence::Refused(node, refusal) = silence {
                return ChainError::Refused { node, refusal };
            }
            last = silence.to_string();
        }
        ChainError::NoNode { asked, last }
    }
}
