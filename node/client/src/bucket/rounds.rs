//! One question for all who ask it at the same time.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use tokio::sync::Mutex;

/// Rounds of a question, of which one is in progress at a time. A caller that comes while it is takes part in the next
/// one, together with all others that wait for it: its answer is to a question that was asked after the call.
pub(super) struct Rounds<T> {
    begun: AtomicU64,
    /// The number and the answer of the last round that came to its end.
    last: Mutex<Option<(u64, T)>>,
}

impl<T: Clone> Rounds<T> {
    pub(super) fn new() -> Self {
        Self { begun: AtomicU64::new(0), last: Mutex::new(None) }
    }

    /// The answer of a round that begins after this is called. A round ends early with the caller that began it; the
    /// next one begins then.
    pub(super) async fn join(&self, ask: impl Future<Output = T>) -> T {
        let before = self.begun.load(Ordering::SeqCst);
        let mut last = self.last.lock().await;
        if let Some((_, answer)) = last.as_ref().filter(|(number, _)| *number > before) {
            return answer.clone();
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        let answer = ask.await;
        *last = Some((number, answer.clone()));
        answer
    }
}

impl<T> fmt::Debug for Rounds<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rounds").field("begun", &self.begun).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tokio::time::{sleep, timeout};

    use super::*;

    /// A round that takes a second; the answer is how many have begun.
    async fn asked(count: &AtomicU64) -> u64 {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        sleep(Duration::from_secs(1)).await;
        number
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_during_a_round_has_part_in_the_next_one() {
        let (rounds, count) = (Arc::new(Rounds::new()), Arc::new(AtomicU64::new(0)));
        let call = |after_ms: u64| {
            let (rounds, count) = (Arc::clone(&rounds), Arc::clone(&count));
            tokio::spawn(async move {
                sleep(Duration::from_millis(after_ms)).await;
                rounds.join(asked(&count)).await
            })
        };
        let calls = [0, 100, 200, 999, 1_500, 3_500].map(call);
        let answers: Vec<u64> = futures::future::try_join_all(calls).await.expect("no panic");
        assert_eq!(answers, [1, 2, 2, 2, 3, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_whose_caller_is_gone_is_made_again() {
        let (rounds, count) = (Rounds::new(), AtomicU64::new(0));
        let gone = timeout(Duration::from_millis(500), rounds.join(asked(&count)));
        let (gone, answer) = futures::join!(gone, async {
            sleep(Duration::from_millis(100)).await;
            rounds.join(asked(&count)).await
        });
        assert!(gone.is_err());
        assert_eq!(answer, 2);
    }
}
