//! A real node that makes false claims: the node of a data directory, whole, whose answers to others pass by a [`Lie`].
//!
//! The lie is named in a file of the data directory, and can change while the node runs; without one it is honest.
//! Whatever it tells is recorded beside it, so that a scenario knows that it was told. All between the sockets and the
//! node: the node itself is the one that everybody runs, and knows nothing of it.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use ostrakon::key_file;
use ostrakon_net::{
    Inbound, Intake, Reply, Requests, Workers, request_queues,
    swarm::{Swarm, SwarmConfig},
};
use ostrakon_node::{
    chain::{
        order::{sign_state::SignFile, wal::WalFile},
        rocks::{Rocks, restore::LedgerDirs},
    },
    config::{
        CONSENSUS_LOG_FILE, Config, GENESIS_FILE, NODE_KEY_FILE, Overrides, SIGN_STATE_FILE, VALIDATOR_KEY_FILE,
        read_genesis,
    },
    metrics::NodeMetrics,
    node::{Clock, Node, NodeParts, Settings, ValidatorParts},
    store::{self, Disk},
};
use ostrakon_proto::{
    id::ChainId,
    ledger::{Genesis, vote::ValidatorKeys},
    sign::Keypair,
    wire::{Frame, Protocol, consensus::Incarnation},
};
use tokio::sync::Semaphore;

use crate::lies::{Lie, Memory, Question};

/// The file that names the lie.
pub const LIE_FILE: &str = "lie";
/// The file that has a line for each time that a lie was told.
pub const TOLD_FILE: &str = "told";
/// Questions that are answered concurrently.
const CONCURRENT: usize = 256;

/// Has the liar of this directory tell this lie from now on; without one it is honest.
///
/// # Errors
/// When the file cannot be written.
pub fn tell_from_now_on(dir: &Path, lie: Option<Lie>) -> Result<()> {
    // Whole or not at all: it is read at any moment.
    let (draft, path) = (dir.join("lie.new"), dir.join(LIE_FILE));
    fs::write(&draft, lie.map_or("", |lie| lie.name))?;
    fs::rename(&draft, &path).with_context(|| path.display().to_string())
}

/// How often the liar of this directory told this lie.
pub fn times_told(dir: &Path, lie: Lie) -> usize {
    let told = fs::read_to_string(dir.join(TOLD_FILE)).unwrap_or_default();
    told.lines().filter(|line| *line == lie.name).count()
}

/// Runs the node of `dir`, and lies for it, until the node fails.
///
/// # Errors
/// When the directory has no node that can be started, and when it fails.
pub async fn run(dir: &Path) -> Result<()> {
    let config = Config::load(dir, &Overrides::default())?;
    let mut genesis = read_genesis(&dir.join(GENESIS_FILE))?;
    genesis.bootstrap.extend_from_slice(&config.bootstrap);
    let keypair = Keypair::from_seed(key_file::read(dir.join(NODE_KEY_FILE))?.bytes());
    let swarm = SwarmConfig {
        listen: config.listen.clone(),
        bootstrap: genesis.bootstrap.clone(),
        ..SwarmConfig::client(genesis.id(), keypair.clone())
    };
    let (swarm, asked) = Swarm::start_here(swarm).await?;
    let (to_node, requests) = request_queues(&Default::default());
    let parts = NodeParts {
        validator: validator(dir)?,
        peers: Arc::new(swarm),
        requests,
        columns: Arc::new(Disk::open(&dir.join("store"), kept(&config))?),
        ledger: ledger(dir, &config, &genesis)?,
        workers: Workers::pool(config.worker_threads),
        clock: Clock::new(system_ms),
        settings: Settings::default(),
        metrics: NodeMetrics::default(),
        keypair,
        genesis: genesis.clone(),
    };
    let mut node = Node::start(parts).await?;
    let told = OpenOptions::new().create(true).append(true).open(dir.join(TOLD_FILE))?;
    let liar = Liar { chain: genesis.id(), lie: dir.join(LIE_FILE), told, memory: Memory::default() };
    tokio::spawn(Arc::new(liar).run(asked, to_node));
    Err(node.failed().await.into())
}

fn kept(config: &Config) -> store::DiskConfig {
    store::DiskConfig { reserve_bytes: config.disk_reserve_bytes, ..store::DiskConfig::default() }
}

fn ledger(dir: &Path, config: &Config, genesis: &Genesis) -> Result<Arc<Rocks>> {
    let dirs = LedgerDirs::new(dir);
    dirs.settle()?;
    Ok(Arc::new(Rocks::open(&dirs.chain(), genesis)?.with_pruning(config.pruning(dir))?))
}

/// What it votes with, if it has a vote: it lies in answers, and votes as all do.
fn validator(dir: &Path) -> Result<Option<ValidatorParts>> {
    let path = dir.join(VALIDATOR_KEY_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let keys = ValidatorKeys::from_seed(key_file::read(&path)?.bytes());
    let wal = Arc::new(WalFile::open(&dir.join(CONSENSUS_LOG_FILE))?);
    let signatures = Arc::new(SignFile::open(&dir.join(SIGN_STATE_FILE))?);
    // No other process with these keys begins in the same nanosecond.
    let incarnation = Incarnation(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos().to_le_bytes());
    Ok(Some(ValidatorParts { keys, wal, signatures, incarnation }))
}

fn system_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What passes between the sockets and the node.
#[derive(Debug)]
struct Liar {
    chain: ChainId,
    lie: PathBuf,
    told: File,
    memory: Memory,
}

impl Liar {
    async fn run(self: Arc<Self>, asked: Requests, to_node: Intake) {
        let turns = Arc::new(Semaphore::new(CONCURRENT));
        while let Some(inbound) = asked.next_of_any().await {
            // Votes are no answers, and must not wait.
            if inbound.protocol == Protocol::Consensus {
                to_node.forward(inbound);
                continue;
            }
            let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { return };
            let (liar, to_node) = (Arc::clone(&self), to_node.clone());
            tokio::spawn(async move {
                liar.answer(inbound, to_node).await;
                drop(turn);
            });
        }
    }

    /// What the node says, or the lie instead.
    async fn answer(&self, inbound: Inbound, to_node: Intake) {
        let Inbound { source, protocol, request, reply } = inbound;
        if let Some(lie) = self.lie(protocol, &request, None) {
            return reply.send(lie);
        }
        let (inner, answered) = Reply::pair(protocol);
        to_node.forward(Inbound { source, protocol, request: request.clone(), reply: inner });
        // The node gave it up: so does the liar, and the asker hears of it.
        let Ok(honest) = answered.await else { return };
        if let (Protocol::Chain, Ok(question)) = (protocol, request.decode()) {
            self.memory.keep(&question, &honest);
        }
        reply.send(self.lie(protocol, &request, Some(&honest)).unwrap_or(honest));
    }

    /// The lie, where one is to be told.
    fn lie(&self, protocol: Protocol, request: &Frame, honest: Option<&Frame>) -> Option<Frame> {
        let lie = Lie::named(&fs::read_to_string(&self.lie).ok()?)?;
        let said = lie.tell(&Question { chain: &self.chain, protocol, request, honest, memory: &self.memory })?;
        // A told lie that is not recorded fails the scenario, which is as well.
        let _written = writeln!(&self.told, "{}", lie.name);
        Some(said)
    }
}
