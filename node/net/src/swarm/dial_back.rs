//! Connecting back: a node that wants to know whether others reach it at an address is dialed there, on a new
//! connection.
//!
//! Pure state of the actor. Only an IP address from which the node is connected is dialed, so that nobody can aim this
//! node at a third one. Not here: dialing, who may ask for it, and what follows from it.

use std::{collections::BTreeMap, net::IpAddr};

use libp2p::{
    Multiaddr, PeerId,
    multiaddr::Protocol,
    swarm::{
        ConnectionId, DialError,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use tokio::sync::oneshot;

use super::dials::{describe, is_plain};
use crate::DialBackError;

/// Attempts in progress, of which a node has one; each lasts some seconds at most.
const IN_PROGRESS: usize = 32;

type Answer = oneshot::Sender<Result<(), DialBackError>>;

/// A node that is to be dialed.
#[derive(Debug)]
pub(super) struct DialBack {
    pub(super) peer: PeerId,
    pub(super) address: Multiaddr,
    pub(super) answer: Answer,
}

/// The attempts in progress.
#[derive(Debug, Default)]
pub(super) struct DialsBack {
    attempts: BTreeMap<ConnectionId, (PeerId, Answer)>,
}

impl DialsBack {
    /// How to dial a node that is connected from `origins`; nothing when it must not be, which is answered.
    pub(super) fn begin<'a>(
        &mut self,
        DialBack { peer, address, answer }: DialBack,
        mut origins: impl Iterator<Item = &'a Multiaddr>,
    ) -> Option<DialOpts> {
        let place = ip_of(&address);
        let is_busy = self.attempts.len() >= IN_PROGRESS || self.attempts.values().any(|(other, _)| *other == peer);
        let refused = match () {
            () if place.is_none() || !origins.any(|origin| ip_of(origin) == place) => DialBackError::Elsewhere,
            () if is_busy => DialBackError::Busy,
            () => {
                let opts = DialOpts::peer_id(peer).addresses(vec![address]).condition(PeerCondition::Always);
                // From a port of its own: one that this node listens on may be let through where others are not.
                let opts = opts.allocate_new_port().build();
                self.attempts.insert(opts.connection_id(), (peer, answer));
                return Some(opts);
            }
        };
        // Who asked may be gone.
        let _gone = answer.send(Err(refused));
        None
    }

    /// A connection is open: perhaps one of these.
    pub(super) fn opened(&mut self, connection: ConnectionId) {
        self.ended(connection, Ok(()));
    }

    /// A connection could not be opened: perhaps one of these.
    pub(super) fn failed(&mut self, connection: ConnectionId, error: &DialError) {
        let failure = match error {
            // This node has no place for it.
            DialError::Denied { .. } => DialBackError::Busy,
            error => DialBackError::Failed(describe(error).join("; ")),
        };
        self.ended(connection, Err(failure));
    }

    fn ended(&mut self, connection: ConnectionId, outcome: Result<(), DialBackError>) {
        if let Some((_, answer)) = self.attempts.remove(&connection) {
            let _gone = answer.send(outcome);
        }
    }
}

/// The IP address of one that names a socket and nothing else.
fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next().filter(|_| is_plain(address))? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Answered = oneshot::Receiver<Result<(), DialBackError>>;

    fn address(text: &str) -> Multiaddr {
        text.parse().expect("an address")
    }

    /// Of a node that is connected from 192.0.2.1.
    fn begin(dials: &mut DialsBack, peer: PeerId, at: &str) -> (Option<ConnectionId>, Answered) {
        let (answer, answered) = oneshot::channel();
        let asked = DialBack { peer, address: address(at), answer };
        let origins = [address("/ip4/192.0.2.1/tcp/50000"), address("/dns4/localhost/tcp/1")];
        (dials.begin(asked, origins.iter()).map(|opts| opts.connection_id()), answered)
    }

    #[test]
    fn a_node_is_dialed_where_it_is_and_nowhere_else() {
        let refused = |at: &str| match begin(&mut DialsBack::default(), PeerId::random(), at) {
            (None, mut answered) => matches!(answered.try_recv(), Ok(Err(DialBackError::Elsewhere))),
            (Some(_), _) => false,
        };
        assert!(refused("/ip4/192.0.2.2/tcp/4001"), "another machine");
        assert!(refused("/dns4/localhost/tcp/4001"), "whatever the name leads to");
        let third = PeerId::random();
        assert!(refused(&format!("/ip4/192.0.2.1/tcp/4001/p2p/{third}/p2p-circuit")), "through a third one");
        assert!(!refused("/ip4/192.0.2.1/tcp/4001") && !refused("/ip4/192.0.2.1/udp/4001/quic-v1"));
    }

    #[test]
    fn attempts_are_bounded_and_each_is_answered() {
        let (peer, mut dials, at) = (PeerId::random(), DialsBack::default(), "/ip4/192.0.2.1/tcp/4001");
        let is_busy = |mut answered: Answered| matches!(answered.try_recv(), Ok(Err(DialBackError::Busy)));
        let (first, mut reached) = begin(&mut dials, peer, at);
        assert!(is_busy(begin(&mut dials, peer, at).1), "one of each node");
        let mut others: Vec<_> = (1..IN_PROGRESS).map(|_| begin(&mut dials, PeerId::random(), at)).collect();
        assert!(is_busy(begin(&mut dials, PeerId::random(), at).1));
        dials.opened(first.expect("it is dialed"));
        assert_eq!(reached.try_recv(), Ok(Ok(())));
        let (second, mut missed) = others.pop().expect("several");
        dials.failed(second.expect("it is dialed"), &DialError::Aborted);
        assert!(matches!(missed.try_recv(), Ok(Err(DialBackError::Failed(_)))));
        assert!(begin(&mut dials, peer, at).0.is_some(), "one is over");
    }
}
