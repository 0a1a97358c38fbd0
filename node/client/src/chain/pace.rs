//! Epochs and the calendar: in goes the epoch clock of a block, out come the date at which an epoch begins and the
//! epochs of a duration. An epoch may begin later than said, never earlier (ARCHITECTURE 5.3).

use std::time::Duration;

use ostrakon_proto::{id::Epoch, ledger::state::EpochClock};

/// When epochs begin on a network, as of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    epoch: Epoch,
    start_ms: u64,
    time_ms: u64,
    epoch_ms: u64,
}

impl Pace {
    /// The pace at a block with this clock and this time in milliseconds of Unix time, where epochs last at least
    /// `epoch_ms` milliseconds.
    pub fn new(clock: &EpochClock, time_ms: u64, epoch_ms: u64) -> Self {
        Self { epoch: clock.epoch, start_ms: clock.start_ms, time_ms, epoch_ms: epoch_ms.max(1) }
    }

    /// Time of the block that this pace is of, in milliseconds of Unix time.
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// When `epoch` begins, in milliseconds of Unix time: of the current one that is known, of a later one it is the
    /// earliest, of a past one the latest.
    pub fn starts_ms(&self, epoch: Epoch) -> u64 {
        let distance = epoch.0.abs_diff(self.epoch.0).saturating_mul(self.epoch_ms);
        if epoch < self.epoch { self.start_ms.saturating_sub(distance) } else { self.start_ms.saturating_add(distance) }
    }

    /// The fewest epochs that last `duration` or longer, at least 1.
    pub fn epochs_in(&self, duration: Duration) -> u64 {
        let wanted = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        wanted.div_ceil(self.epoch_ms).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_have_dates() {
        let clock = EpochClock { epoch: Epoch(50), ..EpochClock::genesis(501_000) };
        let pace = Pace::new(&clock, 503_000, 10_000);
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
}
