//! The actor that owns libp2p's swarm: one loop, which dispatches and never waits for anyone.
//!
//! In come calls of this node and libp2p's events; out go calls to connected nodes. Calls come before events: local
//! work is finished before remote work is accepted. Not here: calls once they are sent, and requests of other nodes
//! ([`super::exchange`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, StreamProtocol,
    core::{Endpoint, transport::ListenerId},
    dcutr, identify, kad, ping, relay,
    swarm::{
        ConnectionId, DialError, NetworkBehaviour, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use ostrakon_proto::{limits, wire::Protocol};
use tokio::{
    sync::mpsc,
    time::{self, Instant, MissedTickBehavior},
};

use super::{
    behaviour::{Behaviour, BehaviourEvent, CONNECT_TIMEOUT, PING_TIMEOUT, SEARCH_FROM, kad_name, network_name},
    calls::{Call, Calls},
    circuit::{self, is_relayed},
    config::SwarmConfig,
    dial_back::DialBack,
    dials::{Dials, Failed, is_tcp},
    handle::{Asked, Shared},
    names::{Names, Resolved, is_named},
    recorder,
    relays::{RELAYS, Relays},
    table,
};
use crate::{AskError, Failure, admission::Prefix, awake, identity, metrics::NetMetrics};

/// How often attempts to connect are advanced, and the clock is observed.
const TICK: Duration = Duration::from_millis(250);
/// How long relays that are connected may take to tell what they observe, before they are asked to relay.
const OBSERVATION: Duration = Duration::from_secs(1);
/// How long connections may take to close at the end.
const GOODBYE: Duration = Duration::from_millis(500);

/// The swarm, and its calls and connections in progress.
pub(super) struct Actor {
    swarm: libp2p::Swarm<Behaviour>,
    shared: Arc<Shared>,
    kad_name: StreamProtocol,
    /// What identify calls this network.
    network: String,
    is_client: bool,
    commands: mpsc::Receiver<Call>,
    calls: Calls,
    dials: Dials,
    names: Names,
    /// The other end of each connection.
    remotes: BTreeMap<ConnectionId, (PeerId, Multiaddr)>,
    /// Through which a node behind NAT listens; nothing for another.
    relays: Option<Relays>,
    metrics: NetMetrics,
}

impl Actor {
    pub(super) fn new(
        swarm: libp2p::Swarm<Behaviour>,
        config: &SwarmConfig,
        shared: Arc<Shared>,
        commands: mpsc::Receiver<Call>,
    ) -> Self {
        let local = *swarm.local_peer_id();
        Self {
            swarm,
            shared,
            kad_name: kad_name(&config.chain),
            network: network_name(&config.chain),
            is_client: config.listen.is_empty(),
            commands,
            calls: Calls::default(),
            dials: Dials::default(),
            names: Names::default(),
            remotes: BTreeMap::new(),
            relays: config.is_behind_nat.then(|| Relays::new(local)),
            metrics: config.metrics.clone(),
        }
    }

    /// Runs until it is told to stop, or every handle is gone.
    pub(super) async fn run(mut self, bootstrap: Vec<PeerId>) {
        self.join(&bootstrap);
        let stop = self.shared.stop.clone();
        let (mut tick, _observer) = (time::interval(TICK), awake::Observer::new());
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                call = self.commands.recv() => match call {
                    Some(call) => self.on_call(call),
                    None => break,
                },
                _ = tick.tick() => self.on_tick(),
                (peer, resolved) = self.names.next() => self.on_resolved(peer, resolved),
                event = self.swarm.select_next_some() => self.on_event(event),
            }
        }
        self.leave().await;
    }

    /// Joins the network through its bootstrap nodes. A client waits until it has something to ask.
    fn join(&mut self, bootstrap: &[PeerId]) {
        if self.is_client || bootstrap.is_empty() {
            return;
        }
        for peer in bootstrap {
            let (named, plain): (Vec<_>, Vec<_>) = self.shared.addresses(*peer).into_iter().partition(is_named);
            for address in plain {
                self.swarm.behaviour_mut().kad.add_address(peer, address);
            }
            // Kademlia takes it when it is connected.
            if !named.is_empty() {
                self.dial(*peer);
            }
        }
        if self.swarm.behaviour_mut().kad.bootstrap().is_err() {
            tracing::debug!("no address of a bootstrap node is known: waiting for other nodes to connect");
        }
    }

    /// Closes all connections, so that other nodes need not wait for a timeout.
    async fn leave(&mut self) {
        self.commands.close();
        let connected: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in connected {
            // Only fails when the connection is gone already.
            let _gone = self.swarm.disconnect_peer_id(peer);
        }
        let all_closed = async {
            while self.swarm.connected_peers().next().is_some() {
                self.swarm.select_next_some().await;
            }
        };
        let _late = time::timeout(GOODBYE, all_closed).await;
    }

    fn on_call(&mut self, call: Call) {
        let peer = identity::peer_id(&call.to);
        let is_bulk = matches!(call.protocol, Protocol::Get | Protocol::Put);
        let is_connected = self.swarm.is_connected(&peer);
        if is_connected && !(is_bulk && self.dials.is_punching(peer)) {
            return self.swarm.behaviour_mut().exchange.send(peer, call);
        }
        self.calls.push(peer, call);
        if !is_connected && !self.dials.has(peer) {
            self.dial(peer);
        }
    }

    fn on_tick(&mut self) {
        awake::asleep();
        self.calls.forget_abandoned();
        let Asked { stale, dials_back } = self.shared.take_asked();
        for peer in stale {
            tracing::debug!(node = identity::node_id(&peer).map(tracing::field::display), "closing stale connections");
            // Only fails when there is none.
            let _gone = self.swarm.disconnect_peer_id(peer);
        }
        dials_back.into_iter().for_each(|asked| self.dial_back(asked));
        for peer in self.dials.peers() {
            if self.dials.is_late(peer, Instant::now()) && (self.search(peer) || self.dials.is_searched(peer)) {
                self.dials.await_search(peer);
            }
            self.look_where_found(peer);
            self.advance(peer);
        }
        self.dials.late_to_punch(Instant::now()).into_iter().for_each(|peer| self.on_connected(peer));
        if let Some(addresses) = self.shared.take_announced() {
            self.announce(addresses);
        }
        self.listen_through_relays();
    }

    /// These are the public addresses of this node.
    fn announce(&mut self, addresses: Vec<Multiaddr>) {
        let before: Vec<Multiaddr> = self.swarm.external_addresses().cloned().collect();
        for address in before.iter().filter(|address| !is_relayed(address)) {
            self.swarm.remove_external_address(address);
        }
        addresses.into_iter().for_each(|address| self.swarm.add_external_address(address));
    }

    /// Listens through as many relays as a node behind NAT needs, and stays connected with them over QUIC, so that its
    /// NAT lets others in who are told the port that they observe.
    fn listen_through_relays(&mut self) {
        let (Some(relays), now) = (&mut self.relays, Instant::now()) else { return };
        while let Some((peer, address)) = relays.next(|peer| is_member(&self.shared, peer), now) {
            let listening = self.swarm.listen_on(address.clone());
            tracing::debug!(%address, error = listening.as_ref().err().map(tracing::field::display), "asking a relay");
            relays.listens(peer, listening.ok(), now);
        }
        let observed = &mut self.swarm.behaviour_mut().observed;
        for (peer, address) in relays.over_quic() {
            if !observed.has(peer) {
                observed.ask(peer, address, now);
            }
        }
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        recorder::record(&self.metrics, &event);
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, num_established, .. } => {
                let remote = endpoint.get_remote_address();
                // A handshake of ours proves the network; over QUIC the node must say it first.
                if is_tcp(remote) || endpoint.is_relayed() {
                    self.shared.set_connected(peer_id, true);
                }
                self.remotes.insert(connection_id, (peer_id, remote.clone()));
                self.dials.back.opened(connection_id);
                if endpoint.is_relayed() && num_established.get() == 1 {
                    self.on_relayed(peer_id);
                } else {
                    self.on_connected(peer_id);
                }
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, num_established, .. } => {
                self.remotes.remove(&connection_id);
                if num_established == 0 {
                    if self.dials.stop_punching(peer_id) && self.calls.has(peer_id) && !self.dials.has(peer_id) {
                        self.dial(peer_id);
                    }
                    self.shared.set_connected(peer_id, false);
                }
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), connection_id, error } => {
                self.on_dial_failed(peer, connection_id, &error);
            }
            SwarmEvent::NewListenAddr { listener_id, address } if is_relayed(&address) => {
                self.on_relaying(listener_id);
            }
            SwarmEvent::NewListenAddr { address, .. } => self.shared.set_listening(address, true),
            SwarmEvent::ExpiredListenAddr { address, .. } => self.shared.set_listening(address, false),
            SwarmEvent::ListenerClosed { listener_id, addresses, reason } => {
                let now = Instant::now();
                if let Some(relays) = &mut self.relays
                    && relays.ended(listener_id, now)
                {
                    tracing::info!(?reason, "a relay serves this node no longer: looking for another");
                    return self.shared.set_relayed(relays.addresses());
                }
                tracing::error!(
                    ?addresses,
                    ?reason,
                    "no longer listening on these addresses: other nodes cannot connect to them"
                );
                addresses.into_iter().for_each(|address| self.shared.set_listening(address, false));
            }
            other => tracing::trace!(event = ?other, "swarm"),
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Identify(identify::Event::Received { peer_id, connection_id, info }) => {
                self.on_identified(peer_id, connection_id, &info)
            }
            BehaviourEvent::Ping(ping::Event { peer, connection, result: Err(failure) })
                // While this process was stopped, no node failed to answer.
                if !matches!(failure, ping::Failure::Unsupported) && !awake::slept_within(PING_TIMEOUT) =>
            {
                let node = identity::node_id(&peer).map(tracing::field::display);
                tracing::debug!(node, %failure, "ping timed out: closing the connection");
                self.swarm.close_connection(connection);
            }
            BehaviourEvent::Punching(dcutr::Event { remote_peer_id, result: Err(error) }) => {
                tracing::debug!(peer = %remote_peer_id, %error, "no direct connection: using the relay");
                self.on_connected(remote_peer_id);
            }
            BehaviourEvent::Kad(kad::Event::OutboundQueryProgressed { id, step, .. }) if step.last => {
                if let Some(peer) = self.dials.search_ended(id) {
                    self.conclude(peer);
                }
            }
            _ => {}
        }
    }

    /// A relay says that it relays for this node.
    fn on_relaying(&mut self, listener: ListenerId) {
        let Some(relays) = &mut self.relays else { return };
        if !relays.confirmed(listener) {
            tracing::debug!("a relay announces new addresses all the time: leaving it");
            self.swarm.remove_listener(listener);
        }
        self.shared.set_relayed(relays.addresses());
    }

    /// A node says of which network it is, and where it listens: others of the same may ask for it.
    fn on_identified(&mut self, peer: PeerId, connection: ConnectionId, info: &identify::Info) {
        if info.protocol_version != self.network {
            self.shared.foreign.met(identity::node_id(&peer), &info.protocol_version);
            // Only fails when the connection is gone already.
            let _gone = self.swarm.disconnect_peer_id(peer);
            return;
        }
        self.shared.set_connected(peer, self.swarm.is_connected(&peer));
        if self.swarm.behaviour_mut().observed.told(connection, &info.observed_addr) {
            self.dials.observed_by(peer, Instant::now()).into_iter().for_each(|waiting| self.advance(waiting));
        }
        if let Some((relays, (_, remote))) = self.relays.as_mut().zip(self.remotes.get(&connection))
            && info.protocols.contains(&relay::HOP_PROTOCOL_NAME)
        {
            let there = table::there(announced(info), remote);
            relays.met(peer, there, |peer| is_member(&self.shared, peer), Instant::now());
            self.shared.set_relayed(relays.addresses());
        }
        // A client answers no queries, and searches too seldom to maintain a table.
        if self.is_client || !info.protocols.contains(&self.kad_name) {
            return;
        }
        let Some((_, remote)) = self.remotes.get(&connection).cloned() else { return };
        let confirmed = table::confirmed(announced(info), &remote);
        let known = self.table_addresses(peer);
        if confirmed.is_empty() || known.iter().cloned().collect::<BTreeSet<_>>() == confirmed {
            return;
        }
        if known.is_empty() && !self.has_place(peer, &remote) {
            tracing::debug!(%peer, %remote, "not entered into the table: it has enough nodes of this network");
            return;
        }
        let kad = &mut self.swarm.behaviour_mut().kad;
        // Its new addresses replace the old ones, so that no node makes the table grow.
        kad.remove_peer(&peer);
        for address in confirmed {
            kad.add_address(&peer, address);
        }
    }

    /// Whether the node may join its bucket of Kademlia's table.
    fn has_place(&mut self, peer: PeerId, remote: &Multiaddr) -> bool {
        let (Some(node), Some(network)) = (identity::node_id(&peer), Prefix::of_address(remote)) else { return false };
        if self.shared.members.source(node, network).is_member() {
            return true;
        }
        let members = self.shared.members.clone();
        let Some(bucket) = self.swarm.behaviour_mut().kad.kbucket(peer) else { return false };
        let networks = bucket.iter().filter_map(|entry| {
            let network = Prefix::of_address(entry.node.value.first())?;
            let source = members.source(identity::node_id(entry.node.key.preimage())?, network);
            (!source.is_member()).then_some(network)
        });
        table::has_place(network, networks.collect::<Vec<_>>())
    }

    // Connections.

    /// All calls of the node may go.
    fn on_connected(&mut self, peer: PeerId) {
        self.dials.connected(peer);
        for call in self.calls.take(peer) {
            self.swarm.behaviour_mut().exchange.send(peer, call);
        }
    }

    /// The node is reached through a relay: bulk waits for a direct connection, as long as one is being opened.
    fn on_relayed(&mut self, peer: PeerId) {
        self.dials.punch(peer, Instant::now());
        self.calls.take(peer).into_iter().for_each(|call| self.on_call(call));
    }

    fn dial(&mut self, peer: PeerId) {
        let now = Instant::now();
        let (named, plain): (Vec<_>, Vec<_>) = self.addresses(peer).into_iter().partition(is_named);
        if named.is_empty() && plain.is_empty() && (self.search(peer) || self.dials.is_searched(peer)) {
            self.dials.begin_search(peer, now);
        } else {
            self.dials.begin(peer, plain, now);
            // Where it was, it has just not been found.
            if self.dials.is_searched(peer) {
                self.dials.await_search(peer);
            }
        }
        if !named.is_empty() {
            self.dials.resolving(peer);
            self.names.resolve(peer, named);
        }
        self.advance(peer);
    }

    /// The node's names are resolved, for the attempt that waits for them and for searches that start with this node.
    fn on_resolved(&mut self, peer: PeerId, resolved: Resolved) {
        self.shared.set_resolved(peer, resolved.addresses.first());
        self.dials.resolved(peer, resolved);
        self.advance(peer);
    }

    /// The node's addresses in our book, then those in Kademlia's table.
    fn addresses(&mut self, peer: PeerId) -> Vec<Multiaddr> {
        let mut addresses = self.shared.addresses(peer);
        addresses.extend(self.table_addresses(peer));
        addresses
    }

    /// The node's addresses in Kademlia's table.
    fn table_addresses(&mut self, peer: PeerId) -> Vec<Multiaddr> {
        let Some(bucket) = self.swarm.behaviour_mut().kad.kbucket(peer) else { return Vec::new() };
        let entry = bucket.iter().find(|entry| *entry.node.key.preimage() == peer);
        entry.iter().flat_map(|entry| entry.node.value.iter().cloned()).collect()
    }

    /// Dials the addresses that are due, and concludes when none are left.
    fn advance(&mut self, peer: PeerId) {
        if self.dials.has(peer) {
            // The attempt may have begun before the node's new addresses were known.
            let plain = self.addresses(peer).into_iter().filter(|address| !is_named(address)).collect();
            self.dials.learned(peer, plain, Instant::now());
        }
        while let Some(addresses) = self.dials.next_batch(peer, Instant::now()) {
            let addresses = self.without_failed_relays(addresses);
            if let Some(until) = self.asks_relays(peer, &addresses) {
                self.dials.await_observation(peer, addresses, until);
                break;
            }
            if addresses.is_empty() {
                continue;
            }
            // A port of its own: reusing the listening one fails when a connection to the same place has just closed.
            let options = DialOpts::peer_id(peer).addresses(addresses).condition(PeerCondition::Disconnected);
            let options = options.allocate_new_port().build();
            let connection = options.connection_id();
            match self.swarm.dial(options) {
                Ok(()) => self.dials.dialing(peer, connection),
                Err(error) => self.dials.refused(peer, &error),
            }
        }
        self.conclude(peer);
    }

    /// Asks the relays of these addresses, once in an attempt, at which address they observe this node, which a direct
    /// connection will need: until when that is waited for. Nothing when one has told it, or none can be asked.
    fn asks_relays(&mut self, peer: PeerId, addresses: &[Multiaddr]) -> Option<Instant> {
        let relays: Vec<_> = addresses.iter().filter_map(circuit::relay).take(RELAYS).collect();
        let is_connected = relays.iter().any(|(relay, _)| self.swarm.is_connected(relay));
        let (observed, now) = (&mut self.swarm.behaviour_mut().observed, Instant::now());
        if !self.dials.may_ask_relays(peer) || relays.iter().any(|(relay, _)| observed.has(*relay)) {
            return None;
        }
        let over_quic = relays.into_iter().filter(|(_, place)| circuit::is_quic(place));
        let asked = over_quic.filter(|(relay, place)| observed.ask(*relay, place.clone(), now)).count();
        // One that is connected may relay without; to another, one connection is made at a time.
        (asked > 0).then(|| now + if is_connected { OBSERVATION } else { CONNECT_TIMEOUT })
    }

    /// The addresses without those through relays that cannot be connected with over QUIC: TCP is left to try.
    fn without_failed_relays(&self, mut addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
        let (observed, now) = (&self.swarm.behaviour().observed, Instant::now());
        let has_failed = |(relay, at): (PeerId, Multiaddr)| circuit::is_quic(&at) && observed.has_failed(relay, now);
        addresses.retain(|address| !circuit::relay(address).is_some_and(has_failed));
        addresses
    }

    /// Dials a node that asks for it where it says that it is.
    fn dial_back(&mut self, asked: DialBack) {
        let peer = asked.peer;
        let origins = self.remotes.values().filter(|(other, _)| *other == peer).map(|(_, remote)| remote);
        let Some(options) = self.dials.back.begin(asked, origins) else { return };
        let connection = options.connection_id();
        if let Err(error) = self.swarm.dial(options) {
            self.dials.back.failed(connection, &error);
        }
    }

    fn on_dial_failed(&mut self, peer: PeerId, connection: ConnectionId, error: &DialError) {
        self.dials.back.failed(connection, error);
        let now = Instant::now();
        if self.swarm.behaviour().observed.has_failed(peer, now) {
            self.dials.observed_by(peer, now).into_iter().for_each(|waiting| self.advance(waiting));
        }
        if self.dials.failed(peer, connection, error, now) {
            self.advance(peer);
        }
    }

    /// When the attempt has failed: tells the callers, and searches for the node, for those who call later.
    fn conclude(&mut self, peer: PeerId) {
        let Some(Failed { reason, after }) = self.dials.end_if_failed(peer, Instant::now()) else { return };
        if awake::slept_within(after) {
            // It may have failed because this process was stopped.
            return self.dial(peer);
        }
        let node = identity::node_id(&peer).map(tracing::field::display);
        tracing::debug!(node, reason, "node unreachable");
        for Call { to: node, caller, .. } in self.calls.take(peer) {
            caller.tell(Err(AskError::new(node, Failure::Unreachable(reason.clone()))));
        }
        self.search(peer);
    }

    /// Dials the node also where a search that is in progress has come upon it: Kademlia itself does not, as long as an
    /// attempt is in progress.
    fn look_where_found(&mut self, peer: PeerId) {
        if !self.dials.is_searched(peer) {
            return;
        }
        let (none, dialer) = (ConnectionId::new_unchecked(usize::MAX), Endpoint::Dialer);
        let kad = &mut self.swarm.behaviour_mut().kad;
        let found = kad.handle_pending_outbound_connection(none, Some(peer), &[], dialer);
        self.dials.found(peer, found.unwrap_or_default(), Instant::now());
    }

    /// Asks Kademlia for the node, which dials it when it is found. False when it was asked within the last seconds.
    fn search(&mut self, peer: PeerId) -> bool {
        let now = Instant::now();
        if !self.dials.may_search(peer, now) {
            return false;
        }
        let from = if self.is_client { self.shared.some_addresses(SEARCH_FROM.get()) } else { Vec::new() };
        let kad = &mut self.swarm.behaviour_mut().kad;
        for (known, address) in from {
            kad.add_address(&known, address);
        }
        let query = kad.get_closest_peers(peer);
        self.dials.searching(peer, query, now);
        true
    }
}

/// The addresses that a node announces, as many as count.
fn announced(info: &identify::Info) -> &[Multiaddr] {
    &info.listen_addrs[..info.listen_addrs.len().min(limits::ADDRESSES)]
}

/// Whether the node is registered on the ledger.
fn is_member(shared: &Shared, peer: PeerId) -> bool {
    let node = identity::node_id(&peer);
    node.is_some_and(|node| shared.members.source(node, Prefix::of_node(&node)).is_member())
}
