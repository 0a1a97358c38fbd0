//! Names in addresses, which the system's resolver turns into IP addresses whenever the node is dialed.
//!
//! In go addresses of the book that have a name, out come the same with the IP addresses that it has now. Everything
//! behind this sees IP addresses alone: limits by network, Kademlia's table, the transports. Names that strangers tell
//! are never resolved. Not here: when a node is dialed ([`super::dials`]).

use std::{
    iter,
    net::{IpAddr, ToSocketAddrs},
    sync::Arc,
    thread,
    time::Duration,
};

use futures::{FutureExt, StreamExt, future, future::BoxFuture, stream::FuturesUnordered};
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time,
};

/// Names that are resolved concurrently: each takes a thread for as long as the system's resolver likes.
const LOOKUPS: usize = 16;
/// A name that is not resolved by then has failed.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The IP addresses of a node's names.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub(super) addresses: Vec<Multiaddr>,
    /// What happened to the names that have none.
    pub(super) failures: Vec<String>,
}

/// Names that are being resolved.
#[derive(Debug)]
pub(super) struct Names {
    lookups: FuturesUnordered<BoxFuture<'static, (PeerId, Resolved)>>,
    threads: Arc<Semaphore>,
}

impl Default for Names {
    fn default() -> Self {
        Self { lookups: FuturesUnordered::new(), threads: Arc::new(Semaphore::new(LOOKUPS)) }
    }
}

impl Names {
    /// Begins to resolve the names of a node.
    pub(super) fn resolve(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        let threads = Arc::clone(&self.threads);
        let each = addresses.into_iter().map(move |address| lookup(address, Arc::clone(&threads)));
        let all = future::join_all(each).map(move |found| {
            let mut resolved = Resolved::default();
            for outcome in found {
                match outcome {
                    Ok(addresses) => resolved.addresses.extend(addresses),
                    Err(failure) => resolved.failures.push(failure),
                }
            }
            (peer, resolved)
        });
        self.lookups.push(all.boxed());
    }

    /// The next node whose names are resolved; waits while there is none. Cancel-safe.
    pub(super) async fn next(&mut self) -> (PeerId, Resolved) {
        match self.lookups.next().await {
            Some(resolved) => resolved,
            None => future::pending().await,
        }
    }
}

/// Whether the address has a name.
pub(super) fn is_named(address: &Multiaddr) -> bool {
    name_of(address).is_some()
}

/// Which IP addresses of a name count.
type Version = fn(&IpAddr) -> bool;

/// The name at the beginning of an address, and the version of IP that it is for.
fn name_of(address: &Multiaddr) -> Option<(String, Version)> {
    match address.iter().next()? {
        Protocol::Dns(name) => Some((name.into_owned(), |_| true)),
        Protocol::Dns4(name) => Some((name.into_owned(), IpAddr::is_ipv4)),
        Protocol::Dns6(name) => Some((name.into_owned(), IpAddr::is_ipv6)),
        _ => None,
    }
}

/// The address with each IP address of its name.
async fn lookup(address: Multiaddr, threads: Arc<Semaphore>) -> Result<Vec<Multiaddr>, String> {
    let Some((name, version)) = name_of(&address) else { return Ok(vec![address]) };
    let failed = |reason: String| format!("{address}: cannot resolve {name}: {reason}");
    let found = async {
        let thread = threads.acquire_owned().await.map_err(|error| error.to_string())?;
        ask_system(name.clone(), thread).await
    };
    let late = || Err(format!("no answer within {} s", TIMEOUT.as_secs()));
    let found = time::timeout(TIMEOUT, found).await.unwrap_or_else(|_| late()).map_err(failed)?;
    let ips: Vec<IpAddr> = found.into_iter().filter(version).collect();
    let with = |ip: IpAddr| iter::once(Protocol::from(ip)).chain(address.iter().skip(1)).collect();
    if ips.is_empty() {
        Err(failed("it has no such IP address".to_owned()))
    } else {
        Ok(ips.into_iter().map(with).collect())
    }
}

/// Asks the system's resolver, on a thread that nobody joins: the resolver cannot be cancelled, and a runtime that ends
/// would wait for its own blocking threads.
async fn ask_system(name: String, turn: OwnedSemaphorePermit) -> Result<Vec<IpAddr>, String> {
    let (answer, answered) = oneshot::channel();
    let ask = move || {
        let _turn = turn;
        let found = (name.as_str(), 0).to_socket_addrs();
        let _gone = answer.send(found.map(|found| found.map(|address| address.ip()).collect()));
    };
    let begun = thread::Builder::new().name("ostrakon-resolver".to_owned()).spawn(ask);
    begun.map_err(|error| error.to_string())?;
    let found: Result<Vec<IpAddr>, std::io::Error> = answered.await.map_err(|error| error.to_string())?;
    found.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn resolve(texts: &[&str]) -> Resolved {
        let (mut names, peer) = (Names::default(), PeerId::random());
        names.resolve(peer, texts.iter().map(|text| text.parse().expect("an address")).collect());
        let (of, resolved) = names.next().await;
        assert_eq!(of, peer);
        resolved
    }

    #[tokio::test]
    async fn a_name_becomes_its_ip_addresses_and_the_rest_stays() {
        let found = resolve(&["/dns4/localhost/tcp/4001", "/dns/localhost/udp/4002/quic-v1"]).await;
        let texts: Vec<String> = found.addresses.iter().map(ToString::to_string).collect();
        assert!(texts.contains(&"/ip4/127.0.0.1/tcp/4001".to_owned()), "{texts:?}");
        assert!(texts.iter().any(|text| text.ends_with("/udp/4002/quic-v1")), "{texts:?}");
        assert!(found.failures.is_empty() && !found.addresses.iter().any(is_named), "{found:?}");
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_is_named_in_the_failure() {
        let Resolved { addresses, failures } = resolve(&["/dns4/nowhere.invalid/tcp/4001"]).await;
        assert!(addresses.is_empty() && failures.len() == 1, "{addresses:?}");
        assert!(failures[0].contains("cannot resolve nowhere.invalid"), "{failures:?}");
    }

    #[tokio::test]
    async fn nothing_is_next_while_nothing_is_resolved() {
        assert!(Names::default().next().now_or_never().is_none());
    }
}
