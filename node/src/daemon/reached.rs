//! Whether others reach this node where the ledger has it: some of them are asked to connect back, soon after the start
//! and after each change, and every hour.
//!
//! What a node finds by itself ([`super::reach`]) says nothing of a firewall before it. Not here: connecting back,
//! which is the network's.

use std::{net::IpAddr, time::Duration};

use ostrakon_net::{address, ask, swarm::SwarmHandle};
use ostrakon_node::chain::Chain;
use ostrakon_proto::{id::NodeId, wire::chain::dial_back};
use serde::{Deserialize, Serialize};
use tokio::{
    net::lookup_host,
    sync::watch,
    time::{Instant, sleep},
};

/// How often it is checked whether the addresses have changed, or nobody could be asked about one.
const LOOK: Duration = Duration::from_secs(5);
/// How often others are asked.
const EVERY: Duration = Duration::from_secs(3600);
/// Nodes that are asked about an address.
const ASKED: usize = 3;
/// Characters of a reason that are shown.
const REASON: usize = 200;

/// Whether the node is reached at an address that it announces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReachedStatus {
    /// The address.
    pub(super) address: String,
    /// Nodes that tried to connect.
    pub(super) asked: usize,
    /// Those that could.
    pub(super) reached: usize,
    /// Why the last one could not.
    pub(super) problem: Option<String>,
}

impl ReachedStatus {
    /// One line of the status.
    pub(super) fn line(&self) -> String {
        let Self { address, asked, reached, problem } = self;
        let problem = problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
        format!("reached   at {address} by {reached} of {asked} nodes that tried{problem}")
    }
}

/// Asks, and tells the outcome. Never returns.
pub(super) async fn keep(swarm: &SwarmHandle, (chain, own): (&Chain, NodeId), told: watch::Sender<Vec<ReachedStatus>>) {
    let mut known = (Vec::new(), Instant::now());
    loop {
        // By the first time it is connected with others.
        sleep(LOOK).await;
        let announced = chain.read(move |records| records.provider(&own)).await;
        let announced = announced.map(|provider| provider.addresses).unwrap_or_default();
        if announced == known.0 && known.1.elapsed() < EVERY {
            continue;
        }
        let mut found = Vec::new();
        // Others cannot tell where a relay leads.
        for text in announced.iter().filter(|text| address::endpoint(text).is_ok()) {
            found.push(look(swarm, chain, text).await);
        }
        for status in found.iter().filter(|status| status.asked > 0 && status.reached == 0) {
            tracing::warn!(
                address = %status.address, asked = status.asked, problem = ?status.problem,
                "other nodes cannot connect to an address that this node announces: let its port through in the \
                 router and the firewall, announce the right address, or set `behind_nat = true`"
            );
        }
        if found.iter().all(|status| status.asked > 0) {
            known = (announced, Instant::now());
        }
        told.send_replace(found);
    }
}

/// Asks about one address.
async fn look(swarm: &SwarmHandle, chain: &Chain, text: &str) -> ReachedStatus {
    let mut status = ReachedStatus { address: text.to_owned(), asked: 0, reached: 0, problem: None };
    let connected = swarm.connected();
    let members = chain.read(move |records| {
        let is_member = |node: &NodeId| records.provider(node).is_some();
        connected.into_iter().filter(is_member).collect::<Vec<_>>()
    });
    let members = members.await;
    for place in places(text).await {
        for node in &members {
            if status.asked >= ASKED {
                return status;
            }
            match ask(swarm, *node, dial_back(place.clone())).await {
                Ok(Ok(())) => (status.asked, status.reached) = (status.asked + 1, status.reached + 1),
                Ok(Err(reason)) => {
                    let reason = reason.chars().take(REASON).collect();
                    (status.asked, status.problem) = (status.asked + 1, Some(reason));
                }
                // It is not for this one to say: it sees the node elsewhere, is busy, or gone.
                Err(error) => tracing::debug!(%error, address = text, "a node was not asked to connect back"),
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
