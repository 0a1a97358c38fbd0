//! `run`: opens the files of a data directory, runs its node, and stops it on a signal.

use std::{
    fs::{File, TryLockError},
    io,
    mem::discriminant,
    path::Path,
    pin::pin,
    sync::Arc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail};
use ostrakon::key_file;
use ostrakon_net::{
    Requests, Workers,
    swarm::{Swarm, SwarmConfig, SwarmHandle, SwarmLimits},
};
use ostrakon_node::{
    chain::{
        order::{sign_state::SignFile, wal::WalFile},
        rocks::{Rocks, restore::LedgerDirs},
        sync::{SyncError, SyncSettings},
    },
    config::{CONSENSUS_LOG_FILE, Checked, Config, Overrides, SIGN_STATE_FILE, VALIDATOR_KEY_FILE},
    metrics::{NodeMetrics, OrderMetrics},
    node::{Clock, Node, NodeError, NodeParts, Settings, ValidatorParts},
    repair::RepairPace,
    store::{Around, Columns, DiskConfig, Volumes},
};
use ostrakon_proto::{
    erasure,
    id::{NodeId, VoteKey},
    ledger::{Genesis, vote::ValidatorKeys},
    seed::Seed,
    sign::Keypair,
    wire::consensus::Incarnation,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    time::{interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    announced::Announced,
    earnings,
    live::LiveConfig,
    mapping,
    notify::ServiceManager,
    reachability,
    scrapes::ScrapeServer,
    status::{self, Reporter},
};

/// How often it is checked whether the old ledger is still in use.
const RELEASE: Duration = Duration::from_millis(10);
/// How often a node without a validator key looks for one.
const KEY_EVERY: Duration = Duration::from_millis(500);
/// How long the node waits for its volumes before it runs without them.
const OPENING: Duration = Duration::from_secs(1);
/// How often the node writes its status.
const REPORT_EVERY: Duration = Duration::from_secs(2);
/// In about this time every stored column is read once, to find damage.
const SCRUB_PERIOD: Duration = Duration::from_secs(14 * 86_400);

pub(super) fn run(dir: &Path, overrides: &Overrides) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    // Before anything is opened: an early signal must end the node, not be missed, and SIGHUP must not.
    let signals = runtime.block_on(async { Signals::listen() })?;
    let Checked { config, genesis, keypair } = Checked::open(dir, overrides)?;
    let mut live = LiveConfig::start(dir, overrides, config)?;
    erasure::cpu_supported()?;
    raise_file_limit();
    let _lock = lock(dir)?;
    let metrics = NodeMetrics::default();
    let _scrapes = live.config().metrics.map(|address| ScrapeServer::start(address, &metrics)).transpose()?;
    runtime.block_on(async {
        let mut outside = Outside { signals, manager: ServiceManager::of_process() };
        loop {
            let opened = open(dir, live.config(), genesis.clone(), keypair.clone(), metrics.clone()).await?;
            let (node, chain): (NodeId, _) = (opened.parts.keypair.public(), opened.parts.genesis.id());
            tracing::info!(%node, network = %chain, listening = ?opened.swarm.listening(), "starting");
            let in_use = (Arc::downgrade(&opened.parts.ledger), Arc::downgrade(&opened.volumes));
            match until_stopped(dir, opened, &mut outside, &mut live).await {
                Err(error) if is_restored(&error) => tracing::info!("starting again with the restored snapshot"),
                outcome => return outcome,
            }
            // Workers may still use the old ledger.
            while in_use.0.strong_count() + in_use.1.strong_count() > 0 {
                match timeout(RELEASE, outside.signals.next()).await {
                    Ok(Asked::Stop(_)) => return Ok(()),
                    Ok(Asked::Reload) => drop(live.reload()),
                    Err(_) => {}
                }
            }
        }
    })
}

/// As many open files as the system allows: each connection is one, and most systems allow 1,024 unless they are asked.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(
            %error, limit = ?limit.current,
            "cannot raise the limit of open files (RLIMIT_NOFILE), so that fewer connections fit: set LimitNOFILE= in \
             the systemd unit, or `ulimit -n`"
        );
    }
}

/// Whether the node ended to start again with a restored ledger.
fn is_restored(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(NodeError::Sync(SyncError::Restored)))
}

/// Locks the directory: two nodes in it would equivocate, and overwrite each other's files.
pub(super) fn lock(dir: &Path) -> anyhow::Result<File> {
    let path = status::lock_path(dir);
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("a node is already running in {}: stop it, or use another data directory", dir.display())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// A node that can be started.
struct Opened {
    parts: NodeParts,
    swarm: SwarmHandle,
    announced: Announced,
    /// Those of the parts, for the status.
    volumes: Arc<Volumes>,
}

/// Opens everything that can be in use or damaged, before the node starts.
async fn open(
    dir: &Path,
    config: &Config,
    mut genesis: Genesis,
    keypair: Keypair,
    metrics: NodeMetrics,
) -> anyhow::Result<Opened> {
    genesis.bootstrap.extend_from_slice(&config.bootstrap);
    let path = dir.join(VALIDATOR_KEY_FILE);
    let dirs = LedgerDirs::new(dir);
    dirs.settle().with_context(|| dir.display().to_string())?;
    let pruning = config.pruning(dir);
    let room = Arc::clone(&pruning.room);
    let ledger = Rocks::open(&dirs.chain(), &genesis)?.with_pruning(pruning)?;
    let ledger = Arc::new(ledger.timed(metrics.ledger.commit.clone()));
    let validator = if path.exists() { Some(validator(dir, &key_file::read(&path)?, &metrics.order)?) } else { None };
    let settings_of_store = DiskConfig { reserve_bytes: config.disk_reserve_bytes, ..DiskConfig::default() };
    let around = Around { metrics: metrics.store.clone(), room };
    let volumes = Arc::new(Volumes::unopened(dir, &keypair.public(), settings_of_store, &around)?);
    open_beside(&volumes).await?;
    let columns = Arc::clone(&volumes) as _;
    let (swarm, requests) = listen(config, &genesis, &keypair, &metrics).await?;
    let mut announced = Announced::new(swarm.clone(), config.is_behind_nat());
    let settings = Settings {
        offer: announced.offer(config.offer(dir)?),
        sync: Some(SyncSettings { dirs, lead_blocks: config.snapshot_lead_blocks }),
        checkpoint: config.checkpoint,
        repair: RepairPace { bytes_per_second: config.repair_bytes_per_second, scrub_period: Some(SCRUB_PERIOD) },
    };
    let (workers, clock) = (Workers::pool(config.worker_threads), Clock::new(system_ms));
    let peers = Arc::new(swarm.clone());
    let parts =
        NodeParts { genesis, keypair, validator, peers, requests, columns, ledger, workers, clock, settings, metrics };
    Ok(Opened { parts, swarm, announced, volumes })
}

/// The node's network, which listens.
async fn listen(
    config: &Config,
    genesis: &Genesis,
    keypair: &Keypair,
    metrics: &NodeMetrics,
) -> anyhow::Result<(SwarmHandle, Requests)> {
    let limits = SwarmLimits { circuits: config.relayed_connections(), ..SwarmLimits::default() };
    let swarm = SwarmConfig {
        listen: config.listen.clone(),
        bootstrap: genesis.bootstrap.clone(),
        is_behind_nat: config.is_behind_nat(),
        metrics: metrics.net.clone(),
        limits,
        ..SwarmConfig::client(genesis.id(), keypair.clone())
    };
    Ok(Swarm::start_here(swarm).await?)
}

/// Opens the volumes in a thread of its own, and waits some time for it: ledger and votes do not depend on a store that
/// takes long. The thread ends with the process.
async fn open_beside(volumes: &Arc<Volumes>) -> anyhow::Result<()> {
    let (volumes, (done, opened)) = (Arc::clone(volumes), oneshot::channel());
    let open = move || {
        volumes.open_all();
        // Nobody may wait any more.
        let _ = done.send(());
    };
    thread::Builder::new().name("open volumes".to_owned()).spawn(open)?;
    if timeout(OPENING, opened).await.is_err() {
        tracing::info!("still opening the volumes; requests for columns are refused until they are open");
    }
    Ok(())
}

/// A validator's keys, and the files that record what it signs.
fn validator(dir: &Path, seed: &Seed, metrics: &OrderMetrics) -> anyhow::Result<ValidatorParts> {
    let (keys, path) = (ValidatorKeys::from_seed(seed.bytes()), dir.join(CONSENSUS_LOG_FILE));
    let wal = WalFile::open(&path).with_context(|| path.display().to_string())?;
    let (wal, signatures) = (wal.timed(metrics.log_sync.clone()), SignFile::open(&dir.join(SIGN_STATE_FILE))?);
    let signatures = signatures.timed(metrics.sign_state_sync.clone());
    let mut incarnation = Incarnation([0; 16]);
    getrandom::fill(&mut incarnation.0).context("cannot get random bytes from the system to identify this process")?;
    Ok(ValidatorParts { keys, wal: Arc::new(wal), signatures: Arc::new(signatures), incarnation })
}

/// The validator keys of a node that had none when it started, as soon as they exist.
async fn new_validator(dir: &Path, metrics: &OrderMetrics) -> ValidatorParts {
    let (path, mut ticks) = (dir.join(VALIDATOR_KEY_FILE), interval(KEY_EVERY));
    loop {
        ticks.tick().await;
        if !path.exists() {
            continue;
        }
        match key_file::read(&path).map_err(anyhow::Error::from).and_then(|seed| validator(dir, &seed, metrics)) {
            Ok(parts) => {
                let key: VoteKey = parts.keys.vote.public();
                tracing::info!(validator = %key, "found a validator key");
                return parts;
            }
            // It may be being written.
            Err(error) => tracing::warn!("cannot use the validator key; retrying: {error:#}"),
        }
    }
}

/// The time by the machine's clock, in milliseconds of Unix time.
pub(super) fn system_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What the node hears from outside, and whom it tells.
struct Outside {
    signals: Signals,
    manager: ServiceManager,
}

/// What a signal asks for.
enum Asked {
    /// To end, by the signal of this name.
    Stop(&'static str),
    /// To read the configuration again.
    Reload,
}

/// The signals that the node obeys.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        let [terminate, interrupt, hangup] = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        Ok(Self { terminate: signal(terminate)?, interrupt: signal(interrupt)?, hangup: signal(hangup)? })
    }

    /// The next one. Cancel-safe.
    async fn next(&mut self) -> Asked {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Asked::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Asked::Stop("SIGINT"),
            _ = self.hangup.recv() => Asked::Reload,
        }
    }
}

async fn until_stopped(
    dir: &Path,
    Opened { parts, swarm, mut announced, volumes }: Opened,
    outside: &mut Outside,
    live: &mut LiveConfig,
) -> anyhow::Result<()> {
    let Outside { signals, manager } = outside;
    let (maps_port, unmap) = (live.config().maps_port(), CancellationToken::new());
    let (workers, metrics) = (parts.workers.clone(), parts.metrics.clone());
    let identity = status::identity(&parts);
    let key = parts.validator.as_ref().map(|validator| validator.keys.vote.public());
    let mut node = Node::start(parts).await?;
    manager.ready();
    let network = (swarm.clone(), metrics.net.traffic.clone(), announced.mapping().subscribe());
    let reporter = Reporter::new(dir, identity, &node, network);
    key.into_iter().for_each(|key| reporter.votes_with(key));
    let (chain, own) = (node.chain().clone(), reporter.node());
    let mut journal = pin!(earnings::keep(dir, (&chain, own), &workers));
    let mut reaching = pin!(reachability::keep(&swarm, (&chain, own), reporter.reached()));
    let mut mapping = Box::pin(mapping::keep(&swarm, announced.mapping(), &unmap));
    let mut reporting = pin!(report(&reporter, &volumes, &workers, &metrics));
    let mut looking = pin!(new_validator(dir, &metrics.order));
    let mut looks = key.is_none();
    let outcome = loop {
        tokio::select! {
            biased;
            asked = signals.next() => match asked {
                Asked::Stop(name) => {
                    tracing::info!(signal = name, "stopping");
                    break Ok(());
                }
                Asked::Reload => {
                    manager.reloading();
                    live.reload().into_iter().for_each(|offer| node.offer(announced.offer(offer)));
                    manager.ready();
                }
            },
            offer = announced.moved() => node.offer(offer),
            error = node.failed() => break Err(error),
            parts = &mut looking, if looks => {
                looks = false;
                reporter.votes_with(parts.keys.vote.public());
                node.vote(parts);
            }
            () = &mut reporting => break Ok(()),
            () = &mut journal => break Ok(()),
            () = &mut reaching => break Ok(()),
            () = &mut mapping, if maps_port => break Ok(()),
        }
    };
    if !matches!(outcome, Err(NodeError::Sync(SyncError::Restored))) {
        manager.stopping();
    }
    node.shutdown().await;
    swarm.shutdown().await;
    unmap.cancel();
    if maps_port {
        mapping.await;
    }
    tracing::info!("stopped");
    Ok(outcome?)
}

/// Writes the status file every [`REPORT_EVERY`], sets the gauges, and reports when less is taken than is offered.
/// Never returns.
async fn report(reporter: &Reporter, volumes: &Arc<Volumes>, workers: &Workers, metrics: &NodeMetrics) {
    let (mut ticks, mut told) = (interval(REPORT_EVERY), None);
    loop {
        ticks.tick().await;
        reporter.count(&metrics.ledger);
        let (status, volumes, path) = (reporter.status(system_ms()), Arc::clone(volumes), reporter.path());
        let (store, recorded) = (metrics.store.clone(), reporter.recorded());
        let write = move || {
            let (usage, (offer, member)) = (volumes.usage(), recorded());
            store.set_usage(&usage);
            // What is free is not known before.
            let offer = offer.filter(|_| !volumes.is_opening());
            let shortfall = offer.and_then(|offer| offer.shortfall(&usage));
            let status = status.with_usage(usage, offer, member).with_volumes(volumes.status());
            (status::write(&path, status), shortfall)
        };
        let (written, shortfall) = workers.run(write).await;
        written.unwrap_or_else(|error| tracing::warn!(%error, "cannot write the status file"));
        let kind = shortfall.as_ref().map(discriminant);
        if let Some(shortfall) = shortfall.filter(|_| kind != told) {
            tracing::warn!("{shortfall}");
        }
        told = kind;
    }
}
