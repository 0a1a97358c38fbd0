//! Whether a connection is in use: counted by those who use it, read by its handler.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// The requests that are under way on one connection, in either direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Activity(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    under_way: AtomicUsize,
    begun: AtomicUsize,
}

impl Activity {
    /// A request begins; it is under way until what is returned is dropped.
    pub(super) fn begin(&self) -> UnderWay {
        self.0.under_way.fetch_add(1, Relaxed);
        self.0.begun.fetch_add(1, Relaxed);
        UnderWay(self.clone())
    }

    /// Whether a request is under way.
    pub(super) fn is_under_way(&self) -> bool {
        self.0.under_way.load(Relaxed) > 0
    }

    /// How many requests have ever begun, for comparison with a later time.
    pub(super) fn begun(&self) -> usize {
        self.0.begun.load(Relaxed)
    }
}

/// A request that is under way.
#[derive(Debug)]
pub(super) struct UnderWay(Activity);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.under_way.fetch_sub(1, Relaxed);
    }
}
