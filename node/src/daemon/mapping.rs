//! The port that a router forwards to this node: asked for when the node starts, again before the lease ends, and given
//! back when the node stops.
//!
//! In go the addresses on which the node listens; out comes the public address, or why there is none. Not here: the
//! router's protocol ([`super::igd`]), announcing the address ([`super::announced`]), and whether others reach the node
//! there ([`super::reachability`]).

use std::time::Duration;

use ostrakon_net::swarm::SwarmHandle;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::igd::{self, LEASE, Mapped, Problem};

/// How often the router is asked again: its public address may change, and it may have forgotten the port.
const EVERY: Duration = Duration::from_secs(20 * 60);
/// How soon after it could not be asked, or refused.
const AGAIN: Duration = Duration::from_secs(2 * 60);
/// How long giving the port back may take, when the node stops.
const GOODBYE: Duration = Duration::from_secs(2);

/// What the router does for this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mapping {
    /// The public address that the router says it forwards to this node.
    pub(super) address: Option<String>,
    /// Why it does not.
    pub(super) problem: Option<String>,
}

impl Mapping {
    fn of(outcome: &Result<Mapped, Problem>) -> Self {
        let (address, problem) = (outcome.as_ref().ok().map(Mapped::address), outcome.as_ref().err());
        Self { address, problem: problem.map(ToString::to_string) }
    }

    /// One line of the status.
    pub(super) fn line(&self) -> String {
        let Self { address, problem } = self;
        let address = address.as_ref().map(|address| format!("{address}, forwarded by the router (UPnP), as it says"));
        let problem = problem.as_ref().map(|problem| format!("no port by UPnP: {problem}"));
        format!("mapped    {}", address.or(problem).unwrap_or_default())
    }

    fn log(&self) {
        match (&self.address, &self.problem) {
            (Some(address), _) => {
                tracing::info!(%address, "the router says that it forwards this address to this node (UPnP)")
            }
            (None, problem) => tracing::warn!(
                problem = problem.as_ref().map(tracing::field::display),
                "no port of the router is mapped by UPnP: others reach this node where it can be reached without"
            ),
        }
    }
}

/// What was granted last, and until when that lasts, as far as is known.
struct Granted {
    mapped: Option<Mapped>,
    until: Instant,
}

impl Granted {
    /// The router was asked again: what is to be told, unless what it granted before still lasts.
    fn take(&mut self, outcome: Result<Mapped, Problem>, now: Instant) -> Option<Mapping> {
        if outcome.is_err() && self.mapped.is_some() && now < self.until {
            return None;
        }
        let mapping = Mapping::of(&outcome);
        (self.mapped, self.until) = (outcome.ok(), now + LEASE);
        Some(mapping)
    }
}

/// Has the router forward a port, and tells the outcome whenever it changes, until `stop`; then gives the port back.
pub(super) async fn keep(swarm: &SwarmHandle, told: watch::Sender<Option<Mapping>>, stop: &CancellationToken) {
    let mut granted = Granted { mapped: None, until: Instant::now() };
    loop {
        // Asked for when a router is found: a swarm that has just started does not have all of them.
        let listening = || swarm.listening();
        let before = granted.mapped.as_ref().map(|mapped| mapped.port);
        let asking = igd::map(igd::SEARCH, &listening, before);
        let Some(outcome) = stop.run_until_cancelled(asking).await else { break };
        let pause = if outcome.is_ok() { EVERY } else { AGAIN };
        let mapping = granted.take(outcome, Instant::now());
        if let Some(mapping) = mapping.filter(|mapping| told.borrow().as_ref() != Some(mapping)) {
            mapping.log();
            told.send_replace(Some(mapping));
        }
        if stop.run_until_cancelled(sleep(pause)).await.is_none() {
            break;
        }
    }
    if let Some(mapped) = granted.mapped {
        let _late = timeout(GOODBYE, mapped.end()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_address_is_withdrawn_when_its_lease_has_ended_and_not_before() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut granted = Granted { mapped: None, until: now };
        let none = || Mapping::of(&Err(Problem::NoRouter));
        let at = |port| Mapped::of_test(port);
        assert_eq!(granted.take(Err(Problem::NoRouter), now), Some(none()));
        assert_eq!(granted.take(Ok(at(1)), now), Some(Mapping::of(&Ok(at(1)))));
        assert_eq!(granted.take(Err(Problem::NoRouter), now + LEASE - second), None);
        assert_eq!(granted.take(Ok(at(2)), now + LEASE - second), Some(Mapping::of(&Ok(at(2)))));
        assert_eq!(granted.take(Err(Problem::NoRouter), now + LEASE), None, "it was granted again");
        assert_eq!(granted.take(Err(Problem::NoRouter), now + 2 * LEASE), Some(none()));
        let lines = [none(), Mapping::of(&Ok(at(1)))].map(|mapping| mapping.line());
        assert!(lines[0].contains("switch UPnP on") && lines[1].contains("/ip4/203.0.114.1/tcp/1,"), "{lines:?}");
    }
}
