//! How long a stream may take for one thing: [`limits::STALL_SECONDS`].

use std::{pin::Pin, time::Duration};

use ostrakon_proto::limits;
use tokio::time::{self, Instant, Sleep};

/// No request lasts longer, nor any pause between two.
pub(super) const STALL: Duration = Duration::from_secs(limits::STALL_SECONDS);

/// One timer for all that happens on a stream: moving it on is much cheaper than a timer for each request.
#[derive(Debug)]
pub(super) struct Deadline(Pin<Box<Sleep>>);

impl Deadline {
    /// Must be called on the runtime.
    pub(super) fn new() -> Self {
        Self(Box::pin(time::sleep(STALL)))
    }

    /// What `work` returns, or nothing when it takes too long.
    pub(super) async fn within<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        self.0.as_mut().reset(Instant::now() + STALL);
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.0.as_mut() => None,
        }
    }
}
