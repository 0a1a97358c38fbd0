//! The addresses at which other nodes observe this one over QUIC: those to which both sides of a relayed connection
//! send, to open a direct one through their NATs.
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

use super::circuit::{is_quic, is_relayed};

/// A node is not asked again before this has passed.
const PAUSE: Duration = Duration::from_secs(10);

/// What other nodes observe.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// Connections over QUIC that this node opened, by whether the other side has told what it observes.
    open: BTreeMap<ConnectionId, (PeerId, bool)>,
    asked: BTreeMap<PeerId, Asked>,
    events: VecDeque<ToSwarm<Infallible, Infallible>>,
}

/// A node that was asked.
#[derive(Debug)]
struct Asked {
    at: Instant,
    /// The connection that was opened for it.
    connection: ConnectionId,
    has_failed: bool,
}

impl Observed {
    /// Whether the node has told what it observes.
    pub(super) fn has(&self, peer: PeerId) -> bool {
        self.open.values().any(|(other, has_told)| *other == peer && *has_told)
    }

    /// Connects with a node over QUIC, also where there is another connection: identify asks what it observes. False
    /// when it was asked within the last seconds.
    pub(super) fn ask(&mut self, peer: PeerId, address: Multiaddr, now: Instant) -> bool {
        self.asked.retain(|_, asked| now.duration_since(asked.at) < PAUSE);
        if self.asked.contains_key(&peer) {
            return false;
        }
        // From the socket that this node listens on, which is the one that is observed.
        let opts = DialOpts::peer_id(peer).addresses(vec![address]).condition(PeerCondition::Always).build();
        self.asked.insert(peer, Asked { at: now, connection: opts.connection_id(), has_failed: false });
        self.events.push_back(ToSwarm::Dial { opts });
        true
    }

    /// Whether the node was asked within the last seconds, and no connection could be opened with it.
    pub(super) fn has_failed(&self, peer: PeerId, now: Instant) -> bool {
        self.asked.get(&peer).is_some_and(|asked| asked.has_failed && now.duration_since(asked.at) < PAUSE)
    }

    /// What the other end of a connection observes; true when it counts.
    pub(super) fn told(&mut self, connection: ConnectionId, address: &Multiaddr) -> bool {
        let Some((_, has_told)) = self.open.get_mut(&connection).filter(|_| is_quic(address)) else { return false };
        if std::mem::replace(has_told, true) {
            return false;
        }
        self.events.push_back(ToSwarm::NewExternalAddrCandidate(address.clone()));
        true
    }
}

impl NetworkBehaviour for Observed {
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
        if is_quic(remote) && port == PortUse::Reuse && !is_relayed(remote) {
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
                let failed = self.asked.values_mut().find(|asked| asked.connection == connection_id);
                failed.into_iter().for_each(|asked| asked.has_failed = true);
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

#[cfg(test)]
mod tests {
    use libp2p::{core::ConnectedPoint, swarm::DialError};

    use super::*;

    /// The connection that it wants opened next.
    fn dialed(observed: &mut Observed) -> ConnectionId {
        match observed.poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(ToSwarm::Dial { opts }) => opts.connection_id(),
            _ => panic!("nothing is dialed"),
        }
    }

    fn place() -> Multiaddr {
        "/ip4/192.0.2.1/udp/4001/quic-v1".parse().expect("an address")
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_could_not_be_asked_may_be_again_later() {
        let (peer, now, mut observed) = (PeerId::random(), Instant::now(), Observed::default());
        assert!(observed.ask(peer, place(), now) && !observed.ask(peer, place(), now));
        let connection_id = dialed(&mut observed);
        assert!(!observed.has_failed(peer, now));
        let (error, peer_id) = (&DialError::Aborted, Some(peer));
        observed.on_swarm_event(FromSwarm::DialFailure(DialFailure { peer_id, error, connection_id }));
        assert!(observed.has_failed(peer, now));
        assert!(!observed.ask(peer, place(), now + PAUSE / 2), "which does not prolong the pause");
        assert!(!observed.has_failed(peer, now + PAUSE) && observed.ask(peer, place(), now + PAUSE));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_answer_on_a_connection_counts_for_as_long_as_it_lasts() {
        let (peer_id, now, mut observed) = (PeerId::random(), Instant::now(), Observed::default());
        let (at, role_override, port_use) = (place(), Endpoint::Dialer, PortUse::Reuse);
        observed.ask(peer_id, at.clone(), now);
        let connection_id = dialed(&mut observed);
        let opened =
            observed.handle_established_outbound_connection(connection_id, peer_id, &at, role_override, port_use);
        assert!(opened.is_ok() && !observed.has(peer_id));
        assert!(observed.told(connection_id, &at) && observed.has(peer_id) && !observed.told(connection_id, &at));
        let endpoint = &ConnectedPoint::Dialer { address: at, role_override, port_use };
        let closed = ConnectionClosed { peer_id, connection_id, endpoint, cause: None, remaining_established: 0 };
        observed.on_swarm_event(FromSwarm::ConnectionClosed(closed));
        assert!(!observed.has(peer_id) && !observed.has_failed(peer_id, now), "what is closed has not failed");
    }
}
