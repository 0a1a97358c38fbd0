//! What a validator does that is behind the others: it takes decided blocks from one that has them.
//!
//! In go signs that others are ahead, and time without a block; out come calls of [`Ledger::catch_up`], one at once.
//! Who was asked in vain is followed by the next, ever more slowly. Not here: whether the blocks are right.

use std::{fmt, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use ostrakon_proto::id::NodeId;
use tokio::time::Instant;

use super::ledger::Ledger;
use crate::chain::store::LedgerError;

/// When another is one height on, this one has so long to come there by itself: the last votes are on their way.
const NEAR: Duration = Duration::from_millis(300);
/// Without a block for so long, others are asked.
const STALL: Duration = Duration::from_secs(3);
/// The longest time between two questions.
const STALL_MAX: Duration = Duration::from_secs(24);

/// What is known of being behind.
pub(super) struct Behind {
    ledger: Arc<dyn Ledger>,
    asking: Option<BoxFuture<'static, Result<(), LedgerError>>>,
    /// Who is ahead.
    ahead: Option<NodeId>,
    due: Instant,
    pause: Duration,
    turn: usize,
}

impl fmt::Debug for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behind").field("ahead", &self.ahead).field("due", &self.due).finish_non_exhaustive()
    }
}

impl Behind {
    /// Not behind yet.
    pub(super) fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self { ledger, asking: None, ahead: None, due: Instant::now() + STALL, pause: STALL, turn: 0 }
    }

    /// A new height begins. What is being asked goes on: it may bring this height, too.
    pub(super) fn advance(&mut self, now: Instant) {
        (self.ahead, self.pause, self.due) = (None, STALL, now + STALL);
    }

    /// `node` works `by` heights above this one, as a validator's signature shows.
    pub(super) fn note(&mut self, node: NodeId, by: u64, now: Instant) {
        if self.ahead.is_none() {
            self.ahead = Some(node);
            self.due = self.due.min(if by > 1 { now } else { now + NEAR });
        }
    }

    /// When it is time to ask.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// When it is time to ask because another is known to be ahead.
    pub(super) fn due_if_ahead(&self) -> Option<Instant> {
        self.ahead.map(|_| self.due)
    }

    /// Asks, when it is time: who is ahead, else `others` in turn.
    pub(super) fn ask(&mut self, others: &[NodeId], now: Instant) {
        if now < self.due {
            return;
        }
        let next = others.get(self.turn.checked_rem(others.len()).unwrap_or(0)).copied();
        if let Some(node) = self.ahead.take().or(next) {
            tracing::debug!(%node, "this validator may be behind: asking for blocks");
            self.asking = Some(self.ledger.catch_up(node));
        }
        self.turn = self.turn.wrapping_add(1);
        self.due = now + self.pause;
        self.pause = (self.pause * 2).min(STALL_MAX);
    }

    /// Moves what is asked on until it is answered. Never ends when nothing is. Cancel-safe.
    ///
    /// # Errors
    /// [`LedgerError`] when a block cannot be kept.
    pub(super) async fn drive(&mut self) -> Result<(), LedgerError> {
        match &mut self.asking {
            Some(asking) => {
                let answered = asking.await;
                self.asking = None;
                answered
            }
            None => std::future::pending().await,
        }
    }
}
