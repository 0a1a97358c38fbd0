//! Whether the gateway lives, and whether the network answers it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use ostrakon::bucket::Buckets;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use crate::{limits, upkeep::Warning};

/// What was found, and when.
type Found = (Instant, Result<(), String>);

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A program on the gateway's machine.
    Local,
    /// Any other.
    Stranger,
}

impl Asker {
    /// Who asks from this address.
    pub(crate) fn at(address: SocketAddr) -> Self {
        if address.ip().to_canonical().is_loopback() { Self::Local } else { Self::Stranger }
    }
}

/// Finds out, and remembers for a while: strangers may ask.
#[derive(Clone)]
pub(crate) struct Health {
    buckets: Buckets,
    draining: Arc<AtomicBool>,
    warning: Warning,
    last: Arc<Mutex<Option<Found>>>,
}

impl Health {
    /// Nothing is known.
    pub(crate) fn new(buckets: Buckets) -> Self {
        Self { buckets, draining: Arc::default(), warning: Warning::default(), last: Arc::default() }
    }

    /// From now on it is not ready: it is about to end.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// What keeps buckets says here what is wrong with them.
    pub(crate) fn warning(&self) -> Warning {
        self.warning.clone()
    }

    /// Whether requests can be answered, and buckets will stay.
    ///
    /// # Errors
    /// Why not, with the names of buckets for who asks on this machine alone.
    pub(crate) async fn ready(&self, asker: Asker) -> Result<(), String> {
        if self.draining.load(Ordering::Relaxed) {
            return Err("the gateway is shutting down".to_owned());
        }
        if let Some(problems) = self.warning.newest() {
            return Err(match asker {
                Asker::Local => problems.in_full(),
                Asker::Stranger => problems.summary(),
            });
        }
        let mut last = self.last.lock().await;
        if let Some((when, ready)) = last.as_ref()
            && when.elapsed() < limits::READY_CACHE
        {
            return ready.clone();
        }
        let ready = match timeout(limits::READY_TIME, self.buckets.list()).await {
            Ok(listed) => listed.map(drop).map_err(|error| error.to_string()),
            Err(_) => Err(format!("the network did not answer in {} seconds", limits::READY_TIME.as_secs())),
        };
        *last = Some((Instant::now(), ready.clone()));
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_on_this_machine_is_no_stranger() {
        let of = |address: &str| Asker::at(address.parse().expect("an address"));
        for local in ["127.0.0.1:1", "127.8.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(of(local), Asker::Local, "{local}");
        }
        for other in ["192.0.2.1:1", "[2001:db8::1]:1", "[::ffff:192.0.2.1]:1"] {
            assert_eq!(of(other), Asker::Stranger, "{other}");
        }
    }
}
