//! Connecting back: a node that wants to know whether others reach it at an address is dialed there, on a new
//! connection.
//!
//! A libp2p behaviour without a protocol of its own. Only an IP address from which the node is connected is dialed, so
//! nobody can aim this node at a third one, nor at its own neighbours. Not here: who asks for it, and what it means.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    net::IpAddr,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    multiaddr::Protocol,
    swarm::{
        ConnectionClosed, ConnectionDenied, ConnectionId, DialFailure, FromSwarm, NetworkBehaviour, ToSwarm,
        dial_opts::{DialOpts, PeerCondition},
        dummy,
    },
};
use tokio::sync::oneshot;

use super::{circuit::is_relayed, dials};
use crate::DialBackError;

/// Attempts in progress; each lasts some seconds at most.
const IN_PROGRESS: usize = 32;

/// A node that is to be dialed.
#[derive(Debug)]
pub(super) struct DialBack {
    pub(super) peer: PeerId,
    pub(super) address: Multiaddr,
    pub(super) answer: oneshot::Sender<Result<(), DialBackError>>,
}

/// The attempts, and from where others are connected.
#[derive(Debug, Default)]
pub(super) struct DialsBack {
    origins: BTreeMap<ConnectionId, (PeerId, IpAddr)>,
    attempts: BTreeMap<ConnectionId, oneshot::Sender<Result<(), DialBackError>>>,
    events: VecDeque<ToSwarm<Infallible, Infallible>>,
}

impl DialsBack {
    /// Dials a node, if it may be.
    pub(super) fn begin(&mut self, DialBack { peer, address, answer }: DialBack) {
        if let Err(refused) = self.check(peer, &address) {
            // Who asked may be gone; below as well.
            return drop(answer.send(Err(refused)));
        }
        let opts = DialOpts::peer_id(peer).addresses(vec![address]).condition(PeerCondition::Always);
        // From a port of its own: one that this node listens on may be let through where others are not.
        let opts = opts.allocate_new_port().build();
        self.attempts.insert(opts.connection_id(), answer);
        self.events.push_back(ToSwarm::Dial { opts });
    }

    fn check(&self, peer: PeerId, address: &Multiaddr) -> Result<(), DialBackError> {
        if self.attempts.len() >= IN_PROGRESS {
            return Err(DialBackError::Busy);
        }
        let is_its_own = |ip| self.origins.values().any(|origin| *origin == (peer, ip));
        match ip_of(address).filter(|_| dials::is_plain(address)) {
            Some(ip) if is_its_own(ip) => Ok(()),
            _ => Err(DialBackError::Elsewhere),
        }
    }

    fn ended(&mut self, connection: ConnectionId, outcome: Result<(), DialBackError>) {
        if let Some(answer) = self.attempts.remove(&connection) {
            drop(answer.send(outcome));
        }
    }

    fn opened(&mut self, id: ConnectionId, peer: PeerId, remote: &Multiaddr) -> dummy::ConnectionHandler {
        if let Some(ip) = ip_of(remote) {
            self.origins.insert(id, (peer, ip));
        }
        dummy::ConnectionHandler
    }
}

fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

impl NetworkBehaviour for DialsBack {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
        Ok(if is_relayed(local) { dummy::ConnectionHandler } else { self.opened(id, peer, remote) })
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
        self.ended(id, Ok(()));
        Ok(if is_relayed(remote) { dummy::ConnectionHandler } else { self.opened(id, peer, remote) })
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. }) => {
                self.origins.remove(&connection_id);
            }
            FromSwarm::DialFailure(DialFailure { connection_id, error, .. }) => {
                self.ended(connection_id, Err(DialBackError::Failed(dials::describe(error).join("; "))));
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
    use super::*;

    fn begin(dials: &mut DialsBack, peer: PeerId, address: &str) -> oneshot::Receiver<Result<(), DialBackError>> {
        let (answer, answered) = oneshot::channel();
        dials.begin(DialBack { peer, address: address.parse().expect("an address"), answer });
        answered
    }

    #[test]
    fn a_node_is_dialed_where_it_is_and_nowhere_else() {
        let (peer, other, mut dials) = (PeerId::random(), PeerId::random(), DialsBack::default());
        let from = "/ip4/192.0.2.1/tcp/50000".parse().expect("an address");
        let id = ConnectionId::new_unchecked(1);
        assert!(dials.handle_established_inbound_connection(id, peer, &Multiaddr::empty(), &from).is_ok());
        let mut refused = |peer, address: &str| match begin(&mut dials, peer, address).try_recv() {
            Ok(Err(DialBackError::Elsewhere)) => true,
            Err(oneshot::error::TryRecvError::Empty) => false,
            other => panic!("{other:?}"),
        };
        assert!(refused(peer, "/ip4/192.0.2.2/tcp/4001"), "another machine");
        assert!(refused(other, "/ip4/192.0.2.1/tcp/4001"), "another node");
        assert!(refused(peer, "/dns4/localhost/tcp/4001"), "whatever the name leads to");
        assert!(refused(peer, &format!("/ip4/192.0.2.1/tcp/4001/p2p/{other}/p2p-circuit")), "a third one");
        assert!(!refused(peer, "/ip4/192.0.2.1/tcp/4001") && !refused(peer, "/ip4/192.0.2.1/udp/4001/quic-v1"));
        assert_eq!(dials.attempts.len(), 2);
    }

    #[test]
    fn attempts_are_bounded_and_answered() {
        let (peer, mut dials) = (PeerId::random(), DialsBack::default());
        dials.opened(ConnectionId::new_unchecked(1), peer, &"/ip6/::1/tcp/1".parse().expect("an address"));
        let mut answers: Vec<_> = (0..IN_PROGRESS).map(|_| begin(&mut dials, peer, "/ip6/::1/tcp/4001")).collect();
        assert!(matches!(begin(&mut dials, peer, "/ip6/::1/tcp/4001").try_recv(), Ok(Err(DialBackError::Busy))));
        let attempts: Vec<ConnectionId> = dials.attempts.keys().copied().collect();
        let remote = "/ip6/::1/tcp/4001".parse().expect("an address");
        for attempt in attempts {
            let (role, port) = (Endpoint::Dialer, PortUse::New);
            assert!(dials.handle_established_outbound_connection(attempt, peer, &remote, role, port).is_ok());
        }
        assert!(answers.iter_mut().all(|answer| matches!(answer.try_recv(), Ok(Ok(())))));
        assert!(dials.attempts.is_empty());
    }
}
