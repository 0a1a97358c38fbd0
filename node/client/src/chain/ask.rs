//! One question, many nodes: which are asked, in which order, and what follows when they fail.
//!
//! The node that answered last is asked first. When a node fails or is slow, the next is asked as well; those that
//! failed move to the end of the queue. A node that sends an invalid proof is never asked again: [`super::trusted`]
//! checks proofs.

use std::{collections::BTreeMap, future::Future, sync::Mutex, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};
use ostrakon_net::{AskError, Failure, Peers, ask, identity, lock};
use ostrakon_proto::{
    id::{NodeId, TxId},
    wire::{Call, RefusalCode},
};
use tokio::time::sleep;

use super::{Chain, ChainError, Silence};
use crate::client::Random;

/// After this long without an answer the next node is asked as well.
const LINGER: Duration = Duration::from_millis(500);
/// Nodes that refuse a question before it is given up: the others would say the same.
const REFUSALS: usize = 3;
/// Nodes remembered at most: enough to find one that answers, whatever the size of the network.
const NODES_MAX: usize = 1024;

/// Transactions of which the accepting node is remembered.
const ACCEPTED_MAX: usize = 1024;

/// The nodes that can be asked.
#[derive(Debug)]
pub(super) struct Nodes {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Best first.
    order: Vec<NodeId>,
    /// Nodes that sent an invalid proof, and what is wrong with it: they are not asked again.
    excluded: BTreeMap<NodeId, String>,
    /// Nodes that made a claim that others contradicted, and the claim.
    contradicted: BTreeMap<NodeId, String>,
    /// The node that accepted a transaction last.
    accepted: BTreeMap<TxId, NodeId>,
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
        if known.order.len() < NODES_MAX && !known.order.contains(&node) && !known.excluded.contains_key(&node) {
            known.order.push(node);
        }
    }

    fn promote(&self, node: NodeId) {
        let order = &mut lock(&self.known).order;
        if let Some(at) = order.iter().position(|other| *other == node) {
            order[..=at].rotate_right(1);
        }
    }

    pub(super) fn demote(&self, node: NodeId) {
        let order = &mut lock(&self.known).order;
        if let Some(at) = order.iter().position(|other| *other == node) {
            order[at..].rotate_left(1);
        }
    }

    /// Never asks this node again.
    pub(super) fn exclude(&self, node: NodeId, reason: String) {
        tracing::warn!(%node, %reason, "node sent an invalid proof: not asking it again");
        let mut known = lock(&self.known);
        known.order.retain(|other| *other != node);
        known.excluded.insert(node, reason);
    }

    /// Whether another node than this is known, or was until it was excluded.
    pub(super) fn are_more_than(&self, node: NodeId) -> bool {
        let known = lock(&self.known);
        known.order.iter().chain(known.excluded.keys()).any(|other| *other != node)
    }

    pub(super) fn invalid_proofs(&self) -> BTreeMap<NodeId, String> {
        lock(&self.known).excluded.clone()
    }

    /// Others contradicted a claim of this node that needs no proof. It may have been behind: it is asked again, but
    /// after the others.
    pub(super) fn contradict(&self, node: NodeId, claim: String) {
        tracing::info!(%node, %claim, "node made a claim that was contradicted");
        self.demote(node);
        lock(&self.known).contradicted.insert(node, claim);
    }

    pub(super) fn contradicted(&self) -> BTreeMap<NodeId, String> {
        lock(&self.known).contradicted.clone()
    }

    /// This node accepted the transaction. If another had accepted it before, that one did not pass it on.
    pub(super) fn taken(&self, tx: TxId, node: NodeId) {
        let before = {
            let accepted = &mut lock(&self.known).accepted;
            while accepted.len() >= ACCEPTED_MAX {
                accepted.pop_first();
            }
            accepted.insert(tx, node)
        };
        if let Some(before) = before.filter(|before| *before != node) {
            self.contradict(
                before,
                format!("it accepted transaction {tx}, which was in no block when another node was asked"),
            );
        }
    }
}

/// Tells the network the addresses of the bootstrap nodes, and returns their ids.
pub(super) fn learn_bootstrap(peers: &dyn Peers, bootstrap: &[String]) -> Vec<NodeId> {
    let nodes = by_node(bootstrap);
    nodes.iter().for_each(|(node, addresses)| peers.learn(*node, addresses));
    nodes.into_keys().collect()
}

/// All addresses of each node; what is learned of a node replaces what was known.
fn by_node(bootstrap: &[String]) -> BTreeMap<NodeId, Vec<String>> {
    let mut nodes = BTreeMap::<_, Vec<String>>::new();
    for (node, address) in bootstrap.iter().filter_map(|text| identity::parse_address(text).ok()) {
        nodes.entry(node).or_default().push(address);
    }
    nodes
}

/// A node's answer.
#[derive(Clone, Debug)]
pub(super) struct Reply<T> {
    pub(super) node: NodeId,
    pub(super) value: T,
}

/// How widely a question is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    /// How many nodes are asked concurrently.
    pub(super) concurrent: usize,
    /// How many answers are wanted at most.
    pub(super) answers: usize,
}

impl Reach {
    /// Any one node answers.
    pub(super) const ANY: Self = Self { concurrent: 1, answers: 1 };
}

/// The answers of several nodes.
#[derive(Debug)]
pub(super) struct Survey<T> {
    pub(super) answers: Vec<Reply<T>>,
    pub(super) failures: Vec<(NodeId, Silence)>,
}

impl Chain {
    /// The first answer of any node, each asked by `ask`.
    pub(super) async fn any<T, F>(&self, ask: impl Fn(NodeId) -> F) -> Result<Reply<T>, ChainError>
    where
        F: Future<Output = Result<Reply<T>, (NodeId, Silence)>>,
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
        F: Future<Output = Result<Reply<T>, (NodeId, Silence)>>,
    {
        let mut line = self.inner.nodes.line().into_iter();
        let mut waiting = FuturesUnordered::new();
        waiting.extend(line.by_ref().take(reach.concurrent).map(&ask));
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
        survey.contradict_refusals(&self.inner.nodes);
        survey
    }

    /// This node's answer, for what needs no proof.
    pub(super) async fn ask_node<T: 'static>(
        &self,
        node: NodeId,
        call: Call<T>,
    ) -> Result<Reply<T>, (NodeId, Silence)> {
        let value = ask(self.inner.peers.as_ref(), node, call).await.map_err(|error| (node, error.into()))?;
        Ok(Reply { node, value })
    }
}

impl<T> Survey<T> {
    /// Takes down one result; says whether it was enough.
    fn note(
        &mut self,
        nodes: &Nodes,
        result: Result<Reply<T>, (NodeId, Silence)>,
        enough: impl Fn(&T) -> bool,
    ) -> bool {
        match result {
            Ok(said) => {
                nodes.promote(said.node);
                let done = enough(&said.value);
                self.answers.push(said);
                done
            }
            Err((node, silence)) => {
                match &silence {
                    Silence::Lies(_, reason) => nodes.exclude(node, reason.to_string()),
                    Silence::Ask(AskError { failure: failure @ Failure::InvalidAnswer(_), .. }) => {
                        nodes.exclude(node, failure.to_string());
                    }
                    // The node was not asked.
                    Silence::Expired(_) => {}
                    Silence::Behind(_, newest) => nodes.contradict(node, format!("its newest block is {newest}")),
                    _ => nodes.demote(node),
                }
                self.failures.push((node, silence));
                false
            }
        }
    }

    /// Records the nodes that refused where others gave an answer.
    fn contradict_refusals(&self, nodes: &Nodes) {
        let Some(said) = self.answers.first() else { return };
        for (node, silence) in &self.failures {
            if let Some(refusal) = silence.refusal().filter(|refusal| refusal.code == RefusalCode::NotFound) {
                nodes.contradict(*node, format!("it refused a request that node {} answered: {refusal}", said.node));
            }
        }
    }

    /// The nodes that refused the request as invalid.
    pub(super) fn called_invalid(&self) -> impl Iterator<Item = NodeId> {
        let invalid = |silence: &Silence| silence.refusal().is_some_and(|refusal| refusal.code == RefusalCode::Invalid);
        self.failures.iter().filter(move |(_, silence)| invalid(silence)).map(|(node, _)| *node)
    }

    fn refusals(&self) -> usize {
        self.failures.iter().filter(|(_, silence)| silence.refusal().is_some()).count()
    }

    /// Why there is no answer: a refusal says more than a timeout.
    pub(super) fn into_error(self) -> ChainError {
        let asked = self.failures.len();
        let mut last = "no node's address is known".to_owned();
        for (_, silence) in self.failures {
            match silence {
                Silence::Ask(AskError { node, failure: Failure::Refused(refusal) }) => {
                    return ChainError::Refused { node, refusal };
                }
                Silence::Expired(error) => return ChainError::Expired(error),
                silence => last = silence.to_string(),
            }
        }
        ChainError::NoNode { asked, last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bootstrap_node_is_reached_at_each_of_its_addresses() {
        let [a, b] = [1, 2].map(|seed| NodeId::new([seed; 32]));
        let [tcp, quic] = ["/ip4/10.0.0.1/tcp/4001", "/ip4/10.0.0.1/udp/4001/quic-v1"].map(str::to_owned);
        let full = |address: &str, node: &NodeId| format!("{address}/p2p/{node}");
        let bootstrap = [full(&tcp, &a), full(&tcp, &b), full(&quic, &a), "gibberish".to_owned()];
        assert_eq!(by_node(&bootstrap), [(a, vec![tcp.clone(), quic]), (b, vec![tcp])].into());
    }
}
