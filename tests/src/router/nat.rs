//! Network address translation, of the two kinds that matter to who opens connections through it. Only an address and
//! port that the inner host has spoken to reaches it, and anyone does at a TCP port that is forwarded. Pure: packets
//! come in and are rewritten.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use super::packet::{self, End, Flow, TCP};

/// The first outer port; as many as there are behind it are given. Those of a symmetric NAT are others, so that none is
/// by accident the one that another side was told before.
const FIRST: u16 = 20_000;
const FIRST_SYMMETRIC: u16 = 40_000;

/// Which outer port an inner one has (RFC 4787, section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One for all others, as most homes have it: who is told the port can be let in.
    PortRestricted,
    /// Another for each: nobody can be told it.
    Symmetric,
}

/// An address and port at the other end.
type Other = (Ipv4Addr, u16);

/// The translation at one address.
#[derive(Clone, Debug)]
pub struct Nat {
    kind: Kind,
    outer: Ipv4Addr,
    inner: Ipv4Addr,
    ports: BTreeMap<(u8, u16, Option<Other>), u16>,
    /// Behind each outer port: the inner one, and whom it has spoken to.
    flows: BTreeMap<(u8, u16), (u16, BTreeSet<Other>)>,
    /// Outer TCP ports that anyone reaches, with the inner one of each.
    forwarded: BTreeMap<u16, u16>,
}

impl Nat {
    /// A translation for the host `inner`, which others see as `outer`.
    pub const fn new(kind: Kind, outer: Ipv4Addr, inner: Ipv4Addr) -> Self {
        Self { kind, outer, inner, ports: BTreeMap::new(), flows: BTreeMap::new(), forwarded: BTreeMap::new() }
    }

    /// Forwards an outer TCP port to an inner one, or no longer.
    pub fn forward(&mut self, outer: u16, inner: Option<u16>) {
        match inner {
            Some(inner) => self.forwarded.insert(outer, inner),
            None => self.forwarded.remove(&outer),
        };
    }

    /// One of this kind in its place, as when a home router is replaced: no flow is known.
    pub const fn changed(&self, kind: Kind) -> Self {
        Self::new(kind, self.outer, self.inner)
    }

    /// How many outer TCP ports are forwarded.
    pub fn forwarded(&self) -> usize {
        self.forwarded.len()
    }

    /// Rewrites a packet on its way out; false when it cannot pass.
    pub fn outward(&mut self, packet: &mut [u8]) -> bool {
        let (Some(from), Some(to)) = (packet::flow(packet, End::Source), packet::flow(packet, End::Destination)) else {
            return false;
        };
        if from.address != self.inner {
            return false;
        }
        let mut forwarded = self.forwarded.iter().filter(|(_, inner)| from.protocol == TCP && **inner == from.port);
        if let Some((port, _)) = forwarded.next() {
            return packet::rewrite(packet, End::Source, self.outer, *port);
        }
        let Some(port) = self.port(from, (to.address, to.port)) else { return false };
        if let Some((_, spoken)) = self.flows.get_mut(&(from.protocol, port)) {
            spoken.insert((to.address, to.port));
        }
        packet::rewrite(packet, End::Source, self.outer, port)
    }

    /// Rewrites a packet on its way in; false when nobody behind it has spoken to who sends it.
    pub fn inward(&self, packet: &mut [u8]) -> bool {
        let (Some(from), Some(to)) = (packet::flow(packet, End::Source), packet::flow(packet, End::Destination)) else {
            return false;
        };
        if let Some(inner) = self.forwarded.get(&to.port).filter(|_| to.protocol == TCP) {
            return packet::rewrite(packet, End::Destination, self.inner, *inner);
        }
        let spoken_to = |(_, spoken): &&(u16, BTreeSet<Other>)| spoken.contains(&(from.address, from.port));
        let known = self.flows.get(&(to.protocol, to.port)).filter(spoken_to);
        let Some(inner) = known.map(|(inner, _)| *inner) else { return false };
        packet::rewrite(packet, End::Destination, self.inner, inner)
    }

    /// The outer port of an inner one for `other`.
    fn port(&mut self, from: Flow, other: Other) -> Option<u16> {
        let key = (from.protocol, from.port, (self.kind == Kind::Symmetric).then_some(other));
        if let Some(port) = self.ports.get(&key) {
            return Some(*port);
        }
        let count = u16::try_from(self.ports.len()).ok()?;
        let first = if self.kind == Kind::Symmetric { FIRST_SYMMETRIC } else { FIRST };
        let port = first.checked_add(count)?;
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
        let mut nat = Nat::new(Kind::PortRestricted, OUTER, INNER);
        let mut out = udp((INNER, 4_001), (FRIEND, 53));
        assert!(nat.outward(&mut out));
        assert_eq!(end(&out, End::Source), (OUTER, FIRST));
        let mut back = udp((FRIEND, 53), (OUTER, FIRST));
        assert!(nat.inward(&mut back));
        assert_eq!(end(&back, End::Destination), (INNER, 4_001));
        assert!(!nat.inward(&mut udp((STRANGER, 53), (OUTER, FIRST))), "not spoken to");
        assert!(!nat.inward(&mut udp((FRIEND, 54), (OUTER, FIRST))), "not at that port");
        assert!(!nat.inward(&mut udp((FRIEND, 53), (OUTER, FIRST + 1))), "no such port");
    }

    #[test]
    fn anyone_comes_in_at_a_port_that_is_forwarded() {
        let mut nat = Nat::new(Kind::Symmetric, OUTER, INNER);
        // UDP is not forwarded: the packet is made one of TCP, whose checksum lies elsewhere.
        let tcp = |from, to| {
            let mut packet = udp(from, to);
            packet[9] = TCP;
            packet.extend([0; 20]);
            packet
        };
        nat.forward(9, Some(4_001));
        let mut comes = tcp((STRANGER, 53), (OUTER, 9));
        assert!(nat.inward(&mut comes) && !nat.inward(&mut udp((STRANGER, 53), (OUTER, 9))));
        assert_eq!(end(&comes, End::Destination), (INNER, 4_001));
        let mut back = tcp((INNER, 4_001), (STRANGER, 53));
        assert!(nat.outward(&mut back));
        assert_eq!(end(&back, End::Source), (OUTER, 9));
        nat.forward(9, None);
        assert!(!nat.inward(&mut tcp((STRANGER, 53), (OUTER, 9))));
    }

    #[test]
    fn each_inner_port_keeps_its_outer_one_and_each_flow_of_a_symmetric_one() {
        for (kind, expect) in [
            (Kind::PortRestricted, [FIRST, FIRST + 1, FIRST]),
            (Kind::Symmetric, [FIRST_SYMMETRIC, FIRST_SYMMETRIC + 1, FIRST_SYMMETRIC + 2]),
        ] {
            let mut nat = Nat::new(kind, OUTER, INNER);
            let mut outer = |port, to| {
                let mut out = udp((INNER, port), (to, 53));
                assert!(nat.outward(&mut out));
                end(&out, End::Source).1
            };
            assert_eq!([outer(1, FRIEND), outer(2, FRIEND), outer(1, STRANGER)], expect);
            assert!(!nat.outward(&mut udp((STRANGER, 1), (FRIEND, 53))), "not its host");
        }
    }
}
