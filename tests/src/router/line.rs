//! What a link does to a packet: it takes time, keeps a rate, has a queue, and loses some. Pure: time and a seed come
//! in, the moment of each packet's arrival comes out.

use std::time::Duration;

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use tokio::time::Instant;

/// How a link is, in each of its two directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// How long a packet is on its way through it: between two places, the links of both count.
    pub delay: Duration,
    /// How much longer at most, at random for each packet; packets stay in order.
    pub jitter: Duration,
    /// Of a million packets, so many are lost at random.
    pub loss_ppm: u32,
    /// Bits a second; without bound when zero.
    pub rate_bits: u64,
    /// Bytes that wait for the rate at most; what comes then is lost.
    pub queue_bytes: u64,
    /// Whether anything passes.
    pub is_up: bool,
}

impl Default for Link {
    fn default() -> Self {
        let (delay, jitter) = (Duration::ZERO, Duration::ZERO);
        Self { delay, jitter, loss_ppm: 0, rate_bits: 0, queue_bytes: 4 << 20, is_up: true }
    }
}

/// One direction of a link, as packets pass.
#[derive(Clone, Debug)]
pub struct LineState {
    random: ChaCha8Rng,
    /// When the last packet has left the queue.
    free: Option<Instant>,
    /// When the last packet arrives.
    last: Option<Instant>,
}

impl LineState {
    /// A direction in which nothing has passed; what is lost follows from the seed.
    pub fn seeded(seed: u64) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed), free: None, last: None }
    }

    /// A packet of `len` bytes enters now: when it arrives, unless it is lost.
    pub fn pass(&mut self, link: &Link, len: usize, now: Instant) -> Option<Instant> {
        // Drawn for every packet, so that the same ones are lost whatever the others do.
        let (luck, late) = (self.random.next_u64() % 1_000_000, self.random.next_u64());
        if !link.is_up || luck < u64::from(link.loss_ppm) {
            return None;
        }
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        let begins = self.free.map_or(now, |free| free.max(now));
        let leaves = match link.rate_bits {
            0 => now,
            rate => {
                let waiting = nanos_to_bytes(begins.duration_since(now), rate);
                if waiting.saturating_add(len) > link.queue_bytes {
                    return None;
                }
                begins + Duration::from_nanos(len.saturating_mul(8_000_000_000) / rate)
            }
        };
        self.free = Some(leaves);
        let jitter_nanos = u64::try_from(link.jitter.as_nanos()).unwrap_or(u64::MAX);
        let jitter = Duration::from_nanos(if jitter_nanos == 0 { 0 } else { late % jitter_nanos });
        let arrives = leaves + link.delay + jitter;
        let arrives = self.last.map_or(arrives, |last| last.max(arrives));
        self.last = Some(arrives);
        Some(arrives)
    }
}

fn nanos_to_bytes(time: Duration, rate_bits: u64) -> u64 {
    let bytes = time.as_nanos() * u128::from(rate_bits) / 8_000_000_000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// When each of `count` packets of `len` bytes that enter now arrives, in milliseconds.
    fn arrivals(link: Link, len: usize, count: usize) -> Vec<Option<u128>> {
        let (mut line, now) = (LineState::seeded(1), Instant::now());
        (0..count).map(|_| Some(line.pass(&link, len, now)?.duration_since(now).as_millis())).collect()
    }

    #[test]
    fn packets_take_the_delay_and_keep_the_rate() {
        let link = Link { delay: 50 * MS, ..Link::default() };
        assert_eq!(arrivals(link, 1_500, 3), [Some(50); 3]);
        // 1,250 bytes are 10,000 bits: at 1 Mbit/s, 10 ms.
        let link = Link { rate_bits: 1_000_000, ..link };
        assert_eq!(arrivals(link, 1_250, 3), [Some(60), Some(70), Some(80)]);
    }

    #[test]
    fn the_queue_is_bounded_and_empties() {
        let link = Link { rate_bits: 1_000_000, queue_bytes: 2_500, ..Link::default() };
        assert_eq!(arrivals(link, 1_250, 4), [Some(10), Some(20), None, None]);
        let (mut line, now) = (LineState::seeded(1), Instant::now());
        while line.pass(&link, 1_250, now).is_some() {}
        assert!(line.pass(&link, 1_250, now + 10 * MS).is_some(), "one has left");
    }

    #[test]
    fn a_link_that_is_down_passes_nothing() {
        assert_eq!(arrivals(Link { is_up: false, ..Link::default() }, 100, 2), [None, None]);
    }

    #[test]
    fn losses_follow_from_the_seed() {
        let link = Link { loss_ppm: 100_000, ..Link::default() };
        let lost = |all: &[Option<u128>]| all.iter().filter(|arrival| arrival.is_none()).count();
        let (one, two) = (arrivals(link, 100, 10_000), arrivals(link, 100, 10_000));
        assert_eq!(one, two);
        assert!((800..1_200).contains(&lost(&one)), "{} of 10,000", lost(&one));
    }

    #[test]
    fn jitter_keeps_the_order() {
        let link = Link { delay: 10 * MS, jitter: 20 * MS, ..Link::default() };
        let all: Vec<u128> = arrivals(link, 100, 1_000).into_iter().flatten().collect();
        assert!(all.is_sorted() && all[0] >= 10 && all[999] <= 30 && all[0] < all[999]);
    }
}
