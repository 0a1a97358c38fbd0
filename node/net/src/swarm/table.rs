//! What goes into Kademlia's table: nodes that show themselves where they say, and few of one network.
//!
//! In go what a node announces and how it is connected; out come the addresses to enter. Other nodes are sent to
//! what is in the table, so a node must not get others' addresses in, nor fill it with identities, which cost nothing.
//! Members of the network have their addresses on the ledger, and are not counted. Pure. Not here: the table itself,
//! which is libp2p's.

use std::collections::BTreeSet;

use libp2p::Multiaddr;

use super::dials::{is_plain, is_tcp};
use crate::admission::{Prefix, ip_of};

/// Strangers of one network in one bucket of the table.
pub(super) const OF_NETWORK: usize = 2;

/// Of the announced addresses those at which the node is: at the IP of the other end of its connection. TCP alone where
/// there is any, for Kademlia dials all of them concurrently.
pub(super) fn confirmed(announced: &[Multiaddr], remote: &Multiaddr) -> BTreeSet<Multiaddr> {
    let there = there(announced, remote);
    let has_tcp = there.iter().any(is_tcp);
    there.into_iter().filter(|address| is_tcp(address) || !has_tcp).collect()
}

/// Of the announced addresses those at the IP of the other end of the node's connection.
pub(super) fn there(announced: &[Multiaddr], remote: &Multiaddr) -> BTreeSet<Multiaddr> {
    let ip = ip_of(remote).filter(|_| is_plain(remote));
    let is_there = |address: &&Multiaddr| is_plain(address) && ip.is_some() && ip_of(address) == ip;
    announced.iter().filter(is_there).cloned().collect()
}

/// Whether a stranger of `network` may join a bucket in which strangers of these networks are.
pub(super) fn has_place(network: Prefix, bucket: impl IntoIterator<Item = Prefix>) -> bool {
    bucket.into_iter().filter(|other| *other == network).count() < OF_NETWORK
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().map(|text| text.parse().expect("a multiaddress")).collect()
    }

    #[test]
    fn addresses_of_others_are_not_believed() {
        let check = |announced: &[&str], remote: &str, expect: &[&str]| {
            let remote = remote.parse().expect("a multiaddress");
            let found: Vec<Multiaddr> = confirmed(&addresses(announced), &remote).into_iter().collect();
            assert_eq!(found, addresses(expect), "{announced:?} from {remote}");
        };
        let (own, victim) = ("/ip4/10.0.0.1/tcp/4001", "/ip4/10.9.9.9/tcp/80");
        check(&[own, victim], "/ip4/10.0.0.1/tcp/55555", &[own]);
        check(&[victim], "/ip4/10.0.0.1/tcp/55555", &[]);
        check(&["/ip4/10.0.0.1/udp/1/quic-v1", own], "/ip4/10.0.0.1/udp/5/quic-v1", &[own]);
        check(&["/ip4/10.0.0.1/udp/1/quic-v1", victim], "/ip4/10.0.0.1/tcp/5", &["/ip4/10.0.0.1/udp/1/quic-v1"]);
        let hidden = "/ip4/10.0.0.1/ip4/10.9.9.9/tcp/80";
        check(&[hidden, own], "/ip4/10.0.0.1/tcp/55555", &[own]);
        check(&[own], hidden, &[]);
        let with_id = format!("{own}/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp");
        check(&[own], &with_id, &[own]);
        check(&["/dns/node.example/tcp/4001"], "/ip4/10.0.0.1/tcp/55555", &[]);
    }

    #[test]
    fn a_network_does_not_fill_a_bucket() {
        let network = |third: u8| Prefix::of_ip([10, 0, third, 1].into());
        assert!(has_place(network(1), [network(2), network(2), network(1)]));
        assert!(!has_place(network(1), [network(1), network(2), network(1)]));
    }
}
