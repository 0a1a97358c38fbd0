//! Which holders are too slow: judged against the others, never against a clock alone. Pure.
//!
//! In goes what happens on each lane, and when; out comes whether a lane may be given more, and whether it is given up.
//! A line that is slow slows all lanes alike, so that none of them is to blame: a lane is slow when, while one of its
//! chunks was on its way, the median of the others stored many. One that can be spared is then left behind;
//! one that cannot is waited for as long as it moves at all.

use std::time::Duration;

use tokio::time::Instant;

/// Chunks that a lane may have to send, or on their way, before others wait for it.
pub(crate) const BEHIND: usize = 16;
/// Others with so few are waiting for it.
const STARVED: usize = 2;
/// A lane is slow that stores one chunk while the median of the others stores so many, for each that it has on its way.
const SLOWER: u64 = 4;
/// Nobody who kept pace is judged earlier: holders pause to sync, and a connection that lost packets for seconds.
const SOON: Duration = Duration::from_secs(5);
/// All others wait so long at most for one that can be spared, and at most one of so many parts of the time.
const WAITED: Duration = Duration::from_secs(2);
const WAITED_PART: u32 = 10;
/// A lane that cannot be spared, and stores nothing for this long while others do, is given up.
const STALL: Duration = Duration::from_secs(10);
/// The same, when it is the only one.
const ALONE: Duration = Duration::from_secs(20);
/// Also it may take so many times as long as any chunk of the others.
const LONGER: u32 = 4;

/// How many lanes are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// With fewer than this many there is no use in sending more.
    pub least: usize,
    /// No lane is left behind for being slow if fewer than this many would remain.
    pub wanted: usize,
}

/// How all lanes move.
#[derive(Debug)]
pub(crate) struct Pace {
    lanes: Vec<Gait>,
    quorum: Quorum,
    begun: Instant,
    /// When there was nothing more to hand out, and then when enough lanes had stored all they got.
    handed_out: bool,
    enough: Option<Instant>,
}

/// How one lane moves.
#[derive(Clone, Copy, Debug, Default)]
struct Gait {
    is_closed: bool,
    /// Chunks that it was given and that are not stored.
    waiting: usize,
    /// Those of them that are on their way.
    in_flight: usize,
    stored: u64,
    /// Bytes that wait, and that were stored.
    bytes: [u64; 2],
    /// Since when it has stored nothing while something was on its way, and what the median had stored then.
    still: Option<(Instant, u64)>,
    /// The longest that it took to store anything.
    longest: Duration,
    /// How long all others have waited for it, and since when they do.
    waited: Duration,
    waits: Option<Instant>,
}

impl Pace {
    pub(crate) fn new(lanes: usize, quorum: Quorum, now: Instant) -> Self {
        Self { lanes: vec![Gait::default(); lanes], quorum, begun: now, handed_out: false, enough: None }
    }

    /// Whether everybody may be given the next row, which is there: no open lane is too far behind.
    pub(crate) fn may_hand_out(&mut self, now: Instant) -> bool {
        let mut may = true;
        for lane in 0..self.lanes.len() {
            let is_behind = !self.lanes[lane].is_closed && self.lanes[lane].waiting >= BEHIND;
            // Where the others have much to send as well, the line is what all wait for.
            let are_idle = is_behind && median(self.others(lane).map(|gait| gait.waiting)) <= STARVED;
            let gait = &mut self.lanes[lane];
            if are_idle {
                gait.waits.get_or_insert(now);
            } else if let Some(since) = gait.waits.take() {
                gait.waited += now.saturating_duration_since(since);
            }
            may &= !is_behind;
        }
        may
    }

    /// A lane is given a chunk.
    pub(crate) fn give(&mut self, lane: usize, bytes: usize) {
        let gait = &mut self.lanes[lane];
        gait.waiting += 1;
        gait.bytes[0] += u64::try_from(bytes).unwrap_or(u64::MAX);
    }

    /// There is nothing more to give.
    pub(crate) fn finish(&mut self, now: Instant) {
        self.handed_out = true;
        self.look(now);
    }

    /// A chunk of the lane is sent.
    pub(crate) fn send(&mut self, lane: usize, now: Instant) {
        let median = self.median(lane);
        let gait = &mut self.lanes[lane];
        gait.in_flight += 1;
        gait.still.get_or_insert((now, median));
    }

    /// A chunk of the lane is stored.
    pub(crate) fn store(&mut self, lane: usize, bytes: usize, now: Instant) {
        let (median, bytes) = (self.median(lane), u64::try_from(bytes).unwrap_or(u64::MAX));
        let gait = &mut self.lanes[lane];
        if let Some((since, _)) = gait.still {
            gait.longest = gait.longest.max(now - since);
        }
        (gait.waiting, gait.in_flight) = (gait.waiting.saturating_sub(1), gait.in_flight.saturating_sub(1));
        gait.stored += 1;
        gait.bytes = [gait.bytes[0].saturating_sub(bytes), gait.bytes[1] + bytes];
        gait.still = (gait.in_flight > 0).then_some((now, median));
        self.look(now);
    }

    /// The lane is given up.
    pub(crate) fn close(&mut self, lane: usize, now: Instant) {
        self.lanes[lane].is_closed = true;
        self.look(now);
    }

    /// Lanes that are open.
    pub(crate) fn open(&self) -> usize {
        self.lanes.iter().filter(|lane| !lane.is_closed).count()
    }

    pub(crate) fn has_least(&self) -> bool {
        self.open() >= self.quorum.least
    }

    /// Why the lane is to be given up now, if it is.
    pub(crate) fn verdict(&self, lane: usize, now: Instant) -> Option<String> {
        let gait = &self.lanes[lane];
        let spare = self.open() > self.quorum.wanted;
        if spare && gait.waiting > 0 && self.tail(lane).is_some_and(|limit| now >= limit) {
            return Some("is much slower than the others, and was left behind".to_owned());
        }
        let waited = gait.waited + gait.waits.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        if spare && waited >= WAITED.max((now - self.begun) / WAITED_PART) {
            return Some(format!("made all others wait for {:.0} s, and was left behind", waited.as_secs_f64()));
        }
        let (since, median) = gait.still?;
        let silent = now.saturating_duration_since(since);
        let others = self.median(lane) - median;
        let many = SLOWER * u64::try_from(gait.in_flight).unwrap_or(u64::MAX);
        if spare && silent >= SOON && others >= many {
            return Some(format!("stored nothing while the others stored {others} chunks each, and was left behind"));
        }
        let rest: Vec<&Gait> = self.others(lane).collect();
        let longest = rest.iter().map(|lane| lane.longest).max().unwrap_or_default();
        let limit = if rest.is_empty() { ALONE } else { STALL }.max(LONGER * longest);
        let move_on = others >= many || rest.iter().all(|lane| lane.in_flight == 0);
        (silent >= limit && move_on).then(|| format!("stored nothing for {} s while others did", silent.as_secs()))
    }

    /// Until when a lane that has not stored everything is waited for, once enough have: twice as long as the line
    /// takes for what is left, and a moment. No longer if it was slow all the time.
    fn tail(&self, lane: usize) -> Option<Instant> {
        let enough = self.enough?;
        if self.lanes[lane].stored * SLOWER < self.median(lane) {
            return Some(enough);
        }
        let sum = |which: usize| self.lanes.iter().filter(|lane| !lane.is_closed).map(|lane| lane.bytes[which]).sum();
        let (left, stored): (u64, u64) = (sum(0), sum(1));
        let took = (enough - self.begun).as_secs_f64();
        // Chunks are at most 256 KiB, so that these are exact.
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let more = if stored == 0 { 0.0 } else { 2.0 * took * left as f64 / stored as f64 };
        Some(enough + SOON + Duration::from_secs_f64(more.min(1e6)))
    }

    fn look(&mut self, now: Instant) {
        let done = self.lanes.iter().filter(|lane| !lane.is_closed && lane.waiting == 0).count();
        if self.handed_out && done >= self.quorum.wanted {
            self.enough.get_or_insert(now);
        }
    }

    fn others(&self, lane: usize) -> impl Iterator<Item = &Gait> {
        self.lanes
            .iter()
            .enumerate()
            .filter(move |(other, gait)| *other != lane && !gait.is_closed)
            .map(|(_, gait)| gait)
    }

    /// Chunks that the median of the other open lanes has stored.
    fn median(&self, lane: usize) -> u64 {
        median(self.others(lane).map(|gait| gait.stored))
    }
}

/// The greater of the middle ones; the least value of none.
fn median<T: Copy + Default + Ord>(values: impl Iterator<Item = T>) -> T {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: usize = 256 * 1024;
    const QUORUM: Quorum = Quorum { least: 2, wanted: 3 };

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// Four lanes, each with a chunk on its way.
    fn sending(quorum: Quorum) -> (Pace, Instant) {
        let now = Instant::now();
        let mut pace = Pace::new(4, quorum, now);
        for lane in 0..4 {
            pace.give(lane, CHUNK);
            pace.send(lane, now);
        }
        (pace, now)
    }

    /// Lanes 0 to 2 store a chunk and send another.
    fn three_store(pace: &mut Pace, now: Instant) {
        for lane in 0..3 {
            pace.give(lane, CHUNK);
            pace.store(lane, CHUNK, now);
            pace.send(lane, now);
        }
    }

    #[test]
    fn a_line_that_is_slow_is_nobodys_fault() {
        let (mut pace, begun) = sending(QUORUM);
        for round in 1..40 {
            let now = begun + seconds(30 * round);
            assert!((0..4).all(|lane| pace.verdict(lane, now).is_none()), "round {round}");
            for lane in 0..4 {
                pace.give(lane, CHUNK);
                pace.store(lane, CHUNK, now);
                pace.send(lane, now);
            }
        }
    }

    #[test]
    fn who_is_four_times_slower_is_left_behind_if_there_are_enough() {
        let check = |wanted, left| {
            let (mut pace, begun) = sending(Quorum { least: 2, wanted });
            for round in 0..3 {
                three_store(&mut pace, begun + seconds(1));
                assert!(pace.verdict(3, begun + seconds(6)).is_none(), "after {round} chunks");
            }
            three_store(&mut pace, begun + seconds(6));
            assert_eq!(pace.verdict(3, begun + seconds(6)).is_some(), left);
            assert!((0..3).all(|lane| pace.verdict(lane, begun + seconds(6)).is_none()));
        };
        check(3, true);
        check(4, false);
    }

    #[test]
    fn nobody_is_judged_within_a_moment() {
        let (mut pace, begun) = sending(QUORUM);
        (0..30).for_each(|_| three_store(&mut pace, begun + seconds(1)));
        assert!(pace.verdict(3, begun + seconds(4)).is_none());
        assert!(pace.verdict(3, begun + seconds(5)).is_some());
    }

    #[test]
    fn one_that_is_needed_is_given_up_when_it_stores_nothing_at_all() {
        let (mut pace, begun) = sending(Quorum { least: 2, wanted: 4 });
        (0..30).for_each(|_| three_store(&mut pace, begun + seconds(1)));
        assert!(pace.verdict(3, begun + seconds(9)).is_none());
        assert!(pace.verdict(3, begun + seconds(10)).is_some());
        // It stores one chunk every nine seconds.
        pace.store(3, CHUNK, begun + seconds(9));
        pace.give(3, CHUNK);
        pace.send(3, begun + seconds(9));
        assert!(pace.verdict(3, begun + seconds(18)).is_none());
    }

    #[test]
    fn the_last_ones_get_as_long_as_the_line_needs_but_not_the_slow() {
        let check = |stored: u64, kept: u64| {
            let (mut pace, begun) = sending(QUORUM);
            (0..4).for_each(|lane| (1..8).for_each(|_| pace.give(lane, CHUNK)));
            for round in 1..=8 {
                (0..3).for_each(|lane| pace.store(lane, CHUNK, begun + seconds(round)));
            }
            (0..stored).for_each(|_| pace.store(3, CHUNK, begun + seconds(8)));
            pace.send(3, begun + seconds(8));
            pace.finish(begun + seconds(8));
            let is_kept = |after| pace.verdict(3, begun + seconds(8 + after)).is_none();
            assert!((kept == 0 || is_kept(kept - 1)) && !is_kept(kept), "{stored} of 8");
        };
        // Four of 32 chunks are left: the line, which took 8 s for the others, takes two times 1.14 s.
        check(4, 8);
        check(1, 0);
    }

    #[test]
    fn others_wait_for_one_that_is_far_behind() {
        let (mut pace, begun) = sending(QUORUM);
        (1..BEHIND).for_each(|_| pace.give(3, CHUNK));
        assert!(!pace.may_hand_out(begun));
        pace.close(3, begun);
        assert!(pace.may_hand_out(begun) && pace.has_least());
    }

    #[test]
    fn nobody_sets_the_pace() {
        let check = |wanted, left| {
            let (mut pace, begun) = sending(Quorum { least: 2, wanted });
            (1..BEHIND).for_each(|_| pace.give(3, CHUNK));
            // It stores a chunk each second, and all others wait for it meanwhile.
            for second in 0..2 {
                assert!(!pace.may_hand_out(begun + seconds(second)));
                pace.store(3, CHUNK, begun + seconds(second + 1));
                assert!(pace.may_hand_out(begun + seconds(second + 1)));
                assert!(second > 0 || pace.verdict(3, begun + seconds(1)).is_none());
                pace.give(3, CHUNK);
                pace.send(3, begun + seconds(second + 1));
            }
            assert_eq!(pace.verdict(3, begun + seconds(2)).is_some(), left);
        };
        check(3, true);
        check(4, false);
    }
}
