//! Catching up: a validator that is behind the others takes decided blocks from one that has them.
//!
//! In go signs that others are ahead, and time without a block; out come calls of [`Ledger::catch_up`], one at a time.
//! After a node that had no blocks the next is asked, at growing intervals. Not here: whether the blocks are valid.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use ostrakon_proto::id::NodeId;
use tokio::time::Instant;

use super::ledger::Ledger;
use crate::chain::store::LedgerError;

/// How long this validator waits for the last votes when another is one height ahead.
const NEAR: Duration = Duration::from_millis(300);
/// Time without a block after which others are asked.
const STALL: Duration = Duration::from_secs(3);
/// The longest time between two questions.
const STALL_MAX: Duration = Duration::from_secs(24);

/// Whether this validator is behind, and which node it asks.
pub(super) struct CatchUp {
    ledger: Arc<dyn Ledger>,
    asking: Option<BoxFuture<'static, Result<(), LedgerError>>>,
    /// A node that is ahead.
    ahead: Option<NodeId>,
    due: Instant,
    pause: Duration,
    turn: usize,
}

impl CatchUp {
    /// Not behind yet.
    pub(super) fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self { ledger, asking: None, ahead: None, due: Instant::now() + STALL, pause: STALL, turn: 0 }
    }

    /// A new height starts. A call in flight continues: it may bring this height, too.
    pub(super) fn start_height(&mut self, now: Instant) {
        (self.ahead, self.pause, self.due) = (None, STALL, now + STALL);
    }

    /// `node` is `by` heights ahead, as a validator's signature shows.
    pub(super) fn saw_ahead(&mut self, node: NodeId, by: u64, now: Instant) {
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

    /// Asks, when it is time, the node that is ahead, else `others` in turn.
    pub(super) fn ask(&mut self, others: &[NodeId], now: Instant) {
        if now < self.due {
            return;
        }
        let next = others.get(self.turn.checked_rem(others.len()).unwrap_or(0)).copied();
        if let Some(node) = self.ahead.take().or(next) {
            tracing::debug!(%node, "this validator may be behind: asking for decided blocks");
            self.asking = Some(self.ledger.catch_up(node));
        }
        self.turn = self.turn.wrapping_add(1);
        self.due = now + self.pause;
        self.pause = (self.pause * 2).min(STALL_MAX);
    }

    /// Drives the call in flight until it ends; pending when there is none. Cancel-safe.
    ///
    /// # Errors
    /// [`LedgerError`] when a block cannot be stored.
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
