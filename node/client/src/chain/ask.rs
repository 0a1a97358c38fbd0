//! One question, many nodes: who is asked, in which order, and what happens when they are silent or lie.
//!
//! The node that answered last is asked first. A node that fails or lingers is joined by the next; all who failed go to
//! the end of the line. Whose answer is refuted by its own proofs is asked nothing more: [`super::belief`] says when.

use std::{collections::BTreeMap, future::Future, sync::Mutex, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream::FuturesUnordered};
use ostrakon_net::{Peers, identity, peer_id_text};
use ostrakon_proto::{
    id::{NodeId, TxId},
    wire::{Code, Frame, Protocol, Refusal, chain::Response},
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

/// Transactions of which it is remembered who took them.
const TAKERS_MAX: usize = 1024;

/// The nodes that can be asked.
#[derive(Debug)]
pub(super) struct Nodes {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Best first.
    order: Vec<NodeId>,
    /// Who lied, and how: they are asked no more.
    liars: BTreeMap<NodeId, String>,
    /// Whose word turned out not so, and what it was.
    doubts: BTreeMap<NodeId, String>,
    /// Who said last that it took a transaction.
    takers: BTreeMap<TxId, NodeId>,
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
        Self { known: Mutex::new(Known { order, ..Known::default() }) }
    }

    fn line(&self) -> Vec<NodeId> {
        lock(&self.known).order.clone()
    }

    pub(super) fn add(&self, node: NodeId) {
        let mut known = lock(&self.known);
        if known.order.len() < NODES_MAX && !known.order.contains(&node) && !known.liars.contains_key(&node) {
            known.order.push(node);
        }
    }

    fn praise(&self, node: NodeId) {
        let order = &mut lock(&self.known).order;
        if let Some(at) = order.iter().position(|other| *other == node) {
            order[..=at].rotate_right(1);
        }
    }

    pub(super) fn blame(&self, node: NodeId) {
        let order = &mut lock(&self.known).order;
        if let Some(at) = order.iter().position(|other| *other == node) {
            order[at..].rotate_left(1);
        }
    }

    /// Never asks this node again.
    pub(super) fn drop_liar(&self, node: NodeId, lie: String) {
        tracing::warn!(node = peer_id_text(&node), %lie, "a node lies about the ledger: it is asked nothing more");
        let mut known = lock(&self.known);
        known.order.retain(|other| *other != node);
        known.liars.insert(node, lie);
    }

    /// Whether there is, or was until it lied, another node than this.
    pub(super) fn are_more_than(&self, node: NodeId) -> bool {
        let known = lock(&self.known);
        known.order.iter().chain(known.liars.keys()).any(|other| *other != node)
    }

    pub(super) fn liars(&self) -> BTreeMap<NodeId, String> {
        lock(&self.known).liars.clone()
    }

    /// What this node said, which needs no proof, turned out not so. It may have been behind: it is asked again, but
    /// after the others.
    pub(super) fn doubt(&self, node: NodeId, word: String) {
        tracing::info!(node = peer_id_text(&node), %word, "a node said what turned out not so");
        self.blame(node);
        lock(&self.known).doubts.insert(node, word);
    }

    pub(super) fn doubts(&self) -> BTreeMap<NodeId, String> {
        lock(&self.known).doubts.clone()
    }

    /// This node says that it takes the transaction. If another said so before, that was in vain.
    pub(super) fn taken(&self, tx: TxId, node: NodeId) {
        let before = {
            let takers = &mut lock(&self.known).takers;
            while takers.len() >= TAKERS_MAX {
                takers.pop_first();
            }
            takers.insert(tx, node)
        };
        if let Some(before) = before.filter(|before| *before != node) {
            self.doubt(before, format!("it takes transaction {tx}; no block had it when another node was asked"));
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

/// How widely a question is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    /// How many nodes are asked at once.
    pub(super) at_once: usize,
    /// How many answers are wanted at most.
    pub(super) answers: usize,
}

impl Reach {
    /// Any one node answers.
    pub(super) const ANY: Self = Self { at_once: 1, answers: 1 };
}

/// What several nodes said.
#[derive(Debug)]
pub(super) struct Survey<T> {
    pub(super) answers: Vec<Said<T>>,
    pub(super) failures: Vec<(NodeId, Silence)>,
}

impl Chain {
    /// The first answer of any node, each asked by `ask`.
    pub(super) async fn any<T, F>(&self, ask: impl Fn(NodeId) -> F) -> Result<Said<T>, ChainError>
    where
        F: Future<Output = Result<Said<T>, (NodeId, Silence)>>,
    {
        let mut survey = self.survey(Reach::ANY, ask, |_| true).await;
        survey.answers.pop().ok_or_else(|| self.unanswered(survey))
    }

    /// Asks node after node, each by `ask`, until an answer is `enough`, until enough answered, or until all were
    /// asked.
    pub(super) async fn survey<T, F>(
        &self,
        reach: Reach,
        ask: impl Fn(NodeId) -> F,
        enough: impl Fn(&T) -> bool,
    ) -> Survey<T>
    where
        F: Future<Output = Result<Said<T>, (NodeId, Silence)>>,
    {
        let mut line = self.inner.nodes.line().into_iter();
        let mut waiting = FuturesUnordered::new();
        waiting.extend(line.by_ref().take(reach.at_once).map(&ask));
        let mut survey = Survey { answers: Vec::new(), failures: Vec::new() };
        while !waiting.is_empty() {
            tokio::select! { biased;
                Some(result) = waiting.next() => {
                    let done = survey.note(&self.inner.nodes, result, &enough);
                    if done || survey.answers.len() >= reach.answers || survey.refusals() >= REFUSALS {
                        break;
                    }
                    waiting.extend(line.next().map(&ask));
                }
                () = sleep(LINGER), if line.len() > 0 => waiting.extend(line.next().map(&ask)),
            }
        }
        survey.doubt_refusals(&self.inner.nodes);
        survey
    }

    /// What this node answers, as it is.
    pub(super) async fn call(&self, node: NodeId, frame: Frame) -> Result<(Response, Bytes), (NodeId, Silence)> {
        let answer = match timeout(PATIENCE, self.inner.peers.call(node, Protocol::Chain, frame)).await {
            Err(_) => return Err((node, Silence::Slow(node))),
            Ok(answer) => answer.map_err(|error| (node, Silence::Call(error)))?,
        };
        match answer.decode::<Result<Response, Refusal>>() {
            Err(_) => Err((node, Silence::Nonsense(node))),
            Ok(Err(refusal)) => Err((node, Silence::Refused(node, refusal))),
            Ok(Ok(response)) => Ok((response, answer.body)),
        }
    }

    /// This node's answer, where `read` makes sense of it: for what needs no proof.
    pub(super) async fn ask_node<T>(
        &self,
        node: NodeId,
        frame: Frame,
        read: impl Fn(Response, &Bytes) -> Option<T>,
    ) -> Result<Said<T>, (NodeId, Silence)> {
        let (response, body) = self.call(node, frame).await?;
        let value = read(response, &body).ok_or((node, Silence::Nonsense(node)))?;
        Ok(Said { node, value })
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
                match &silence {
                    Silence::Lies(_, lie) => nodes.drop_liar(node, lie.to_string()),
                    Silence::Nonsense(_) => nodes.drop_liar(node, silence.to_string()),
                    // It was not even asked.
                    Silence::Expired(_) => {}
                    Silence::Behind(_, newest) => nodes.doubt(node, format!("block {newest} is its newest")),
                    _ => nodes.blame(node),
                }
                self.failures.push((node, silence));
                false
            }
        }
    }

    /// Who says that there is no answer, where others gave one.
    fn doubt_refusals(&self, nodes: &Nodes) {
        let Some(said) = self.answers.first() else { return };
        for (node, silence) in &self.failures {
            if let Silence::Refused(_, refusal) = silence
                && refusal.code == Code::NotFound
            {
                let other = peer_id_text(&said.node);
                nodes.doubt(*node, format!("it refuses what node {other} answers: {refusal}"));
            }
        }
    }

    /// Who refused as against the rules what was asked.
    pub(super) fn called_invalid(&self) -> impl Iterator<Item = NodeId> {
        let invalid =
            |silence: &Silence| matches!(silence, Silence::Refused(_, refusal) if refusal.code == Code::Invalid);
        self.failures.iter().filter(move |(_, silence)| invalid(silence)).map(|(node, _)| *node)
    }

    fn refusals(&self) -> usize {
        self.failures.iter().filter(|(_, silence)| matches!(silence, Silence::Refused(..))).count()
    }

    /// Why there is no answer: a refusal says more than silence.
    pub(super) fn into_error(self) -> ChainError {
        let asked = self.failures.len();
        let mut last = "no address of any node is known".to_owned();
        for (_, silence) in self.failures {
            match silence {
                Silence::Refused(node, refusal) => return ChainError::Refused { node, refusal },
                Silence::Expired(error) => return ChainError::Expired(error),
                silence => last = silence.to_string(),
            }
        }
        ChainError::NoNode { asked, last }
    }
}
