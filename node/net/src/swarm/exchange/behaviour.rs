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

use super::{handler::Handler, inbound::Door, negotiate::Names};
use crate::{identity, swarm::calls::Call};

/// Requests and answers of all protocols.
pub(in crate::swarm) struct Behaviour {
    names: Arc<Names>,
    /// Nothing for a client, which is not asked.
    door: Option<Arc<Door>>,
    connections: BTreeMap<PeerId, Vec<ConnectionId>>,
    calls: VecDeque<ToSwarm<Infallible, Call>>,
}

impl Behaviour {
    /// Requests of others go through the door; without one their streams are refused.
    pub(in crate::swarm) fn new(chain: &ChainId, door: Option<Door>) -> Self {
        Self {
            names: Arc::new(Names::new(chain)),
            door: door.map(Arc::new),
            connections: BTreeMap::new(),
            calls: VecDeque::new(),
        }
    }

    /// Hands a call to the newest connection with this node, since an older one may be dead and nobody knows yet. Its
    /// caller is told by whoever drops the call, when there is none or it closes.
    pub(in crate::swarm) fn send(&mut self, peer: PeerId, call: Call) {
        let Some(newest) = self.connections.get(&peer).and_then(|all| all.last()) else { return };
        let handler = NotifyHandler::One(*newest);
        self.calls.push_back(ToSwarm::NotifyHandler { peer_id: peer, handler, event: call });
    }

    /// Those whose key is not ed25519 are none of this network's, and are not answered.
    fn handler(&self, peer: &PeerId) -> Handler {
        Handler::new(self.names.clone(), identity::node_id(peer).zip(self.door.clone()))
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.handler(&peer))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.handler(&peer))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished { peer_id, connection_id, .. }) => {
                self.connections.entry(peer_id).or_default().push(connection_id);
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                let Some(all) = self.connections.get_mut(&peer_id) else { return };
                all.retain(|id| *id != connection_id);
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
        // Calls come from whoever polls the swarm next.
        self.calls.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}
