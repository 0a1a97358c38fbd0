//! A thread of its own for the order, so that no request of another node, however many there are, delays a vote by more
//! than the system's scheduler does.
//!
//! In goes an order, out comes how it ended. A simulated node has no threads: there the order is a task.

use std::thread;

use tokio::{runtime, sync::oneshot};
use tokio_util::sync::CancellationToken;

use crate::chain::order::{Order, OrderError};

/// Runs the order until `stop`, or until this is dropped.
///
/// # Errors
/// As [`Order::run`], and when the system gives no thread.
pub(super) async fn run(order: Order, stop: CancellationToken) -> Result<(), OrderError> {
    let (ended, end) = oneshot::channel();
    let stop_thread = stop.child_token();
    let guard = stop_thread.clone().drop_guard();
    let thread = thread::Builder::new().name("ostrakon-order".to_owned()).spawn(move || {
        let begun = runtime::Builder::new_current_thread().enable_time().build().map_err(OrderError::Thread);
        // The receiver is gone when the node was dropped.
        let _gone = ended.send(begun.and_then(|runtime| runtime.block_on(order.run(stop_thread))));
    });
    let thread = thread.map_err(OrderError::Thread)?;
    let outcome = end.await;
    drop(guard);
    // It has ended, or it panicked: what it left is resumed here, so that the node ends with it.
    match (thread.join(), outcome) {
        (Ok(()), Ok(outcome)) => outcome,
        (Ok(()), Err(_)) => unreachable!("invariant: a thread that does not panic sends how it ended"),
        (Err(panicked), _) => std::panic::resume_unwind(panicked),
    }
}
