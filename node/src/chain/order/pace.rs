//! When the next height starts: immediately when there is work, at the interval when there is none.
//!
//! A height starts [`PACE`] after the last one started at the earliest, and not before that one is over. It starts then
//! when this node has something for a block, or when another validator has started already, which its messages show;
//! otherwise when the interval is over. So when one validator has work, the others follow within one message.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Committee, Ended, Order, OrderError};

/// Least time from one block to the next: transactions gather, and the disk syncs ten times a second at most.
const PACE: Duration = Duration::from_millis(100);

impl Order {
    /// Waits until the height starts, where the last one started at `last`; `Some` when it is over before.
    pub(super) async fn rest(
        &mut self,
        committee: &Committee,
        last: Option<Instant>,
        stop: &CancellationToken,
    ) -> Result<Option<Ended>, OrderError> {
        // After a restart it is unknown how long ago that was, and the others may be waiting for this one.
        let Some(last) = last else { return Ok(None) };
        let earliest = last + PACE.min(committee.interval);
        let mut reached = self.ledger.reached(committee.height);
        let ledger = Arc::clone(&self.ledger);
        let mut work = ledger.work();
        let mut start = last + committee.interval;
        loop {
            if self.messages.received.has_buffered(committee.height) {
                start = start.min(earliest);
            }
            // Without messages nothing is wrong while all validators rest; a message of a later height shows a gap.
            let behind = self.messages.catch_up.due_if_ahead().unwrap_or(start);
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Some(Ended::Stopped)),
                () = &mut reached => return Ok(Some(Ended::Decided)),
                () = sleep_until(start) => {
                    self.messages.catch_up.start_height(Instant::now());
                    return Ok(None);
                }
                done = self.messages.catch_up.drive() => done?,
                inbound = self.messages.arrivals.next() => self.receive_early(inbound, committee),
                () = &mut work, if start > earliest => start = earliest,
                () = sleep_until(behind) => self.messages.ask_for_blocks(committee, Instant::now()),
                () = self.messages.outbox.drive() => {}
            }
        }
    }
}
