//! The newest block that this client trusts, and how an answer comes to be trusted.
//!
//! In come answers of nodes; out come verified records, or the reason to exclude a node. Trust starts at genesis or at
//! the block that an earlier client saved; each answer brings a newer header with the validators' signatures, and moves
//! it forward. A request carries the height that is known, so a node that is behind waits instead of answering with
//! an older state. A node could still show a state that the others have moved on from, so from time to time several are
//! asked for their tips ([`Chain::catch_up`]). A trusted block that is too old must be replaced by a checkpoint
//! ([`Chain::trust_checkpoint`]).

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use borsh::{BorshDeserialize, BorshSerialize};
use futures::future::join;
use ostrakon_net::{AskError, Failure, lock};
use ostrakon_proto::{
    id::{BlockId, Height, NodeId},
    ledger::{
        Genesis,
        state::{Key, Record},
        tx::Header,
        vote::ValidatorSet,
    },
    light::{self, Answer, BadAnswer, CertifiedHeader, Checkpoint, Handover, ProvenRecord, Trust, TrustError},
    wire::{self, Call, Refusal, RefusalCode},
};
use tokio::time::{Instant, timeout};

use super::{
    Chain, ChainError, Silence,
    ask::{Reach, Reply},
};
use crate::Clock;

/// How many nodes are asked for their tips concurrently, so that one that is behind is noticed.
const WITNESSES: usize = 3;
/// Blocks by which an answer may be behind the tips of others: they come while it is asked for.
const BEHIND: u64 = 2;
/// How long the tips of several nodes stay current.
const FRESH: Duration = Duration::from_secs(30);
/// How long asking for them may take.
const LOOK: Duration = Duration::from_secs(2);
/// Requests for handovers to one node at most: each returns dozens.
const HANDOVER_PAGES: usize = 1024;
/// Records per request: with their proofs they fit an answer.
pub(super) const CONCURRENT: usize = 128;

/// What one client saves for the next.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct KeptTrust {
    /// The newest block that it trusted.
    pub trust: Trust,
    /// How long that block can be trusted, in milliseconds, by the parameters that were proven last.
    pub keeps_ms: u64,
}

/// Saves the newest trusted block for the next client.
pub trait TrustStore: Send + Sync + std::fmt::Debug {
    /// What was saved; `None` when nothing can be read.
    fn load(&self) -> Option<KeptTrust>;

    /// Saves this; losing it only costs time.
    fn save(&self, kept: &KeptTrust);
}

/// The newest trusted block.
pub(crate) struct Trusted {
    kept: Mutex<KeptTrust>,
    /// The validators of genesis.
    first: ValidatorSet,
    looked: Mutex<Option<Instant>>,
    store: Option<Arc<dyn TrustStore>>,
    clock: Clock,
}

impl fmt::Debug for Trusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trusted").field("kept", &self.kept).finish_non_exhaustive()
    }
}

impl Trusted {
    /// Starts at the block that the store has of this network, or else at its genesis.
    pub(crate) fn new(genesis: &Genesis, store: Option<Arc<dyn TrustStore>>, clock: Clock) -> Self {
        let chain = genesis.id();
        let known = store.as_ref().and_then(|store| store.load()).filter(|kept| *kept.trust.chain() == chain);
        let begin = || KeptTrust { trust: Trust::genesis(genesis), keeps_ms: light::trust_period_ms(&genesis.params) };
        let kept = Mutex::new(known.unwrap_or_else(begin));
        Self { kept, first: genesis.validator_set(), looked: Mutex::default(), store, clock }
    }

    pub(super) fn trust(&self) -> Trust {
        lock(&self.kept).trust.clone()
    }

    /// The time of day, in milliseconds of Unix time.
    pub(super) fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    /// As [`Trusted::trust`], unless it is too old to tell the chain from a forged one.
    fn good(&self) -> Result<Trust, TrustError> {
        let KeptTrust { trust, keeps_ms } = lock(&self.kept).clone();
        trust.check_age(self.now_ms(), keeps_ms).map(|()| trust)
    }

    /// The trusted block stays trusted for this long.
    pub(super) fn keep_for(&self, keeps_ms: u64) {
        lock(&self.kept).keeps_ms = keeps_ms;
    }

    /// Trusts this block, whichever was trusted before.
    fn trust_checkpoint(&self, trust: Trust) {
        lock(&self.kept).trust = trust;
        *lock(&self.looked) = None;
        self.save();
    }

    /// Saves the trusted block for the next client.
    fn save(&self) {
        if let Some(store) = &self.store {
            let kept = lock(&self.kept).clone();
            store.save(&kept);
        }
    }

    /// Trusts this block, unless a newer one is trusted by now.
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
    /// The newest block that this client trusts.
    pub fn trust(&self) -> Trust {
        self.inner.trusted.trust()
    }

    /// Records of the ledger with these keys, in their order, as of the newest block; and that block.
    ///
    /// # Errors
    /// [`ChainError`] when no node responds with a valid proof.
    pub async fn records(&self, keys: &[Key]) -> Result<(Header, Vec<Option<Record>>), ChainError> {
        let request = records_request(keys);
        self.prove(&request, |items: Vec<ProvenRecord>, tip| {
            Ok((tip.header.clone(), light::records(&items, &tip.header, keys)?))
        })
        .await
    }

    /// As [`Chain::records`], from this node.
    pub(super) async fn records_of(
        &self,
        node: NodeId,
        keys: &[Key],
    ) -> Result<Reply<Vec<Option<Record>>>, (NodeId, Silence)> {
        self.prove_node(node, &records_request(keys), |items: Vec<ProvenRecord>, tip| {
            light::records(&items, &tip.header, keys)
        })
        .await
    }

    /// Any node's answer to `request`, which is given the trusted height, if `read` finds it proven against the header
    /// that comes with it.
    pub(super) async fn prove<S: 'static, T>(
        &self,
        request: &impl Fn(Height) -> Call<Answer<S>>,
        read: impl Fn(S, &CertifiedHeader) -> Result<T, BadAnswer>,
    ) -> Result<T, ChainError> {
        let read = |said, tip: &CertifiedHeader| Ok((tip.header.height, read(said, tip)?));
        let asking = self.any(|node| self.prove_node(node, request, &read));
        if !self.inner.trusted.is_fresh() {
            // Several are asked for their tips meanwhile, so that a node which is behind is noticed.
            let (first, ()) = join(asking, self.catch_up()).await;
            let newest = self.trust().height();
            if let Ok(Reply { value: (height, value), .. }) = first
                && height.0 + BEHIND >= newest.0
            {
                return Ok(value);
            }
        }
        Ok(self.any(|node| self.prove_node(node, request, &read)).await?.value.1)
    }

    /// As [`Chain::prove`], from this node.
    pub(super) async fn prove_node<S: 'static, T>(
        &self,
        node: NodeId,
        request: &impl Fn(Height) -> Call<Answer<S>>,
        read: impl Fn(S, &CertifiedHeader) -> Result<T, BadAnswer>,
    ) -> Result<Reply<T>, (NodeId, Silence)> {
        // A concurrent answer may move trust forward; this answer must be newer than what was known before.
        let mut trust = self.inner.trusted.good().map_err(|error| (node, Silence::Expired(error)))?;
        let from = trust.height();
        let Answer { tip, said } = self.ask_node(node, request(from)).await?.value;
        if tip.header.height < from {
            return Err((node, Silence::Behind(node, tip.header.height)));
        }
        self.verify_tip(node, &mut trust, &tip).await?;
        let value = read(said, &tip).map_err(|lie| (node, Silence::Lies(node, lie)))?;
        self.inner.trusted.publish(trust);
        Ok(Reply { node, value })
    }

    /// Moves `trust` forward to this header, if need be by way of the handovers before it, which `node` is asked for.
    async fn verify_tip(
        &self,
        node: NodeId,
        trust: &mut Trust,
        tip: &CertifiedHeader,
    ) -> Result<(), (NodeId, Silence)> {
        let CertifiedHeader { header, certificate } = tip;
        match trust.accept(header, certificate) {
            Err(TrustError::HandoverMissing { .. } | TrustError::Undecided(_)) => {}
            verdict => return verdict.map_err(|lie| (node, Silence::Lies(node, lie.into()))),
        }
        for _ in 0..HANDOVER_PAGES {
            let before = trust.clone();
            for handover in self.handovers(node, trust.height()).await?.value {
                // Handovers after the header do not matter for it.
                if handover.header.height >= header.height {
                    break;
                }
                trust.hand_over(&handover).map_err(|lie| (node, Silence::Lies(node, lie.into())))?;
            }
            // No progress: all handovers of this node were used.
            if *trust == before {
                break;
            }
        }
        trust.accept(header, certificate).map_err(|lie| (node, Silence::Lies(node, lie.into())))
    }

    /// The handovers that this node has from a height on, not verified yet.
    pub(super) async fn handovers(
        &self,
        node: NodeId,
        from: Height,
    ) -> Result<Reply<Vec<Handover>>, (NodeId, Silence)> {
        self.ask_node(node, wire::chain::handovers(from)).await
    }

    /// Asks several nodes for their tips, and trusts the newest valid one.
    pub(crate) async fn catch_up(&self) {
        let reach = Reach { concurrent: WITNESSES, answers: WITNESSES };
        // Nodes that do not respond in time are not counted.
        let _slow = timeout(LOOK, self.survey(reach, |node| self.tip_of(node, None), |_| false)).await;
        let trusted = &self.inner.trusted;
        *lock(&trusted.looked) = Some(Instant::now());
        trusted.save();
    }

    /// Trusts this block from now on, whichever was trusted before: for a client that was offline for so long that its
    /// own is too old. The checkpoint must come from a trusted source; any node can send its header.
    ///
    /// # Errors
    /// [`ChainError`] when no node has the block.
    pub async fn trust_checkpoint(&self, checkpoint: Checkpoint) -> Result<(), ChainError> {
        let Checkpoint { height, block } = checkpoint;
        let trust = self.any(|node| self.checkpoint_of(node, height, block)).await?.value;
        self.inner.trusted.trust_checkpoint(trust);
        Ok(())
    }

    /// Trust in this block, as this node proves it.
    async fn checkpoint_of(
        &self,
        node: NodeId,
        height: Height,
        block: BlockId,
    ) -> Result<Reply<Trust>, (NodeId, Silence)> {
        let header = self.ask_node(node, wire::chain::block(height, height)).await?.value.said.block.header;
        let refuse = |what: String| {
            let refusal = Refusal::new(RefusalCode::NotFound, what);
            (node, AskError::new(node, Failure::Refused(refusal)).into())
        };
        if header.id() != block {
            return Err(refuse(format!("its block at height {height} is {}", header.id())));
        }
        let (mut sets, mut from) = (vec![self.inner.trusted.first.clone()], Height(0));
        for _ in 0..HANDOVER_PAGES {
            let page = self.handovers(node, from).await?.value;
            let Some(last) = page.last().filter(|last| last.header.height >= from) else { break };
            from = last.header.height.next();
            sets.extend(page.into_iter().map(|handover| handover.next));
        }
        let chain = self.rules().chain;
        let trust = sets.into_iter().find_map(|next| Trust::checkpoint(chain, block, &header, next).ok());
        let none = || refuse(format!("it does not have the validators after block {height}"));
        Ok(Reply { node, value: trust.ok_or_else(none)? })
    }

    /// The height of this node's tip: at least the trusted one, or `at_least`.
    pub(super) async fn tip_of(
        &self,
        node: NodeId,
        at_least: Option<Height>,
    ) -> Result<Reply<Height>, (NodeId, Silence)> {
        let request = |from: Height| wire::chain::tip(at_least.map_or(from, |least| least.max(from)));
        self.prove_node(node, &request, |(), tip| Ok(tip.header.height)).await
    }
}

pub(super) fn records_request(keys: &[Key]) -> impl Fn(Height) -> Call<Answer<Vec<ProvenRecord>>> {
    let keys: Vec<Vec<u8>> = keys.iter().map(Key::to_bytes).collect();
    move |from| wire::chain::records(from, keys.clone())
}
