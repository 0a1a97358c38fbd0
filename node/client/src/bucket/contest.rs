//! Turns between the writers of a bucket on several machines, which all move one cell.
//!
//! Who is alone sends batches one behind the other. Another writer could never move the cell in between, so while one
//! was seen lately, batches go one at a time: who has moved the cell waits for a moment, and who came too late tries
//! again within it, after a random pause that grows, since there may be several.

use std::{sync::Mutex, time::Duration};

use ostrakon_net::lock;
use tokio::time::Instant;

/// For how long after another writer was seen it may be there.
const LATELY: Duration = Duration::from_secs(10);
/// How long who has moved the cell leaves it to others.
const YIELD: Duration = Duration::from_millis(300);
/// The longest first pause after another moved the cell; it doubles, up to 2^5 times that.
const PAUSE: Duration = Duration::from_millis(50);
const DOUBLED: u32 = 5;

/// What this writer knows of others.
#[derive(Debug, Default)]
pub(super) struct Contest(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When another writer was seen last.
    seen: Option<Instant>,
    /// When this one moved the cell last.
    moved: Option<Instant>,
    /// How often this one came too late since.
    losses: u32,
}

impl Contest {
    /// There is another writer.
    pub(super) fn note_other(&self) {
        lock(&self.0).seen = Some(Instant::now());
    }

    /// This writer has moved the cell.
    pub(super) fn note_moved(&self) {
        let mut state = lock(&self.0);
        (state.moved, state.losses) = (Some(Instant::now()), 0);
    }

    /// This writer came too late.
    pub(super) fn note_lost(&self) {
        self.note_other();
        let mut state = lock(&self.0);
        state.losses = state.losses.saturating_add(1);
    }

    /// Whether batches are to go one at a time.
    pub(super) fn is_on(&self) -> bool {
        lock(&self.0).seen.is_some_and(|seen| seen.elapsed() < LATELY)
    }

    /// How long to wait before the next batch, while that is so; `chance` is drawn each time.
    pub(super) fn pause(&self, chance: u8) -> Duration {
        let state = lock(&self.0);
        match state.losses {
            0 => state.moved.map_or(Duration::ZERO, |moved| YIELD.saturating_sub(moved.elapsed())),
            losses => PAUSE * 2_u32.pow((losses - 1).min(DOUBLED)) * u32::from(chance) / 255,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_moved_the_cell_waits_longer_than_who_came_too_late() {
        let contest = Contest::default();
        contest.note_moved();
        assert!(!contest.is_on());
        contest.note_other();
        assert_eq!((contest.is_on(), contest.pause(255)), (true, YIELD));
        advance(YIELD / 3).await;
        assert_eq!(contest.pause(255), YIELD - YIELD / 3);
        contest.note_lost();
        assert_eq!((contest.pause(0), contest.pause(255)), (Duration::ZERO, PAUSE));
        assert!(contest.pause(255) < YIELD);
        (0..9).for_each(|_| contest.note_lost());
        assert_eq!(contest.pause(255), PAUSE * 32);
        contest.note_moved();
        assert_eq!(contest.pause(255), YIELD);
        advance(LATELY).await;
        assert!(!contest.is_on());
    }
}
