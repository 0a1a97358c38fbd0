//! How often something may happen, for each of many keys: token buckets that fill with time.
//!
//! In go a key and the time, out comes whether it may happen now. Buckets that are full again are forgotten; when there
//! are still too many, new keys share one. Pure, but for the type of the time.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

/// Buckets at most.
const KEYS: usize = 4096;

/// Buckets of `K`.
#[derive(Debug)]
pub(super) struct RateLimit<K> {
    burst: u32,
    per_second: u32,
    /// When each bucket will be full again.
    full_at: BTreeMap<Option<K>, Instant>,
}

impl<K: Ord + Copy> RateLimit<K> {
    /// `burst` at a time, `per_second` from then on: both positive.
    pub(super) const fn new(burst: u32, per_second: u32) -> Self {
        Self { burst, per_second, full_at: BTreeMap::new() }
    }

    /// Whether it may happen once more for `key`.
    pub(super) fn take(&mut self, key: K, now: Instant) -> bool {
        if self.full_at.len() >= KEYS {
            self.full_at.retain(|_, full_at| *full_at > now);
        }
        let known = self.full_at.contains_key(&Some(key));
        let key = (known || self.full_at.len() < KEYS).then_some(key);
        let token = Duration::from_secs(1) / self.per_second;
        let full_at = self.full_at.get(&key).copied().unwrap_or(now).max(now) + token;
        let allowed = full_at <= now + token * self.burst;
        if allowed {
            self.full_at.insert(key, full_at);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_empty_and_fill() {
        let (mut rate, now) = (RateLimit::new(10, 2), Instant::now());
        let mut taken = |key: u32, now| (0..100).filter(|_| rate.take(key, now)).count();
        assert_eq!([taken(1, now), taken(1, now), taken(2, now)], [10, 0, 10]);
        assert_eq!(taken(1, now + Duration::from_secs(3)), 6);
        assert_eq!(taken(1, now + Duration::from_secs(60)), 10);
    }

    #[test]
    fn many_keys_share_one_bucket() {
        let (mut rate, now) = (RateLimit::new(10, 2), Instant::now());
        let first = (0..4096).filter(|key| rate.take(*key, now)).count();
        let rest = (4096..8192).filter(|key| rate.take(*key, now)).count();
        assert_eq!((first, rest, rate.full_at.len()), (4096, 10, KEYS + 1));
        assert!(rate.take(9000, now + Duration::from_secs(1)) && rate.full_at.len() <= 2);
    }
}
