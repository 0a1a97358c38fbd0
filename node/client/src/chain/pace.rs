//! Epochs and the calendar. Terms are counted in epochs, and epochs in blocks; in goes a block of the ledger, out come
//! the date at which an epoch begins and the epochs of a duration, both estimated at the pace of the blocks so far.

use std::time::Duration;

use ostrakon_proto::{
    id::{Epoch, Height},
    light::BLOCK_MS,
};

/// Blocks after which their average pace says more than the pace that they are meant to have.
const BLOCKS_MIN: u64 = 32;

/// How fast epochs pass on a network, as of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    height: Height,
    time_ms: u64,
    epoch_blocks: u64,
    block_ms: u64,
}

impl Pace {
    /// The pace between the genesis and a block, at these times in milliseconds of Unix time.
    pub fn new(genesis_ms: u64, (height, time_ms): (Height, u64), epoch_blocks: u64) -> Self {
        let average = time_ms.saturating_sub(genesis_ms).checked_div(height.0).unwrap_or(BLOCK_MS).max(1);
        let block_ms = if height.0 < BLOCKS_MIN { BLOCK_MS } else { average };
        Self { height, time_ms, epoch_blocks: epoch_blocks.max(1), block_ms }
    }

    /// Time of the block that this pace is of, in milliseconds of Unix time.
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// When `epoch` begins, in milliseconds of Unix time.
    pub fn starts_ms(&self, epoch: Epoch) -> u64 {
        let first = epoch.0.saturating_mul(self.epoch_blocks);
        let distance = first.abs_diff(self.height.0).saturating_mul(self.block_ms);
        if first < self.height.0 {
            self.time_ms.saturating_sub(distance)
        } else {
            self.time_ms.saturating_add(distance)
        }
    }

    /// The fewest epochs that last `duration` or longer, at least 1.
    pub fn epochs_in(&self, duration: Duration) -> u64 {
        let wanted = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        wanted.div_ceil(self.epoch_blocks.saturating_mul(self.block_ms)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_have_dates_at_the_pace_of_the_blocks_so_far() {
        // 1,000 blocks in 500 s; 20 blocks an epoch are 10 s.
        let pace = Pace::new(1_000, (Height(1_000), 501_000), 20);
        assert_eq!(pace.starts_ms(Epoch(50)), 501_000);
        assert_eq!(pace.starts_ms(Epoch(51)), 511_000);
        assert_eq!(pace.starts_ms(Epoch(49)), 491_000);
        assert_eq!(pace.starts_ms(Epoch(u64::MAX)), u64::MAX);
        let check = |seconds, epochs| assert_eq!(pace.epochs_in(Duration::from_secs(seconds)), epochs, "{seconds} s");
        check(0, 1);
        check(10, 1);
        check(11, 2);
        check(2_592_000, 259_200);
        assert_eq!(pace.epochs_in(Duration::MAX), u64::MAX.div_ceil(10_000));
    }

    #[test]
    fn a_young_network_has_the_pace_that_it_is_meant_to_have() {
        let pace = Pace::new(0, (Height(3), 900_000_000), 3_600);
        assert_eq!(pace.epochs_in(Duration::from_secs(30 * 86_400)), 720);
        assert_eq!(Pace::new(5, (Height(0), 5), 0).starts_ms(Epoch(2)), 5 + 2 * BLOCK_MS);
    }
}
