//! A stranger: a client with a key of its own, an account with a little money, and no manners.
//!
//! In comes a devnet; out go single requests of put/1 and chain/1 to its nodes, each as any client may send it, and
//! what the nodes say to them. [`Column`] is what it uploads. Not here: what a scenario does with it.

use std::{fs, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::{StreamExt, stream};
use ostrakon_net::{
    AskError, Peers, ask,
    swarm::{Swarm, SwarmConfig, SwarmHandle},
};
use ostrakon_node::config::{GENESIS_FILE, read_genesis};
use ostrakon_proto::{
    id::{AccountId, Amount, ColumnId, Epoch, NodeId},
    ledger::Genesis,
    limits,
    manifest::{Content, Extent, Manifest, Protection},
    params::Code,
    placement::Draw,
    sign::{Keypair, Purpose, Signature},
    tree::TreeBuilder,
    wire::{
        Call, chain,
        put::{self, Open, Opening, UploadId},
    },
};
use serde::Deserialize;
use tokio::runtime::Runtime;

use crate::{
    cluster::{Cluster, NodeInfo},
    content,
    process::until,
};

/// Requests in flight: what one connection may have.
const IN_FLIGHT: usize = 16;
/// How long a node may take to write its status, or to know of a payment.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client that talks to nodes directly.
#[derive(Debug)]
pub struct Stranger {
    runtime: Runtime,
    peers: SwarmHandle,
    account: Keypair,
    genesis: Genesis,
}

/// What a node says of its disk, in its `status.json`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct DiskStatus {
    /// When it was written, in milliseconds of Unix time.
    pub updated_ms: u64,
    /// Bytes of what is not paid for, open uploads included.
    pub temporary_bytes: u64,
    /// Bytes of open uploads.
    pub upload_bytes: u64,
    /// Bytes of the disk.
    pub disk_bytes: u64,
}

/// A column that a stranger uploads: random bytes, listed by a manifest of its own.
#[derive(Clone, Debug)]
pub struct Column {
    seed: u64,
    /// Its length in bytes.
    pub len: u64,
    manifest: Bytes,
    code: Code,
}

impl Stranger {
    /// One with this number, and an account with so many obols, paid by the network's own profile.
    ///
    /// # Errors
    /// When the payment fails, or the system refuses.
    pub fn start(cluster: &Cluster, number: u8, obols: &str) -> Result<Self> {
        let genesis = read_genesis(&cluster.profile().join(GENESIS_FILE))?;
        let [account, node] = [1, 2].map(|purpose| {
            let mut seed = [number; 32];
            seed[0] = purpose;
            Keypair::from_seed(&seed)
        });
        let to: AccountId = account.public();
        cluster.run(&["wallet", "send", &to.to_string(), obols])?.expect_code(0)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (peers, _nobody_asks_it) = Swarm::start(SwarmConfig::client(genesis.id(), node))?;
        for provider in &genesis.providers {
            peers.learn(provider.node, &provider.addresses);
        }
        let stranger = Self { runtime, peers, account, genesis };
        let ready = cluster.status()?.height.unwrap_or(0) + 2 * stranger.genesis.params.time.beacon_blocks;
        for provider in &stranger.genesis.providers {
            let knows = || Ok(stranger.ask(provider.node, chain::head()).is_ok_and(|head| head.height.0 >= ready));
            until("each node knows what the new account draws by", PATIENCE, knows)?;
        }
        Ok(stranger)
    }

    /// Asks a node.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub fn ask<A: 'static>(&self, node: NodeId, call: Call<A>) -> Result<A, AskError> {
        self.runtime.block_on(ask(&self.peers, node, call))
    }

    /// Asks many at a time; the answers in their order.
    pub fn ask_all<A: 'static>(&self, calls: Vec<(NodeId, Call<A>)>) -> Vec<Result<A, AskError>> {
        let asked = calls.into_iter().map(|(node, call)| ask(&self.peers, node, call));
        let asked: Vec<_> = asked.collect();
        self.runtime.block_on(stream::iter(asked).buffered(IN_FLIGHT).collect())
    }

    /// What asks `node` for room for upload `number`, of at most so many bytes.
    pub fn open(&self, node: NodeId, number: u16, (reserve, code): (u64, Code), epoch: Epoch) -> Call<Opening> {
        let draw = Draw { epoch, number: 0 };
        let (upload, account) = (self.upload(node, number), self.account.public());
        let offer = self.genesis.providers.iter().find(|provider| provider.node == node);
        let (ask, until) = (offer.map_or(Amount::ZERO, |offer| offer.price), epoch.after(10));
        let open = Open { upload, holder: node, account, draw, extent: 0, index: 0, code, reserve, ask, until };
        let signature = self.account.sign(Purpose::Put, &self.genesis.id(), &open);
        put::open(open, signature, None)
    }

    /// The name of its upload of this number at this node.
    pub fn upload(&self, node: NodeId, number: u16) -> UploadId {
        let mut name = [0; 16];
        let account: AccountId = self.account.public();
        name[..7].copy_from_slice(&account.bytes()[..7]);
        name[7..14].copy_from_slice(&node.bytes()[..7]);
        name[14..].copy_from_slice(&number.to_le_bytes());
        UploadId(name)
    }

    /// The newest epoch whose beacon this node has for sure: the one before its own, which may have just begun.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn epoch(&self, node: NodeId) -> Result<Epoch> {
        Ok(Epoch(self.ask(node, chain::head())?.epoch.0.saturating_sub(1)))
    }

    /// Sends all of a column as upload `number`, but does not finish it.
    ///
    /// # Errors
    /// When the node refuses any of it.
    pub fn send(&self, node: NodeId, number: u16, column: &Column) -> Result<()> {
        let open = self.open(node, number, (column.len, column.code), self.epoch(node)?);
        self.ask(node, open)?;
        let upload = self.upload(node, number);
        let chunks = column.chunks().map(|(offset, bytes)| ask(&self.peers, node, put::chunk(upload, offset, bytes)));
        // A node keeps few chunks that come before their turn.
        let sent = stream::iter(chunks)
            .buffered(4)
            .fold(Ok(0), async |sent: Result<u64, AskError>, next| Ok(sent?.max(next?)));
        let next = self.runtime.block_on(sent)?;
        ensure!(next == column.len, "node {node} has {next} of {} bytes", column.len);
        Ok(())
    }

    /// What finishes upload `number`.
    pub fn finish(&self, node: NodeId, number: u16, column: &Column) -> Call<Signature> {
        let mut call = put::finish(self.upload(node, number), column.manifest.clone());
        // A gigabyte is made durable first.
        call.limit = Duration::from_secs(600);
        call
    }

    /// The network as it has it.
    pub fn peers(&self) -> Arc<dyn Peers> {
        Arc::new(self.peers.clone())
    }
}

impl Column {
    /// One of so many bytes, a multiple of 64, of an object with this code, of which k is 1.
    ///
    /// # Errors
    /// When no object has such a column.
    pub fn new(seed: u64, len: u64, code: Code) -> Result<Self> {
        let mut column = Self { seed, len, manifest: Bytes::new(), code };
        let mut tree = TreeBuilder::new();
        column.chunks().for_each(|(_, bytes)| tree.update(&bytes));
        let id: ColumnId = tree.finish().0;
        let extent = Extent { columns: vec![id; usize::from(code.n)], tokens: Vec::new() };
        let protection = Protection::Public { hash: [0; 32], content: Content::File };
        let manifest = Manifest { size: len, code, protection, extents: vec![extent] };
        manifest.check()?;
        let shape = manifest.layout().extent(0).context("an object has an extent")?;
        ensure!(shape.column_len == len, "an object of {len} bytes has columns of {}", shape.column_len);
        column.manifest = manifest.encode().into();
        Ok(column)
    }

    fn chunks(&self) -> impl Iterator<Item = (u64, Bytes)> {
        (0..self.len).step_by(limits::CHUNK).map(|offset| {
            let left = usize::try_from(self.len - offset).map_or(limits::CHUNK, |left| left.min(limits::CHUNK));
            (offset, content::random(self.seed.wrapping_add(offset), left).into())
        })
    }
}

/// The node's id.
///
/// # Errors
/// When the devnet prints something else.
pub fn id_of(node: &NodeInfo) -> Result<NodeId> {
    node.provider.parse().with_context(|| format!("{} is not a node id", node.provider))
}

/// What a node says of its disk.
///
/// # Errors
/// When it has not written its status.
pub fn disk_status(node: &NodeInfo) -> Result<DiskStatus> {
    let path = node.data_dir.join("status.json");
    let text = fs::read(&path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| path.display().to_string())
}

/// Waits until a node says of its disk what is expected.
///
/// # Errors
/// When it does not soon; what it says is in the message.
pub fn await_disk(node: &NodeInfo, what: &str, expected: impl Fn(&DiskStatus) -> bool) -> Result<DiskStatus> {
    let waited = until(what, PATIENCE, || Ok(expected(&disk_status(node)?)));
    let last = disk_status(node)?;
    waited.with_context(|| format!("node {} says {last:?}", node.index))?;
    Ok(last)
}
