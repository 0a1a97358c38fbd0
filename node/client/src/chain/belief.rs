//! What this client believes of the chain, and how an answer comes to be believed.
//!
//! In come answers of nodes, out come facts, or who lied. Belief begins with genesis or with what an earlier client
//! came to believe; each answer brings a newer header, which the validators signed, and moves it on. A question says
//! what is known already, so a node that is behind waits, and nobody is told of a past that this client knows to be
//! over. What a node could still do is to show a state that others have left behind: so from time to time several are
//! asked for their tips ([`Chain::catch_up`]).

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use ostrakon_proto::{
    codec,
    id::{Height, NodeId},
    ledger::{
        Genesis,
        state::{Key, Record},
        tx::Header,
    },
    light::{self, Answer, BadAnswer, Certified, Handover, Item, Trust, Untrusted},
    limits,
    wire::{
        Frame,
        chain::{Request, Response},
    },
};
use tokio::time::{Instant, timeout};

use super::{
    Chain, ChainError, Silence,
    ask::{Reach, Said},
    lock,
};

/// How many nodes are asked for their tips at once, so that one that is behind is noticed.
const WITNESSES: usize = 3;
/// How long a look at several nodes is good.
const FRESH: Duration = Duration::from_secs(30);
/// How long such a look may take.
const LOOK: Duration = Duration::from_secs(2);
/// Requests for handovers of one node at most: each brings dozens.
const HANDOVER_PAGES: usize = 1024;
/// Records asked for at once: with their proofs they fit an answer.
pub(super) const AT_ONCE: usize = 128;

/// Keeps what a client believes, for the next.
pub trait TrustStore: Send + Sync + std::fmt::Debug {
    /// What was kept; nothing when nothing can be read.
    fn load(&self) -> Option<Trust>;

    /// Keeps this from now on; losing it only costs time.
    fn save(&self, trust: &Trust);
}

/// What is believed now.
#[derive(Debug)]
pub(super) struct Belief {
    trust: Mutex<Trust>,
    looked: Mutex<Option<Instant>>,
    store: Option<Arc<dyn TrustStore>>,
}

impl Belief {
    /// Belief in what the store has of this network, or else in its genesis.
    pub(super) fn new(genesis: &Genesis, store: Option<Arc<dyn TrustStore>>) -> Self {
        let chain = genesis.id();
        let kept = store.as_ref().and_then(|store| store.load()).filter(|trust| *trust.chain() == chain);
        let trust = Mutex::new(kept.unwrap_or_else(|| Trust::genesis(genesis)));
        Self { trust, looked: Mutex::default(), store }
    }

    pub(super) fn trust(&self) -> Trust {
        lock(&self.trust).clone()
    }

    /// Believes this, unless something newer is believed by now.
    fn publish(&self, newer: Trust) {
        let mut trust = lock(&self.trust);
        let has_set = newer.set().is_some() && trust.set().is_none();
        if newer.height() > trust.height() || (newer.height() == trust.height() && has_set) {
            *trust = newer;
        }
    }

    fn is_fresh(&self) -> bool {
        lock(&self.looked).is_some_and(|at| at.elapsed() < FRESH)
    }
}

impl Chain {
    /// What this client believes of the chain: a later one may begin with it.
    pub fn trust(&self) -> Trust {
        self.inner.belief.trust()
    }

    /// Records of the ledger with these keys, in their order, as of the newest block that is believed; and that block.
    ///
    /// # Errors
    /// [`ChainError`] when no node gives an answer that can be believed.
    pub async fn records(&self, keys: &[Key]) -> Result<(Header, Vec<Option<Record>>), ChainError> {
        let request = records_request(keys);
        self.prove(&request, |items: Vec<Item>, tip| {
            Ok((tip.header.clone(), light::records(&items, &tip.header, keys)?))
        })
        .await
    }

    /// As [`Chain::records`], from this node.
    pub(super) async fn records_of(
        &self,
        node: NodeId,
        keys: &[Key],
    ) -> Result<Said<Vec<Option<Record>>>, (NodeId, Silence)> {
        self.prove_node(node, &records_request(keys), |items: Vec<Item>, tip| light::records(&items, &tip.header, keys))
            .await
    }

    /// Any node's answer to what `request` asks from a height on, where `read` finds it proven against the header that
    /// comes with it.
    pub(super) async fn prove<S: BorshSerialize + BorshDeserialize, T>(
        &self,
        request: &impl Fn(Height) -> Request,
        read: impl Fn(S, &Certified) -> Result<T, BadAnswer>,
    ) -> Result<T, ChainError> {
        if !self.inner.belief.is_fresh() {
            self.catch_up().await;
        }
        Ok(self.any(|node| self.prove_node(node, request, &read)).await?.value)
    }

    /// As [`Chain::prove`], from this node.
    pub(super) async fn prove_node<S: BorshSerialize + BorshDeserialize, T>(
        &self,
        node: NodeId,
        request: &impl Fn(Height) -> Request,
        read: impl Fn(S, &Certified) -> Result<T, BadAnswer>,
    ) -> Result<Said<T>, (NodeId, Silence)> {
        // Others may move the belief on meanwhile; what this answer has to be newer than is what was known before.
        let mut trust = self.inner.belief.trust();
        let from = trust.height();
        let (response, body) = self.call(node, Frame::new(&request(from), Bytes::new())).await?;
        let nonsense = (node, Silence::Nonsense(node));
        let Response::Answer = response else { return Err(nonsense) };
        let Answer { tip, said } = codec::decode::<Answer<S>>(&body, limits::CHAIN_BODY).map_err(|_| nonsense)?;
        if tip.header.height < from {
            return Err((node, Silence::Behind(node)));
        }
        self.believe(node, &mut trust, &tip).await?;
        let value = read(said, &tip).map_err(|lie| (node, Silence::Lies(node, lie)))?;
        self.inner.belief.publish(trust);
        Ok(Said { node, value })
    }

    /// Moves `trust` on to this header, if need be by way of the handovers before it, which `node` is asked for.
    async fn believe(&self, node: NodeId, trust: &mut Trust, tip: &Certified) -> Result<(), (NodeId, Silence)> {
        let Certified { header, certificate } = tip;
        match trust.accept(header, certificate) {
            Err(Untrusted::HandoverMissing { .. } | Untrusted::Undecided(_)) => {}
            verdict => return verdict.map_err(|lie| (node, Silence::Lies(node, lie.into()))),
        }
        for _ in 0..HANDOVER_PAGES {
            let before = trust.clone();
            for handover in self.handovers(node, trust.height()).await?.value {
                // Handovers after the header are of no use to it.
                if handover.header.height >= header.height {
                    break;
                }
                trust.hand_over(&handover).map_err(|lie| (node, Silence::Lies(node, lie.into())))?;
            }
            // The last one again: all there are were used.
            if *trust == before {
                break;
            }
        }
        trust.accept(header, certificate).map_err(|lie| (node, Silence::Lies(node, lie.into())))
    }

    /// The handovers that this node knows from a height on, not checked yet.
    pub(super) async fn handovers(&self, node: NodeId, from: Height) -> Result<Said<Vec<Handover>>, (NodeId, Silence)> {
        let frame = Frame::new(&Request::Handovers { from }, Bytes::new());
        self.ask_node(node, frame, |response, body: &Bytes| read_hints(&response, body)).await
    }

    /// Looks at the tips of several nodes, and believes the newest.
    pub(crate) async fn catch_up(&self) {
        let reach = Reach { at_once: WITNESSES, answers: WITNESSES };
        // Those who do not answer in time are no witnesses.
        let _slow = timeout(LOOK, self.survey(reach, |node| self.tip_of(node, None), |_| false)).await;
        let belief = &self.inner.belief;
        *lock(&belief.looked) = Some(Instant::now());
        if let Some(store) = &belief.store {
            store.save(&belief.trust());
        }
    }

    /// The height of this node's tip: the newest that is believed, or `at_least` this.
    pub(super) async fn tip_of(
        &self,
        node: NodeId,
        at_least: Option<Height>,
    ) -> Result<Said<Height>, (NodeId, Silence)> {
        let request = |from: Height| Request::Tip { from: at_least.map_or(from, |least| least.max(from)) };
        self.prove_node(node, &request, |(), tip| Ok(tip.header.height)).await
    }
}

fn records_request(keys: &[Key]) -> impl Fn(Height) -> Request {
    let keys: Vec<Vec<u8>> = keys.iter().map(Key::to_bytes).collect();
    move |from| Request::Records { from, keys: keys.clone() }
}

pub(super) fn read_hints<T: BorshDeserialize + BorshSerialize>(response: &Response, body: &Bytes) -> Option<Vec<T>> {
    (*response == Response::Hints).then(|| codec::decode(body, limits::CHAIN_BODY).ok()).flatten()
}
