//! The parts of libp2p that are used, and how each is bounded (ARCHITECTURE 6, "Everything is bounded").
//!
//! Kademlia carries addresses of nodes and nothing else: it stores no records.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use libp2p::{
    StreamProtocol, connection_limits,
    core::upgrade::Version,
    dcutr, identify, identity, kad, memory_connection_limits, ping, relay,
    swarm::{NetworkBehaviour, behaviour::toggle::Toggle},
};
use ostrakon_proto::{id::ChainId, wire::Protocol};

use super::{
    attempts::Attempts,
    calls::IN_FLIGHT,
    config::{StartError, SwarmConfig},
    exchange::{self, Service},
    handle::Shared,
    observed::Observed,
    places::Places,
    transport,
};
use crate::{Intake, Members};

/// A connection that is not established by then has failed.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An idle connection is closed after this.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// Between two pings; one that is not answered in [`PING_TIMEOUT`] closes the connection.
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// How long a ping waits, also behind bulk data.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// A search for a node's addresses is given up after this.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Nodes that a search asks concurrently, and that a client starts one with: many of them may be gone without a sign,
/// and each is waited for as long as the search.
pub(super) const SEARCH_FROM: NonZeroUsize = NonZeroUsize::new(20).expect("not zero");
/// Connections that this node is making.
const PENDING: u32 = 256;
/// Streams that the other side may have on one connection and protocol: those of an honest node, and some that it has
/// closed and that have not ended here yet.
pub(super) const STREAMS_PER_PROTOCOL: usize = 2 * IN_FLIGHT;
/// Streams of a connection: those of both sides on all protocols, and some for libp2p's own.
pub(super) const STREAMS: usize = Protocol::ALL.len() * (STREAMS_PER_PROTOCOL + IN_FLIGHT) + 64;
/// Streams whose protocol is not negotiated yet, on one connection.
const NEGOTIATING: usize = 32;
/// What a relayed connection carries at most, in each direction, and how long it lasts: both sides use the time to
/// open a direct one. Where no NAT lets them, they make another.
const CIRCUIT_BYTES: u64 = 256 * 1024 * 1024;
const CIRCUIT_DURATION: Duration = Duration::from_secs(10 * 60);
/// Relayed connections of one node.
const CIRCUITS_PER_NODE: usize = 8;
/// How many relayed connections a node, or all at one address, may open at a time, and how often one more: a script
/// with a process for each file opens many.
const CIRCUIT_BURST: NonZeroU32 = NonZeroU32::new(256).expect("not zero");
const CIRCUIT_EVERY: Duration = Duration::from_secs(1);
/// Nodes behind NAT that listen through this one.
const RESERVATIONS: usize = 1024;
/// Until a reservation ends by itself: never before its connection. The crate panics when one that is just being
/// renewed ends.
const RESERVATION: Duration = Duration::from_secs(365 * 86_400);

/// libp2p's parts. The limits come first: no other part must see a connection that they refuse.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    places: Places,
    connections: connection_limits::Behaviour,
    memory: memory_connection_limits::Behaviour,
    attempts: Attempts,
    pub(super) identify: identify::Behaviour,
    pub(super) ping: ping::Behaviour,
    pub(super) kad: kad::Behaviour<kad::store::MemoryStore>,
    pub(super) exchange: exchange::Behaviour,
    pub(super) observed: Observed,
    relay: Toggle<relay::Behaviour>,
    relayed: relay::client::Behaviour,
    punching: dcutr::Behaviour,
}

impl Behaviour {
    fn new(
        config: &SwarmConfig,
        key: &identity::Keypair,
        relayed: relay::client::Behaviour,
        (intake, members): (Intake, Members),
    ) -> Self {
        let local = key.public().to_peer_id();
        let limits = &config.limits;
        let metrics = config.metrics.clone();
        let connections = (limits.connections_in, limits.connections_per_node);
        let places = Places::new(members.clone(), connections, metrics.admission.clone());
        let service =
            (!config.listen.is_empty()).then(|| Service::new(intake, members, limits.inbound_bytes, metrics.clone()));
        Self {
            places,
            connections: connection_limits::Behaviour::new(connection_limits(config)),
            memory: memory_connection_limits::Behaviour::with_max_percentage(
                f64::from(config.limits.memory_percent.min(100)) / 100.0,
            ),
            attempts: Attempts::default(),
            identify: identify::Behaviour::new(
                // The address book is ours: identify's own cache of addresses is off.
                identify::Config::new(network_name(&config.chain), key.public())
                    .with_agent_version(concat!("ostrakon/", env!("CARGO_PKG_VERSION")).to_string())
                    .with_cache_size(0),
            ),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(PING_INTERVAL).with_timeout(PING_TIMEOUT)),
            kad: kademlia(config, key),
            exchange: exchange::Behaviour::new(&config.chain, service, metrics.traffic),
            observed: Observed::default(),
            relay: relays(config).map(|settings| relay::Behaviour::new(local, settings)).into(),
            relayed,
            punching: dcutr::Behaviour::new(local),
        }
    }
}

/// What identify calls the network.
pub(super) fn network_name(chain: &ChainId) -> String {
    format!("/ostrakon/{}/1", &chain.to_string()[..16])
}

/// Kademlia's protocol on this network.
pub(super) fn kad_name(chain: &ChainId) -> StreamProtocol {
    stream_protocol(format!("/ostrakon/{}/kad/1", &chain.to_string()[..16]))
}

fn stream_protocol(name: String) -> StreamProtocol {
    StreamProtocol::try_from_owned(name).expect("the name begins with a slash")
}

/// How this node relays; nothing for one that others cannot reach.
fn relays(config: &SwarmConfig) -> Option<relay::Config> {
    let max_circuits = config.limits.circuits;
    let settings = relay::Config {
        max_circuits,
        max_circuits_per_peer: CIRCUITS_PER_NODE,
        max_circuit_bytes: CIRCUIT_BYTES,
        max_circuit_duration: CIRCUIT_DURATION,
        max_reservations: RESERVATIONS,
        reservation_duration: RESERVATION,
        circuit_src_rate_limiters: Vec::new(),
        ..relay::Config::default()
    }
    .circuit_src_per_peer(CIRCUIT_BURST, CIRCUIT_EVERY)
    .circuit_src_per_ip(CIRCUIT_BURST, CIRCUIT_EVERY);
    (!config.listen.is_empty() && !config.is_behind_nat && max_circuits > 0).then_some(settings)
}

/// Of what this node opens; [`Places`] bounds what others do, each node's too.
fn connection_limits(config: &SwarmConfig) -> connection_limits::ConnectionLimits {
    connection_limits::ConnectionLimits::default()
        .with_max_pending_outgoing(Some(PENDING))
        .with_max_established_outgoing(Some(config.limits.connections_out))
}

fn kademlia(config: &SwarmConfig, key: &identity::Keypair) -> kad::Behaviour<kad::store::MemoryStore> {
    let local = key.public().to_peer_id();
    // Nobody is sent to a node that cannot be reached.
    let is_client = config.listen.is_empty() || config.is_behind_nat;
    let mut settings = kad::Config::new(kad_name(&config.chain));
    settings
        .set_query_timeout(LOOKUP_TIMEOUT)
        .set_substreams_timeout(LOOKUP_TIMEOUT)
        .set_parallelism(SEARCH_FROM)
        .disjoint_query_paths(true)
        // Records that others send are dropped; nodes enter the table by identify alone.
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_kbucket_inserts(kad::BucketInserts::Manual);
    if is_client {
        settings.set_periodic_bootstrap_interval(None);
    }
    let mut kad = kad::Behaviour::with_config(local, kad::store::MemoryStore::new(local), settings);
    kad.set_mode(Some(if is_client { kad::Mode::Client } else { kad::Mode::Server }));
    kad
}

/// A swarm that listens nowhere yet. Must be called on the runtime that will drive it.
pub(super) fn build(
    config: &SwarmConfig,
    shared: &Shared,
    intake: Intake,
) -> Result<libp2p::Swarm<Behaviour>, StartError> {
    let key = identity::Keypair::ed25519_from_bytes(config.keypair.seed().as_mut_slice())
        .map_err(|error| StartError::Transport(error.to_string()))?;
    let (connections, relayed) = transport::new(config, &key, &shared.budget, shared.foreign.clone())?;
    let built = libp2p::SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_other_transport(|_| connections)
        .unwrap_or_else(|never| match never {})
        .with_behaviour(|key| Behaviour::new(config, key, relayed, (intake, shared.members.clone())))
        .map_err(|error| StartError::Transport(error.to_string()))?
        .with_swarm_config(|swarm| {
            swarm
                // A stream's first request goes with the protocol's name: a small one waits for no confirmation.
                .with_substream_upgrade_protocol_override(Version::V1Lazy)
                .with_idle_connection_timeout(IDLE_TIMEOUT)
                .with_max_negotiating_inbound_streams(NEGOTIATING)
                .with_notify_handler_buffer_size(NonZeroUsize::new(64).expect("not zero"))
                .with_per_connection_event_buffer_size(64)
        })
        .with_connection_timeout(CONNECT_TIMEOUT)
        .build();
    Ok(built)
}
