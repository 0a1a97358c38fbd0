//! Where the other nodes are reached: told to the network at the start and at each new epoch, from the ledger alone.

use std::{collections::BTreeMap, sync::Arc};

use ostrakon_net::Peers;
use ostrakon_proto::{id::NodeId, ledger::Genesis};
use tokio_util::sync::CancellationToken;

use crate::chain::Chain;

/// Tells `peers` the addresses that the genesis lists: all that is known before the first block.
pub fn learn_genesis(peers: &dyn Peers, genesis: &Genesis) {
    for provider in genesis.providers.iter().filter(|provider| provider.node != peers.local()) {
        peers.learn(provider.node, &provider.addresses);
    }
}

/// Tells `peers` the addresses that the ledger lists, as they change, until `stop`.
pub async fn run(chain: Chain, peers: Arc<dyn Peers>, stop: CancellationToken) {
    let (mut heads, mut told) = (chain.subscribe(), BTreeMap::new());
    loop {
        let epoch = heads.see().epoch;
        let providers = chain.read(|records| records.providers()).await;
        let listed: BTreeMap<NodeId, Vec<String>> =
            providers.into_iter().map(|provider| (provider.node, provider.addresses)).collect();
        for (node, addresses) in listed.iter().filter(|(node, _)| **node != peers.local()) {
            if told.get(node) != Some(addresses) {
                peers.learn(*node, addresses);
            }
        }
        told = listed;
        let turned = heads.until(|head| head.epoch != epoch);
        if stop.run_until_cancelled(turned).await.is_none() {
            return;
        }
    }
}
