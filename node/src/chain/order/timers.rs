//! The timeouts of the steps of a round, and those that run now.
//!
//! In go the timeouts that the engine starts and cancels, out comes the next that is due. All time is tokio's.

use std::{collections::BTreeMap, time::Duration};

use malachite_types::{Round, Timeout, TimeoutKind};
use tokio::time::Instant;

/// Timeout of the proposal in round 0: a whole block is validated and sent around the world in it.
const PROPOSE: Duration = Duration::from_millis(500);
/// Timeout of the remaining votes once two thirds have voted without agreement: one trip around the world.
const VOTE: Duration = Duration::from_millis(250);
/// Each further round waits this much longer for the proposal, for slow networks.
const PROPOSE_MORE: Duration = Duration::from_millis(250);
/// Each further round waits this much longer for votes.
const VOTE_MORE: Duration = Duration::from_millis(125);
/// After this long without progress the last votes are sent again: they may be lost.
const REPEAT: Duration = Duration::from_secs(1);
/// Each further round repeats its votes this much later.
const REPEAT_MORE: Duration = Duration::from_millis(250);
/// The longest timeout, in whatever round.
const MAX: Duration = Duration::from_secs(10);

/// How long `timeout` takes.
pub(super) fn wait(timeout: Timeout) -> Duration {
    let (first, more) = match timeout.kind {
        TimeoutKind::Propose => (PROPOSE, PROPOSE_MORE),
        TimeoutKind::Prevote | TimeoutKind::Precommit => (VOTE, VOTE_MORE),
        TimeoutKind::Rebroadcast => (REPEAT, REPEAT_MORE),
        TimeoutKind::FinalizeHeight(_) => (Duration::ZERO, Duration::ZERO),
    };
    first.saturating_add(more.saturating_mul(timeout.round.as_u32().unwrap_or(0))).min(MAX)
}

/// The timeouts that run.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeMap<(u8, u32), (Instant, Timeout)>,
}

fn key(timeout: &Timeout) -> (u8, u32) {
    let kind = match timeout.kind {
        TimeoutKind::Propose => 0,
        TimeoutKind::Prevote => 1,
        TimeoutKind::Precommit => 2,
        TimeoutKind::Rebroadcast => 3,
        TimeoutKind::FinalizeHeight(_) => 4,
    };
    (kind, timeout.round.as_u32().unwrap_or(0))
}

impl Timers {
    /// Starts `timeout` at `now`; one of the same kind and round that runs is replaced.
    pub(super) fn start(&mut self, timeout: Timeout, now: Instant) {
        if timeout.round != Round::Nil {
            self.due.insert(key(&timeout), (now + wait(timeout), timeout));
        }
    }

    /// Cancels it.
    pub(super) fn cancel(&mut self, timeout: &Timeout) {
        self.due.remove(&key(timeout));
    }

    /// Cancels all.
    pub(super) fn cancel_all(&mut self) {
        self.due.clear();
    }

    /// When the next is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.values().map(|(at, _)| *at).min()
    }

    /// Removes and returns the first that is due by `now`.
    pub(super) fn take(&mut self, now: Instant) -> Option<Timeout> {
        let first = self.due.iter().filter(|(_, (at, _))| *at <= now).min_by_key(|(key, (at, _))| (*at, **key));
        let key = first.map(|(key, _)| *key)?;
        self.due.remove(&key).map(|(_, timeout)| timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_first_comes_first() {
        let (mut timers, now) = (Timers::default(), Instant::now());
        let (propose, prevote) = (Timeout::propose(Round::new(0)), Timeout::prevote(Round::new(0)));
        timers.start(propose, now);
        timers.start(prevote, now);
        assert_eq!((timers.next(), timers.take(now)), (Some(now + VOTE), None));
        let late = now + PROPOSE;
        assert_eq!([timers.take(late), timers.take(late), timers.take(late)], [Some(prevote), Some(propose), None]);
        timers.start(propose, now);
        timers.start(propose, now + VOTE);
        assert_eq!(timers.next(), Some(now + VOTE + PROPOSE), "the newest wish counts");
        timers.cancel(&propose);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn later_rounds_wait_longer_but_not_forever() {
        assert_eq!(wait(Timeout::propose(Round::new(0))), PROPOSE);
        assert_eq!(wait(Timeout::propose(Round::new(2))), PROPOSE + 2 * PROPOSE_MORE);
        assert_eq!(wait(Timeout::precommit(Round::new(1))), VOTE + VOTE_MORE);
        assert_eq!(wait(Timeout::prevote(Round::new(u32::MAX))), MAX);
    }
}
