//! A height that is not decided for long: operators are told for whom it waits.
//!
//! In go the start of heights and time, out comes when to report, and for how long the height has been waiting.
//! Not here: what is missing of whom ([`super::received`], [`super::last_seen`]), and who is told ([`super::ledger`]).

use std::time::Duration;

use ostrakon_proto::id::{Height, NodeId};
use tokio::time::{Instant, sleep_until};

/// A height in progress for so long is reported: some rounds have failed, or none could.
const LONG: Duration = Duration::from_secs(10);
/// How often the report is renewed.
const EVERY: Duration = Duration::from_secs(1);

/// What a height in progress lacks of validators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Their votes.
    Votes,
    /// Their answers to what they have seen of this validator, without which it does not vote.
    LastSeen,
}

/// What a height waits for that is in progress for long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HaltReport {
    /// The height.
    pub height: Height,
    /// How long this validator has been working on it.
    pub elapsed: Duration,
    /// What is missing.
    pub awaited: Awaited,
    /// The nodes of validators of whom it is: that have not voted in the current round, or have not answered.
    pub missing: Vec<NodeId>,
}

/// Whether the height in progress takes long.
#[derive(Debug, Default)]
pub(super) struct Halt {
    height: Height,
    since: Option<Instant>,
    /// When the next report is due.
    due: Option<Instant>,
    is_reported: bool,
}

impl Halt {
    /// A height is the next; returns whether a halt that was reported is over.
    pub(super) fn start_height(&mut self, height: Height) -> bool {
        if self.height == height {
            return false;
        }
        let ended = std::mem::replace(self, Self { height, ..Self::default() });
        ended.is_reported
    }

    /// Work on the height begins, if it has not.
    pub(super) fn begin(&mut self, now: Instant) {
        if self.since.is_none() {
            (self.since, self.due) = (Some(now), Some(now + LONG));
        }
    }

    /// When the next report is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Waits until the next report is due; pending forever while nobody works on the height. Cancel-safe.
    pub(super) async fn until_due(&self) {
        match self.due {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// For how long the height has been waiting, when a report is due.
    pub(super) fn report(&mut self, now: Instant) -> Option<Duration> {
        self.due.filter(|due| *due <= now)?;
        self.due = Some(now + EVERY);
        self.is_reported = true;
        self.since.map(|since| now.duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_height_is_reported_when_it_takes_long_and_when_it_is_over() {
        let (mut halt, start) = (Halt::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!halt.start_height(Height(7)));
        assert_eq!((halt.due(), halt.report(at(60))), (None, None), "nobody works on it yet");
        assert_eq!(halt.until_due().now_or_never(), None);
        halt.begin(start);
        halt.begin(at(5));
        assert_eq!((halt.due(), halt.report(at(9))), (Some(start + LONG), None));
        assert_eq!(halt.report(at(10)), Some(Duration::from_secs(10)));
        assert_eq!(halt.report(at(10)), None, "not again immediately");
        assert!(!halt.start_height(Height(7)), "it begins again, and is not over");
        assert_eq!(halt.report(at(37)), Some(Duration::from_secs(37)));
        assert!(halt.start_height(Height(8)) && !halt.start_height(Height(9)));
        halt.begin(at(40));
        assert_eq!(halt.due(), Some(at(50)));
    }
}
