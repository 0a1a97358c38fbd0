//! Which reads may be outdated.

use std::cell::Cell;

tokio::task_local! {
    static STALE: Cell<bool>;
}

/// Awaits reads, and says whether what any of them found in a bucket may be outdated: too few validators responded to
/// know what others have changed. What a task reads that they spawn does not count.
pub async fn noting_stale<T>(reads: impl Future<Output = T>) -> (T, bool) {
    let noted = async {
        let read = reads.await;
        (read, STALE.with(Cell::get))
    };
    STALE.scope(Cell::new(false), noted).await
}

/// Notes it for whom it concerns.
pub(super) fn note() {
    // Others ask `Bucket::is_stale`.
    let _ = STALE.try_with(|stale| stale.set(true));
}
