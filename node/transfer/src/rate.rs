//! A limit on bytes a second, shared by all that was given a clone of it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use ostrakon_net::lock;
use tokio::time::{Instant, sleep_until};

/// No more than so many bytes a second. Clones share one limit.
#[derive(Clone, Debug)]
pub struct RateLimit {
    bytes_per_second: u64,
    /// When the bytes that were granted so far are gone, at this rate.
    free: Arc<Mutex<Instant>>,
}

impl RateLimit {
    /// So many bytes a second; 0 counts as 1.
    pub fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), free: Arc::new(Mutex::new(Instant::now())) }
    }

    /// The limit, in bytes a second.
    pub fn bytes_per_second(&self) -> u64 {
        self.bytes_per_second
    }

    /// Waits until so many bytes may go. Turns are in the order of calls.
    pub async fn take(&self, bytes: usize) {
        let nanos = u128::try_from(bytes).unwrap_or(u128::MAX).saturating_mul(1_000_000_000);
        let nanos = nanos / u128::from(self.bytes_per_second);
        let turn = {
            let mut free = lock(&self.free);
            let turn = Instant::now().max(*free);
            *free = turn + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX / 4));
            turn
        };
        sleep_until(turn).await;
    }
}

impl From<u64> for RateLimit {
    fn from(bytes_per_second: u64) -> Self {
        Self::new(bytes_per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn clones_share_the_limit() {
        let (limit, start) = (RateLimit::new(1_000), Instant::now());
        let other = limit.clone();
        for _ in 0..5 {
            limit.take(500).await;
            other.take(500).await;
        }
        assert_eq!(start.elapsed().as_millis(), 4_500, "the last 500 bytes go then");
    }
}
