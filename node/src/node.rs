//! The whole node: its tasks, started together and stopped together. The daemon and the simulator both start it here.
//!
//! In come the parts that differ between them (network, disk, clock, pool), out comes a running [`Node`]. All time is
//! tokio's and the given clock's, all blocking work the given workers', so that a simulated node is the real one.

use std::{fmt, sync::Arc, time::Duration};

use ostrakon_net::{Inbound, Peers, Workers, identity::parse_address, peer_id_text};
use ostrakon_proto::{
    id::{NodeId, VoteKey},
    ledger::{Genesis, GenesisError, vote::ValidatorKeys},
    sign::Keypair,
    wire::consensus::Incarnation,
};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    chain::{
        Chain, ChainParts,
        accuse::{Accuser, accuse},
        candidates::Candidates,
        follow::Follow,
        order::{Order, OrderError, OrderParts, Post, sign_state::SignStore, wal::Journal},
        store::{LedgerError, LedgerStore},
        sync::{SnapshotSync, SyncError, SyncSettings, checkpoint::Checkpoint, past},
    },
    directory,
    register::{self, Offer},
    retention::{Gate, Retention},
    serve::{Serve, ServeParts, credit::Credit},
    store::Columns,
};

/// The time of day, which only block times and the age of the newest block follow.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    /// A clock that gives milliseconds of Unix time.
    pub fn new(now_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now_ms))
    }

    /// Milliseconds of Unix time.
    pub fn now_ms(&self) -> u64 {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock(..)")
    }
}

/// What a node is made of.
#[derive(Debug)]
pub struct NodeParts {
    /// Its network.
    pub genesis: Genesis,
    /// Its key.
    pub keypair: Keypair,
    /// What it votes with, if it is or wants to be a validator.
    pub validator: Option<ValidatorParts>,
    /// Whom it asks.
    pub peers: Arc<dyn Peers>,
    /// Who asks it.
    pub inbound: mpsc::Receiver<Inbound>,
    /// What it keeps.
    pub columns: Arc<dyn Columns>,
    /// Where its ledger is.
    pub ledger: Arc<dyn LedgerStore>,
    /// Where its blocking work is done.
    pub workers: Workers,
    /// Its clock.
    pub clock: Clock,
    /// What its operator chose.
    pub settings: Settings,
}

/// What a validator votes with, and where it remembers what it said.
#[derive(Debug)]
pub struct ValidatorParts {
    /// Its keys.
    pub keys: ValidatorKeys,
    /// The log of the height being decided.
    pub journal: Arc<dyn Journal>,
    /// What it signed last.
    pub signatures: Arc<dyn SignStore>,
    /// Names this process among those with the same keys: never used before.
    pub incarnation: Incarnation,
}

/// What a node's operator chose.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The longest time between two blocks, if this node proposes.
    pub block_interval: Duration,
    /// What it offers as a provider; without, its record on the ledger is left as it is.
    pub offer: Option<Offer>,
    /// How it takes a snapshot when it is far behind; without, it follows all blocks.
    pub sync: Option<SyncSettings>,
    /// A block that its chain has; a chain that has another is refused.
    pub checkpoint: Option<Checkpoint>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { block_interval: Duration::from_secs(1), offer: None, sync: None, checkpoint: None }
    }
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Correct the genesis.
    #[error("the genesis is not valid: {0}")]
    Genesis(#[from] GenesisError),
    /// Its ledger cannot be read, or is of another chain than the checkpoint.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Give the validator its key.
    #[error("node {} is a validator of the genesis, but it has no validator key", peer_id_text(node))]
    NoValidatorKey {
        /// The node.
        node: NodeId,
    },
    /// Give the validator the key that the genesis has.
    #[error("node {} is a validator of the genesis, but its key is {have}, not {expected}", peer_id_text(node))]
    OtherValidatorKey {
        /// The node.
        node: NodeId,
        /// The key in the genesis.
        expected: VoteKey,
        /// Its own.
        have: VoteKey,
    },
}

/// Why a running node stopped by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// Its ledger cannot be kept.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// It has a newer ledger now, or none can be kept.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// It cannot remember what it says.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// An invariant is broken; what happened is in the log.
    #[error("a part of the node panicked: {0}")]
    Panicked(String),
    /// Its network ended.
    #[error("the node's network ended")]
    Network,
}

/// A running node. Dropping it stops it at once, as a crash would.
#[derive(Debug)]
pub struct Node {
    chain: Chain,
    stop: CancellationToken,
    tasks: JoinSet<Result<(), NodeError>>,
    seat: Seat,
}

/// What voting takes beside a validator's own: a node may come to it while it runs.
#[derive(Debug)]
struct Seat {
    /// The other nodes that the genesis names.
    known: Vec<NodeId>,
    accuser: Accuser,
    clock: Clock,
    interval: Duration,
    post: Post,
}

impl Node {
    /// Starts a node.
    ///
    /// # Errors
    /// [`StartError`] when genesis and keys do not fit together.
    pub async fn start(parts: NodeParts) -> Result<Self, StartError> {
        let NodeParts { genesis, keypair, validator, peers, inbound, columns, ledger, workers, clock, settings } =
            parts;
        genesis.validate()?;
        check_keys(&genesis, keypair.public(), validator.as_ref())?;
        directory::learn_genesis(&*peers, &genesis);
        let (id, peers_too) = (genesis.id(), Arc::clone(&peers));
        let chain = Chain::open(ChainParts { id, ledger, workers: workers.clone(), peers: peers_too }).await;
        if let Some(checkpoint) = settings.checkpoint {
            chain.hold_to(checkpoint).await?;
        }
        let (gate, credit) = (Gate::default(), Arc::new(Credit::default()));
        let (known, (accuser, accusations)) = (known_nodes(&genesis, &peers.local()), accuse(keypair.clone()));
        let post = Post::default();
        let seat = Seat { known, accuser, clock: clock.clone(), interval: settings.block_interval, post: post.clone() };
        let mut node = Self { chain: chain.clone(), stop: CancellationToken::new(), tasks: JoinSet::new(), seat };
        if let Some(parts) = validator {
            node.vote(parts);
        }
        let serving = ServeParts {
            keypair: keypair.clone(),
            chain: chain.clone(),
            columns: Arc::clone(&columns),
            workers: workers.clone(),
            gate: gate.clone(),
            credit: Arc::clone(&credit),
            post,
        };
        node.spawn_serve(Serve::new(serving), inbound);
        if let Some(sync) = settings.sync {
            node.spawn_sync(genesis, sync);
        }
        node.spawn_following();
        let retention =
            Retention { chain: chain.clone(), node: keypair.public(), columns, workers, gate, credit, clock };
        let stop = node.stop.clone();
        node.tasks.spawn(async move { Ok(retention.run(stop).await?) });
        node.spawn_pushing();
        let (stop, of_accusations) = (node.stop.clone(), chain.clone());
        node.spawn_quiet(async move { accusations.run(of_accusations, stop).await });
        let (stop, of_directory) = (node.stop.clone(), chain.clone());
        node.spawn_quiet(async move { directory::run(of_directory, peers, stop).await });
        if let Some(offer) = settings.offer {
            let stop = node.stop.clone();
            node.spawn_quiet(async move { register::run(chain, keypair, offer, stop).await });
        }
        Ok(node)
    }

    /// The ledger.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Agrees on blocks with these keys from now on, whenever the ledger has them as a validator's. One that votes with
    /// other keys already goes on with those: restart it.
    pub fn vote(&mut self, parts: ValidatorParts) {
        if self.seat.post.inbox().is_some() {
            return;
        }
        let (order, stop) = (self.seat.order(&self.chain, parts), self.stop.clone());
        self.tasks.spawn(async move { Ok(order.run(stop).await?) });
    }

    /// Waits until the node stops by itself, which only a failure makes it do. Cancel-safe.
    pub async fn failed(&mut self) -> NodeError {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => return error,
                Some(Err(error)) => return NodeError::Panicked(error.to_string()),
                None => return NodeError::Network,
            }
        }
    }

    /// Stops the node: what is under way is finished or given up, nothing is left running.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        while let Some(done) = self.tasks.join_next().await {
            log_end(done);
        }
    }

    fn spawn_serve(&mut self, serve: Serve, inbound: mpsc::Receiver<Inbound>) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            serve.run(inbound, stop.clone()).await;
            if stop.is_cancelled() { Ok(()) } else { Err(NodeError::Network) }
        });
    }

    /// Takes a state of now, where the ledger is too old to be followed, and the blocks before it.
    fn spawn_sync(&mut self, genesis: Genesis, settings: SyncSettings) {
        let (chain, known) = (self.chain.clone(), self.seat.known.clone());
        let (sync, stop) = (SnapshotSync::new(chain.clone(), genesis, known.clone(), settings), self.stop.clone());
        self.tasks.spawn(async move { Ok(sync.run(stop).await?) });
        let stop = self.stop.clone();
        self.tasks.spawn(async move { Ok(past::run(chain, known, stop).await?) });
    }

    /// Follows those who agree on blocks, while this node has no vote.
    fn spawn_following(&mut self) {
        let follow = Follow::new(self.chain.clone(), self.seat.known.clone(), self.seat.post.clone());
        let stop = self.stop.clone();
        self.tasks.spawn(async move { Ok(follow.run(stop).await?) });
    }

    /// Brings transactions to validators: at once, and again while they wait. And does what can wait.
    fn spawn_pushing(&mut self) {
        let (chain, stop) = (self.chain.clone(), self.stop.clone());
        self.spawn_quiet(async move {
            stop.run_until_cancelled(chain.gossip()).await;
        });
        let (chain, stop) = (self.chain.clone(), self.stop.clone());
        self.spawn_quiet(async move {
            stop.run_until_cancelled(chain.relay()).await;
        });
        let (chain, stop) = (self.chain.clone(), self.stop.clone());
        self.spawn_quiet(async move { chain.tend(stop).await });
    }

    /// Starts a task whose end means nothing.
    fn spawn_quiet(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async move {
            task.await;
            Ok(())
        });
    }
}

fn log_end(done: Result<Result<(), NodeError>, JoinError>) {
    match done {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "a part of the node failed while it was stopping"),
        Err(error) => tracing::error!(%error, "a part of the node panicked while it was stopping"),
    }
}

impl Seat {
    /// The order of this node; from now on the messages of others go there.
    fn order(&self, chain: &Chain, parts: ValidatorParts) -> Order {
        let Self { known, accuser, clock, interval, post } = self;
        let ValidatorParts { keys, journal, signatures, incarnation } = parts;
        let (key, keys) = (keys.vote.clone(), Arc::new(keys));
        let ledger = Candidates::new(chain.clone(), keys, clock.clone(), (known.clone(), accuser.clone()));
        let (order, inbox) = Order::new(OrderParts {
            chain: chain.rules().chain,
            key,
            ledger: Arc::new(ledger),
            peers: chain.peers(),
            workers: chain.workers(),
            journal,
            signatures,
            incarnation,
            interval: *interval,
        });
        post.open(inbox);
        order
    }
}

/// A validator of the genesis has the key that the genesis has. Others may join later.
fn check_keys(genesis: &Genesis, node: NodeId, parts: Option<&ValidatorParts>) -> Result<(), StartError> {
    let Some(validator) = genesis.validators.iter().find(|validator| validator.node == node) else {
        return Ok(());
    };
    let keys = &parts.ok_or(StartError::NoValidatorKey { node })?.keys;
    let (expected, have) = (validator.key, keys.vote.public());
    if have != expected || keys.beacon.public() != validator.beacon_key {
        return Err(StartError::OtherValidatorKey { node, expected, have });
    }
    Ok(())
}

/// The other nodes that the genesis names: members, and where to begin when those are long gone.
fn known_nodes(genesis: &Genesis, local: &NodeId) -> Vec<NodeId> {
    let providers = genesis.providers.iter().map(|provider| provider.node);
    let first = genesis.bootstrap.iter().filter_map(|address| parse_address(address).ok()).map(|(node, _)| node);
    let mut known: Vec<NodeId> = Vec::new();
    for node in genesis.validators.iter().map(|validator| validator.node).chain(providers).chain(first) {
        if !known.contains(&node) {
            known.push(node);
        }
    }
    known.retain(|node| node != local);
    known
}

#[cfg(test)]
mod tests;
