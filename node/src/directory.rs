//! Addresses of the other nodes: read from the ledger at the start, at each new epoch and when the validators change,
//! and passed to the network.

use std::{collections::BTreeMap, sync::Arc};

use ostrakon_net::Peers;
use ostrakon_proto::{
    id::NodeId,
    ledger::{Genesis, state::Records},
};
use tokio_util::sync::CancellationToken;

use crate::chain::Chain;

/// Addresses by node.
type Listed = BTreeMap<NodeId, Vec<String>>;

/// Passes the addresses that the genesis lists to `peers`: the only ones known before the first block.
pub fn learn_genesis(peers: &dyn Peers, genesis: &Genesis) {
    let validators = genesis.validators.iter().map(|validator| (validator.node, validator.addresses.clone()));
    let providers = genesis.providers.iter().map(|provider| (provider.node, provider.addresses.clone()));
    tell(peers, &merge(validators.chain(providers)), &Listed::new());
}

/// Passes the addresses that the ledger lists to `peers`, as they change, until `stop`.
pub async fn run(chain: Chain, peers: Arc<dyn Peers>, stop: CancellationToken) {
    let (mut heads, mut told) = (chain.subscribe(), Listed::new());
    loop {
        let (epoch, deciding) = (heads.see().epoch, chain.validators());
        let listed = chain.read(listed).await;
        tell(&*peers, &listed, &told);
        told = listed;
        let turned = heads.until(|head| head.epoch != epoch || chain.validators() != deciding);
        if stop.run_until_cancelled(turned).await.is_none() {
            return;
        }
    }
}

/// The addresses of providers, and of validators until they have left.
fn listed(records: &dyn Records) -> Listed {
    let validators = records.validators().into_iter().filter(|validator| validator.votes());
    let providers = records.providers().into_iter().map(|provider| (provider.node, provider.addresses));
    merge(validators.map(|validator| (validator.node, validator.addresses)).chain(providers))
}

/// A node that is both has the addresses of both.
fn merge(all: impl Iterator<Item = (NodeId, Vec<String>)>) -> Listed {
    let mut listed = Listed::new();
    for (node, addresses) in all {
        let known = listed.entry(node).or_default();
        known.extend(addresses);
        known.sort_unstable();
        known.dedup();
    }
    listed
}

/// Passes those of `listed` that differ from `told`; all of `listed` are members of the network.
fn tell(peers: &dyn Peers, listed: &Listed, told: &Listed) {
    peers.recognise(listed.keys().copied().collect());
    for (node, addresses) in listed.iter().filter(|(node, _)| **node != peers.local()) {
        if told.get(node) != Some(addresses) {
            peers.learn(*node, addresses);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_the_addresses_of_all_it_is() {
        let (both, other) = (NodeId::new([1; 32]), NodeId::new([2; 32]));
        let listing = |node, addresses: &[&str]| (node, addresses.iter().map(ToString::to_string).collect());
        let merged = merge([listing(both, &["/b", "/a"]), listing(other, &["/c"]), listing(both, &["/a"])].into_iter());
        assert_eq!(merged, BTreeMap::from([listing(both, &["/a", "/b"]), listing(other, &["/c"])]));
    }
}
