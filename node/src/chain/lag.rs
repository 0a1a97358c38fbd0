//! Whether the node that this one follows stays behind others.
//!
//! In come heights that other nodes report, asked for now and then; out comes that the source is to be left. The rule
//! ([`Lag`]) is pure. A source that is slow on purpose, or that hears no blocks itself, sends valid ones, so nothing
//! else shows it. What others report is not proven: a false claim makes this node try another source, no more.

use std::time::Duration;

use futures::future::BoxFuture;
use ostrakon_net::ask;
use ostrakon_proto::{
    id::{Height, NodeId},
    wire::{self, chain::Head},
};
use tokio::time::{Instant, sleep_until};

use super::Chain;

/// Pause between two questions.
const EVERY: Duration = Duration::from_secs(3);
/// How long a node may take to report its newest block.
const ANSWER: Duration = Duration::from_secs(3);
/// Blocks that a source may always be behind.
const NEAR: u64 = 3;
/// How long it may be further behind without getting closer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How far this node, and so its source, is behind others.
#[derive(Clone, Copy, Debug, Default)]
struct Lag {
    /// Since when it gets no closer, and how far behind it was then.
    since: Option<(Instant, u64)>,
}

impl Lag {
    /// This node is at `own`, another at `other`. Returns whether its source is to be left.
    fn compare(&mut self, own: Height, other: Height, now: Instant) -> bool {
        let behind = other.0.saturating_sub(own.0);
        match self.since {
            Some((since, before)) if behind > NEAR && behind >= before => now.duration_since(since) >= PATIENCE,
            _ => {
                self.since = (behind > NEAR).then_some((now, behind));
                false
            }
        }
    }
}

/// Compares one source with other nodes.
#[derive(Default)]
pub(super) struct Comparison {
    source: Option<NodeId>,
    others: Vec<NodeId>,
    lag: Lag,
    due: Option<Instant>,
    turn: usize,
    asking: Option<BoxFuture<'static, Option<Head>>>,
}

impl Comparison {
    /// This node follows `source` now.
    pub(super) fn of(&mut self, source: NodeId, others: Vec<NodeId>) {
        if self.source != Some(source) {
            *self =
                Self { source: Some(source), due: Some(Instant::now() + EVERY), turn: self.turn, ..Self::default() };
        }
        self.others = others;
    }

    /// Waits until the source is to be left. Cancel-safe.
    pub(super) async fn until_lagging(&mut self, chain: &Chain) {
        loop {
            let Some(asking) = &mut self.asking else {
                sleep_until(self.due.unwrap_or_else(Instant::now)).await;
                self.ask(chain).await;
                continue;
            };
            let reported = asking.await;
            let now = Instant::now();
            (self.asking, self.due) = (None, Some(now + EVERY));
            if reported.is_some_and(|head| self.lag.compare(chain.head().height, head.height, now)) {
                return;
            }
        }
    }

    /// Asks the next of the others; without others, nothing is ever compared.
    async fn ask(&mut self, chain: &Chain) {
        let Some(at) = self.turn.checked_rem(self.others.len()) else { return std::future::pending().await };
        let (peers, node) = (chain.peers(), self.others[at]);
        self.turn = self.turn.wrapping_add(1);
        self.asking = Some(Box::pin(async move { ask(&*peers, node, wire::chain::head().within(ANSWER)).await.ok() }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_stays_behind_is_left() {
        let start = Instant::now();
        let steps = [
            ("level", 0, 100, 100, false),
            ("a little behind", 3, 100, 103, false),
            ("for long", 60, 100, 103, false),
            ("further behind", 63, 100, 104, false),
            ("not for long yet", 72, 110, 114, false),
            ("no closer for ten seconds", 73, 110, 114, true),
            ("the next is far behind, as one that catches up is", 80, 110, 5000, false),
            ("and closer each time", 83, 300, 5010, false),
            ("which may take long", 1000, 900, 5500, false),
            ("but then no more", 1009, 905, 5605, false),
            ("for ten seconds", 1019, 906, 5700, true),
            ("and level again", 1022, 5700, 5700, false),
            ("others may be behind", 1030, 5700, 10, false),
        ];
        let mut lag = Lag::default();
        for (desc, second, own, other, expect) in steps {
            let now = start + Duration::from_secs(second);
            assert_eq!(lag.compare(Height(own), Height(other), now), expect, "{desc}");
            if expect {
                lag = Lag::default();
            }
        }
    }
}
