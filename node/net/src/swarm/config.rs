//! What a swarm is started with, and why it may not start.

use std::io;

use ostrakon_proto::{id::ChainId, sign::Keypair};

use crate::{identity::InvalidAddress, metrics::NetMetrics};

/// What a swarm is started with.
#[derive(Clone, Debug)]
pub struct SwarmConfig {
    /// The network: its id is in every handshake and protocol name, so that networks never mix.
    pub chain: ChainId,
    /// The node's key; its public half is the node's id.
    pub keypair: Keypair,
    /// Multiaddresses to listen on, such as `/ip4/0.0.0.0/tcp/4001`; port 0 takes a free one. Empty: a client, which
    /// asks and is not asked.
    pub listen: Vec<String>,
    /// First nodes: addresses that end with `/p2p/` and the node's id, as a genesis lists them.
    pub bootstrap: Vec<String>,
    /// Whether others cannot open connections to this node: then it listens through relays as well, and relays for
    /// nobody.
    pub is_behind_nat: bool,
    /// Bounds on what others can use up.
    pub limits: SwarmLimits,
    /// What the network counts. It counts also when nobody reads it.
    pub metrics: NetMetrics,
}

impl SwarmConfig {
    /// A client of the network: it listens nowhere and knows no other node yet.
    pub fn client(chain: ChainId, keypair: Keypair) -> Self {
        Self {
            chain,
            keypair,
            listen: Vec::new(),
            bootstrap: Vec::new(),
            is_behind_nat: false,
            limits: SwarmLimits::default(),
            metrics: NetMetrics::default(),
        }
    }
}

/// Bounds on what others can use up.
#[derive(Clone, Debug)]
pub struct SwarmLimits {
    /// Connections that others opened: a quarter of them for members of the network, an eighth at most from one network
    /// of addresses.
    pub connections_in: usize,
    /// Connections that this node opened.
    pub connections_out: u32,
    /// Connections that one node opened: dead ones take a while to be noticed, and its oldest yields to one more.
    pub connections_per_node: usize,
    /// Share of the machine's memory, in percent, above which the process takes no more connections.
    pub memory_percent: u8,
    /// Bytes of requests that are not answered yet; more are refused as busy.
    pub inbound_bytes: usize,
    /// Bytes of memory that all connections may buffer: half of them for members, half for strangers. At most one
    /// connection for each 64 KiB of a half is made.
    pub buffer_bytes: usize,
    /// Connections between other nodes that this node relays, once it has public addresses: see
    /// [`super::SwarmHandle::announce`].
    pub circuits: usize,
}

impl SwarmLimits {
    /// The default of [`SwarmLimits::circuits`].
    pub const CIRCUITS: usize = 64;
}

/// The default of [`SwarmLimits::buffer_bytes`].
pub(super) const BUFFER_BYTES: usize = 256 * 1024 * 1024;

impl Default for SwarmLimits {
    fn default() -> Self {
        Self {
            connections_in: 2048,
            connections_out: 512,
            connections_per_node: 4,
            memory_percent: 70,
            inbound_bytes: 64 * 1024 * 1024,
            buffer_bytes: BUFFER_BYTES,
            circuits: Self::CIRCUITS,
        }
    }
}

/// Why a swarm did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Correct the configuration.
    #[error("invalid listen address {address:?}: need a multiaddress such as /ip4/0.0.0.0/tcp/4001")]
    Address {
        /// The address.
        address: String,
    },
    /// Choose another port or address, or stop what uses it.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: String,
        /// The system's reason.
        reason: String,
    },
    /// Correct the list of first nodes.
    #[error("invalid list of bootstrap nodes: {0}")]
    Bootstrap(#[from] InvalidAddress),
    /// The system did not start a thread or runtime.
    #[error("cannot start the network thread: {0}")]
    Thread(#[from] io::Error),
    /// The cryptographic set-up failed.
    #[error("cannot set up the network transport: {0}")]
    Transport(String),
}
