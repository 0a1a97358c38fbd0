//! The whole node: its tasks, started together and stopped together. The daemon and the simulator both start it here.
//!
//! In come the parts that differ between them (network, disk, clock, worker threads), out comes a running [`Node`]. All
//! time is tokio's and the given clock's, all blocking work the given workers', so that a simulated node is the real
//! one.

use std::{fmt, sync::Arc};

use ostrakon_net::{Peers, Requests, Workers, identity::parse_address};
use ostrakon_proto::{
    id::{NodeId, VoteKey},
    ledger::{Genesis, GenesisError, vote::ValidatorKeys},
    sign::Keypair,
    wire::consensus::Incarnation,
};
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    audit::{Audit, AuditStatus},
    chain::{
        Chain, ChainParts,
        evidence::{EvidenceReporter, reporting},
        follow::BlockFollower,
        order::{Order, OrderError, OrderParts, sign_state::SignStore, wal::Wal},
        order_ledger::OrderLedger,
        store::{LedgerError, LedgerStore},
        sync::{SnapshotSync, SyncError, SyncSettings, checkpoint::Checkpoint, past},
    },
    directory,
    inventory::{Inventory, Missing},
    metrics::{NodeMetrics, OrderMetrics, RepairMetrics},
    register::{self, ProviderOffer, Standing},
    repair::{Repair, RepairPace, RepairParts},
    retention::Retention,
    serve::{CHAIN_THREADS, Serve, ServeParts, credit::Credit, refuse_votes},
    store::Columns,
};

/// Threads that build, validate and log blocks for the order.
const ORDER_THREADS: usize = 2;

/// The time of day, used only for block times and the age of the newest block.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    /// A clock that returns milliseconds of Unix time.
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
    /// Its keys and files as a validator, if it is or may become one.
    pub validator: Option<ValidatorParts>,
    /// The network's other nodes.
    pub peers: Arc<dyn Peers>,
    /// Requests of other nodes.
    pub requests: Requests,
    /// Its stored columns.
    pub columns: Arc<dyn Columns>,
    /// Its ledger's storage.
    pub ledger: Arc<dyn LedgerStore>,
    /// Threads for its columns; the ledger and the order get others.
    pub workers: Workers,
    /// Its clock.
    pub clock: Clock,
    /// Its operator's settings.
    pub settings: Settings,
    /// What it counts.
    pub metrics: NodeMetrics,
}

/// A validator's keys, and the records that keep it from equivocating.
#[derive(Debug)]
pub struct ValidatorParts {
    /// Its keys.
    pub keys: ValidatorKeys,
    /// The consensus write-ahead log.
    pub wal: Arc<dyn Wal>,
    /// The sign state.
    pub signatures: Arc<dyn SignStore>,
    /// Names this process among those with the same keys: never used before.
    pub incarnation: Incarnation,
}

/// An operator's settings.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Its offer as a provider; without one its record in the ledger is not changed.
    pub offer: Option<ProviderOffer>,
    /// How it restores a snapshot when it is far behind; without it, it follows all blocks.
    pub sync: Option<SyncSettings>,
    /// A trusted checkpoint; a chain with another block there is rejected.
    pub checkpoint: Option<Checkpoint>,
    /// How much work repair may make.
    pub repair: RepairPace,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Correct the genesis.
    #[error("invalid genesis: {0}")]
    Genesis(#[from] GenesisError),
    /// Its ledger cannot be read, or is of another chain than the checkpoint.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Add the validator's key.
    #[error("node {node} is a validator in the genesis, but has no validator.key: add it to the data directory")]
    NoValidatorKey {
        /// The node.
        node: NodeId,
    },
    /// Use the key that the genesis has.
    #[error("node {node} has validator key {have}, but the genesis has {expected}: use the right validator.key")]
    OtherValidatorKey {
        /// The node.
        node: NodeId,
        /// The key in the genesis.
        expected: VoteKey,
        /// The node's key.
        have: VoteKey,
    },
}

/// Why a running node stopped by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// Its ledger cannot be stored.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A snapshot was restored, or cannot be stored.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// It cannot record what it signs.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// An invariant is broken; what happened is in the log.
    #[error("a task of the node panicked, which is a bug: {0}")]
    Panicked(String),
    /// Its network ended.
    #[error("the node's network task ended; restart the node")]
    Network,
}

/// A running node. Dropping it stops it immediately, as a crash would.
#[derive(Debug)]
pub struct Node {
    chain: Chain,
    stop: CancellationToken,
    tasks: JoinSet<Result<(), NodeError>>,
    voting: VotingSetup,
    offer: watch::Sender<Option<ProviderOffer>>,
    standing: watch::Receiver<Option<Standing>>,
    missing: watch::Sender<Option<Missing>>,
    audit: watch::Sender<Option<AuditStatus>>,
}

/// What an order needs beside a validator's own parts: a node may become a validator while it runs.
#[derive(Debug)]
struct VotingSetup {
    /// The other nodes that the genesis names.
    known: Vec<NodeId>,
    reporter: EvidenceReporter,
    clock: Clock,
    requests: Requests,
    /// Cancelled when this node takes part in the order.
    started: CancellationToken,
    metrics: OrderMetrics,
}

impl Node {
    /// Starts a node.
    ///
    /// # Errors
    /// [`StartError`] when genesis and keys do not match.
    pub async fn start(parts: NodeParts) -> Result<Self, StartError> {
        let NodeParts {
            genesis,
            keypair,
            validator,
            peers,
            requests,
            columns,
            ledger,
            workers,
            clock,
            settings,
            metrics,
        } = parts;
        genesis.validate()?;
        check_keys(&genesis, keypair.public(), validator.as_ref())?;
        directory::learn_genesis(&*peers, &genesis);
        let (id, peers_too) = (genesis.id(), Arc::clone(&peers));
        let chain_workers = workers.another(CHAIN_THREADS);
        let of_chain = ChainParts { id, ledger, workers: chain_workers, peers: peers_too, metrics: metrics.chain };
        let chain = Chain::open(of_chain).await;
        if let Some(checkpoint) = settings.checkpoint {
            chain.hold_to(checkpoint).await?;
        }
        let credit = Arc::new(Credit::default());
        let (known, (reporter, evidence)) = (known_nodes(&genesis, &peers.local()), reporting(keypair.clone()));
        let voting = VotingSetup {
            known,
            reporter,
            clock: clock.clone(),
            requests: requests.clone(),
            started: CancellationToken::new(),
            metrics: metrics.order,
        };
        let ((offer, offers), (told, standing)) = (watch::channel(settings.offer), watch::channel(None));
        let (stop, tasks) = (CancellationToken::new(), JoinSet::new());
        let (missing, audit) = (watch::Sender::default(), watch::Sender::default());
        let mut node = Self { chain: chain.clone(), stop, tasks, voting, offer, standing, missing, audit };
        if let Some(parts) = validator {
            node.vote(parts);
        }
        let serving = ServeParts {
            keypair: keypair.clone(),
            chain: chain.clone(),
            columns: Arc::clone(&columns),
            workers: workers.clone(),
            credit: Arc::clone(&credit),
            offers: offers.clone(),
            metrics: metrics.uploads,
        };
        node.spawn_serve(Serve::new(serving), requests);
        if let Some(sync) = settings.sync {
            node.spawn_sync(genesis, sync);
        }
        node.spawn_following();
        let own = keypair.public();
        node.spawn_inventory(own, &columns, &workers);
        node.spawn_audit(own, &columns, &workers);
        node.spawn_repair((&keypair, &columns, &workers), (settings.repair, metrics.repair));
        let metrics = metrics.retention;
        let retention = Retention { chain, node: own, columns, workers, credit, clock, metrics };
        node.spawn(|_, stop| retention.run(stop));
        node.spawn_pushing();
        node.spawn_quiet(|chain, stop| evidence.run(chain, stop));
        node.spawn_quiet(|chain, stop| directory::run(chain, peers, stop));
        node.spawn_quiet(|chain, stop| register::run(chain, keypair, offers, told, stop));
        Ok(node)
    }

    /// The ledger.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Votes on blocks with these keys from now on, whenever the ledger has them as a validator's. A node that votes
    /// with other keys already continues with those until it is restarted.
    pub fn vote(&mut self, parts: ValidatorParts) {
        if self.voting.started.is_cancelled() {
            return;
        }
        self.voting.started.cancel();
        let order = self.voting.order(&self.chain, parts);
        let inline = self.chain.workers().is_inline();
        self.spawn(move |_, stop| async move {
            if inline { order.run(stop).await } else { order_thread::run(order, stop).await }
        });
    }

    /// Offers this as a provider from now on: the ledger's record follows. Without an offer it stays as it is.
    pub fn offer(&self, offer: Option<ProviderOffer>) {
        self.offer.send_replace(offer);
    }

    /// What it offers as a provider, as that changes.
    pub fn offers(&self) -> watch::Receiver<Option<ProviderOffer>> {
        self.offer.subscribe()
    }

    /// Where its registration as a provider stands; `None` while it has no offer, or has not looked yet.
    pub fn standing(&self) -> watch::Receiver<Option<Standing>> {
        self.standing.clone()
    }

    /// The columns that the ledger counts on and that are not here, as that changes; nothing before it is known.
    pub fn missing(&self) -> watch::Receiver<Option<Missing>> {
        self.missing.subscribe()
    }

    /// How the proof of this epoch is doing, as that changes; nothing before it is known.
    pub fn audit(&self) -> watch::Receiver<Option<AuditStatus>> {
        self.audit.subscribe()
    }

    /// Waits until the node stops by itself, which happens only on failure. Cancel-safe.
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

    /// Stops the node: work in progress is finished or aborted, and no task is left running.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        while let Some(done) = self.tasks.join_next().await {
            log_end(done);
        }
    }

    fn spawn_serve(&mut self, serve: Serve, requests: Requests) {
        let (stop, voting, votes) = (self.stop.clone(), self.voting.started.clone(), requests.clone());
        self.spawn_quiet(|_, stop| async move { _ = stop.run_until_cancelled(refuse_votes(votes, voting)).await });
        self.tasks.spawn(async move {
            serve.run(requests, stop.clone()).await;
            if stop.is_cancelled() { Ok(()) } else { Err(NodeError::Network) }
        });
    }

    /// Restores a snapshot if the ledger is too old to be followed, and then the history before it.
    fn spawn_sync(&mut self, genesis: Genesis, settings: SyncSettings) {
        let known = self.voting.known.clone();
        self.spawn(|chain, stop| SnapshotSync::new(chain, genesis, known, settings).run(stop));
        let known = self.voting.known.clone();
        self.spawn(|chain, stop| past::run(chain, known, stop));
    }

    /// Follows the validators, while this node is none.
    fn spawn_following(&mut self) {
        let (known, voting) = (self.voting.known.clone(), self.voting.started.clone());
        self.spawn(|chain, stop| BlockFollower::new(chain, known, voting).run(stop));
    }

    /// Compares the ledger with what is stored.
    fn spawn_inventory(&mut self, node: NodeId, columns: &Arc<dyn Columns>, workers: &Workers) {
        let (columns, workers, missing) = (Arc::clone(columns), workers.clone(), self.missing.clone());
        self.spawn_quiet(|chain, stop| Inventory { chain, node, columns, workers, missing }.run(stop));
    }

    /// Proves to the ledger what is stored.
    fn spawn_audit(&mut self, node: NodeId, columns: &Arc<dyn Columns>, workers: &Workers) {
        let (columns, workers, status) = (Arc::clone(columns), workers.clone(), self.audit.clone());
        self.spawn_quiet(|chain, stop| Audit { chain, node, columns, workers, status }.run(stop));
    }

    /// Rebuilds what others lost, and reports what this node lost.
    fn spawn_repair(
        &mut self,
        (keypair, columns, workers): (&Keypair, &Arc<dyn Columns>, &Workers),
        (pace, metrics): (RepairPace, RepairMetrics),
    ) {
        let (keypair, columns, workers, offers) =
            (keypair.clone(), Arc::clone(columns), workers.clone(), self.offer.subscribe());
        let missing = self.missing();
        self.spawn_quiet(|chain, stop| {
            Repair::new(RepairParts { chain, keypair, columns, workers, offers, missing, pace, metrics }).run(stop)
        });
    }

    /// Sends transactions to validators: immediately, and again while they wait; and does background work.
    fn spawn_pushing(&mut self) {
        self.spawn_quiet(|chain, stop| async move { _ = stop.run_until_cancelled(chain.broadcast()).await });
        self.spawn_quiet(|chain, stop| async move { _ = stop.run_until_cancelled(chain.relay()).await });
        self.spawn_quiet(|chain, stop| async move { chain.tend(stop).await });
    }

    /// Starts a task that runs until the node stops; if it fails, the node fails.
    fn spawn<F, E>(&mut self, task: impl FnOnce(Chain, CancellationToken) -> F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        NodeError: From<E>,
    {
        let task = task(self.chain.clone(), self.stop.clone());
        self.tasks.spawn(async move { Ok(task.await?) });
    }

    /// As [`Node::spawn`], for a task that cannot fail.
    fn spawn_quiet<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        task: impl FnOnce(Chain, CancellationToken) -> F,
    ) {
        let task = task(self.chain.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            task.await;
            Ok(())
        });
    }
}

fn log_end(done: Result<Result<(), NodeError>, JoinError>) {
    match done {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "a task of the node failed while stopping"),
        Err(error) => tracing::error!(%error, "a task of the node panicked while stopping"),
    }
}

impl VotingSetup {
    /// The order of this node; from now on consensus messages go there.
    fn order(&self, chain: &Chain, parts: ValidatorParts) -> Order {
        let Self { known, reporter, clock, requests, metrics, .. } = self;
        let ValidatorParts { keys, wal, signatures, incarnation } = parts;
        let (key, keys) = (keys.vote.clone(), Arc::new(keys));
        let ledger = OrderLedger::new(chain.clone(), keys, clock.clone(), (known.clone(), reporter.clone()));
        Order::new(OrderParts {
            chain: chain.rules().chain,
            key,
            ledger: Arc::new(ledger),
            peers: chain.peers(),
            requests: requests.clone(),
            workers: chain.workers().another(ORDER_THREADS),
            wal,
            signatures,
            incarnation,
            metrics: metrics.clone(),
        })
    }
}

/// A validator of the genesis must have the key that the genesis has. Others may join later.
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

/// The other nodes that the genesis names: its members, and bootstrap nodes for when those are gone.
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

mod order_thread;

#[cfg(test)]
mod tests;
