//! Bytes in flight over this process's line, in one direction, of all transfers together.
//!
//! A process does not know its line; it sees how fast bytes arrive. The window is what the line delivers in a second or
//! two, or in twice the shortest time that a chunk took, whichever is more, but in no more than four: less would leave
//! the line idle, and more would only wait in buffers, where a slow line looks like a slow holder. The delivery rate is
//! measured as BBR does it (Cardwell et al., "BBR: Congestion-Based Congestion Control", 2016): with each chunk that
//! arrives, the bytes of all that arrived since it was sent, by the time it took. A sample of a line that is not full
//! may raise the rate, and not lower it. As long as the rate grows, the window grows by what arrives, as in slow start,
//! until a chunk takes so long that others must be waiting before it.
//!
//! A chunk that takes several times as long as a whole window should no longer counts as in flight: it may never
//! arrive.

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use ostrakon_net::{awake, lock};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// The least window: what 2 Mbit/s carry in four seconds.
const LEAST: u64 = 1024 * 1024;
/// The first window.
const FIRST: u64 = 2 * LEAST;
/// The rate grows when it is greater by one part of so many.
const GROWTH: u64 = 4;
/// The greatest window: bandwidth x delay of 1.6 Gbit/s and 300 ms.
const MOST: u64 = 64 * 1024 * 1024;
/// How long a window should take: an add sends to more connections than a get reads from, and each needs a chunk in
/// flight, or TCP takes it for idle and slows it down.
const TIME_UP: Duration = Duration::from_secs(2);
const TIME_DOWN: Duration = Duration::from_secs(1);
/// How long it may take: of the shortest time, all may have been spent waiting behind this process's own first chunks.
const LONG: Duration = Duration::from_secs(4);
/// How long it is assumed to take while the rate is unknown.
const UNKNOWN: Duration = Duration::from_secs(2);
/// How many times as long a chunk counts as in flight.
const PATIENCE: u32 = 4;
/// No line delivers more bytes a second.
const FASTEST: u64 = 1 << 40;
/// A slower sample of a full line lowers the rate by one part of so many at most.
const FADE: u64 = 16;

/// Both directions.
#[derive(Debug)]
pub struct Lines {
    /// To others.
    pub up: Line,
    /// From others.
    pub down: Line,
}

impl Default for Lines {
    fn default() -> Self {
        Self { up: Line::new(TIME_UP), down: Line::new(TIME_DOWN) }
    }
}

/// One direction of a line.
#[derive(Debug)]
pub struct Line {
    /// What is left of the window, in KiB.
    free: Arc<Semaphore>,
    state: Mutex<State>,
}

/// What is known of a line. Pure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    /// How long the window should take.
    time: Duration,
    /// Bytes that may be in flight.
    window: u64,
    /// Bytes that have arrived.
    arrived: u64,
    /// Bytes a second; 0 while nothing is known.
    rate: u64,
    /// The shortest time that anything took.
    shortest: Duration,
    /// The rate when it last had grown much, and bytes of the window of then that have not arrived since. Once all
    /// have, without growth, the line is full.
    grown: (u64, u64),
    is_full: bool,
}

/// A chunk in flight.
#[derive(Debug)]
struct InFlight<'a> {
    line: &'a Line,
    /// Its part of the window; none once it has taken too long.
    part: Option<OwnedSemaphorePermit>,
    sent: Instant,
    arrived: u64,
    full: bool,
}

impl Line {
    /// A line that nothing is known of, whose window should take so long.
    fn new(time: Duration) -> Self {
        let (shortest, grown) = (Duration::MAX, (0, 0));
        let state = State { time, window: FIRST, arrived: 0, rate: 0, shortest, grown, is_full: false };
        Self { free: Arc::new(Semaphore::new(kib(FIRST))), state: Mutex::new(state) }
    }

    /// Whether less is in flight than the line delivers in a quarter of its window's time: another chunk would delay no
    /// others.
    pub fn is_idle(&self) -> bool {
        let State { window, rate, time, .. } = *lock(&self.state);
        let in_flight = kib(window).saturating_sub(self.free.available_permits());
        in_flight < kib(rate * time.as_secs() / 4)
    }

    /// Does `work`, which delivers so many bytes, when the window has space for them: in the order of calls. `sent` is
    /// called then. An outcome that is `delivered` is a sample of the rate.
    pub async fn carry<T>(
        &self,
        bytes: usize,
        work: impl Future<Output = T>,
        sent: impl FnOnce(),
        delivered: impl FnOnce(&T) -> bool,
    ) -> T {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let mut chunk = self.enter(bytes).await;
        sent();
        let (mut work, patience) = (pin!(work), lock(&self.state).patience());
        let done = match awake::timeout(patience, &mut work).await {
            Ok(done) => done,
            Err(_) => {
                // It may never arrive.
                chunk.part = None;
                work.await
            }
        };
        if delivered(&done) {
            chunk.arrive(bytes);
        }
        done
    }

    /// Chunks that one holder may be sent, or asked for, at a time: a part of all, so that one that does not answer
    /// holds up no others.
    pub fn share(&self, most: usize, chunk: usize) -> usize {
        let chunks = usize::try_from(lock(&self.state).window).unwrap_or(usize::MAX) / chunk;
        most.min(chunks / 4).max(1)
    }

    /// How long the line takes for a whole window.
    pub fn drain(&self) -> Duration {
        lock(&self.state).drain()
    }

    /// How long a chunk counts as in flight.
    pub fn patience(&self) -> Duration {
        lock(&self.state).patience()
    }

    async fn enter(&self, bytes: u64) -> InFlight<'_> {
        let wanted = u32::try_from(kib(bytes.clamp(1024, LEAST))).expect("at most 1,024");
        let full = self.free.available_permits() < usize::try_from(wanted).expect("at most 1,024");
        let part = Arc::clone(&self.free).acquire_many_owned(wanted).await.expect("it is never closed");
        let arrived = lock(&self.state).arrived;
        InFlight { line: self, part: Some(part), sent: awake::now(), arrived, full }
    }
}

impl State {
    /// What was sent so long ago, while `since` bytes had arrived, has arrived.
    fn arrive(&mut self, bytes: u64, since: u64, took: Duration, full: bool) {
        self.arrived += bytes;
        let nanos = took.as_nanos().max(1);
        let sample = u128::from(self.arrived - since) * 1_000_000_000 / nanos;
        let sample = u64::try_from(sample).unwrap_or(FASTEST).min(FASTEST);
        if sample >= self.rate {
            self.rate = sample;
        } else if full {
            self.rate = (self.rate - self.rate / FADE).max(sample);
        }
        self.shortest = self.shortest.min(took);
        if self.rate > self.grown.0 + self.grown.0 / GROWTH {
            (self.grown, self.is_full) = ((self.rate, self.window), false);
        }
        self.grown.1 = self.grown.1.saturating_sub(bytes);
        self.is_full |= full && (self.grown.1 == 0 || took >= LONG);
        let nanos = self.shortest.saturating_mul(2).clamp(self.time, LONG).as_nanos();
        let carried = u64::try_from(u128::from(self.rate) * nanos / 1_000_000_000).unwrap_or(MOST);
        // Slow start: for each byte that arrived, two follow.
        let window = if self.is_full { carried } else { carried.max(self.window + bytes) };
        self.window = window.clamp(LEAST, MOST);
    }

    fn drain(&self) -> Duration {
        self.window.saturating_mul(1_000).checked_div(self.rate).map_or(UNKNOWN, Duration::from_millis)
    }

    fn patience(&self) -> Duration {
        PATIENCE * self.drain().max(self.time)
    }
}

impl InFlight<'_> {
    fn arrive(mut self, bytes: u64) {
        let mut state = lock(&self.line.state);
        let before = kib(state.window);
        state.arrive(bytes, self.arrived, awake::now() - self.sent, self.full);
        let after = kib(state.window);
        if after >= before {
            self.line.free.add_permits(after - before);
            return;
        }
        // It shrinks by what comes back, and by what nobody has.
        let own = self.part.as_mut().and_then(|part| part.split((before - after).min(part.num_permits())));
        let gone = own.map_or(0, |own| {
            let count = own.num_permits();
            own.forget();
            count
        });
        let gone = gone + self.line.free.forget_permits(before - after - gone);
        state.window += 1024 * u64::try_from(before - after - gone).expect("at most 64 Ki");
    }
}

fn kib(bytes: u64) -> usize {
    usize::try_from(bytes.div_ceil(1024)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures::future::join_all;
    use tokio::time::sleep;

    use super::*;

    const CHUNK: usize = 256 * 1024;

    /// A line of so many bytes a second, behind which everything takes `delay` more.
    struct Made {
        rate: u64,
        delay: Duration,
        free: Mutex<Instant>,
        on_its_way: AtomicU64,
        most: AtomicU64,
    }

    impl Made {
        fn new(rate: u64, delay: Duration) -> Self {
            Self { rate, delay, free: Mutex::new(Instant::now()), on_its_way: 0.into(), most: 0.into() }
        }

        async fn carry(&self, bytes: usize) {
            let bytes = u64::try_from(bytes).expect("a chunk");
            let now = self.on_its_way.fetch_add(bytes, Ordering::Relaxed) + bytes;
            self.most.fetch_max(now, Ordering::Relaxed);
            let leaves = {
                let mut free = lock(&self.free);
                *free = Instant::now().max(*free) + Duration::from_nanos(bytes * 1_000_000_000 / self.rate);
                *free
            };
            tokio::time::sleep_until(leaves + self.delay).await;
            self.on_its_way.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Moves so many chunks, as many at a time as the line permits; how long that took.
    async fn moved(line: &Line, made: &Made, chunks: usize) -> Duration {
        let begun = Instant::now();
        join_all((0..chunks).map(|_| line.carry(CHUNK, made.carry(CHUNK), || (), |()| true))).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn lines_of_every_kind_are_used_and_not_flooded() {
        let lines = [(1_u64, 10), (2, 200), (10, 50), (50, 200), (100, 1), (100, 200), (1_000, 40)];
        let both = lines.into_iter().flat_map(|line| [(TIME_UP, line), (TIME_DOWN, line)]);
        for (time, (mbit, rtt_ms)) in both {
            let (line, rate) = (Line::new(time), mbit * 125_000);
            let made = Made::new(rate, Duration::from_millis(rtt_ms));
            let chunks = usize::try_from(rate * 20).expect("small") / CHUNK;
            let took = moved(&line, &made, chunks.max(8)).await;
            let ideal = Duration::from_secs_f64((chunks.max(8) * CHUNK) as f64 / rate as f64);
            let what = format!("{mbit} Mbit/s, {rtt_ms} ms: {took:?} of {ideal:?}");
            assert!(took < ideal.mul_f64(1.15) + Duration::from_millis(2 * rtt_ms), "{what}");
            let most = made.most.load(Ordering::Relaxed);
            assert!(most <= (3 * FIRST).max(rate * 3 * time.as_secs()), "{what}: {most} bytes at a time");
        }
    }

    /// Each connection has an equal part of the line, so a chunk takes as long as all that are in flight.
    #[tokio::test(start_paused = true)]
    async fn no_chunk_waits_long_for_others_on_a_slow_line() {
        let (line, rate, in_flight) = (Line::new(TIME_UP), 250_000, AtomicU64::new(0));
        let shared = || async {
            let begun = Instant::now();
            let all = in_flight.fetch_add(CHUNK as u64, Ordering::Relaxed) + CHUNK as u64;
            sleep(Duration::from_millis(all * 1000 / rate)).await;
            in_flight.fetch_sub(CHUNK as u64, Ordering::Relaxed);
            begun.elapsed()
        };
        let took = join_all((0..60).map(|_| line.carry(CHUNK, shared(), || (), |_| true))).await;
        assert!(took.iter().all(|took| *took < Duration::from_secs(30)), "{took:?}");
        assert!(took[30..].iter().all(|took| *took < 2 * LONG), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_arrives_holds_up_nothing_for_long() {
        let (line, made) = (Line::new(TIME_UP), Made::new(1_250_000, Duration::from_millis(20)));
        moved(&line, &made, 20).await;
        let silent = join_all((0..4).map(|_| line.carry(CHUNK, std::future::pending::<()>(), || (), |()| true)));
        let others = async {
            sleep(Duration::from_millis(1)).await;
            moved(&line, &made, 20).await
        };
        tokio::select! { biased;
            _ = silent => unreachable!("it never arrives"),
            took = others => assert!(took < Duration::from_secs(12), "{took:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_is_idle_when_what_is_left_on_it_delays_no_others() {
        let (line, made) = (Line::new(TIME_DOWN), Made::new(12_500_000, Duration::from_millis(200)));
        assert!(!line.is_idle(), "nothing is known");
        moved(&line, &made, 200).await;
        assert!(line.is_idle());
        for (chunks, is_idle) in [(2, true), (32, false)] {
            let in_flight = join_all((0..chunks).map(|_| line.enter(256 * 1024))).await;
            assert_eq!(line.is_idle(), is_idle, "{chunks} chunks in flight");
            drop(in_flight);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_became_slower_is_noticed() {
        let line = Line::new(TIME_UP);
        moved(&line, &Made::new(125_000_000, Duration::from_millis(1)), 400).await;
        let before = lock(&line.state).window;
        let slower = Made::new(1_250_000, Duration::from_millis(1));
        moved(&line, &slower, 600).await;
        let after = lock(&line.state).window;
        assert!(before > 8 * after && after < 4_000_000, "{before} and {after}");
        assert_eq!(line.free.available_permits(), kib(after), "nothing was lost");
    }
}
