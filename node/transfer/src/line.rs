//! What may be on its way over this process's line, in one direction, all transfers together.
//!
//! A process does not know its line; it sees how fast bytes arrive. What may be on its way is what the line carries in
//! a second, or within two of the shortest times a chunk takes, whichever is more: less would leave the line idle, and
//! more would only wait in buffers, where it is indistinguishable from a slow holder. The carried rate is measured as
//! BBR does it (Cardwell et al., "BBR: Congestion-Based Congestion Control", 2016): with each chunk that arrives, the
//! bytes that arrived of all since it was sent, by the time it took; samples of a line that is not full may raise it
//! and not lower it.
//!
//! What takes several times as long as all of that should is no longer counted: it may never arrive.

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

/// What may be on its way at least: what 2 Mbit/s carry in four seconds.
const LEAST: u64 = 1024 * 1024;
/// What may be on its way while nothing is known.
const FIRST: u64 = 2 * LEAST;
/// While the rate has lately grown by a part of so many, the line is not full.
const GROWTH: u64 = 4;
/// What may be at most: bandwidth x delay of 1.6 Gbit/s and 300 ms.
const MOST: u64 = 64 * 1024 * 1024;
/// How long what is on its way should take.
const TIME: Duration = Duration::from_secs(1);
/// The same, while nothing is known.
const UNKNOWN: Duration = Duration::from_secs(2);
/// How many times as long a chunk is counted as on its way.
const PATIENCE: u32 = 4;
/// A part of the rate that a slower sample of a full line takes from it: one of so many.
const FADE: u64 = 16;

/// Both directions.
#[derive(Debug, Default)]
pub struct Lines {
    /// To others.
    pub up: Line,
    /// From others.
    pub down: Line,
}

/// One direction of a line.
#[derive(Debug)]
pub struct Line {
    /// In KiB.
    space: Arc<Semaphore>,
    state: Mutex<State>,
}

/// What is known of a line. Pure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    /// What may be on its way, in bytes.
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

/// Bytes that are on their way.
#[derive(Debug)]
struct Ticket<'a> {
    line: &'a Line,
    space: Option<OwnedSemaphorePermit>,
    sent: Instant,
    arrived: u64,
    full: bool,
}

impl Default for Line {
    fn default() -> Self {
        let (shortest, grown) = (Duration::MAX, (0, 0));
        let state = State { window: FIRST, arrived: 0, rate: 0, shortest, grown, is_full: false };
        Self { space: Arc::new(Semaphore::new(kib(FIRST))), state: Mutex::new(state) }
    }
}

impl Line {
    /// Does `work`, which moves so many bytes, when they may be on their way: in the order of calls. `begun` is called
    /// then. When `is_moved` says of its outcome that they arrived, the line is known better.
    pub async fn carry<T>(
        &self,
        bytes: usize,
        work: impl Future<Output = T>,
        begun: impl FnOnce(),
        is_moved: impl FnOnce(&T) -> bool,
    ) -> T {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let mut ticket = self.enter(bytes).await;
        begun();
        let (mut work, patience) = (pin!(work), lock(&self.state).patience());
        let done = match awake::timeout(patience, &mut work).await {
            Ok(done) => done,
            Err(_) => {
                // It may never arrive.
                ticket.space = None;
                work.await
            }
        };
        if is_moved(&done) {
            ticket.arrive(bytes);
        }
        done
    }

    /// Chunks that one holder may be sent, or asked for, at a time: a part of all, so that one that does not answer
    /// holds up no others.
    pub fn share(&self, most: usize, chunk: usize) -> usize {
        let chunks = usize::try_from(lock(&self.state).window).unwrap_or(usize::MAX) / chunk;
        most.min(chunks / 4).max(1)
    }

    /// How long the line takes for all that may be on its way.
    pub fn drain(&self) -> Duration {
        lock(&self.state).drain()
    }

    /// How long any of it is waited for before it counts as lost.
    pub fn patience(&self) -> Duration {
        lock(&self.state).patience()
    }

    async fn enter(&self, bytes: u64) -> Ticket<'_> {
        let wanted = u32::try_from(kib(bytes.clamp(1024, LEAST))).expect("at most 1,024");
        let full = self.space.available_permits() < usize::try_from(wanted).expect("at most 1,024");
        let space = Arc::clone(&self.space).acquire_many_owned(wanted).await.expect("it is never closed");
        let arrived = lock(&self.state).arrived;
        Ticket { line: self, space: Some(space), sent: awake::now(), arrived, full }
    }
}

impl State {
    /// What was sent so long ago, while `since` bytes had arrived, has arrived.
    fn arrive(&mut self, bytes: u64, since: u64, took: Duration, full: bool) {
        self.arrived += bytes;
        let nanos = took.as_nanos().max(1);
        let sample = u128::from(self.arrived - since) * 1_000_000_000 / nanos;
        let sample = u64::try_from(sample).unwrap_or(u64::MAX);
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
        self.is_full |= full && self.grown.1 == 0;
        let nanos = TIME.max(self.shortest.saturating_mul(2)).as_nanos();
        let carried = u64::try_from(u128::from(self.rate) * nanos / 1_000_000_000).unwrap_or(MOST);
        // As long as it may carry more, twice as much follows what has arrived.
        let window = if self.is_full { carried } else { carried.max(self.window + bytes) };
        self.window = window.clamp(LEAST, MOST);
    }

    fn drain(&self) -> Duration {
        self.window.saturating_mul(1_000).checked_div(self.rate).map_or(UNKNOWN, Duration::from_millis)
    }

    fn patience(&self) -> Duration {
        PATIENCE * self.drain().max(TIME)
    }
}

impl Ticket<'_> {
    fn arrive(mut self, bytes: u64) {
        let mut state = lock(&self.line.state);
        let before = kib(state.window);
        state.arrive(bytes, self.arrived, awake::now() - self.sent, self.full);
        let after = kib(state.window);
        if after >= before {
            self.line.space.add_permits(after - before);
            return;
        }
        // It shrinks by what comes back, and by what nobody has.
        let own = self.space.as_mut().and_then(|space| space.split((before - after).min(space.num_permits())));
        let gone = own.map_or(0, |own| {
            let count = own.num_permits();
            own.forget();
            count
        });
        let gone = gone + self.line.space.forget_permits(before - after - gone);
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
        for (mbit, rtt_ms) in [(1_u64, 10), (2, 200), (10, 50), (50, 200), (100, 1), (100, 200), (1_000, 40)] {
            let (line, rate) = (Line::default(), mbit * 125_000);
            let made = Made::new(rate, Duration::from_millis(rtt_ms));
            let chunks = usize::try_from(rate * 20).expect("small") / CHUNK;
            let took = moved(&line, &made, chunks.max(8)).await;
            let ideal = Duration::from_secs_f64((chunks.max(8) * CHUNK) as f64 / rate as f64);
            let what = format!("{mbit} Mbit/s, {rtt_ms} ms: {took:?} of {ideal:?}");
            assert!(took < ideal.mul_f64(1.15) + Duration::from_millis(2 * rtt_ms), "{what}");
            let most = made.most.load(Ordering::Relaxed);
            assert!(most <= (3 * FIRST).max(rate * 3), "{what}: {most} bytes at a time");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_arrives_holds_up_nothing_for_long() {
        let (line, made) = (Line::default(), Made::new(1_250_000, Duration::from_millis(20)));
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
    async fn a_line_that_became_slower_is_noticed() {
        let line = Line::default();
        moved(&line, &Made::new(125_000_000, Duration::from_millis(1)), 400).await;
        let before = lock(&line.state).window;
        let slower = Made::new(1_250_000, Duration::from_millis(1));
        moved(&line, &slower, 600).await;
        let after = lock(&line.state).window;
        assert!(before > 8 * after && after < 4_000_000, "{before} and {after}");
        assert_eq!(line.space.available_permits(), kib(after), "nothing was lost");
    }
}
