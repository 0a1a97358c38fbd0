//! Addresses that lead through a relay: `ADDRESS/p2p/RELAY/p2p-circuit` is a node to which nobody can open a
//! connection, behind one that holds a connection of it (libp2p's circuit relay v2). Pure.

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

/// How bytes reach a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    Direct,
    Relayed,
}

impl Path {
    /// The path of a connection with this address at one of its ends.
    pub(super) fn of(address: &Multiaddr) -> Self {
        match address.iter().any(|part| part == Protocol::P2pCircuit) {
            true => Self::Relayed,
            false => Self::Direct,
        }
    }

    /// The label of metrics.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relayed => "relayed",
        }
    }
}

/// The address at which a node is reached through this relay, which is at `address`.
pub(super) fn through(relay: PeerId, address: &Multiaddr) -> Multiaddr {
    plain(address).with(Protocol::P2p(relay)).with(Protocol::P2pCircuit)
}

/// The relay of an address, and where it is; nothing for an address that leads through none.
pub(super) fn relay(address: &Multiaddr) -> Option<(PeerId, Multiaddr)> {
    let mut parts = address.iter();
    let place: Multiaddr = parts.by_ref().take_while(|part| !matches!(part, Protocol::P2p(_))).collect();
    // The part that ended it is the relay.
    let relay = address.iter().find_map(|part| if let Protocol::P2p(peer) = part { Some(peer) } else { None })?;
    (Path::of(address) == Path::Relayed && parts.next()? == Protocol::P2pCircuit).then_some((relay, place))
}

/// Where a connection that another node opened comes from: what comes through a relay shares its limits.
pub(super) fn origin<'a>(local: &'a Multiaddr, remote: &'a Multiaddr) -> &'a Multiaddr {
    if Path::of(local) == Path::Relayed { local } else { remote }
}

/// The address without the ids of nodes in it.
pub(super) fn plain(address: &Multiaddr) -> Multiaddr {
    address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect()
}

/// Whether the address is reached over QUIC.
pub(super) fn is_quic(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::QuicV1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_read_from_an_address_through_it() {
        let (peer, node) = (PeerId::random(), PeerId::random());
        let place: Multiaddr = "/ip4/192.0.2.1/udp/4001/quic-v1".parse().expect("an address");
        let address = through(peer, &place.clone().with(Protocol::P2p(peer)));
        assert_eq!((relay(&address), Path::of(&address)), (Some((peer, place.clone())), Path::Relayed));
        assert_eq!(relay(&address.clone().with(Protocol::P2p(node))), Some((peer, place.clone())));
        assert_eq!((relay(&place.clone().with(Protocol::P2p(peer))), Path::of(&place)), (None, Path::Direct));
        assert!(is_quic(&address) && !is_quic(&"/ip4/192.0.2.1/tcp/1".parse().expect("an address")));
        let odd = place.with(Protocol::P2p(peer)).with(Protocol::P2p(node)).with(Protocol::P2pCircuit);
        assert_eq!(relay(&odd), None, "two relays are none");
    }
}
