//! What this client believes of the chain, and how an answer comes to be believed.
//!
//! In come answers of nodes, out come facts, or who lied. Belief begins with genesis or with what an earlier client
//! came to believe; each answer brings a newer header, which the validators signed, and moves it on. A question says
//! what is known already, so a node that is behind waits, and nobody is told of a past that this client knows to be
//! over. What a node could still do is to show a state that others have left behind: so from time to time several are
//! asked for their tips ([`Chain::catch_up`]). What is believed grows old: then a user must say where to begin
//! ([`Chain::begin_with`]).

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use ostrakon_proto::{
    codec,
    id::{BlockId, Height, NodeId},
    ledger::{
        Genesis,
        state::{Key, Record},
        tx::Header,
        vote::ValidatorSet,
    },
    light::{self, Answer, BadAnswer, Certified, Checkpoint, Handover, Item, PastBlock, Trust, Untrusted},
    limits,
    wire::{
        Code, Frame, Refusal,
        chain::{Request, Response},
    },
};
use tokio::time::{Instant, timeout};

use super::{
    Chain, ChainError, Silence,
    ask::{Reach, Said},
    lock,
};
use crate::Clock;

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

/// What one client leaves to the next.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct KeptTrust {
    /// What it believed.
    pub trust: Trust,
    /// For how long that is good, by the parameters that were proven last.
    pub keeps_ms: u64,
}

/// Keeps what a client believes, for the next.
pub trait TrustStore: Send + Sync + std::fmt::Debug {
    /// What was kept; nothing when nothing can be read.
    fn load(&self) -> Option<KeptTrust>;

    /// Keeps this from now on; losing it only costs time.
    fn save(&self, kept: &KeptTrust);
}

/// What is believed now.
pub(crate) struct Belief {
    kept: Mutex<KeptTrust>,
    /// The validators of genesis.
    first: ValidatorSet,
    looked: Mutex<Option<Instant>>,
    store: Option<Arc<dyn TrustStore>>,
    clock: Clock,
}

impl fmt::Debug for Belief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Belief").field("kept", &self.kept).finish_non_exhaustive()
    }
}

impl Belief {
    /// Belief in what the store has of this network, or else in its genesis.
    pub(crate) fn new(genesis: &Genesis, store: Option<Arc<dyn TrustStore>>, clock: Clock) -> Self {
        let chain = genesis.id();
        let known = store.as_ref().and_then(|store| store.load()).filter(|kept| *kept.trust.chain() == chain);
        let begin = || KeptTrust { trust: Trust::genesis(genesis), keeps_ms: light::keeps_ms(&genesis.params) };
        let kept = Mutex::new(known.unwrap_or_else(begin));
        Self { kept, first: genesis.validator_set(), looked: Mutex::default(), store, clock }
    }

    pub(super) fn trust(&self) -> Trust {
        lock(&self.kept).trust.clone()
    }

    /// As [`Belief::trust`], unless it is too old to tell the chain from another.
    fn good(&self) -> Result<Trust, Untrusted> {
        let KeptTrust { trust, keeps_ms } = lock(&self.kept).clone();
        trust.check_age((self.clock)(), keeps_ms).map(|()| trust)
    }

    /// What is believed is good for this long.
    pub(super) fn keep_for(&self, keeps_ms: u64) {
        lock(&self.kept).keeps_ms = keeps_ms;
    }

    /// Believes this, whatever was believed before.
    fn begin_with(&self, trust: Trust) {
        lock(&self.kept).trust = trust;
        *lock(&self.looked) = None;
        self.save();
    }

    /// Leaves what is believed to the next client.
    fn save(&self) {
        if let Some(store) = &self.store {
            let kept = lock(&self.kept).clone();
            store.save(&kept);
        }
    }

    /// Believes this, unless something newer is believed by now.
    fn publish(&self, newer: Trust) {
        let trust = &mut lock(&self.kept).trust;
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
        let mut trust = self.inner.belief.good().map_err(|error| (node, Silence::Expired(error)))?;
        let from = trust.height();
        let (response, body) = self.call(node, Frame::new(&request(from), Bytes::new())).await?;
        let nonsense = (node, Silence::Nonsense(node));
        let Response::Answer = response else { return Err(nonsense) };
        let Answer { tip, said } = codec::decode::<Answer<S>>(&body, limits::CHAIN_BODY).map_err(|_| nonsense)?;
        if tip.header.height < from {
            return Err((node, Silence::Behind(node, tip.header.height)));
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
        belief.save();
    }

    /// Believes in this block from now on, whatever was believed before: for who was away for so long that what is
    /// known is too old. Its id must come from people who are believed; any node brings its header.
    ///
    /// # Errors
    /// [`ChainError`] when no node has the block.
    pub async fn begin_with(&self, checkpoint: Checkpoint) -> Result<Trust, ChainError> {
        let Checkpoint { height, block } = checkpoint;
        let trust = self.any(|node| self.checkpoint_of(node, height, block)).await?.value;
        self.inner.belief.begin_with(trust.clone());
        Ok(trust)
    }

    /// Trust in this block, as this node has it.
    async fn checkpoint_of(
        &self,
        node: NodeId,
        height: Height,
        block: BlockId,
    ) -> Result<Said<Trust>, (NodeId, Silence)> {
        let frame = Frame::new(&Request::Block { from: height, height }, Bytes::new());
        let read = |response: Response, body: &Bytes| {
            let answer: Option<Answer<PastBlock>> = codec::decode(body, limits::CHAIN_BODY).ok();
            answer.filter(|_| response == Response::Answer).map(|answer| answer.said.block.header)
        };
        let header = self.ask_node(node, frame, read).await?.value;
        let refuse = |what: String| (node, Silence::Refused(node, Refusal::new(Code::NotFound, what)));
        if header.id() != block {
            return Err(refuse(format!("block {} is at height {height} of its chain", header.id())));
        }
        let (mut sets, mut from) = (vec![self.inner.belief.first.clone()], Height(0));
        for _ in 0..HANDOVER_PAGES {
            let page = self.handovers(node, from).await?.value;
            let Some(last) = page.last().filter(|last| last.header.height >= from) else { break };
            from = last.header.height.next();
            sets.extend(page.into_iter().map(|handover| handover.next));
        }
        let chain = self.rules().chain;
        let trust = sets.into_iter().find_map(|next| Trust::checkpoint(chain, block, &header, next).ok());
        let none = || refuse(format!("it does not know who decides after block {height}"));
        Ok(Said { node, value: trust.ok_or_else(none)? })
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
