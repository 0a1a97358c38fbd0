//! Whether others reach this node where the ledger has it: some of them are asked to connect back, soon after the start
//! and after each change, and every hour.
//!
//! What a node finds by itself ([`super::reach`]) says nothing of a firewall before it. Not here: connecting back,
//! which is the network's.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use ostrakon_net::{address, ask, swarm::SwarmHandle};
use ostrakon_node::chain::Chain;
use ostrakon_proto::{id::NodeId, wire::chain::dial_back};
use serde::{Deserialize, Serialize};
use tokio::{
    net::lookup_host,
    sync::watch,
    time::{Instant, sleep},
};

/// How often it is checked whether the addresses have changed.
const LOOK: Duration = Duration::from_secs(5);
/// How often others are asked about an address; the first times more often, while nobody can be.
const EVERY: Duration = Duration::from_secs(3600);
/// Nodes that are asked about an address, and those that may refuse to answer.
const ASKED: usize = 3;
const REFUSED: usize = 3;
/// Characters of a reason that are shown.
const REASON: usize = 200;

/// Whether the node is reached at an address that it announces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reachability {
    /// The address.
    pub(super) address: String,
    /// Nodes that tried to connect.
    pub(super) asked: usize,
    /// Those that could.
    pub(super) reached: usize,
    /// Why the last one could not.
    pub(super) problem: Option<String>,
}

impl Reachability {
    /// One line of the status.
    pub(super) fn line(&self) -> String {
        let Self { address, asked, reached, problem } = self;
        let problem = problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
        format!("reached   at {address} by {reached} of {asked} nodes that tried{problem}")
    }

    /// Tells the operator when nobody reaches the node there.
    fn warn(&self) {
        if self.asked > 0 && self.reached == 0 {
            tracing::warn!(
                address = %self.address, asked = self.asked, problem = ?self.problem,
                "other nodes cannot connect to an address that this node announces: let its port through in the \
                 router and the firewall, announce the right address, or set `behind_nat = true`; if it is the one \
                 that the router gave by UPnP, the router may be behind another"
            );
        }
    }
}

/// Asks, and tells the outcome. Never returns.
pub(super) async fn keep(swarm: &SwarmHandle, (chain, own): (&Chain, NodeId), told: watch::Sender<Vec<Reachability>>) {
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    loop {
        // By the first time it is connected with others.
        sleep(LOOK).await;
        let announced = chain.read(move |records| records.provider(&own)).await;
        let announced = announced.map(|provider| provider.addresses).unwrap_or_default();
        known.retain(|address, _| announced.contains(address));
        // Others cannot tell where a relay leads.
        for text in announced.into_iter().filter(|text| address::endpoint(text).is_ok()) {
            let last = known.get(&text);
            if last.is_none_or(|last| last.at.elapsed() >= last.pause) {
                let status = look(swarm, chain, &text).await;
                let pause = last.map_or(LOOK, |last| 2 * last.pause).min(EVERY);
                let pause = if status.asked > 0 { EVERY } else { pause };
                status.warn();
                known.insert(text, Known { status, at: Instant::now(), pause });
            }
        }
        told.send_replace(known.values().map(|known| known.status.clone()).collect());
    }
}

/// What is known of an address, when it was found, and for how long it counts.
struct Known {
    status: Reachability,
    at: Instant,
    pause: Duration,
}

/// Asks about one address.
async fn look(swarm: &SwarmHandle, chain: &Chain, text: &str) -> Reachability {
    let mut status = Reachability { address: text.to_owned(), asked: 0, reached: 0, problem: None };
    let connected = swarm.connected();
    let members = chain.read(move |records| {
        let is_member = |node: &NodeId| records.provider(node).is_some();
        connected.into_iter().filter(is_member).collect::<Vec<_>>()
    });
    let members = members.await;
    let mut refused = 0;
    for place in places(text).await {
        for node in &members {
            if status.asked >= ASKED || refused >= REFUSED {
                return status;
            }
            match ask(swarm, *node, dial_back(place.clone())).await {
                Ok(Ok(())) => (status.asked, status.reached) = (status.asked + 1, status.reached + 1),
                Ok(Err(reason)) => {
                    let reason = reason.chars().take(REASON).collect();
                    (status.asked, status.problem) = (status.asked + 1, Some(reason));
                }
                // It is not for this one to say: it sees the node elsewhere, is busy, or gone.
                Err(error) => {
                    refused += 1;
                    tracing::debug!(%error, address = text, "a node does not connect back");
                }
            }
        }
    }
    status
}

/// The address, with what its name resolves to.
async fn places(text: &str) -> Vec<String> {
    let Ok(endpoint) = address::endpoint(text) else { return Vec::new() };
    let Ok(found) = lookup_host((endpoint.host(), endpoint.port)).await else { return Vec::new() };
    let ips = found.map(|at| at.ip()).filter(|ip: &IpAddr| endpoint.allows(ip));
    ips.map(|ip| endpoint.at(ip).to_string()).collect()
}
