//! Turns between the writers of a bucket on several machines, which all move one cell.
//!
//! Who is alone sends batches one behind the other. Another writer could never move the cell in between, so while one
//! was seen lately, batches go one at a time: who has moved the cell waits for a moment, and who came too late tries
//! again within it, after a random pause, since there may be several. The moment is eight times as long as a batch of
//! one's own takes: others have to read the new state and its index first.

use std::{sync::Mutex, time::Duration};

use ostrakon_net::lock;
use tokio::time::Instant;

/// For how long after another writer was seen it may be there.
const LATELY: Duration = Duration::from_secs(10);
/// How long who has moved the cell leaves it to others, at least and at most.
const YIELD: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(3));
/// The longest pause of who came too late, at least and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// What this writer knows of others.
#[derive(Debug, Default)]
pub(super) struct Contest(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When another writer was seen last.
    seen: Option<Instant>,
    /// When this one moved the cell last.
    moved: Option<Instant>,
    /// Whether this one came too late since.
    has_lost: bool,
    /// How long the last batch took, from reading the state to submitting it.
    took: Duration,
}

impl State {
    fn moment(&self) -> Duration {
        (self.took * 8).clamp(YIELD.0, YIELD.1)
    }
}

impl Contest {
    /// There is another writer.
    pub(super) fn note_other(&self) {
        lock(&self.0).seen = Some(Instant::now());
    }

    /// This writer has moved the cell.
    pub(super) fn note_moved(&self) {
        let mut state = lock(&self.0);
        (state.moved, state.has_lost) = (Some(Instant::now()), false);
    }

    /// This writer came too late.
    pub(super) fn note_lost(&self) {
        self.note_other();
        lock(&self.0).has_lost = true;
    }

    /// A batch took so long, from reading the state to submitting it.
    pub(super) fn note_took(&self, took: Duration) {
        lock(&self.0).took = took;
    }

    /// Whether batches are to go one at a time.
    pub(super) fn is_on(&self) -> bool {
        lock(&self.0).seen.is_some_and(|seen| seen.elapsed() < LATELY)
    }

    /// How long to wait before the next batch, while that is so; `chance` is drawn each time.
    pub(super) fn pause(&self, chance: u8) -> Duration {
        let state = lock(&self.0);
        match state.has_lost {
            false => state.moved.map_or(Duration::ZERO, |moved| state.moment().saturating_sub(moved.elapsed())),
            true => state.took.clamp(PAUSE.0, PAUSE.1) * u32::from(chance) / 255,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_moved_the_cell_waits_longer_than_who_came_too_late() {
        let (contest, moment) = (Contest::default(), YIELD.0);
        contest.note_moved();
        assert!(!contest.is_on());
        contest.note_other();
        assert_eq!((contest.is_on(), contest.pause(255)), (true, moment));
        advance(moment / 3).await;
        assert_eq!(contest.pause(255), moment - moment / 3);
        contest.note_lost();
        assert_eq!((contest.pause(0), contest.pause(255)), (Duration::ZERO, PAUSE.0));
        // A slow line: there is time for what a batch takes.
        contest.note_took(moment);
        assert_eq!(contest.pause(255), moment);
        contest.note_moved();
        assert_eq!(contest.pause(255), moment * 8);
        advance(LATELY).await;
        assert!(!contest.is_on());
    }
}
