//! Who a request or a connection comes from, as far as shares of this node go.
//!
//! In go a node's id, the address of its connection and the network's members; out comes a [`Source`]. A member of the
//! network, which is registered on the ledger and has a bond, has a share of its own. All others share by the network
//! that they connect from: identities cost nothing, blocks of addresses do.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use libp2p::{Multiaddr, multiaddr::Protocol};
use ostrakon_proto::id::NodeId;

/// A block of addresses that one party usually controls: a /24 of IPv4, a /48 of IPv6.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    bytes: [u8; 6],
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    V4,
    V6,
    /// A node that does not connect by IP: in a simulated network each is its own.
    Node,
}

impl Prefix {
    /// The block of an address. An IPv4 address that is mapped into IPv6 is an IPv4 address.
    pub fn of_ip(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                Self { bytes: [a, b, c, 0, 0, 0], kind: Kind::V4 }
            }
            IpAddr::V6(ip) => Self { bytes: first(ip.octets()), kind: Kind::V6 },
        }
    }

    /// The block of the first address in a multiaddress; `None` when there is none.
    pub fn of_address(address: &Multiaddr) -> Option<Self> {
        ip_of(address).map(Self::of_ip)
    }

    /// A block of its own for a node that does not connect by IP.
    pub fn of_node(node: &NodeId) -> Self {
        Self { bytes: first(*node.bytes()), kind: Kind::Node }
    }
}

/// The IP address that a multiaddress begins with.
pub(crate) fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

fn first<const N: usize>(bytes: [u8; N]) -> [u8; 6] {
    let (first, _) = bytes.split_first_chunk().expect("an address or id is longer than six bytes");
    *first
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, ..] = self.bytes;
        match self.kind {
            Kind::V4 => write!(f, "{a}.{b}.{c}.0/24"),
            Kind::V6 => {
                let mut octets = [0; 16];
                octets[..6].copy_from_slice(&self.bytes);
                write!(f, "{}/48", Ipv6Addr::from(octets))
            }
            Kind::Node => f.write_str("no network"),
        }
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prefix({self})")
    }
}

/// Whether a node is registered on the ledger, as a validator or a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It is, and has a share of its own.
    Member,
    /// It is not, and shares with all who connect from its network.
    Stranger,
}

/// Who uses something up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// The node, authenticated by its connection's handshake.
    pub node: NodeId,
    /// Whether it is a member.
    pub standing: Standing,
    /// With whom it shares: for a member, itself.
    pub prefix: Prefix,
}

impl Source {
    /// A member of the network.
    pub fn member(node: NodeId) -> Self {
        Self { node, standing: Standing::Member, prefix: Prefix::of_node(&node) }
    }

    /// Any other node, which connects from `prefix`.
    pub const fn stranger(node: NodeId, prefix: Prefix) -> Self {
        Self { node, standing: Standing::Stranger, prefix }
    }

    /// Whether it is a member.
    pub fn is_member(&self) -> bool {
        self.standing == Standing::Member
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_addresses() {
        let check = |address: &str, expect: Option<&str>| {
            let address: Multiaddr = address.parse().expect("an address");
            assert_eq!(Prefix::of_address(&address).map(|prefix| prefix.to_string()).as_deref(), expect);
        };
        check("/ip4/192.0.2.77/tcp/4001", Some("192.0.2.0/24"));
        check("/ip6/2001:db8:1:2::7/udp/4001/quic-v1", Some("2001:db8:1::/48"));
        check("/ip6/::ffff:192.0.2.7/tcp/1", Some("192.0.2.0/24"));
        check("/dns4/example.org/tcp/1", None);
        check("/memory/7", None);
        assert_ne!(Prefix::of_node(&NodeId::new([0; 32])), Prefix::of_ip([0, 0, 0, 0].into()));
    }
}
