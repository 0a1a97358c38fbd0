//! How often something may happen, for each of many keys: token buckets that fill with time.
//!
//! In go a key and the time, out comes whether it may happen now. Buckets that are full again are forgotten; when there
//! are still too many, new keys share one. [`Bucket`] is one without a key. Pure, but for the type of the time.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

/// Buckets at most.
const KEYS: usize = 4096;

/// How often: `burst` at a time, `per_second` from then on, both positive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) burst: u32,
    pub(super) per_second: u32,
}

impl Rate {
    /// When a bucket that would be full at `full_at` will be with one token less; `None` when it has none.
    fn take(self, full_at: Instant, now: Instant) -> Option<Instant> {
        let token = Duration::from_secs(1) / self.per_second;
        let full_at = full_at.max(now) + token;
        (full_at <= now + token * self.burst).then_some(full_at)
    }
}

/// One bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    rate: Rate,
    full_at: Instant,
}

impl Bucket {
    /// A full one.
    pub(super) const fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, full_at: now }
    }

    /// Whether it may happen once more.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let full_at = self.rate.take(self.full_at, now);
        self.full_at = full_at.unwrap_or(self.full_at);
        full_at.is_some()
    }
}

/// Buckets of `K`.
#[derive(Debug)]
pub(super) struct RateLimit<K> {
    rate: Rate,
    /// When each bucket will be full again.
    full_at: BTreeMap<Option<K>, Instant>,
}

impl<K: Ord + Copy> RateLimit<K> {
    /// Full ones.
    pub(super) const fn new(rate: Rate) -> Self {
        Self { rate, full_at: BTreeMap::new() }
    }

    /// Whether it may happen once more for `key`.
    pub(super) fn take(&mut self, key: K, now: Instant) -> bool {
        if self.full_at.len() >= KEYS {
            self.full_at.retain(|_, full_at| *full_at > now);
        }
        let known = self.full_at.contains_key(&Some(key));
        let key = (known || self.full_at.len() < KEYS).then_some(key);
        let full_at = self.rate.take(self.full_at.get(&key).copied().unwrap_or(now), now);
        full_at.map(|full_at| self.full_at.insert(key, full_at)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 10, per_second: 2 };

    #[test]
    fn buckets_empty_and_fill() {
        let (mut rate, now) = (RateLimit::new(RATE), Instant::now());
        let mut taken = |key: u32, now| (0..100).filter(|_| rate.take(key, now)).count();
        assert_eq!([taken(1, now), taken(1, now), taken(2, now)], [10, 0, 10]);
        assert_eq!(taken(1, now + Duration::from_secs(3)), 6);
        assert_eq!(taken(1, now + Duration::from_secs(60)), 10);
        let mut alone = Bucket::new(RATE, now);
        let mut taken = |now| (0..100).filter(|_| alone.take(now)).count();
        assert_eq!([taken(now), taken(now + Duration::from_secs(3))], [10, 6]);
    }

    #[test]
    fn many_keys_share_one_bucket() {
        let (mut rate, now) = (RateLimit::new(RATE), Instant::now());
        let first = (0..4096).filter(|key| rate.take(*key, now)).count();
        let rest = (4096..8192).filter(|key| rate.take(*key, now)).count();
        assert_eq!((first, rest, rate.full_at.len()), (4096, 10, KEYS + 1));
        assert!(rate.take(9000, now + Duration::from_secs(1)) && rate.full_at.len() <= 2);
    }
}
