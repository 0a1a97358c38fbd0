//! The addresses that the ledger has of this node: those of its configuration; behind NAT the one that its router
//! forwards and those through the relays that serve it, whenever they change.
//!
//! In go offers, what the router grants and what the swarm has found; out come offers with addresses. Not here: relays,
//! which are the swarm's, the router ([`super::mapping`]), and the ledger, which the node tells.

use std::{future::pending, time::Duration};

use ostrakon_net::swarm::SwarmHandle;
use ostrakon_node::register::ProviderOffer;
use ostrakon_proto::limits;
use tokio::{
    sync::watch,
    time::{Instant, interval},
};

use super::mapping::Mapping;

/// How often it is checked where the node is reached.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A second relay comes soon after the first, and a relay that is lost often comes back: each announcement costs a fee.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// What a node announces.
#[derive(Debug)]
pub(super) struct Announced {
    swarm: SwarmHandle,
    is_behind_nat: bool,
    mapping: watch::Sender<Option<Mapping>>,
    offer: Option<ProviderOffer>,
    /// What was announced last.
    addresses: Vec<String>,
}

impl Announced {
    /// Of the node of this swarm, which announces nothing yet.
    pub(super) fn new(swarm: SwarmHandle, is_behind_nat: bool) -> Self {
        Self { swarm, is_behind_nat, mapping: watch::Sender::default(), offer: None, addresses: Vec::new() }
    }

    /// Where it is told what the router does for this node.
    pub(super) fn mapping(&self) -> watch::Sender<Option<Mapping>> {
        self.mapping.clone()
    }

    /// The operator offers this: what the ledger is to have of it now.
    pub(super) fn offer(&mut self, offer: Option<ProviderOffer>) -> Option<ProviderOffer> {
        self.offer = offer;
        if !self.is_behind_nat {
            self.swarm.announce(self.offer.as_ref().map(|offer| &offer.addresses[..]).unwrap_or_default());
            return self.offer.clone();
        }
        self.current()
    }

    /// The offer with new addresses, once they have settled; does not return for a node that is not behind NAT.
    /// Cancel-safe.
    pub(super) async fn moved(&mut self) -> Option<ProviderOffer> {
        if !self.is_behind_nat {
            return pending().await;
        }
        let (mut ticks, mut since) = (interval(LOOK_EVERY), (Vec::new(), Instant::now()));
        loop {
            ticks.tick().await;
            let mapped = self.mapping.borrow().as_ref().and_then(|mapping| mapping.address.clone());
            let found = chosen(mapped.into_iter().chain(self.swarm.relayed()).collect());
            if found.is_empty() || found == self.addresses {
                continue;
            }
            if since.0 != found {
                since = (found, Instant::now());
            } else if since.1.elapsed() >= SETTLED_AFTER {
                self.addresses = since.0;
                return self.current();
            }
        }
    }

    /// Nothing is offered before others can reach the node.
    fn current(&self) -> Option<ProviderOffer> {
        let offer = self.offer.clone().filter(|_| !self.addresses.is_empty())?;
        Some(ProviderOffer { addresses: self.addresses.clone(), ..offer })
    }
}

/// As many of the addresses as the ledger takes, those through no relay first, then those over QUIC: a direct
/// connection needs that.
fn chosen(mut found: Vec<String>) -> Vec<String> {
    let is_relayed = |address: &String| address.contains("/p2p-circuit");
    found.sort_by_key(|address| (is_relayed(address), !address.contains("/quic-v1/"), address.clone()));
    let mut length = 0;
    let fits = |address: &String| {
        length += address.len();
        length <= limits::ADDRESSES_LENGTH
    };
    found.into_iter().take(limits::ADDRESSES).take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_the_ledger_takes_are_announced() {
        let relay = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";
        let through = |at: &str| format!("{at}/p2p/{relay}/p2p-circuit");
        let (tcp, quic) = (through("/ip4/192.0.2.1/tcp/4001"), through("/ip4/192.0.2.1/udp/4001/quic-v1"));
        let mapped = "/ip4/203.0.113.1/tcp/4001".to_owned();
        let found = vec![tcp.clone(), mapped.clone(), quic.clone()];
        assert_eq!(chosen(found), [mapped, quic, tcp.clone()]);
        let many = chosen(vec![tcp; 20]);
        assert!(many.len() > 2 && many.iter().map(String::len).sum::<usize>() <= limits::ADDRESSES_LENGTH);
    }
}
