//! Which holders are too slow: judged against the others, never against a clock alone. Pure.
//!
//! In goes what happens on each lane, and when; out comes whether the lanes may be given more, and whether one is given
//! up. A slow line slows all lanes alike, and none of them is to blame: a lane is slow when the median of the others
//! stores many chunks while one of its own is in flight, or when the line idles because of its backlog, for then the
//! others have nothing left to send. A lane may get less of a full line than others do and fall behind; as long as the
//! line stays as busy as it was without waiting, that costs nobody anything. A slow lane that can be spared is dropped;
//! one that cannot is waited for, as long as it stores anything.

use std::time::Duration;

use ostrakon_proto::limits;
use tokio::time::Instant;

/// Chunks that a lane may be behind, queued and in flight, before the others wait for it.
pub(crate) const BACKLOG: usize = 16;
/// With a backlog of no more than this, the others are idle because of a lane that is behind.
const STARVED: usize = 2;
/// A lane is slow when the median of the others stores so many chunks for each that it has in flight.
const SLOWDOWN: u64 = 4;
/// A lane that kept up so far is judged no earlier: holders pause to sync, and a connection that lost packets pauses
/// for seconds.
const GRACE: Duration = Duration::from_secs(5);
/// A lane that can be spared, and was slow all the time, lets the line idle for no longer than this, or a tenth of the
/// time so far. One that kept up gets the grace.
const IDLE: Duration = Duration::from_secs(2);
const IDLE_PART: u32 = 10;
/// A lane that cannot be spared is given up when it stores nothing for this long, and the others do.
const STALL: Duration = Duration::from_secs(10);
/// The same, of the only lane.
const STALL_ALONE: Duration = Duration::from_secs(20);
/// As long as a chunk's answer may take.
const ANSWER: Duration = Duration::from_secs(limits::STALL_SECONDS);
/// Neither is given up before it took so many times as long as the slowest chunk of the others.
const STALL_FACTOR: u32 = 4;

/// How many lanes are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// With fewer than this many there is no use in sending more.
    pub least: usize,
    /// No lane is dropped for being slow if fewer than this many would remain.
    pub wanted: usize,
}

/// How all lanes progress.
#[derive(Debug)]
pub(crate) struct Pace {
    lanes: Vec<Progress>,
    quorum: Quorum,
    begun: Instant,
    /// Bytes that all lanes have stored, and when they last did.
    stored_bytes: u64,
    stored_at: Instant,
    /// Whether all chunks were given to the lanes.
    is_last: bool,
    /// When so many lanes as are wanted had stored all of theirs.
    enough: Option<Instant>,
}

/// How one lane progresses.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    is_closed: bool,
    /// Chunks queued and in flight, and their bytes.
    backlog: usize,
    backlog_bytes: u64,
    in_flight: usize,
    /// Chunks stored, and their bytes.
    stored: u64,
    stored_bytes: u64,
    /// Since when nothing in flight was stored, and what the median of the others had stored then.
    silent: Option<(Instant, u64)>,
    /// The longest that it stored nothing.
    longest: Duration,
    /// How long the others had nothing to send because of it, and since when they have not, with what all had stored.
    blocked: Waited,
    blocks: Option<(Instant, u64)>,
}

/// How long the others waited for a lane, and bytes that all lanes stored meanwhile.
#[derive(Clone, Copy, Debug, Default)]
struct Waited {
    time: Duration,
    bytes: u64,
}

impl Waited {
    fn since(self, (since, before): (Instant, u64), now: Instant, stored: u64) -> Self {
        let time = self.time + now.saturating_duration_since(since);
        Self { time, bytes: self.bytes + (stored - before) }
    }
}

impl Pace {
    pub(crate) fn new(lanes: usize, quorum: Quorum, now: Instant) -> Self {
        Self {
            lanes: vec![Progress::default(); lanes],
            quorum,
            begun: now,
            stored_bytes: 0,
            stored_at: now,
            is_last: false,
            enough: None,
        }
    }

    /// Whether the lanes may be given the next row, which is there: no open one is too far behind.
    pub(crate) fn may_give(&mut self, now: Instant) -> bool {
        let mut may = true;
        for lane in 0..self.lanes.len() {
            let is_behind = !self.lanes[lane].is_closed && self.lanes[lane].backlog >= BACKLOG;
            // Where the others have much to send as well, all wait for the line.
            let are_idle = is_behind && median(self.others(lane).map(|other| other.backlog)) <= STARVED;
            let progress = &mut self.lanes[lane];
            if are_idle {
                progress.blocks.get_or_insert((now, self.stored_bytes));
            } else if let Some(since) = progress.blocks.take() {
                progress.blocked = progress.blocked.since(since, now, self.stored_bytes);
            }
            may &= !is_behind;
        }
        may
    }

    /// A lane is given a chunk.
    pub(crate) fn give(&mut self, lane: usize, bytes: usize) {
        let progress = &mut self.lanes[lane];
        progress.backlog += 1;
        progress.backlog_bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
    }

    /// All chunks were given.
    pub(crate) fn finish(&mut self, now: Instant) {
        self.is_last = true;
        self.note_enough(now);
    }

    /// A chunk of the lane is sent.
    pub(crate) fn send(&mut self, lane: usize, now: Instant) {
        let median = self.median(lane);
        let progress = &mut self.lanes[lane];
        progress.in_flight += 1;
        progress.silent.get_or_insert((now, median));
    }

    /// A chunk of the lane is stored.
    pub(crate) fn store(&mut self, lane: usize, bytes: usize, now: Instant) {
        let (median, bytes) = (self.median(lane), u64::try_from(bytes).unwrap_or(u64::MAX));
        let progress = &mut self.lanes[lane];
        if let Some((since, _)) = progress.silent {
            progress.longest = progress.longest.max(now.saturating_duration_since(since));
        }
        progress.backlog = progress.backlog.saturating_sub(1);
        progress.backlog_bytes = progress.backlog_bytes.saturating_sub(bytes);
        progress.in_flight = progress.in_flight.saturating_sub(1);
        progress.stored += 1;
        progress.stored_bytes += bytes;
        (self.stored_bytes, self.stored_at) = (self.stored_bytes + bytes, now);
        progress.silent = (progress.in_flight > 0).then_some((now, median));
        self.note_enough(now);
    }

    /// The lane is given up.
    pub(crate) fn close(&mut self, lane: usize, now: Instant) {
        self.lanes[lane].is_closed = true;
        self.note_enough(now);
    }

    /// Whether there are lanes enough for more to be of use.
    pub(crate) fn has_least(&self) -> bool {
        self.open() >= self.quorum.least
    }

    /// Whether any lane stores something: one whose chunk was not answered in time may only have had bad luck with a
    /// slow line.
    pub(crate) fn progresses(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.stored_at) < ANSWER
    }

    /// Why the lane is to be given up now, if it is.
    pub(crate) fn verdict(&self, lane: usize, now: Instant) -> Option<String> {
        let can_be_spared = self.open() > self.quorum.wanted;
        let slow = || self.is_late(lane, now).or_else(|| self.blocks(lane, now)).or_else(|| self.is_slow(lane, now));
        can_be_spared.then(slow).flatten().or_else(|| self.is_stalled(lane, now))
    }

    /// Enough others have stored everything, and this lane had as long as the line needs for the rest.
    fn is_late(&self, lane: usize, now: Instant) -> Option<String> {
        let is_late = self.lanes[lane].backlog > 0 && self.deadline(lane).is_some_and(|deadline| now >= deadline);
        is_late.then(|| "is much slower than the other holders, which have stored everything".to_owned())
    }

    /// The line idled for too long because of this lane.
    fn blocks(&self, lane: usize, now: Instant) -> Option<String> {
        let Progress { blocked, blocks, .. } = self.lanes[lane];
        let waited = blocks.map_or(blocked, |since| blocked.since(since, now, self.stored_bytes));
        let elapsed = now.saturating_duration_since(self.begun);
        // What was stored meanwhile takes as long as it took without waiting. That is not idle.
        let (free_time, free_bytes) = (elapsed.saturating_sub(waited.time), self.stored_bytes - waited.bytes);
        let idle = waited.time.saturating_sub(share(free_time, waited.bytes, free_bytes));
        let limit = if self.was_slow(lane) { IDLE } else { GRACE }.max(elapsed / IDLE_PART);
        (idle >= limit).then(|| format!("kept the other holders waiting for {:.0} s", idle.as_secs_f64()))
    }

    /// Whether the lane was slow all the time: with the chunk that it is about to store, for of short columns nobody
    /// has stored many.
    fn was_slow(&self, lane: usize) -> bool {
        (self.lanes[lane].stored + 1) * SLOWDOWN <= self.median(lane)
    }

    /// The others stored much while this lane stored nothing.
    fn is_slow(&self, lane: usize, now: Instant) -> Option<String> {
        let (silence, others) = self.silence(lane, now)?;
        let is_slow = silence >= GRACE && others >= self.many(lane);
        is_slow.then(|| format!("stored nothing while the other holders stored {others} chunks each"))
    }

    /// This lane stored nothing for long, and the line is not the reason.
    fn is_stalled(&self, lane: usize, now: Instant) -> Option<String> {
        let (silence, stored) = self.silence(lane, now)?;
        let is_alone = self.others(lane).next().is_none();
        let limit = if is_alone { STALL_ALONE } else { STALL }.max(STALL_FACTOR * self.longest(lane));
        let line_is_free = stored >= self.many(lane) || self.others(lane).all(|other| other.in_flight == 0);
        (silence >= limit && line_is_free)
            .then(|| format!("stored nothing for {} s while others did", silence.as_secs()))
    }

    /// How long the lane has stored nothing, and how many chunks the median of the others stored meanwhile.
    fn silence(&self, lane: usize, now: Instant) -> Option<(Duration, u64)> {
        let (since, before) = self.lanes[lane].silent?;
        // When one of the others closes, the median may fall.
        Some((now.saturating_duration_since(since), self.median(lane).saturating_sub(before)))
    }

    /// The longest that any other stored nothing.
    fn longest(&self, lane: usize) -> Duration {
        self.others(lane).map(|other| other.longest).max().unwrap_or_default()
    }

    /// Chunks that the others store while a lane as quick as they are stores what it has in flight, with a margin.
    fn many(&self, lane: usize) -> u64 {
        SLOWDOWN * u64::try_from(self.lanes[lane].in_flight).unwrap_or(u64::MAX)
    }

    /// Until when a lane with a backlog is waited for, once enough others have none: twice as long as the line takes
    /// for all that is left, and the grace, or twice as long as any other stored nothing at times. One that was slow
    /// all the time gets neither.
    fn deadline(&self, lane: usize) -> Option<Instant> {
        let enough = self.enough?;
        if self.was_slow(lane) {
            return Some(enough);
        }
        let open = || self.lanes.iter().filter(|lane| !lane.is_closed);
        let left: u64 = open().map(|lane| lane.backlog_bytes).sum();
        let stored: u64 = open().map(|lane| lane.stored_bytes).sum();
        let grace = GRACE.max(2 * self.longest(lane));
        Some(enough + grace + share(2 * (enough - self.begun), left, stored.max(1)))
    }

    fn note_enough(&mut self, now: Instant) {
        let done = self.lanes.iter().filter(|lane| !lane.is_closed && lane.backlog == 0).count();
        if self.is_last && done >= self.quorum.wanted {
            self.enough.get_or_insert(now);
        }
    }

    /// Lanes that are open.
    fn open(&self) -> usize {
        self.lanes.iter().filter(|lane| !lane.is_closed).count()
    }

    fn others(&self, lane: usize) -> impl Iterator<Item = &Progress> {
        let others = self.lanes.iter().enumerate().filter(move |(other, _)| *other != lane);
        others.map(|(_, progress)| progress).filter(|progress| !progress.is_closed)
    }

    /// Chunks that the median of the other open lanes has stored.
    fn median(&self, lane: usize) -> u64 {
        median(self.others(lane).map(|other| other.stored))
    }
}

/// How long `bytes` take when `of` take `time`; none where that is unknown.
fn share(time: Duration, bytes: u64, of: u64) -> Duration {
    let nanos = (time.as_nanos() * u128::from(bytes)).checked_div(u128::from(of)).unwrap_or(0);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX / 4))
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

    /// Four lanes, each with a chunk in flight.
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
    fn a_late_chunk_is_sent_again_as_long_as_the_line_carries_others() {
        let (mut pace, begun) = sending(QUORUM);
        assert!(pace.progresses(begun + ANSWER / 2) && !pace.progresses(begun + ANSWER));
        three_store(&mut pace, begun + seconds(50));
        assert!(pace.progresses(begun + ANSWER) && !pace.progresses(begun + seconds(50) + ANSWER));
    }

    #[test]
    fn a_lane_four_times_slower_is_dropped_if_there_are_enough() {
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
    fn columns_of_one_chunk_take_turns_on_a_slow_line() {
        let (mut pace, begun) = sending(QUORUM);
        pace.finish(begun);
        // Each has the line for ten seconds, the third after thirty.
        (0..3).for_each(|lane| pace.store(lane, CHUNK, begun + seconds(10) * (u32::try_from(lane).expect("few") + 1)));
        assert_eq!(pace.verdict(3, begun + seconds(30 + 20 + 59)), None);
        assert!(pace.verdict(3, begun + seconds(30 + 20 + 60)).is_some());
    }

    #[test]
    fn a_quick_lane_that_closes_leaves_the_slower_ones_blameless() {
        let (mut pace, begun) = sending(QUORUM);
        // The median falls below what it was when lane 3 last stored something.
        for lane in [0, 1] {
            (0..20).for_each(|_| pace.store(lane, CHUNK, begun));
        }
        pace.store(3, CHUNK, begun);
        pace.give(3, CHUNK);
        pace.send(3, begun);
        [0, 1].into_iter().for_each(|lane| pace.close(lane, begun));
        assert_eq!(pace.verdict(3, begun + GRACE), None);
    }

    #[test]
    fn others_wait_for_one_that_is_far_behind() {
        let (mut pace, begun) = sending(QUORUM);
        (1..BACKLOG).for_each(|_| pace.give(3, CHUNK));
        assert!(!pace.may_give(begun));
        pace.close(3, begun);
        assert!(pace.may_give(begun) && pace.has_least());
    }

    /// A line that carries ten chunks a second is full: the next of them is this lane's. A row follows when it may.
    fn carry(pace: &mut Pace, lane: usize, now: &mut Instant) {
        *now += Duration::from_millis(100);
        pace.store(lane, CHUNK, *now);
        if pace.may_give(*now) {
            for lane in 0..4 {
                pace.give(lane, CHUNK);
                pace.send(lane, *now);
            }
            pace.may_give(*now);
        }
    }

    #[test]
    fn a_lane_that_gets_less_of_a_full_line_is_not_to_blame() {
        let (mut pace, mut now) = sending(QUORUM);
        (1..BACKLOG).for_each(|_| (0..4).for_each(|lane| pace.give(lane, CHUNK)));
        // Lane 3 gets half of what the others get, until they have next to nothing to send.
        while pace.lanes[0].backlog > 1 {
            [3, 0, 1, 2, 0, 1, 2].into_iter().for_each(|lane| carry(&mut pace, lane, &mut now));
        }
        // From then on it has as much as they, for a row follows only when it has stored a chunk.
        for round in 0..100 {
            [3, 0, 1, 2].into_iter().for_each(|lane| carry(&mut pace, lane, &mut now));
            assert_eq!((pace.verdict(3, now), pace.may_give(now)), (None, false), "round {round}");
        }
        // Its connection pauses, with the line idle, and has all of the line afterwards.
        now += seconds(4);
        assert_eq!(pace.verdict(3, now), None);
        (0..BACKLOG).for_each(|_| carry(&mut pace, 3, &mut now));
        assert_eq!(pace.verdict(3, now), None);
    }

    #[test]
    fn nobody_sets_the_pace() {
        let check = |wanted, chunks, left| {
            let (mut pace, mut now) = sending(Quorum { least: 2, wanted });
            // The others store a row each second, and lane 3 some chunks.
            for row in 1..BACKLOG + chunks {
                now += seconds(1);
                three_store(&mut pace, now);
                if row >= BACKLOG {
                    pace.store(3, CHUNK, now);
                }
                pace.give(3, CHUNK);
                pace.send(3, now);
            }
            (0..3).for_each(|lane| pace.store(lane, CHUNK, now));
            // It stores a chunk every three seconds, and all others wait for it meanwhile.
            let verdicts = (0..4).map(|_| {
                assert!(!pace.may_give(now));
                now += seconds(3);
                let verdict = pace.verdict(3, now);
                pace.store(3, CHUNK, now);
                assert!(pace.may_give(now));
                pace.give(3, CHUNK);
                pace.send(3, now);
                verdict.is_some()
            });
            assert_eq!(verdicts.collect::<Vec<_>>(), left);
        };
        check(3, 2, [true; 4]);
        // One that kept up before has longer, and one that is needed is waited for.
        check(3, 12, [false, true, true, true]);
        check(4, 12, [false; 4]);
    }
}
