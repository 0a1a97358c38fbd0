//! Whether the gateway lives, and whether the network answers it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use ostrakon::bucket::Buckets;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use crate::{limits, upkeep::Warning};

/// What was found, and when.
type Found = (Instant, Result<(), String>);

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
    /// Why not.
    pub(crate) async fn ready(&self) -> Result<(), String> {
        if self.draining.load(Ordering::Relaxed) {
            return Err("the gateway is shutting down".to_owned());
        }
        if let Some(warning) = self.warning.newest() {
            return Err(warning);
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
