//! Peers in memory: a seeded network on virtual time, with faults. The same seed and the same calls give the same
//! deliveries, at the same virtual instants, in the same order; [`SimNetwork::trace_hash`] shows it.
//!
//! In go a seed, and faults during the test; out come one [`Peers`] and one receiver per node. `faults` is the
//! network's state and randomness, `trace` its record, `call` one call. Run it on a `current_thread` runtime with
//! paused time. Not modelled: bandwidth, and connections (each call stands alone).

mod call;
mod faults;
mod trace;

use std::{
    collections::BTreeSet,
    fmt,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures::future::BoxFuture;
use ostrakon_proto::{
    id::NodeId,
    wire::{Frame, Protocol},
};

use self::faults::State;
use crate::{AskError, Peers, Requests, lock};

pub use self::faults::LinkConditions;

/// What a simulated network is like.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// One-way delays are drawn from here, except on links that have their own.
    pub latency: RangeInclusive<Duration>,
    /// Of a thousand messages, how many are lost.
    pub loss_per_mille: u16,
    /// A caller is told after this that a message was lost, or that a dial failed.
    pub give_up: Duration,
}

impl Default for SimConfig {
    /// A good network: 1 to 20 ms, nothing lost.
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(1)..=Duration::from_millis(20),
            loss_per_mille: 0,
            give_up: Duration::from_secs(5),
        }
    }
}

/// A network in memory. Clones are the same network.
#[derive(Clone)]
pub struct SimNetwork {
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for SimNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimNetwork").finish_non_exhaustive()
    }
}

impl SimNetwork {
    /// An empty network. Its clock begins now, so this is called on the runtime whose time is paused.
    pub fn new(seed: u64, config: SimConfig) -> Self {
        Self { state: Arc::new(Mutex::new(State::new(seed, config))) }
    }

    /// Adds a node, or brings one back after [`SimNetwork::crash`]; a node that joins again is a new incarnation, and
    /// the receiver of the one before ends.
    pub fn join(&self, node: NodeId) -> (Arc<dyn Peers>, Requests) {
        let (incarnation, requests) = self.lock().join(node);
        (Arc::new(SimPeers { local: node, incarnation, state: self.state.clone() }), requests)
    }

    /// The node is gone immediately: calls to it, and its own, end; new ones to it are refused. [`SimNetwork::join`]
    /// brings it back.
    pub fn crash(&self, node: NodeId) {
        self.lock().crash(node);
    }

    /// Cuts the network: messages pass only between nodes of the same group. Nodes in no group form one more.
    pub fn partition(&self, groups: &[Vec<NodeId>]) {
        self.lock().partition(groups);
    }

    /// Loses every message from `from` to `to`, but none the other way.
    pub fn block(&self, from: NodeId, to: NodeId) {
        self.lock().block(from, to);
    }

    /// Ends every partition and block.
    pub fn heal(&self) {
        self.lock().heal();
    }

    /// Gives the link from `from` to `to` its own delays and losses; `None` makes it like the others again.
    pub fn set_link(&self, from: NodeId, to: NodeId, link: Option<LinkConditions>) {
        self.lock().set_link(from, to, link);
    }

    /// The hash of all that has happened: equal for equal runs.
    pub fn trace_hash(&self) -> [u8; 32] {
        self.lock().trace.hash()
    }

    /// How many calls have ended so far, in whatever way.
    pub fn calls_ended(&self) -> u64 {
        self.lock().trace.calls_ended()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// One node's view of the network.
struct SimPeers {
    local: NodeId,
    incarnation: u64,
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for SimPeers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimPeers").field("local", &self.local).finish_non_exhaustive()
    }
}

impl Peers for SimPeers {
    fn local(&self) -> NodeId {
        self.local
    }

    /// Every node of a simulated network can be found.
    fn learn(&self, _: NodeId, _: &[String]) {}

    fn recognise(&self, members: BTreeSet<NodeId>) {
        let state = lock(&self.state);
        let process = state.process(self.local).filter(|process| process.incarnation == self.incarnation);
        if let Some(process) = process {
            process.members.set(members);
        }
    }

    fn call(&self, to: NodeId, protocol: Protocol, request: Frame) -> BoxFuture<'static, Result<Frame, AskError>> {
        let route = call::Route { from: self.local, incarnation: self.incarnation, to, protocol };
        Box::pin(call::call(self.state.clone(), route, request))
    }
}
