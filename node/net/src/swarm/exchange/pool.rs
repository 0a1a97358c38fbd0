//! Our streams of one protocol on one connection, pooled, and the calls that wait for one.
//!
//! Pure state of the handler: in go calls and streams, out come a stream and the call that it is to carry. There are at
//! most [`IN_FLIGHT`] streams, which the other side's limit on streams always admits. Not here: what happens on a
//! stream ([`super::outbound`]).

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::swarm::calls::{Call, IN_FLIGHT};

/// A stream that is idle for this long is closed: well before the other side would.
const IDLE: Duration = Duration::from_secs(30);

/// The streams of one protocol.
#[derive(Debug)]
pub(super) struct StreamPool<S> {
    /// Idle streams, each with when it became idle: the one used last is last, and is used next.
    idle: Vec<(Instant, S)>,
    busy: usize,
    /// Streams that are being opened.
    opening: usize,
    waiting: VecDeque<Call>,
}

impl<S> Default for StreamPool<S> {
    fn default() -> Self {
        Self { idle: Vec::new(), busy: 0, opening: 0, waiting: VecDeque::new() }
    }
}

impl<S> StreamPool<S> {
    /// Adds a call at the end.
    pub(super) fn push(&mut self, call: Call) {
        self.waiting.push_back(call);
    }

    /// The next call that is still awaited, and a stream for it that `is_open`. The stream is busy until
    /// [`StreamPool::release`].
    pub(super) fn next(&mut self, is_open: impl FnMut(&mut S) -> bool) -> Option<(S, Call)> {
        let mut is_open = is_open;
        while self.waiting.front().is_some_and(|call| call.caller.is_gone()) {
            self.waiting.pop_front();
        }
        if self.waiting.is_empty() {
            return None;
        }
        while let Some((_, mut stream)) = self.idle.pop() {
            if is_open(&mut stream) {
                self.busy += 1;
                return Some((stream, self.waiting.pop_front()?));
            }
        }
        None
    }

    /// Whether one more stream must be opened now for the calls that wait; it then counts as being opened.
    pub(super) fn reserve(&mut self) -> bool {
        let is_short = self.idle.len() + self.opening < self.waiting.len();
        let reserve = is_short && self.idle.len() + self.busy + self.opening < IN_FLIGHT;
        self.opening += usize::from(reserve);
        reserve
    }

    /// A stream has been opened.
    pub(super) fn opened(&mut self, stream: S, now: Instant) {
        self.opening = self.opening.saturating_sub(1);
        self.idle.push((now, stream));
    }

    /// A stream could not be opened: the call that must be told.
    pub(super) fn open_failed(&mut self) -> Option<Call> {
        self.opening = self.opening.saturating_sub(1);
        self.waiting.pop_front()
    }

    /// A busy stream has carried its call; `None` when that failed.
    pub(super) fn release(&mut self, stream: Option<S>, now: Instant) {
        self.busy = self.busy.saturating_sub(1);
        self.idle.extend(stream.map(|stream| (now, stream)));
    }

    /// Drops calls whose callers are gone, and streams that have been idle for [`IDLE`].
    pub(super) fn prune(&mut self, now: Instant) {
        self.waiting.retain(|call| !call.caller.is_gone());
        self.idle.retain(|(since, _)| now.duration_since(*since) < IDLE);
    }

    /// Whether it has no streams and no calls.
    pub(super) fn is_empty(&self) -> bool {
        self.idle.is_empty() && self.busy == 0 && self.opening == 0 && self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ostrakon_proto::{id::NodeId, wire::Protocol};
    use tokio::sync::{Semaphore, oneshot};

    use super::*;
    use crate::swarm::calls::{Answered, Caller};

    struct Calls(Arc<Semaphore>);

    impl Calls {
        fn call(&self) -> (Call, oneshot::Receiver<Answered>) {
            let (answer, answered) = oneshot::channel();
            let permit = self.0.clone().try_acquire_owned().expect("a free permit");
            let to = NodeId::new([1; 32]);
            let caller = Caller::new(to, answer, permit);
            (Call { to, protocol: Protocol::Get, request: Default::default(), caller }, answered)
        }

        fn pool(&self, count: usize) -> (StreamPool<u32>, Vec<oneshot::Receiver<Answered>>) {
            let mut pool = StreamPool::default();
            let answers = (0..count).map(|_| {
                let (call, answered) = self.call();
                pool.push(call);
                answered
            });
            let answers = answers.collect();
            (pool, answers)
        }
    }

    fn calls() -> Calls {
        Calls(Arc::new(Semaphore::new(64)))
    }

    #[tokio::test(start_paused = true)]
    async fn streams_are_opened_up_to_the_bound_and_used_again() {
        let (calls, now) = (calls(), Instant::now());
        let (mut pool, answers) = calls.pool(IN_FLIGHT + 2);
        let opened = std::iter::from_fn(|| pool.reserve().then_some(())).count();
        assert_eq!(opened, IN_FLIGHT);
        (0..16).for_each(|stream| pool.opened(stream, now));
        let mut busy: Vec<_> = std::iter::from_fn(|| pool.next(|_| true)).collect();
        assert_eq!(busy.len(), IN_FLIGHT);
        assert!(!pool.reserve(), "the last two wait for a stream");
        pool.release(Some(busy[3].0), now);
        let (stream, _call) = pool.next(|_| true).expect("its turn");
        assert_eq!(stream, busy[3].0);
        pool.release(None, now);
        assert!(pool.reserve() && !pool.reserve(), "one failed, one waits, one is opened");
        drop((busy.drain(..), answers));
    }

    #[tokio::test(start_paused = true)]
    async fn the_stream_used_last_is_next_and_ended_ones_are_let_go() {
        let (calls, now) = (calls(), Instant::now());
        let (mut pool, _answers) = calls.pool(2);
        (1..=4).for_each(|stream| pool.opened(stream, now));
        assert_eq!(pool.next(|stream| *stream != 4).expect("open").0, 3);
        assert_eq!(pool.next(|stream| *stream < 2).expect("open").0, 1);
        assert!(pool.idle.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn abandoned_calls_and_idle_streams_are_forgotten() {
        let (calls, begin) = (calls(), Instant::now());
        let (mut pool, answers) = calls.pool(3);
        drop(answers);
        pool.opened(1, begin);
        assert!(pool.next(|_| true).is_none(), "nobody awaits them");
        assert_eq!(calls.0.available_permits(), 64);
        pool.opened(2, begin + IDLE / 2);
        pool.prune(begin + IDLE);
        assert_eq!(pool.idle.iter().map(|(_, stream)| *stream).collect::<Vec<_>>(), [2]);
        pool.prune(begin + 2 * IDLE);
        assert!(pool.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn each_stream_that_cannot_be_had_fails_one_call() {
        let calls = calls();
        let (mut pool, _answers) = calls.pool(2);
        assert!(pool.reserve() && pool.reserve());
        assert!(pool.open_failed().is_some() && pool.open_failed().is_some() && pool.is_empty());
    }
}
