//! `status`: the status of a node, from the file that the running node writes. Reading a file needs no network, and
//! works when the node hangs.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use anyhow::Context;
use ostrakon_net::{metrics::TrafficMetrics, swarm::SwarmHandle};
use ostrakon_node::{
    audit::AuditStatus,
    capacity::Offer,
    chain::{Chain, WaitingFor},
    inventory::Missing,
    metrics::LedgerMetrics,
    node::{Node, NodeParts},
    register::{ProviderOffer, Standing},
    store::{Usage, VolumeStatus},
};
use ostrakon_proto::{
    id::{AccountId, Amount, BlockId, ChainId, Epoch, Height, NodeId, VoteKey},
    json,
    ledger::state::{Audited, FaultReason, Provider, Records},
    limits,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{mapping::Mapping, reachability::Reachability, say};

/// Faults that are printed for people: the newest.
const FAULTS: usize = 5;

/// The status of a node: `status.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Status {
    /// The process that wrote it.
    pid: u32,
    /// When it was written, in milliseconds of Unix time.
    updated_ms: u64,
    #[serde(flatten)]
    identity: Identity,
    #[serde(flatten)]
    network: NetworkStatus,
    /// Its vote key, with which it votes while the ledger has it as a validator.
    #[serde(default)]
    vote_key: Option<VoteKey>,
    #[serde(flatten)]
    ledger: LedgerStatus,
    #[serde(flatten)]
    usage: Usage,
    #[serde(flatten)]
    capacity: CapacityStatus,
    #[serde(flatten)]
    member: MemberStatus,
    /// The disks with its columns.
    #[serde(default)]
    volumes: Vec<VolumeStatus>,
    /// The columns that the ledger counts on and that it does not have; nothing before it has compared them.
    #[serde(default)]
    missing: Option<Missing>,
}

/// How other nodes reach it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct NetworkStatus {
    /// The addresses it listens on.
    listening: Vec<String>,
    /// The number of nodes it is connected to.
    peers: usize,
    /// Whether other nodes, when they were asked, could connect with it at the addresses that the ledger has.
    reached: Vec<Reachability>,
    /// What the router does for it; nothing when it is not asked, or not yet.
    mapped: Option<Mapping>,
    /// The addresses through relays that serve it.
    relays: Vec<String>,
    /// Bytes of requests and answers that went directly, since the process began.
    direct_bytes: u64,
    /// Bytes that went through relays.
    relayed_bytes: u64,
}

/// Who owns the node, and what the ledger has of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct MemberStatus {
    /// The account that bonds and is paid.
    owner: Option<AccountId>,
    /// What it has, as far as this node knows the ledger.
    owner_balance_obols: Option<Amount>,
    /// Where the registration of the configured offer stands.
    registration: Option<String>,
    /// The addresses at which others look for this node as a provider.
    announced: Vec<String>,
    /// How the proof of this epoch is doing.
    audit: Option<AuditStatus>,
    /// What the ledger has against it of the last epochs, the newest first.
    faults: Vec<FaultStatus>,
    /// What it was paid, and which epochs it missed; nothing unless it is a provider.
    #[serde(flatten)]
    pay: Option<PayStatus>,
}

/// What there is against it of an epoch, by one evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FaultStatus {
    pub(super) epoch: Epoch,
    pub(super) reasons: Vec<FaultReason>,
    /// The hash of what shows it.
    #[serde(serialize_with = "json::hex", deserialize_with = "json::from_hex")]
    evidence: [u8; 32],
}

impl FaultStatus {
    #[cfg(test)]
    pub(super) fn new(epoch: Epoch, reasons: Vec<FaultReason>, evidence: [u8; 32]) -> Self {
        Self { epoch, reasons, evidence }
    }

    /// All that is recorded against a provider.
    fn all(records: &dyn Records, node: &NodeId) -> Vec<Self> {
        let epoch = records.tip().running.clock.epoch;
        let oldest = epoch.0.saturating_sub(limits::PROVEN_EPOCHS);
        let of = |epoch| {
            let fault = records.fault(epoch, node).unwrap_or_default();
            fault.by_evidence().into_iter().map(move |(evidence, reasons)| Self { epoch, reasons, evidence })
        };
        (oldest..=epoch.0).rev().map(Epoch).flat_map(of).collect()
    }

    /// Whether the epoch was not proven.
    pub(super) fn is_silence(&self) -> bool {
        self.reasons.iter().any(|reason| reason.is_missed() || *reason == FaultReason::Maintenance)
    }

    fn line(&self) -> String {
        let reasons: Vec<&str> = self.reasons.iter().map(|reason| reason.name()).collect();
        format!("fault     epoch {}: {} (evidence {})", self.epoch, reasons.join(", "), hex::encode(self.evidence))
    }
}

/// What a provider was paid.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct PayStatus {
    /// In all, after fees.
    #[serde(rename = "earned_obols")]
    pub(super) earned: Amount,
    /// For the epoch in progress, if it is not paid yet, before fees.
    #[serde(rename = "pending_obols")]
    pub(super) pending: Amount,
    /// For each epoch from now on, before fees.
    #[serde(rename = "rate_obols", default)]
    pub(super) rate: Amount,
    /// Epochs that it proved.
    proven_epochs: u64,
    /// Epochs that it missed in a row.
    missed_epochs: u32,
}

impl PayStatus {
    fn of(provider: &Provider, epoch: Epoch) -> Self {
        let Audited { missed, pay, .. } = provider.audited;
        let is_paid = pay.proofs.has(epoch) || provider.frozen_bytes(epoch) == 0;
        let pending = if is_paid { Amount::ZERO } else { pay.rate };
        let (earned, rate) = (pay.earned, pay.rate);
        Self { earned, pending, rate, proven_epochs: pay.proofs.count, missed_epochs: missed }
    }
}

/// What it offers as a provider; nothing unless it is one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct CapacityStatus {
    capacity_bytes: Option<u64>,
    committed_bytes: Option<u64>,
    /// Why it takes less than it offers.
    capacity_warning: Option<String>,
}

/// The identity of the node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Identity {
    node: NodeId,
    chain: ChainId,
}

/// The state of its ledger.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct LedgerStatus {
    height: Height,
    /// Height and block together are a checkpoint for those who trust this node.
    block: BlockId,
    epoch: Epoch,
    block_time_ms: u64,
    synced: bool,
    /// Whether it is a validator of the next block.
    validator: bool,
    /// What the next block waits for, when it takes long and this node votes on it.
    #[serde(default)]
    waiting_for: Option<WaitingFor>,
}

/// The identity of the node made of `parts`.
pub(super) fn identity(parts: &NodeParts) -> Identity {
    let node = parts.keypair.public();
    Identity { node, chain: parts.genesis.id() }
}

/// Gathers the status of a running node.
#[derive(Debug)]
pub(super) struct Reporter {
    path: PathBuf,
    identity: Identity,
    chain: Chain,
    swarm: SwarmHandle,
    traffic: TrafficMetrics,
    mapping: watch::Receiver<Option<Mapping>>,
    offers: watch::Receiver<Option<ProviderOffer>>,
    standing: watch::Receiver<Option<Standing>>,
    missing: watch::Receiver<Option<Missing>>,
    audit: watch::Receiver<Option<AuditStatus>>,
    reached: watch::Sender<Vec<Reachability>>,
    vote_key: OnceLock<VoteKey>,
}

impl Reporter {
    pub(super) fn new(
        dir: &Path,
        identity: Identity,
        node: &Node,
        (swarm, traffic, mapping): (SwarmHandle, TrafficMetrics, watch::Receiver<Option<Mapping>>),
    ) -> Self {
        let (chain, offers, standing, missing) = (node.chain().clone(), node.offers(), node.standing(), node.missing());
        let path = status_path(dir);
        let audit = node.audit();
        let (reached, vote_key) = (watch::Sender::default(), OnceLock::new());
        Self { path, identity, chain, swarm, traffic, mapping, offers, standing, missing, audit, reached, vote_key }
    }

    pub(super) fn node(&self) -> NodeId {
        self.identity.node
    }

    /// Where it is told whether others reach the node.
    pub(super) fn reached(&self) -> watch::Sender<Vec<Reachability>> {
        self.reached.clone()
    }

    /// The node votes with this key.
    pub(super) fn votes_with(&self, key: VoteKey) {
        self.vote_key.get_or_init(|| key);
    }

    pub(super) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// Sets the gauges of the ledger.
    pub(super) fn count(&self, metrics: &LedgerMetrics) {
        let head = self.chain.head();
        metrics.set(head.height, head.epoch, self.chain.is_synced(), self.swarm.connected().len());
    }

    /// Reads what the ledger has of it: what it offers as a provider, `None` when it is not one, and who owns it. The
    /// reading may block.
    pub(super) fn recorded(&self) -> impl FnOnce() -> (Option<Offer>, MemberStatus) + Send + 'static {
        let own = self.offers.borrow().as_ref().map(|offer| (offer.capacity, offer.owner.public()));
        let (chain, node) = (self.chain.clone(), self.identity.node);
        let audit = self.audit.borrow().clone();
        let registration = self.standing.borrow().map(|standing| standing.to_string());
        move || {
            // Without an offer, the node's key is its owner's.
            let owner = own.map_or_else(|| AccountId::new(*node.bytes()), |(_, owner)| owner);
            let (provider, account, faults) = chain
                .look(|records| (records.provider(&node), records.account(&owner), FaultStatus::all(records, &node)));
            let pay = provider.as_ref().map(|provider| PayStatus::of(provider, chain.head().epoch));
            let offer = provider.as_ref().map(|provider| Offer::of(provider, own.map(|(capacity, _)| capacity)));
            let announced = provider.map(|provider| provider.addresses).unwrap_or_default();
            let (owner, owner_balance_obols) = (Some(owner), Some(account.balance));
            (offer, MemberStatus { owner, owner_balance_obols, registration, announced, audit, faults, pay })
        }
    }

    pub(super) fn status(&self, updated_ms: u64) -> Status {
        let head = self.chain.head();
        let validator = self.chain.validators().contains(&self.identity.node);
        let (height, block, epoch, block_time_ms) = (head.height, head.block, head.epoch, head.time_ms);
        let [direct_bytes, relayed_bytes] = self.traffic.totals();
        let (listening, relays) = (self.swarm.listening(), self.swarm.relayed());
        let peers = self.swarm.connected().len();
        let (reached, mapped) = (self.reached.borrow().clone(), self.mapping.borrow().clone());
        let network = NetworkStatus { listening, peers, reached, mapped, relays, direct_bytes, relayed_bytes };
        let (synced, waiting_for) = (self.chain.is_synced(), self.chain.waiting_for());
        Status {
            pid: std::process::id(),
            updated_ms,
            identity: self.identity.clone(),
            network,
            vote_key: self.vote_key.get().copied(),
            ledger: LedgerStatus { height, block, epoch, block_time_ms, synced, validator, waiting_for },
            usage: Usage::default(),
            capacity: CapacityStatus::default(),
            member: MemberStatus::default(),
            volumes: Vec::new(),
            missing: *self.missing.borrow(),
        }
    }
}

impl Status {
    /// Whether it votes with this key.
    pub(super) fn votes_with(&self, key: &VoteKey) -> bool {
        self.vote_key.as_ref() == Some(key)
    }

    /// With the state of its volumes.
    pub(super) fn with_volumes(self, volumes: Vec<VolumeStatus>) -> Self {
        Self { volumes, ..self }
    }

    /// The state of its volumes.
    pub(super) fn volumes(self) -> Vec<VolumeStatus> {
        self.volumes
    }

    /// The node.
    pub(super) fn node(&self) -> NodeId {
        self.identity.node
    }

    /// What the ledger has against it of the last epochs.
    pub(super) fn faults(&self) -> &[FaultStatus] {
        &self.member.faults
    }

    /// What it was paid.
    pub(super) fn pay(&self) -> PayStatus {
        self.member.pay.unwrap_or_default()
    }

    /// The addresses of the node, for a client on this machine.
    pub(super) fn dial(&self) -> Vec<String> {
        self.network.listening.iter().map(|address| format!("{address}/p2p/{}", self.identity.node)).collect()
    }

    /// With what is free, of the disk and of what is offered, and what the ledger has of the node.
    pub(super) fn with_usage(self, usage: Usage, offer: Option<Offer>, member: MemberStatus) -> Self {
        let free_bytes = offer.map_or(usage.free_bytes, |offer| offer.left().min(usage.free_bytes));
        let capacity = CapacityStatus {
            capacity_bytes: offer.map(|offer| offer.capacity),
            committed_bytes: offer.map(|offer| offer.used),
            capacity_warning: offer.and_then(|offer| offer.shortfall(&usage)).map(|shortfall| shortfall.to_string()),
        };
        Self { usage: Usage { free_bytes, ..usage }, capacity, member, ..self }
    }
}

/// The file that a running node has locked.
pub(super) fn lock_path(dir: &Path) -> PathBuf {
    dir.join("lock")
}

fn status_path(dir: &Path) -> PathBuf {
    dir.join("status.json")
}

/// Replaces the file atomically.
pub(super) fn write(path: &Path, status: Status) -> io::Result<()> {
    let new = path.with_extension("json.new");
    fs::write(&new, serde_json::to_vec(&status)?)?;
    fs::rename(&new, path)
}

/// Prints the status of the node of `dir`.
pub(super) fn print(dir: &Path, json: bool) -> anyhow::Result<()> {
    let status = read(dir)?;
    let running = is_locked(&lock_path(dir))?;
    say(&if json { as_json(&status, running)? } else { as_lines(&status, running) })
}

/// The status of the running node of `dir`; `None` when none runs.
pub(super) fn of_running(dir: &Path) -> anyhow::Result<Option<Status>> {
    let path = lock_path(dir);
    if path.exists() && is_locked(&path)? { read(dir).map(Some) } else { Ok(None) }
}

/// The status that the node of `dir` wrote last.
pub(super) fn read(dir: &Path) -> anyhow::Result<Status> {
    let path = status_path(dir);
    let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            anyhow::anyhow!("no node has been run in {} yet: start it with `ostrakon-node run`", dir.display())
        }
        _ => anyhow::Error::from(error).context(path.display().to_string()),
    })?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

/// Whether a process has locked the file.
fn is_locked(path: &Path) -> anyhow::Result<bool> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(fs::TryLockError::WouldBlock) => Ok(true),
        Err(fs::TryLockError::Error(error)) => Err(error).with_context(|| path.display().to_string()),
    }
}

fn as_json(status: &Status, running: bool) -> anyhow::Result<String> {
    let mut value = serde_json::to_value(status)?;
    value["running"] = running.into();
    Ok(format!("{value}\n"))
}

fn as_lines(status: &Status, running: bool) -> String {
    let Status { pid, updated_ms, identity, network, ledger, usage, .. } = status;
    let NetworkStatus { listening, peers, .. } = network;
    let Status { capacity, member, volumes, missing, .. } = status;
    let state = if running { format!("running, process {pid}") } else { "stopped".to_owned() };
    let role = if ledger.validator { "validator" } else { "follower" };
    let synced = if ledger.synced { "synced" } else { "behind" };
    [
        format!("node      {} ({state})", identity.node),
        format!("chain     {} ({role}, {synced})", identity.chain),
        format!("height    {} in epoch {}", ledger.height, ledger.epoch),
        format!("block     {}:{}", ledger.height, ledger.block),
        format!("listening {}", listening.join(" ")),
        format!("peers     {peers}"),
        format!(
            "columns   {}, {} bytes; temporary and in upload {} bytes, in the trash {}",
            usage.columns, usage.used_bytes, usage.temporary_bytes, usage.trash_bytes
        ),
        format!("free      {} bytes", usage.free_bytes),
    ]
    .into_iter()
    .chain(network.lines())
    .chain(volumes.iter().map(volume_line))
    .chain(missing.filter(|missing| missing.columns > 0).map(missing_line))
    .chain(capacity.lines())
    .chain(member.lines())
    .chain(ledger.waiting_for.as_ref().map(|waiting_for| waiting_line(waiting_for, *updated_ms)))
    .map(|line| line + "\n")
    .collect()
}

impl NetworkStatus {
    /// Where it is reached, and its paths, where it has to do with relays.
    fn lines(&self) -> impl Iterator<Item = String> {
        let Self { reached, mapped, relays, direct_bytes, relayed_bytes, .. } = self;
        let reached = reached.iter().filter(|status| status.asked > 0).map(Reachability::line);
        let relays_line = (!relays.is_empty()).then(|| format!("relays    {}", relays.join(" ")));
        let paths = format!("traffic   {direct_bytes} bytes directly, {relayed_bytes} through relays");
        let mapped = mapped.iter().map(Mapping::line);
        mapped.chain(reached).chain(relays_line).chain((!relays.is_empty() || *relayed_bytes > 0).then_some(paths))
    }
}

impl CapacityStatus {
    fn lines(&self) -> impl Iterator<Item = String> {
        let offered = self.capacity_bytes.zip(self.committed_bytes);
        let offered = offered.map(|(capacity, used)| format!("capacity  {capacity} bytes, {used} committed"));
        offered.into_iter().chain(self.capacity_warning.as_ref().map(|warning| format!("warning   {warning}")))
    }
}

impl MemberStatus {
    fn lines(&self) -> impl Iterator<Item = String> {
        let Self { owner, owner_balance_obols, registration, announced, audit, faults, pay } = self;
        let pay = pay.iter().flat_map(PayStatus::lines);
        let audit = audit.iter().map(|audit| format!("proof     {audit}"));
        let owner = owner.zip(*owner_balance_obols).map(|(owner, obols)| format!("owner     {owner}, {obols} obols"));
        let announced = (!announced.is_empty()).then(|| format!("announced {}", announced.join(" ")));
        let registration = registration.as_ref().map(|words| format!("provider  {words}"));
        let faults = faults.iter().take(FAULTS).map(FaultStatus::line);
        owner.into_iter().chain(announced).chain(registration).chain(audit).chain(pay).chain(faults)
    }
}

impl PayStatus {
    fn lines(&self) -> impl Iterator<Item = String> {
        let Self { earned, proven_epochs, missed_epochs: missed, .. } = self;
        let paid = format!("earned    {earned} obols for {proven_epochs} epochs");
        let missed = (*missed > 0).then(|| {
            format!(
                "warning   {missed} epochs in a row were not proven and are not paid; a provider that misses too many \
                 is suspended and gets no new columns: check the node's log, disk and connection"
            )
        });
        std::iter::once(paid).chain(missed)
    }
}

/// A volume, with what is wrong with it.
fn volume_line(volume: &VolumeStatus) -> String {
    let VolumeStatus { id, path, state, problem, .. } = volume;
    let path = path.display();
    match problem {
        None => format!("volume    {id} at {path}"),
        Some(problem) => format!("warning   volume {id} at {path} is {state}: {problem}"),
    }
}

/// What the ledger counts on and this node cannot serve.
fn missing_line(Missing { columns, bytes }: Missing) -> String {
    format!("warning   {columns} columns of {bytes} bytes are missing that the ledger counts on: see `volume ls`")
}

/// What the next block waits for.
fn waiting_line(WaitingFor { height, since_ms, validators }: &WaitingFor, now_ms: u64) -> String {
    let seconds = now_ms.saturating_sub(*since_ms) / 1000;
    let nodes: Vec<String> = validators.iter().map(ToString::to_string).collect();
    let votes =
        if nodes.is_empty() { "all have voted".to_owned() } else { format!("missing votes of {}", nodes.join(", ")) };
    format!("waiting   {seconds} s for block {height}: {votes}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_halted_chain_names_whom_it_waits_for() {
        let node = NodeId::new([7; 32]);
        let check = |validators: Vec<NodeId>, expect: &str| {
            let waiting_for = WaitingFor { height: Height(812), since_ms: 1_000, validators };
            assert_eq!(waiting_line(&waiting_for, 38_999), format!("waiting   37 s for block 812: {expect}"));
        };
        check(vec![node, node], &format!("missing votes of {node}, {node}"));
        check(Vec::new(), "all have voted");
    }

    #[test]
    fn a_fault_says_why_and_what_shows_it() {
        let reasons = vec![FaultReason::Missed, FaultReason::WrittenOff];
        let fault = FaultStatus { epoch: Epoch(12), reasons, evidence: [0xab; 32] };
        let evidence = "ab".repeat(32);
        assert_eq!(fault.line(), format!("fault     epoch 12: missed, written-off (evidence {evidence})"));
        let written = serde_json::to_value(&fault).expect("JSON");
        let expect = serde_json::json!({ "epoch": 12, "reasons": ["missed", "written-off"], "evidence": evidence });
        assert_eq!(written, expect);
        assert_eq!(serde_json::from_value::<FaultStatus>(written).expect("the same"), fault);
    }
}
