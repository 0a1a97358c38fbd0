//! Which of libp2p's events its own metrics record: those whose labels no stranger chooses.
//!
//! Libp2p labels some metrics with the protocols of an address that another node merely claims, for us or for itself:
//! each made-up one would be kept forever. So external addresses are not recorded, and what identify is told is not
//! even compiled in.

use libp2p::swarm::SwarmEvent;
use libp2p_metrics::Recorder;

use super::{behaviour::BehaviourEvent, dials::is_plain};
use crate::metrics::NetMetrics;

/// Records the event, if libp2p's metrics are registered.
pub(super) fn record(metrics: &NetMetrics, event: &SwarmEvent<BehaviourEvent>) {
    let Some(libp2p) = metrics.libp2p() else { return };
    match event {
        SwarmEvent::Behaviour(BehaviourEvent::Kad(event)) => libp2p.record(event),
        SwarmEvent::Behaviour(BehaviourEvent::Ping(event)) => libp2p.record(event),
        // Other nodes tell where to dial, and a transport takes addresses with all kinds of things in front.
        SwarmEvent::ConnectionEstablished { endpoint, .. } | SwarmEvent::ConnectionClosed { endpoint, .. }
            if !is_plain(endpoint.get_remote_address()) => {}
        SwarmEvent::ConnectionEstablished { .. }
        | SwarmEvent::ConnectionClosed { .. }
        | SwarmEvent::IncomingConnection { .. }
        | SwarmEvent::IncomingConnectionError { .. }
        | SwarmEvent::OutgoingConnectionError { .. }
        | SwarmEvent::Dialing { .. }
        | SwarmEvent::ListenerError { .. } => libp2p.record(event),
        _ => {}
    }
}
