//! Rows of a range in order, fetched ahead of a reader that does other things between them.
//!
//! A row in flight that nobody polls may hold a worker's turn that it does not use. A task that waits for anything else
//! waits with [`Ahead::meanwhile`], so that rows in flight continue until they are there.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    ops::Range,
    pin::pin,
    task::{Context, Poll},
};

use futures::{StreamExt, future::BoxFuture, stream::FuturesOrdered};

use super::{GetError, Plain, open::Opened, plan, plan::Step, read_step, window};

/// Rows that are there, in flight, and to come.
pub(crate) struct Ahead<'a> {
    opened: &'a Opened,
    steps: Box<dyn Iterator<Item = Step> + Send + 'a>,
    in_flight: FuturesOrdered<BoxFuture<'a, Result<Plain, GetError>>>,
    ready: VecDeque<Result<Plain, GetError>>,
}

impl<'a> Ahead<'a> {
    /// The plaintext of a range that lies in the object.
    pub(crate) fn new(opened: &'a Opened, range: Range<u64>) -> Self {
        let steps = Box::new(plan::steps(opened.layout, range));
        Self { opened, steps, in_flight: FuturesOrdered::new(), ready: VecDeque::new() }
    }

    /// The next row; `None` behind the last. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Result<Plain, GetError>> {
        poll_fn(|context| {
            self.poll(context);
            match self.ready.pop_front() {
                None if !self.in_flight.is_empty() => Poll::Pending,
                plain => Poll::Ready(plain),
            }
        })
        .await
    }

    /// What `other` returns, while rows in flight continue.
    pub(crate) async fn meanwhile<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = pin!(other);
        poll_fn(|context| {
            self.poll(context);
            other.as_mut().poll(context)
        })
        .await
    }

    /// Continues with all rows in flight, and begins others as far as the window reaches.
    fn poll(&mut self, context: &mut Context<'_>) {
        loop {
            while self.in_flight.len() + self.ready.len() < window(&self.opened.layout) {
                let Some(step) = self.steps.next() else { break };
                self.in_flight.push_back(Box::pin(read_step(self.opened, step, None)));
            }
            match self.in_flight.poll_next_unpin(context) {
                Poll::Ready(Some(plain)) => self.ready.push_back(plain),
                Poll::Ready(None) | Poll::Pending => return,
            }
        }
    }
}
