//! Addresses that lead through a relay: `ADDRESS/p2p/RELAY/p2p-circuit` is a node to which nobody can open a
//! connection, behind one that holds a connection of it (libp2p's circuit relay v2). Pure.

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

/// Whether an address leads through a relay.
pub(super) fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

/// The address at which a node is reached through this relay, which is at `address`.
pub(super) fn through(relay: PeerId, address: &Multiaddr) -> Multiaddr {
    plain(address).with(Protocol::P2p(relay)).with(Protocol::P2pCircuit)
}

/// The relay of an address, and where it is; nothing for an address that leads through none.
pub(super) fn relay(address: &Multiaddr) -> Option<(PeerId, Multiaddr)> {
    let (mut parts, mut place) = (address.iter(), Multiaddr::empty());
    loop {
        match parts.next()? {
            Protocol::P2p(relay) => return (parts.next()? == Protocol::P2pCircuit).then_some((relay, place)),
            part => place.push(part),
        }
    }
}

/// Where a connection that another node opened comes from: what comes through a relay shares its limits.
pub(super) fn origin<'a>(local: &'a Multiaddr, remote: &'a Multiaddr) -> &'a Multiaddr {
    if is_relayed(local) { local } else { remote }
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
        assert_eq!((relay(&address), is_relayed(&address)), (Some((peer, place.clone())), true));
        assert_eq!(relay(&address.clone().with(Protocol::P2p(node))), Some((peer, place.clone())));
        assert_eq!((relay(&place.clone().with(Protocol::P2p(peer))), is_relayed(&place)), (None, false));
        assert!(is_quic(&address) && !is_quic(&"/ip4/192.0.2.1/tcp/1".parse().expect("an address")));
        let odd = place.with(Protocol::P2p(peer)).with(Protocol::P2p(node)).with(Protocol::P2pCircuit);
        assert_eq!(relay(&odd), None, "two relays are none");
    }
}
