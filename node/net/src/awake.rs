//! Time in which this process ran: what deadlines count.
//!
//! A process that is stopped (Ctrl-Z, SIGSTOP, a suspended machine) resumes with every timer expired, though no node
//! failed to answer in time. While a swarm runs, its actor observes the clock several times a second; a gap of more
//! than [`GAP`] between two observations is time in which the process did not run, and is subtracted by [`now`].
//! Deadlines that are compared with [`now`], or that [`timeout`] waits for, are thus extended by that time. Connections
//! that the other side closed during it are gone all the same: calls on them end as [`crate::Failure::Closed`], and may
//! be repeated. Not here: the simulator's clock, which has no gaps; without a swarm this is tokio's own time.

use std::{
    pin::{Pin, pin},
    sync::Mutex,
    time::{Duration, Instant as Clock},
};

use tokio::time::{self, Instant, Sleep, error::Elapsed};

use crate::lock;

/// Observations are several times a second: so long without one, and the process did not run.
const GAP: Duration = Duration::from_secs(2);

static WATCH: Mutex<Watch> = Mutex::new(Watch { observers: 0, last: None, asleep: Duration::ZERO, woke: None });

/// What has been observed since the process started.
#[derive(Debug)]
struct Watch {
    /// Running swarms: without any the clock is not observed, and gaps mean nothing.
    observers: usize,
    last: Option<Clock>,
    /// The sum of all gaps.
    asleep: Duration,
    /// When the last gap ended.
    woke: Option<Clock>,
}

impl Watch {
    fn observe(&mut self, now: Clock) {
        let last = self.last.replace(now).filter(|_| self.observers > 0);
        let gap = last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        if gap > GAP {
            self.asleep += gap;
            self.woke = Some(now);
        }
    }
}

/// Keeps the clock observed, by who holds it and calls [`asleep`] at least once a second.
#[derive(Debug)]
pub(crate) struct Observer(());

impl Observer {
    pub(crate) fn new() -> Self {
        let mut watch = lock(&WATCH);
        watch.observe(Clock::now());
        watch.observers += 1;
        Self(())
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        lock(&WATCH).observers -= 1;
    }
}

/// How long this process has been stopped so far, in total.
pub fn asleep() -> Duration {
    let mut watch = lock(&WATCH);
    watch.observe(Clock::now());
    watch.asleep
}

/// Whether this process was stopped at some time within the last `limit`.
pub fn slept_within(limit: Duration) -> bool {
    let mut watch = lock(&WATCH);
    watch.observe(Clock::now());
    watch.woke.is_some_and(|woke| woke.elapsed() < limit)
}

/// The present, without the time in which this process was stopped. Compare it with instants that come from here, and
/// with no others.
pub fn now() -> Instant {
    Instant::now() - asleep()
}

/// What `work` returns, unless it takes more than `limit` of the time in which this process runs. Cancel-safe where
/// `work` is.
///
/// # Errors
/// [`Elapsed`] when it takes longer.
pub async fn timeout<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Elapsed> {
    let (mut work, deadline) = (pin!(work), now() + limit);
    loop {
        match time::timeout_at(deadline + asleep(), work.as_mut()).await {
            Err(_) if now() < deadline => {}
            outcome => return outcome,
        }
    }
}

/// One timer for a series of works: moving it on is much cheaper than a timer for each.
#[derive(Debug)]
pub(crate) struct Deadline {
    limit: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Deadline {
    /// Each work may take `limit`. Must be called on the runtime.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, timer: Box::pin(time::sleep(limit)) }
    }

    /// As [`timeout`].
    pub(crate) async fn within<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let (mut work, deadline) = (pin!(work), now() + self.limit);
        loop {
            self.timer.as_mut().reset(deadline + asleep());
            tokio::select! {
                biased;
                done = work.as_mut() => return Some(done),
                () = self.timer.as_mut() => if now() >= deadline { return None },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_gaps_between_observations_count_and_only_while_somebody_observes() {
        let mut watch = Watch { observers: 1, last: None, asleep: Duration::ZERO, woke: None };
        let begin = Clock::now();
        let at = |watch: &mut Watch, seconds: u64| {
            watch.observe(begin + Duration::from_secs(seconds));
            watch.asleep.as_secs()
        };
        assert_eq!([0, 1, 2, 4, 84, 85].map(|seconds| at(&mut watch, seconds)), [0, 0, 0, 0, 80, 80]);
        assert_eq!(watch.woke, Some(begin + Duration::from_secs(84)));
        watch.observers = 0;
        assert_eq!(at(&mut watch, 200), 80);
        watch.observers = 1;
        assert_eq!(at(&mut watch, 201), 80);
    }

    #[tokio::test(start_paused = true)]
    async fn without_gaps_it_is_the_runtime_s_time() {
        let (limit, began) = (Duration::from_secs(5), Instant::now());
        assert!(timeout(limit, std::future::pending::<()>()).await.is_err());
        assert!(Deadline::new(limit).within(std::future::pending::<()>()).await.is_none());
        assert!(began.elapsed() >= 2 * limit && began.elapsed() < 2 * limit + Duration::from_secs(1));
        assert_eq!(timeout(limit, async { 7 }).await.ok(), Some(7));
    }
}
