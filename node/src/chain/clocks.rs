//! Whose clock is wrong, when a block's time is far from the time of this node's clock.
//!
//! In come the times of proposed and decided blocks, out come warnings that say which clock to set, one a minute. The
//! rule ([`WrongClock`]) is pure. Not here: the rule that a block's time is not before its parent's, which needs no
//! clock.
//!
//! The newest decided block is the witness: two thirds of the validators found that its time was not ahead of their
//! clocks. If it is ahead of this node's, this node's clock is wrong, else that of the proposer is.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ostrakon_net::lock;
use ostrakon_proto::id::{Height, VoteKey};

use crate::node::Clock;

/// How far a proposed block's time may be ahead of this node's clock, in milliseconds.
const AHEAD_MS: u64 = 10_000;
/// How far the time of a block that was just decided is behind this node's clock, in milliseconds, when that is wrong.
const BEHIND_MS: u64 = 60_000;
/// Between two warnings, in milliseconds.
const AGAIN_MS: u64 = 60_000;

/// A clock that is wrong, and by how much in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WrongClock {
    /// This node's is behind.
    OwnBehind(u64),
    /// This node's is ahead.
    OwnAhead(u64),
    /// The proposer's is ahead.
    ProposerAhead(u64),
}

impl WrongClock {
    /// The clock that is wrong if a block with this time is proposed after a newest block with that time.
    fn of_proposed(time_ms: u64, newest_ms: u64, now_ms: u64) -> Option<Self> {
        let latest = now_ms.saturating_add(AHEAD_MS);
        match (time_ms > latest, newest_ms > latest) {
            (false, _) => None,
            (true, true) => Some(Self::OwnBehind(newest_ms - now_ms)),
            (true, false) => Some(Self::ProposerAhead(time_ms - now_ms)),
        }
    }

    /// The clock that is wrong if a block with this time was just decided.
    fn of_decided(time_ms: u64, now_ms: u64) -> Option<Self> {
        let behind = now_ms.saturating_sub(time_ms);
        (behind > BEHIND_MS).then_some(Self::OwnAhead(behind))
    }
}

/// This node's clock, and when it was warned last.
#[derive(Debug)]
pub(super) struct Clocks {
    clock: Clock,
    warned_ms: Mutex<Option<u64>>,
    /// Whether this clock seemed ahead at the last block.
    was_ahead: AtomicBool,
}

impl Clocks {
    /// Compares with this clock.
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, warned_ms: Mutex::default(), was_ahead: AtomicBool::new(false) }
    }

    /// Milliseconds of Unix time, by this node's clock.
    pub(super) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Whether a block with this time may be proposed after a newest block with that time.
    pub(super) fn accept(&self, time_ms: u64, newest_ms: u64, (height, proposer): (Height, VoteKey)) -> bool {
        let wrong = WrongClock::of_proposed(time_ms, newest_ms, self.now_ms());
        if let Some(wrong) = wrong {
            self.warn(wrong, height, proposer);
        }
        wrong.is_none()
    }

    /// A block with this time, of another proposer, was just decided. One alone proves nothing: it may have waited for
    /// votes.
    pub(super) fn decided(&self, time_ms: u64, (height, proposer): (Height, VoteKey)) {
        let wrong = WrongClock::of_decided(time_ms, self.now_ms());
        let was_ahead = self.was_ahead.swap(wrong.is_some(), Ordering::Relaxed);
        if let Some(wrong) = wrong.filter(|_| was_ahead) {
            self.warn(wrong, height, proposer);
        }
    }

    fn warn(&self, wrong: WrongClock, height: Height, proposer: VoteKey) {
        let (now_ms, mut warned_ms) = (self.now_ms(), lock(&self.warned_ms));
        if warned_ms.is_some_and(|warned| now_ms.abs_diff(warned) < AGAIN_MS) {
            return;
        }
        *warned_ms = Some(now_ms);
        let seconds = |ms| Duration::from_millis(ms).as_secs();
        match wrong {
            WrongClock::OwnBehind(by) => tracing::error!(
                %height, seconds = seconds(by),
                "this node's clock is behind the time of blocks that the validators decided, so it rejects what they \
                 propose: set the clock of this machine"
            ),
            WrongClock::OwnAhead(by) => tracing::error!(
                %height, seconds = seconds(by),
                "this node's clock is ahead of the time of blocks that the validators decide, so they reject what it \
                 proposes: set the clock of this machine"
            ),
            WrongClock::ProposerAhead(by) => tracing::warn!(
                %height, %proposer, seconds = seconds(by),
                "a proposed block is rejected: its proposer's clock is ahead; its operator must set it"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    #[test]
    fn the_newest_block_shows_whose_clock_is_wrong() {
        let now = 100 * HOUR;
        let proposed = [
            ("in time", now, now - 500, None),
            ("a little ahead", now + AHEAD_MS, now, None),
            ("ahead alone", now + HOUR, now - 500, Some(WrongClock::ProposerAhead(HOUR))),
            ("as the others are", now + HOUR, now + HOUR - 500, Some(WrongClock::OwnBehind(HOUR - 500))),
            ("after a long rest", now, now - 50 * HOUR, None),
            ("an hour behind, which is no reason to reject it", now - HOUR, now - 2 * HOUR, None),
        ];
        for (desc, time, newest, expect) in proposed {
            assert_eq!(WrongClock::of_proposed(time, newest, now), expect, "{desc}");
        }
        let decided = [("in time", now - 1_000, None), ("long ago", now - HOUR, Some(WrongClock::OwnAhead(HOUR)))];
        for (desc, time, expect) in decided {
            assert_eq!(WrongClock::of_decided(time, now), expect, "{desc}");
        }
    }
}
