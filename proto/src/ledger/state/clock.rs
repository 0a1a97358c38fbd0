//! The epoch in progress, and when the next one begins: epochs are time, blocks are order (ARCHITECTURE 5.3).
//!
//! In go the times of blocks; out comes the epoch that each is in. An epoch lasts at least as long as the parameters
//! say, and until enough of its blocks came late enough to have room for proofs. So no load and no hurried proposer
//! makes epochs pass faster, at most one begins with a block, and a chain that stood still for days has lived one long
//! epoch.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

use crate::{
    id::{Epoch, Height},
    params::Timing,
};

/// The epoch of the last block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct EpochClock {
    /// Its number.
    pub epoch: Epoch,
    /// Time of its first block, in milliseconds of Unix time; of epoch 0, that of the genesis.
    pub start_ms: u64,
    /// Height of its first block; of epoch 0, of the first after the genesis.
    pub first: Height,
    /// Whether its beacon is complete.
    pub has_beacon: bool,
    /// Its blocks so far that came after both its middle and its beacon.
    pub window: u64,
    /// A bit for each of the last epochs, the lowest for the one before: whether all who missed it are excused.
    #[serde(skip)]
    pub excused: u64,
}

impl EpochClock {
    /// The clock of a network that begins at this time.
    pub const fn genesis(time_ms: u64) -> Self {
        Self { epoch: Epoch(0), start_ms: time_ms, first: Height(1), has_beacon: false, window: 0, excused: 0 }
    }

    /// The clock of the next block, where that has this height and time.
    #[must_use]
    pub fn tick(&self, height: Height, time_ms: u64, timing: &Timing) -> Self {
        let age = time_ms.saturating_sub(self.start_ms);
        if age >= timing.epoch_ms && self.window >= timing.window_blocks {
            let epoch = self.epoch.after(1);
            let excused = self.excused << 1;
            return Self { epoch, start_ms: time_ms, first: height, has_beacon: false, window: 0, excused };
        }
        let counts = self.has_beacon && age >= timing.epoch_ms / 2;
        Self { window: self.window.saturating_add(u64::from(counts)), ..*self }
    }

    /// Whether the beacon is complete with the signature of the block at `height`, and was not before.
    pub const fn completes_beacon(&self, height: Height, timing: &Timing) -> bool {
        height.0.saturating_add(1) == self.first.0.saturating_add(timing.beacon_blocks)
    }

    /// How many of the epochs from `first` to `last`, all before the one in progress, are excused.
    pub fn excused_of(&self, first: Epoch, last: Epoch) -> u32 {
        let bit =
            |epoch: u64| self.epoch.0.checked_sub(epoch.saturating_add(1)).and_then(|ago| u32::try_from(ago).ok());
        // Of those that are longer ago than there are bits, none is.
        let (Some(newest), Some(oldest)) = (bit(last.0), bit(first.0.max(self.epoch.0.saturating_sub(64)))) else {
            return 0;
        };
        (newest..=oldest).map(|ago| u32::from(self.excused.checked_shr(ago).unwrap_or(0) & 1 == 1)).sum()
    }

    /// The newest epoch whose beacon is complete; `None` in epoch 0 while its own is not.
    pub fn drawable(&self) -> Option<Epoch> {
        let before = u64::from(!self.has_beacon);
        self.epoch.0.checked_sub(before).map(Epoch)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: u64 = 1_700_000_000_000;

    fn timing() -> Timing {
        Timing { epoch_ms: 10_000, window_blocks: 3, beacon_blocks: 2, ..Timing::default() }
    }

    /// A clock, and the height of its last block.
    #[derive(Clone, Copy, Debug)]
    struct Chain {
        clock: EpochClock,
        height: u64,
        time_ms: u64,
    }

    impl Chain {
        fn new() -> Self {
            Self { clock: EpochClock::genesis(START), height: 0, time_ms: START }
        }

        fn block_after(&mut self, ms: u64) -> EpochClock {
            self.height += 1;
            self.time_ms += ms;
            let (height, timing) = (Height(self.height), timing());
            self.clock = self.clock.tick(height, self.time_ms, &timing);
            self.clock.has_beacon |= self.clock.completes_beacon(height, &timing);
            self.clock
        }
    }

    #[test]
    fn an_epoch_begins_with_the_first_block_at_its_time() {
        let mut chain = Chain::new();
        let epochs: Vec<u64> = (0..25).map(|_| chain.block_after(1_000).epoch.0).collect();
        let expect: Vec<u64> = (1..=25).map(|second| second / 10).collect();
        assert_eq!(epochs, expect);
        assert_eq!((chain.clock.start_ms, chain.clock.first), (START + 20_000, Height(20)));
    }

    #[test]
    fn a_beacon_takes_its_blocks_and_draws_come_from_the_epoch_before() {
        let mut chain = Chain::new();
        assert_eq!(chain.clock.drawable(), None);
        let drawable: Vec<Option<u64>> =
            (0..12).map(|_| chain.block_after(1_000).drawable().map(|epoch| epoch.0)).collect();
        let expect = [None, Some(0), Some(0), Some(0), Some(0), Some(0), Some(0), Some(0), Some(0), Some(0)];
        assert_eq!(drawable, [&expect[..], &[Some(1), Some(1)]].concat());
    }

    #[test]
    fn excused_epochs_are_counted_and_forgotten() {
        let clock = EpochClock { epoch: Epoch(100), excused: 0b1011, ..EpochClock::genesis(START) };
        let check = |first, last| clock.excused_of(Epoch(first), Epoch(last));
        assert_eq!([check(99, 99), check(98, 98), check(97, 97), check(96, 96), check(95, 95)], [1, 1, 0, 1, 0]);
        assert_eq!([check(96, 99), check(0, 99), check(0, 3), check(0, 97)], [3, 3, 0, 1]);
        let young = EpochClock { epoch: Epoch(1), excused: 1, ..EpochClock::genesis(START) };
        assert_eq!(young.excused_of(Epoch(0), Epoch(0)), 1);
        let mut chain = Chain { clock: EpochClock { excused: 0b101, ..EpochClock::genesis(START) }, ..Chain::new() };
        (0..10).for_each(|_| _ = chain.block_after(1_000));
        assert_eq!((chain.clock.epoch, chain.clock.excused), (Epoch(1), 0b1010), "the one that ended is not");
    }

    #[test]
    fn an_epoch_waits_for_blocks_after_its_middle_and_its_beacon() {
        let mut chain = Chain::new();
        let steps = [
            ("the only block of the first half", 4_000, 0, 0),
            ("after the middle, with the beacon's last signature", 1_500, 0, 0),
            ("the first of the window", 1_000, 0, 1),
            ("past the epoch's end", 6_000, 0, 2),
            ("a week later", 7 * 86_400_000, 0, 3),
            ("now the next may begin", 1, 1, 0),
        ];
        for (desc, ms, epoch, window) in steps {
            let clock = chain.block_after(ms);
            assert_eq!((clock.epoch.0, clock.window), (epoch, window), "{desc}");
        }
    }

    #[test]
    fn a_chain_that_stood_still_has_lived_one_long_epoch() {
        let mut chain = Chain::new();
        (0..9).for_each(|_| _ = chain.block_after(1_000));
        assert_eq!(chain.block_after(7 * 86_400_000).epoch, Epoch(1));
        let epochs: Vec<u64> = (0..10).map(|_| chain.block_after(1_000).epoch.0).collect();
        assert_eq!(epochs, [1, 1, 1, 1, 1, 1, 1, 1, 1, 2]);
    }

    proptest! {
        #[test]
        fn blocks_of_any_pace_make_no_epoch_pass_faster(paces in prop::collection::vec(1_u64..30_000, 1..400)) {
            let mut chain = Chain::new();
            let (mut before, mut epochs) = (chain.clock, 0);
            for ms in paces {
                let clock = chain.block_after(ms);
                if clock.epoch != before.epoch {
                    epochs += 1;
                    prop_assert_eq!(clock.epoch, before.epoch.after(1));
                    prop_assert!(before.window >= timing().window_blocks && before.has_beacon);
                    prop_assert!(clock.start_ms - before.start_ms >= timing().epoch_ms);
                }
                before = clock;
            }
            prop_assert!(epochs * timing().epoch_ms <= chain.time_ms - START);
        }
    }
}
