//! Bounds what the other end of a relayed connection can have this node dial: to open a direct connection (dcutr) it
//! names addresses, in a message of 4 KiB, and libp2p dials all of them each time it is asked to.
//!
//! A libp2p behaviour that denies, and has no protocol of its own. Not here: the attempt, which is libp2p's.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, ToSwarm, dummy},
};

use super::circuit::is_relayed;

/// Addresses of an attempt: as many as libp2p names itself.
const ADDRESSES: usize = 20;
/// Attempts while a relayed connection lasts: libp2p makes three, and this node some of its own.
const ATTEMPTS: u32 = 12;

/// An attempt that is not made.
#[derive(Debug, thiserror::Error)]
#[error(
    "the other end of a relayed connection asks for more than {ATTEMPTS} attempts, or {ADDRESSES} addresses of one"
)]
struct TooMany;

/// The attempts to open direct connections with nodes that are reached through relays.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    relayed: BTreeMap<PeerId, Relayed>,
}

/// A node that is reached through relays.
#[derive(Debug, Default)]
struct Relayed {
    connections: BTreeSet<ConnectionId>,
    attempts: u32,
}

impl Attempts {
    fn opened(&mut self, connection: ConnectionId, peer: PeerId, address: &Multiaddr) -> dummy::ConnectionHandler {
        if is_relayed(address) {
            self.relayed.entry(peer).or_default().connections.insert(connection);
        }
        dummy::ConnectionHandler
    }
}

impl NetworkBehaviour for Attempts {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let is_direct = !addresses.is_empty() && !addresses.iter().any(is_relayed);
        if let Some(relayed) = peer.filter(|_| is_direct).and_then(|peer| self.relayed.get_mut(&peer)) {
            relayed.attempts = relayed.attempts.saturating_add(1);
            if relayed.attempts > ATTEMPTS || addresses.len() > ADDRESSES {
                return Err(ConnectionDenied::new(TooMany));
            }
        }
        Ok(Vec::new())
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
        Ok(self.opened(id, peer, local))
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
        Ok(self.opened(id, peer, remote))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        let FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) = event else { return };
        if let Some(relayed) = self.relayed.get_mut(&peer_id) {
            relayed.connections.remove(&connection_id);
            if relayed.connections.is_empty() {
                self.relayed.remove(&peer_id);
            }
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: Infallible) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, Infallible>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use libp2p::core::ConnectedPoint;

    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().expect("an address")
    }

    fn dial(attempts: &mut Attempts, peer: PeerId, addresses: &[Multiaddr]) -> bool {
        let id = ConnectionId::new_unchecked(9);
        attempts.handle_pending_outbound_connection(id, Some(peer), addresses, Endpoint::Dialer).is_ok()
    }

    #[test]
    fn who_is_reached_through_a_relay_has_few_addresses_dialed() {
        let (mut attempts, peer, other) = (Attempts::default(), PeerId::random(), PeerId::random());
        let direct = address("/ip4/192.0.2.1/udp/1/quic-v1");
        let through = address(&format!("/ip4/192.0.2.2/udp/1/quic-v1/p2p/{other}/p2p-circuit"));
        let (connection_id, port_use, role_override) =
            (ConnectionId::new_unchecked(1), PortUse::Reuse, Endpoint::Dialer);
        let open = |attempts: &mut Attempts| {
            let opened =
                attempts.handle_established_outbound_connection(connection_id, peer, &through, role_override, port_use);
            assert!(opened.is_ok());
        };
        open(&mut attempts);
        assert!((0..ATTEMPTS).all(|_| dial(&mut attempts, peer, std::slice::from_ref(&direct))));
        assert!(!dial(&mut attempts, peer, std::slice::from_ref(&direct)));
        assert!(dial(&mut attempts, peer, std::slice::from_ref(&through)), "by another relay it may be dialed");
        assert!(dial(&mut attempts, peer, &[]), "so may addresses that this node itself knows");
        assert!((0..2 * ATTEMPTS).all(|_| dial(&mut attempts, other, std::slice::from_ref(&direct))));

        let endpoint = &ConnectedPoint::Dialer { address: through.clone(), role_override, port_use };
        let closed = ConnectionClosed { peer_id: peer, connection_id, endpoint, cause: None, remaining_established: 0 };
        attempts.on_swarm_event(FromSwarm::ConnectionClosed(closed));
        open(&mut attempts);
        assert!(dial(&mut attempts, peer, std::slice::from_ref(&direct)), "on a new connection");
        assert!(!dial(&mut attempts, peer, &vec![direct; ADDRESSES + 1]));
    }
}
