//! Which connections there are, and which of them carries a call.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, ToSwarm,
        behaviour::{ConnectionClosed, ConnectionEstablished},
    },
};
use ostrakon_proto::id::ChainId;

use super::{
    handler::Handler,
    inbound::{Remote, Service},
    negotiate::ProtocolNames,
};
use crate::{
    admission::Prefix,
    identity,
    metrics::TrafficMetrics,
    swarm::{
        calls::Call,
        circuit::{is_relayed, origin},
    },
};

/// Requests and answers of all protocols.
pub(in crate::swarm) struct Behaviour {
    names: Arc<ProtocolNames>,
    /// `None` for a client, which is not asked.
    service: Option<Arc<Service>>,
    /// Oldest first, each with whether it leads through a relay.
    connections: BTreeMap<PeerId, Vec<(ConnectionId, bool)>>,
    traffic: TrafficMetrics,
    calls: VecDeque<ToSwarm<Infallible, Call>>,
}

impl Behaviour {
    /// Requests of other nodes go to `service`; without one their streams are refused. `traffic` counts both ways.
    pub(in crate::swarm) fn new(chain: &ChainId, service: Option<Service>, traffic: TrafficMetrics) -> Self {
        Self {
            names: Arc::new(ProtocolNames::new(chain)),
            service: service.map(Arc::new),
            connections: BTreeMap::new(),
            traffic,
            calls: VecDeque::new(),
        }
    }

    /// Hands a call to the newest connection with this node, since an older one may be dead without a sign of it; to
    /// one through a relay only where there is no direct one. A call that is dropped, for there is no connection or it
    /// closes, tells its caller.
    pub(in crate::swarm) fn send(&mut self, peer: PeerId, call: Call) {
        let Some(all) = self.connections.get(&peer) else { return };
        let direct = all.iter().rev().find(|(_, is_relayed)| !is_relayed);
        let Some((newest, _)) = direct.or(all.last()) else { return };
        let handler = NotifyHandler::One(*newest);
        self.calls.push_back(ToSwarm::NotifyHandler { peer_id: peer, handler, event: call });
    }

    /// A node whose key is not ed25519 is not of this network, and is not answered.
    fn handler(&self, peer: &PeerId, address: &Multiaddr) -> Handler {
        let remote = identity::node_id(peer).map(|node| {
            let prefix = Prefix::of_address(address).unwrap_or_else(|| Prefix::of_node(&node));
            Remote { node, prefix }
        });
        Handler::new(self.names.clone(), remote.zip(self.service.clone()), self.traffic.of(is_relayed(address)))
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.handler(&peer, origin(local, remote)))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.handler(&peer, remote))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished { peer_id, connection_id, endpoint, .. }) => {
                self.connections.entry(peer_id).or_default().push((connection_id, endpoint.is_relayed()));
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                let Some(all) = self.connections.get_mut(&peer_id) else { return };
                all.retain(|(id, _)| *id != connection_id);
                if all.is_empty() {
                    self.connections.remove(&peer_id);
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: Infallible) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, Call>> {
        // Calls come from the actor, which polls the swarm next.
        self.calls.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}
