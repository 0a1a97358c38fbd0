//! A ledger of blocks without content, in memory, which the orders extend.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool, atomic::Ordering},
    time::Duration,
};

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use ostrakon_net::Peers;
use ostrakon_proto::{
    codec,
    id::{BlockId, ChainId, Height, NodeId, VoteKey},
    ledger::{
        Rotation,
        vote::{BlockProposal, QuorumCertificate, ValidatorSet},
    },
    limits,
    wire::{Frame, Protocol},
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use crate::chain::{
    order::{BlockVerdict, Committee, EncodedBlock, Equivocation, HaltReport, Ledger},
    store::LedgerError,
};

/// Heights for which a proposer is passed over that missed its turn.
const SKIP: u64 = 16;

/// A block without content.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct FakeBlock {
    pub(super) height: Height,
    pub(super) round: u32,
    pub(super) parent: BlockId,
    pub(super) proposer: VoteKey,
    pub(super) salt: u64,
    pub(super) is_valid: bool,
}

impl FakeBlock {
    pub(super) fn candidate(&self) -> EncodedBlock {
        let bytes = codec::encode(self);
        EncodedBlock { id: blake3::hash(&bytes).into(), bytes: bytes.into() }
    }
}

/// Who validates.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub(super) chain: ChainId,
    pub(super) set: ValidatorSet,
    pub(super) nodes: BTreeMap<VoteKey, NodeId>,
}

#[derive(Debug, Default)]
struct Decided {
    blocks: Vec<(Bytes, QuorumCertificate)>,
    skipped: BTreeMap<VoteKey, Height>,
    times: Vec<Instant>,
    evidence: Vec<Equivocation>,
    built: u64,
}

/// The ledger of one validator.
#[derive(Debug)]
pub(super) struct FakeLedger {
    network: Network,
    me: VoteKey,
    peers: Mutex<Option<Arc<dyn Peers>>>,
    decided: Mutex<Decided>,
    moved: Arc<Notify>,
    has_work: AtomicBool,
    work: Arc<Notify>,
    /// Whether it builds blocks that are not valid.
    pub(super) builds_invalid: AtomicBool,
    is_synced: AtomicBool,
    halt: Mutex<Option<HaltReport>>,
    interval: Mutex<Duration>,
}

impl FakeLedger {
    pub(super) fn new(network: Network, me: VoteKey) -> Self {
        Self {
            network,
            me,
            peers: Mutex::default(),
            decided: Mutex::default(),
            moved: Arc::default(),
            has_work: AtomicBool::new(true),
            work: Arc::default(),
            builds_invalid: AtomicBool::new(false),
            is_synced: AtomicBool::new(false),
            halt: Mutex::default(),
            interval: Mutex::default(),
        }
    }

    pub(super) fn set_interval(&self, interval: Duration) {
        *self.interval.lock().expect("no holder panics") = interval;
    }

    pub(super) fn connect(&self, peers: Arc<dyn Peers>) {
        *self.peers.lock().expect("no holder panics") = Some(peers);
    }

    /// Whether there is something for a block from now on.
    pub(super) fn set_work(&self, has_work: bool) {
        self.has_work.store(has_work, Ordering::Relaxed);
        self.work.notify_waiters();
    }

    fn decided(&self) -> MutexGuard<'_, Decided> {
        self.decided.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn height(&self) -> u64 {
        u64::try_from(self.decided().blocks.len()).expect("few")
    }

    /// Whether the order said last that it has all blocks.
    pub(super) fn is_synced(&self) -> bool {
        self.is_synced.load(Ordering::Relaxed)
    }

    /// What the order said last that its height waits for.
    pub(super) fn halt(&self) -> Option<HaltReport> {
        self.halt.lock().expect("no holder panics").clone()
    }

    /// The ids of all blocks, in order.
    pub(super) fn ids(&self) -> Vec<BlockId> {
        self.decided().blocks.iter().map(|(_, certificate)| certificate.block).collect()
    }

    pub(super) fn certificates(&self) -> Vec<QuorumCertificate> {
        self.decided().blocks.iter().map(|(_, certificate)| certificate.clone()).collect()
    }

    /// All blocks with their certificates, in order.
    pub(super) fn decided_blocks(&self) -> Vec<(Bytes, QuorumCertificate)> {
        self.decided().blocks.clone()
    }

    pub(super) fn proposers(&self) -> Vec<VoteKey> {
        let block = |bytes: &Bytes| codec::decode::<FakeBlock>(bytes, limits::CONSENSUS_BODY).expect("canonical");
        self.decided().blocks.iter().map(|(bytes, _)| block(bytes).proposer).collect()
    }

    /// How long after the one before each block came, from the second on.
    pub(super) fn waits(&self) -> Vec<Duration> {
        self.decided().times.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    pub(super) fn evidence(&self) -> Vec<Equivocation> {
        self.decided().evidence.clone()
    }

    /// As an image of the disk has it: the first blocks.
    pub(super) fn restored(&self, blocks: usize) -> Self {
        let restored = Self::new(self.network.clone(), self.me);
        for (bytes, certificate) in self.decided().blocks.iter().take(blocks) {
            restored.commit(bytes, certificate.clone()).expect("memory");
        }
        restored
    }

    /// Answers who asks for blocks from a height on.
    pub(super) fn answer(&self, request: &Frame) -> Frame {
        let from: u64 = request.decode().expect("a height");
        let skip = usize::try_from(from.saturating_sub(1)).expect("few");
        let blocks: Vec<(Vec<u8>, QuorumCertificate)> =
            self.decided().blocks.iter().skip(skip).take(50).map(|(bytes, c)| (bytes.to_vec(), c.clone())).collect();
        Frame::new(&(), codec::encode(&blocks).into())
    }

    fn take(&self, answer: &Frame) {
        let blocks: Vec<(Vec<u8>, QuorumCertificate)> = codec::decode(&answer.body, 1 << 20).expect("canonical");
        for (bytes, certificate) in blocks {
            certificate.verify(&self.network.set, &self.network.chain).expect("decided");
            assert_eq!(self.identify(&bytes), Some(certificate.block));
            self.commit(&bytes.into(), certificate).expect("memory");
        }
    }

    fn rotation(&self) -> Rotation {
        let decided = self.decided();
        let now = u64::try_from(decided.blocks.len()).expect("few") + 1;
        let skipped = decided.skipped.iter().filter(|(_, until)| until.0 >= now).map(|(key, _)| *key).collect();
        Rotation::new(self.network.set.clone(), skipped, &[0; 32])
    }
}

/// The ledger behind an order: it finds its own way to others.
#[derive(Clone, Debug)]
pub(super) struct Handle(pub(super) Arc<FakeLedger>);

impl Ledger for Handle {
    fn committee(&self) -> Committee {
        let nodes = self.0.network.nodes.clone();
        let interval = *self.0.interval.lock().expect("no holder panics");
        Committee { height: Height(self.0.height() + 1), rotation: self.0.rotation(), nodes, interval }
    }

    fn build(&self, height: Height, round: u32) -> Result<Option<EncodedBlock>, LedgerError> {
        if height.0 != self.0.height() + 1 {
            return Ok(None);
        }
        let is_valid = !self.0.builds_invalid.load(Ordering::Relaxed);
        let parent = self.0.ids().last().copied().unwrap_or(BlockId::new([0; 32]));
        let mut decided = self.0.decided();
        decided.built += 1;
        // Never the same block twice, as a pool of transactions would have it.
        let salt = decided.built;
        Ok(Some(FakeBlock { height, round, parent, proposer: self.0.me, salt, is_valid }.candidate()))
    }

    fn identify(&self, block: &[u8]) -> Option<BlockId> {
        self.0.identify(block)
    }

    fn judge(&self, proposal: &BlockProposal, block: &Bytes) -> Result<BlockVerdict, LedgerError> {
        let block: FakeBlock = codec::decode(block, limits::CONSENSUS_BODY).expect("identified");
        if block.height.0 <= self.0.height() {
            return Ok(BlockVerdict::Late);
        }
        let parent = self.0.ids().last().copied().unwrap_or(BlockId::new([0; 32]));
        let turn = self.0.rotation().proposer(block.height, block.round);
        let fits = block.height == proposal.height && block.round <= proposal.round && turn == Some(block.proposer);
        Ok(if fits && block.is_valid && block.parent == parent { BlockVerdict::Valid } else { BlockVerdict::Invalid })
    }

    fn commit(&self, block: &Bytes, certificate: QuorumCertificate) -> Result<(), LedgerError> {
        self.0.commit(block, certificate)
    }

    fn note_synced(&self, is_synced: bool) {
        self.0.is_synced.store(is_synced, Ordering::Relaxed);
    }

    fn note_halt(&self, halt: Option<HaltReport>) {
        *self.0.halt.lock().expect("no holder panics") = halt;
    }

    fn report(&self, evidence: Vec<Equivocation>) {
        self.0.decided().evidence.extend(evidence);
    }

    fn reached(&self, height: Height) -> BoxFuture<'static, ()> {
        let ledger = Arc::clone(&self.0);
        async move {
            loop {
                let moved = ledger.moved.notified();
                if ledger.height() >= height.0 {
                    return;
                }
                moved.await;
            }
        }
        .boxed()
    }

    fn work(&self) -> BoxFuture<'static, ()> {
        let ledger = Arc::clone(&self.0);
        async move {
            loop {
                let more = ledger.work.notified();
                if ledger.has_work.load(Ordering::Relaxed) {
                    return;
                }
                more.await;
            }
        }
        .boxed()
    }

    fn catch_up(&self, node: NodeId) -> BoxFuture<'static, Result<(), LedgerError>> {
        let ledger = Arc::clone(&self.0);
        let peers = ledger.peers.lock().expect("no holder panics").clone().expect("connected");
        async move {
            loop {
                let before = ledger.height();
                let call = peers.call(node, Protocol::Chain, Frame::new(&(before + 1), Bytes::new()));
                match timeout(Duration::from_secs(5), call).await {
                    Ok(Ok(answer)) => ledger.take(&answer),
                    _ => return Ok(()),
                }
                if ledger.height() == before {
                    return Ok(());
                }
            }
        }
        .boxed()
    }

    fn recover(&self) -> BoxFuture<'static, Result<(), LedgerError>> {
        let others: Vec<NodeId> = self.0.network.nodes.values().copied().collect();
        let handle = self.clone();
        async move {
            for node in others {
                if node != handle.0.peers.lock().expect("no holder panics").as_ref().expect("connected").local() {
                    handle.catch_up(node).await?;
                }
            }
            Ok(())
        }
        .boxed()
    }
}

impl FakeLedger {
    fn identify(&self, block: &[u8]) -> Option<BlockId> {
        codec::decode::<FakeBlock>(block, limits::CONSENSUS_BODY).ok().map(|_| blake3::hash(block).into())
    }

    fn commit(&self, block: &Bytes, certificate: QuorumCertificate) -> Result<(), LedgerError> {
        let rotation = self.rotation();
        let mut decided = self.decided();
        if certificate.height.0 != u64::try_from(decided.blocks.len()).expect("few") + 1 {
            return Ok(());
        }
        certificate.verify(&self.network.set, &self.network.chain).expect("invariant: what is decided has a quorum");
        let until = Height(certificate.height.0 + SKIP);
        let round = codec::decode::<FakeBlock>(block, limits::CONSENSUS_BODY).expect("canonical").round;
        let missed: Vec<VoteKey> =
            (0..round).filter_map(|round| rotation.proposer(certificate.height, round)).collect();
        decided.skipped.extend(missed.into_iter().map(|key| (key, until)));
        decided.blocks.push((block.clone(), certificate));
        decided.times.push(Instant::now());
        drop(decided);
        self.moved.notify_waiters();
        Ok(())
    }
}
