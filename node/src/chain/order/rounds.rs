//! When this validator began the last rounds: what the delays of proposals and votes are counted from.
//!
//! In go rounds that begin, out comes how long ago one did, also after its height is over: the last votes of a height
//! arrive when it is decided already. Pure. All time is tokio's.

use std::{collections::BTreeMap, time::Duration};

use ostrakon_proto::id::Height;
use tokio::time::Instant;

/// Rounds of which it is known when they began.
const ROUNDS: usize = 16;

/// The last rounds that began here.
#[derive(Debug, Default)]
pub(super) struct Rounds(BTreeMap<(Height, u32), Instant>);

impl Rounds {
    /// The height starts, or starts again.
    pub(super) fn start_height(&mut self, height: Height) {
        self.0.retain(|(earlier, _), _| *earlier < height);
    }

    /// This validator begins to wait for the proposal of the round.
    pub(super) fn begin(&mut self, height: Height, round: u32, now: Instant) {
        self.0.entry((height, round)).or_insert(now);
        if self.0.len() > ROUNDS {
            self.0.pop_first();
        }
    }

    /// How long ago the round began; `None` when it did not.
    pub(super) fn elapsed(&self, height: Height, round: u32, now: Instant) -> Option<Duration> {
        self.0.get(&(height, round)).map(|began| now.duration_since(*began))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_when_the_last_rounds_began() {
        let (mut rounds, now, wait) = (Rounds::default(), Instant::now(), Duration::from_millis(250));
        rounds.begin(Height(7), 0, now);
        rounds.begin(Height(7), 0, now + wait);
        assert_eq!(rounds.elapsed(Height(7), 0, now + wait), Some(wait), "it begins once");
        assert_eq!(rounds.elapsed(Height(7), 1, now + wait), None);
        rounds.start_height(Height(8));
        assert_eq!(rounds.elapsed(Height(7), 0, now + wait), Some(wait), "votes of an earlier height may be late");
        rounds.start_height(Height(7));
        assert_eq!(rounds.elapsed(Height(7), 0, now + wait), None, "it starts again");
        (0..1000).for_each(|round| rounds.begin(Height(9), round, now));
        assert_eq!(rounds.0.len(), ROUNDS);
    }
}
