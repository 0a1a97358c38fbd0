//! When the next height begins: at once when there is work, at the interval when there is none.
//!
//! A height begins [`PACE`] after the last one began at the earliest, and not before that one is over. It begins then
//! when this node has something for a block, or when another validator has begun already, which its messages show;
//! otherwise when the interval is over. So whoever has work, the others follow within one message.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Committee, Ended, Order, OrderError};

/// Least time from one block to the next: transactions gather, and the disk syncs ten times a second at most.
const PACE: Duration = Duration::from_millis(100);

impl Order {
    /// Waits until the height begins, where the last one began at `last`; `Some` when it is over before.
    pub(super) async fn rest(
        &mut self,
        committee: &Committee,
        last: Option<Instant>,
        stop: &CancellationToken,
    ) -> Result<Option<Ended>, OrderError> {
        // After a start nobody knows how long ago that was; the others wait for this one, perhaps.
        let Some(last) = last else { return Ok(None) };
        let earliest = last + PACE.min(self.parts.interval);
        let mut reached = self.parts.ledger.reached(committee.height);
        let ledger = Arc::clone(&self.parts.ledger);
        let mut work = ledger.work();
        let mut begin = last + self.parts.interval;
        loop {
            if self.heard.has(committee.height) {
                begin = begin.min(earliest);
            }
            // Silence means nothing while everyone rests; a message of a later height does.
            let behind = self.behind.due_if_ahead().unwrap_or(begin);
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Some(Ended::Stopped)),
                () = &mut reached => return Ok(Some(Ended::Over)),
                () = sleep_until(begin) => {
                    self.behind.advance(Instant::now());
                    return Ok(None);
                }
                done = self.behind.drive() => done?,
                inbound = self.arrivals.next() => self.hear_early(inbound, committee),
                () = &mut work, if begin > earliest => begin = earliest,
                () = sleep_until(behind) => {
                    let others = self.others(committee);
                    self.behind.ask(&others, Instant::now());
                }
                () = self.gossip.drive() => {}
            }
        }
    }
}
