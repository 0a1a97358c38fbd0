//! How other nodes see this one over QUIC: the outer address to which both sides of a relayed connection send, to open
//! a direct one through their NATs.
//!
//! A libp2p behaviour that passes on what identify was told: identify itself replaces a port that a NAT gave by the one
//! that this node listens on. The first that is told on each connection that this node opened counts. Not here: the
//! attempt, which is libp2p's (dcutr).

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    task::{Context, Poll},
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionClosed, ConnectionDenied, ConnectionId, DialFailure, FromSwarm, NetworkBehaviour, ToSwarm,
        dial_opts::{DialOpts, PeerCondition},
        dummy,
    },
};
use tokio::time::Instant;

use super::circuit::{Path, is_quic};

/// A node is not asked again before this has passed.
const PAUSE: Duration = Duration::from_secs(10);

/// What other nodes see.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    /// Connections over QUIC that this node opened, by whether the other side has said what it sees.
    open: BTreeMap<ConnectionId, (PeerId, bool)>,
    asked: BTreeMap<PeerId, Instant>,
    /// Connections that are being opened to ask.
    asking: BTreeMap<ConnectionId, PeerId>,
    events: VecDeque<ToSwarm<Infallible, Infallible>>,
}

impl Sightings {
    /// Whether the node has said what it sees.
    pub(super) fn has(&self, peer: PeerId) -> bool {
        self.open.values().any(|(other, has_said)| *other == peer && *has_said)
    }

    /// Connects with a node over QUIC, also where there is another connection: identify asks what it sees. False when
    /// it was asked within the last seconds.
    pub(super) fn ask(&mut self, peer: PeerId, address: Multiaddr, now: Instant) -> bool {
        self.asked.retain(|_, at| now.duration_since(*at) < PAUSE);
        if self.asked.contains_key(&peer) {
            return false;
        }
        self.asked.insert(peer, now);
        // From the socket that this node listens on, which is the one that is seen.
        let opts = DialOpts::peer_id(peer).addresses(vec![address]).condition(PeerCondition::Always).build();
        self.asking.insert(opts.connection_id(), peer);
        self.events.push_back(ToSwarm::Dial { opts });
        true
    }

    /// Whether a node was asked, and could not be connected with over QUIC.
    pub(super) fn failed(&self, peer: PeerId) -> bool {
        self.asked.contains_key(&peer)
            && !self.asking.values().any(|asked| *asked == peer)
            && !self.open.values().any(|(other, _)| *other == peer)
    }

    /// What the other end of a connection sees; true when it counts.
    pub(super) fn said(&mut self, connection: ConnectionId, seen: &Multiaddr) -> bool {
        let Some((_, has_said)) = self.open.get_mut(&connection).filter(|_| is_quic(seen)) else { return false };
        if std::mem::replace(has_said, true) {
            return false;
        }
        self.events.push_back(ToSwarm::NewExternalAddrCandidate(seen.clone()));
        true
    }
}

impl NetworkBehaviour for Sightings {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        _: Endpoint,
        port: PortUse,
    ) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
        self.asking.remove(&id);
        if is_quic(remote) && port == PortUse::Reuse && Path::of(remote) == Path::Direct {
            self.open.insert(id, (peer, false));
        }
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. }) => {
                self.open.remove(&connection_id);
            }
            FromSwarm::DialFailure(DialFailure { connection_id, .. }) => {
                self.asking.remove(&connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: Infallible) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, Infallible>> {
        // Filled by the actor, which polls the swarm next.
        self.events.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}
