//! Runs work that blocks or computes (hashing, coding, disk) off the threads that do input and output.
//!
//! In goes a closure, out comes its result. A pool runs a bounded number concurrently, and callers wait for their turn;
//! the simulator runs closures on the calling thread, so that the order of events never depends on threads.

use std::{
    panic,
    sync::{Arc, Once},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{self, JoinError, JoinHandle},
};
use tokio_util::task::AbortOnDropHandle;

/// A bounded pool, or the caller's own thread. Clones share the pool.
#[derive(Clone, Debug)]
pub struct Workers {
    turns: Option<Arc<Semaphore>>,
}

impl Workers {
    /// A pool that runs up to `threads` closures concurrently, on the runtime's blocking threads.
    pub fn pool(threads: usize) -> Self {
        keep_freed_memory();
        Self { turns: Some(Arc::new(Semaphore::new(threads.max(1)))) }
    }

    /// Another pool of `threads`, so that the one's work does not wait for the other's; on the calling thread where
    /// this one runs there.
    #[must_use]
    pub fn another(&self, threads: usize) -> Self {
        if self.turns.is_some() { Self::pool(threads) } else { Self::inline() }
    }

    /// Whether it runs closures on the calling thread.
    pub const fn is_inline(&self) -> bool {
        self.turns.is_none()
    }

    /// Runs each closure immediately on the thread that awaits it.
    pub const fn inline() -> Self {
        Self { turns: None }
    }

    /// Runs `work`, and returns what it returns. When the future is dropped, work that has started runs to its end.
    ///
    /// # Panics
    /// When `work` panics: the panic resumes in the caller.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let Some(turns) = self.turns.clone() else { return work() };
        let run = move |turn: OwnedSemaphorePermit| {
            task::spawn_blocking(move || {
                // Held by the work, not by its caller: a dropped future must not let one more start.
                let _turn = turn;
                work()
            })
        };
        let done = match Arc::clone(&turns).try_acquire_owned() {
            Ok(turn) => run(turn).await,
            Err(_) => wait_and_run(turns, run).await,
        };
        match done {
            Ok(value) => value,
            Err(failed) if failed.is_panic() => panic::resume_unwind(failed.into_panic()),
            // Only a runtime that shuts down cancels, and it drops this future next.
            Err(_) => futures::future::pending().await,
        }
    }
}

/// Waits for a turn in a task of its own: a caller that is not polled, such as the next item of a stream while this one
/// is worked on, would keep a turn that it was given, and who polls it may be waiting for one.
async fn wait_and_run<T: Send + 'static>(
    turns: Arc<Semaphore>,
    run: impl FnOnce(OwnedSemaphorePermit) -> JoinHandle<T> + Send + 'static,
) -> Result<T, JoinError> {
    let work = async move { run(turns.acquire_owned().await.expect("the semaphore is never closed")).await };
    AbortOnDropHandle::new(task::spawn(work)).await.and_then(|done| done)
}

/// glibc gives large buffers back to the system when they are freed, and the next ones of the same size fault in page
/// by page: rows of 1 MiB are then coded at a third of their speed. Once a block was freed that is nearly as large as
/// its limit allows, it reuses blocks up to that size. Other allocators are not affected. Once, for a second such block
/// would stay.
fn keep_freed_memory() {
    const LIMIT: usize = 32 * 1024 * 1024;
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(std::hint::black_box(vec![0_u8; LIMIT - 64 * 1024])));
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_pool_bounds_what_runs_concurrently() {
        let workers = Workers::pool(2);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let runs = (0..32usize).map(|i| {
            let (workers, now, most) = (workers.clone(), now.clone(), most.clone());
            async move {
                let work = move || {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    now.fetch_sub(1, Ordering::SeqCst);
                    i
                };
                workers.run(work).await
            }
        });
        assert_eq!(futures::future::join_all(runs).await, (0..32).collect::<Vec<_>>());
        assert!(most.load(Ordering::SeqCst) <= 2);
    }

    #[tokio::test]
    async fn a_caller_that_is_not_polled_keeps_no_turn() {
        let workers = Workers::pool(1);
        let (free, held) = std::sync::mpsc::sync_channel::<()>(1);
        let mut first = Box::pin(workers.run(move || held.recv()));
        let mut next = Box::pin(workers.run(|| ()));
        // Both have asked; the turn is the first one's, and the next is not polled again.
        assert!(futures::poll!(&mut first).is_pending() && futures::poll!(&mut next).is_pending());
        free.send(()).expect("it waits");
        workers.run(|| ()).await;
        first.await.expect("it was freed");
    }

    #[tokio::test]
    async fn inline_stays_on_the_thread() {
        let here = std::thread::current().id();
        assert_eq!(Workers::inline().run(move || std::thread::current().id()).await, here);
        assert_ne!(Workers::pool(1).run(move || std::thread::current().id()).await, here);
    }

    #[tokio::test]
    #[should_panic(expected = "broken")]
    async fn a_panic_reaches_the_caller() {
        Workers::pool(1).run(|| panic!("broken")).await;
    }
}
