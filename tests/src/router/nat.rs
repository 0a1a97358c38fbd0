//! Network address translation as most homes have it: each inner address and port has one outer port, which only those
//! reach to whom it has spoken. Pure: packets come in and are rewritten.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use super::packet::{self, End, Flow};

/// The first outer port; as many as there are behind it are given.
const FIRST: u16 = 20_000;

/// The translation at one address.
#[derive(Clone, Debug)]
pub struct Nat {
    outer: Ipv4Addr,
    inner: Ipv4Addr,
    ports: BTreeMap<(u8, u16), u16>,
    /// Behind each outer port: the inner one, and the addresses that it has spoken to.
    flows: BTreeMap<(u8, u16), (u16, BTreeSet<Ipv4Addr>)>,
}

impl Nat {
    /// A translation for the host `inner`, which others see as `outer`.
    pub const fn new(outer: Ipv4Addr, inner: Ipv4Addr) -> Self {
        Self { outer, inner, ports: BTreeMap::new(), flows: BTreeMap::new() }
    }

    /// Rewrites a packet on its way out; false when it cannot pass.
    pub fn outward(&mut self, packet: &mut [u8]) -> bool {
        let (Some(from), Some(to)) = (packet::flow(packet, End::Source), packet::flow(packet, End::Destination)) else {
            return false;
        };
        if from.address != self.inner {
            return false;
        }
        let Some(port) = self.port(from) else { return false };
        if let Some((_, spoken)) = self.flows.get_mut(&(from.protocol, port)) {
            spoken.insert(to.address);
        }
        packet::rewrite(packet, End::Source, self.outer, port)
    }

    /// Rewrites a packet on its way in; false when nobody behind it has spoken to who sends it.
    pub fn inward(&self, packet: &mut [u8]) -> bool {
        let (Some(IpAddr::V4(from)), Some(to)) =
            (packet::address(packet, End::Source), packet::flow(packet, End::Destination))
        else {
            return false;
        };
        let known = self.flows.get(&(to.protocol, to.port)).filter(|(_, spoken)| spoken.contains(&from));
        let Some(inner) = known.map(|(inner, _)| *inner) else { return false };
        packet::rewrite(packet, End::Destination, self.inner, inner)
    }

    /// The outer port of an inner one.
    fn port(&mut self, from: Flow) -> Option<u16> {
        let key = (from.protocol, from.port);
        if let Some(port) = self.ports.get(&key) {
            return Some(*port);
        }
        let count = u16::try_from(self.ports.len()).ok()?;
        let port = FIRST.checked_add(count)?;
        self.ports.insert(key, port);
        self.flows.insert((from.protocol, port), (from.port, BTreeSet::new()));
        Some(port)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::packet::tests::udp, *};

    const INNER: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 2);
    const OUTER: Ipv4Addr = Ipv4Addr::new(10, 77, 1, 1);
    const FRIEND: Ipv4Addr = Ipv4Addr::new(10, 77, 2, 1);
    const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 77, 3, 1);

    fn end(packet: &[u8], end: End) -> (Ipv4Addr, u16) {
        let flow = packet::flow(packet, end).expect("a packet");
        (flow.address, flow.port)
    }

    #[test]
    fn only_those_spoken_to_come_in() {
        let mut nat = Nat::new(OUTER, INNER);
        let mut out = udp((INNER, 4_001), (FRIEND, 53));
        assert!(nat.outward(&mut out));
        assert_eq!(end(&out, End::Source), (OUTER, FIRST));
        let mut back = udp((FRIEND, 53), (OUTER, FIRST));
        assert!(nat.inward(&mut back));
        assert_eq!(end(&back, End::Destination), (INNER, 4_001));
        assert!(!nat.inward(&mut udp((STRANGER, 53), (OUTER, FIRST))), "not spoken to");
        assert!(!nat.inward(&mut udp((FRIEND, 53), (OUTER, FIRST + 1))), "no such port");
    }

    #[test]
    fn each_inner_port_keeps_its_outer_one() {
        let mut nat = Nat::new(OUTER, INNER);
        let mut outer = |port, to| {
            let mut out = udp((INNER, port), (to, 53));
            assert!(nat.outward(&mut out));
            end(&out, End::Source).1
        };
        assert_eq!([outer(1, FRIEND), outer(2, FRIEND), outer(1, STRANGER)], [FIRST, FIRST + 1, FIRST]);
        assert!(!nat.outward(&mut udp((STRANGER, 1), (FRIEND, 53))), "not its host");
    }
}
