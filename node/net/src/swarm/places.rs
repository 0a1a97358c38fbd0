//! Places for connections that others open: bounded by network before the handshake, and by node after it.
//!
//! A libp2p behaviour that only says yes or no: [`Places`] counts who has a place, and a connection that has none is
//! closed before anything is spent on it. Members of the network (validators and providers) have places of their own
//! that strangers cannot take. When strangers have all of theirs, one of a network that has fewer than another
//! displaces one of that: so no number of addresses in few networks keeps the others out. A node that has all of its
//! own displaces its oldest connection: it may have moved, or have been cut off, and this side has not noticed yet. The
//! limits hold for every address, this machine's too. Not here: what a connection may buffer and ask.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        CloseConnection, ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, ListenFailure, NetworkBehaviour,
        ToSwarm, dummy,
    },
};
use ostrakon_proto::id::NodeId;
use tokio::time::Instant;

use super::{
    circuit::{is_relayed, origin},
    rate::{Rate, RateLimit},
};
use crate::{
    Members,
    admission::{Exceeded, Held, Limits, Prefix, Quota, Source},
    identity,
    metrics::AdmissionMetrics,
};

/// Connections that are being made: each holds a socket until its handshake is over or five seconds have passed. A
/// thousand clients may come back together.
const HANDSHAKES: Limits = Limits { all: 1536, strangers: 1280, prefix: 128, node: 1536 };
/// Handshakes of one network: what a script with a process for each file needs.
const RATE: Rate = Rate { burst: 512, per_second: 128 };

/// A connection is refused.
#[derive(Debug, thiserror::Error)]
enum Refused {
    /// Its network makes too many.
    #[error("too many connections from {0} in a short time")]
    Rate(Prefix),
    /// There is no place.
    #[error("connection from {0} refused: {1}")]
    Place(Prefix, Exceeded),
    /// The address has no IP, or the node no key of our kind.
    #[error("not a connection of this network")]
    Foreign,
}

impl Refused {
    /// The reason in a word, for metrics.
    const fn word(&self) -> &'static str {
        match self {
            Self::Rate(_) => "rate",
            Self::Place(_, exceeded) => exceeded.word(),
            Self::Foreign => "foreign",
        }
    }
}

/// The places of a node.
pub(super) struct Places {
    members: Members,
    rate: RateLimit<Prefix>,
    handshakes: Quota,
    established: Quota,
    pending: BTreeMap<ConnectionId, Held>,
    open: BTreeMap<ConnectionId, (PeerId, Held)>,
    /// Connections that are to be closed, because others displaced them.
    displaced: VecDeque<(PeerId, ConnectionId)>,
    metrics: AdmissionMetrics,
}

impl Places {
    /// `connections` places in all, of which each node may have `per_node`.
    pub(super) fn new(members: Members, (connections, per_node): (usize, usize), metrics: AdmissionMetrics) -> Self {
        Self {
            members,
            rate: RateLimit::new(RATE),
            handshakes: Quota::new(HANDSHAKES),
            established: Quota::new(Limits::shared(connections, per_node)),
            pending: BTreeMap::new(),
            open: BTreeMap::new(),
            displaced: VecDeque::new(),
            metrics,
        }
    }

    /// Before the handshake, when nothing is known but where it comes from.
    fn begin(&mut self, id: ConnectionId, remote: &Multiaddr) -> Result<(), Refused> {
        let prefix = Prefix::of_address(remote).ok_or(Refused::Foreign)?;
        if !self.rate.take(prefix, Instant::now()) {
            return Err(Refused::Rate(prefix));
        }
        // Who it is shows after the handshake: until then it has no node of its own.
        let held = self.handshakes.hold(Source::stranger(NodeId::new([0; 32]), prefix), 1);
        self.pending.insert(id, held.map_err(|exceeded| Refused::Place(prefix, exceeded))?);
        Ok(())
    }

    /// After it.
    fn establish(&mut self, id: ConnectionId, peer: &PeerId, origin: &Multiaddr) -> Result<(), Refused> {
        self.pending.remove(&id);
        let node = identity::node_id(peer).ok_or(Refused::Foreign)?;
        let prefix = Prefix::of_address(origin).ok_or(Refused::Foreign)?;
        let source = self.members.source(node, prefix);
        let held = match self.established.hold(source, 1) {
            Err(Exceeded::Strangers) if self.displace_for(&prefix) => self.established.hold(source, 1),
            // One through a relay takes no place of a direct one.
            Err(Exceeded::Node) if !is_relayed(origin) && self.displace_own(peer) => self.established.hold(source, 1),
            held => held,
        };
        let held = held.map_err(|exceeded| Refused::Place(prefix, exceeded))?;
        self.open.insert(id, (*peer, held));
        Ok(())
    }

    /// Takes a place from the network that has the most, its newest, if that leaves it no fewer than this one has then.
    fn displace_for(&mut self, prefix: &Prefix) -> bool {
        let heavier = self.established.heaviest().filter(|(_, most)| *most > self.established.of_prefix(prefix) + 1);
        let Some((heaviest, _)) = heavier else { return false };
        let of_it = |held: &Held| !held.source().is_member() && held.source().prefix == heaviest;
        let newest = self.open.iter().rev().find(|(_, (_, held))| of_it(held)).map(|(id, (peer, _))| (*peer, *id));
        let Some((peer, id)) = newest else { return false };
        tracing::debug!(network = %heaviest, "connection displaced by one of a network that has fewer");
        self.displace(peer, id);
        true
    }

    /// Takes the place of the oldest connection that this node has opened.
    fn displace_own(&mut self, peer: &PeerId) -> bool {
        let own = self.open.iter().find(|(_, (other, _))| other == peer).map(|(id, _)| *id);
        own.inspect(|id| self.displace(*peer, *id)).is_some()
    }

    fn displace(&mut self, peer: PeerId, id: ConnectionId) {
        self.open.remove(&id);
        self.displaced.push_back((peer, id));
        self.metrics.refuse("connection", "displaced");
    }

    /// Counts a connection that is refused, before or after its handshake.
    fn deny(&self, class: &'static str, refused: Refused) -> ConnectionDenied {
        self.metrics.refuse(class, refused.word());
        tracing::debug!(reason = %refused, class, "connection refused");
        ConnectionDenied::new(refused)
    }
}

impl NetworkBehaviour for Places {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.begin(id, origin(local, remote)).map_err(|refused| self.deny("handshake", refused))
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
        let placed = self.establish(id, &peer, origin(local, remote));
        placed.map(|()| dummy::ConnectionHandler).map_err(|refused| self.deny("connection", refused))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) => {
                // Another part may have refused what has a place here already.
                self.pending.remove(&connection_id);
                self.open.remove(&connection_id);
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. }) => {
                self.open.remove(&connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: Infallible) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, Infallible>> {
        match self.displaced.pop_front() {
            Some((peer_id, id)) => {
                Poll::Ready(ToSwarm::CloseConnection { peer_id, connection: CloseConnection::One(id) })
            }
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        format!("/ip4/{text}/tcp/1").parse().expect("an address")
    }

    fn peer(number: u8) -> PeerId {
        identity::peer_id(&NodeId::new([number; 32]))
    }

    fn id(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    #[tokio::test(start_paused = true)]
    async fn one_network_does_not_take_the_handshakes_of_others() {
        let mut places = Places::new(Members::default(), (64, 4), AdmissionMetrics::default());
        let half_open = |places: &mut Places, from: &str, count: usize, first: usize| {
            (0..count).filter(|number| places.begin(id(first + number), &address(from)).is_ok()).count()
        };
        assert_eq!(half_open(&mut places, "10.0.0.1", 511, 0), HANDSHAKES.prefix);
        assert_eq!(half_open(&mut places, "10.0.0.200", 1, 511), 0, "the same network");
        assert_eq!(half_open(&mut places, "10.0.1.1", 10, 600), 10);
        (0..512).for_each(|number| {
            let failure = libp2p::swarm::ListenError::Aborted;
            let (local, remote) = (address("10.9.9.9"), address("10.0.0.1"));
            places.on_swarm_event(FromSwarm::ListenFailure(ListenFailure {
                local_addr: &local,
                send_back_addr: &remote,
                error: &failure,
                connection_id: id(number),
                peer_id: None,
            }));
        });
        assert_eq!(half_open(&mut places, "10.0.0.1", 10, 700), 0, "its rate is spent");
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        assert_eq!(half_open(&mut places, "10.0.0.1", 200, 800), HANDSHAKES.prefix, "some may again");
        assert!(places.begin(id(999), &"/memory/1".parse().expect("an address")).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_leave_places_to_members() {
        let members = Members::default();
        members.set([NodeId::new([200; 32])].into());
        let mut places = Places::new(members, (64, 4), AdmissionMetrics::default());
        let taken: Vec<usize> = (0..10_u8)
            .map(|network| {
                let from = address(&format!("10.0.{network}.1"));
                let open = |node: &u8| {
                    let (number, node) = (usize::from(network) * 20 + usize::from(*node), network * 20 + node);
                    places.establish(id(number), &peer(node), &from).is_ok()
                };
                (0..20_u8).filter(open).count()
            })
            .collect();
        assert_eq!(taken, [8, 8, 8, 8, 8, 8, 6, 6, 5, 4], "each new network takes from those that have more");
        assert_eq!((places.open.len(), places.displaced.len()), (48, 21), "and never are there more");
        let again: Vec<bool> =
            (0..6).map(|number| places.establish(id(500 + number), &peer(200), &address("10.0.0.1")).is_ok()).collect();
        assert_eq!(again, [true; 6], "a member, from a full network");
        let relayed = crate::swarm::circuit::through(peer(9), &address("10.0.0.2"));
        assert!(
            places.establish(id(600), &peer(200), &relayed).is_err(),
            "through a relay it displaces none of its own"
        );
        let own = |places: &Places| places.open.values().filter(|(other, _)| *other == peer(200)).count();
        assert_eq!((own(&places), places.displaced.len()), (4, 23), "its oldest connections yield to its newest");
        assert!(places.open.contains_key(&id(505)) && !places.open.contains_key(&id(501)));
    }
}
