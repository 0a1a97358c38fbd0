//! Nodes that sent what no honest node sends: transactions that are invalid at any height.
//!
//! In come counts of those by node, out comes whether a node's transactions are ignored. Pure and bounded: time is an
//! argument, and when there are too many nodes the one with the fewest is forgotten.

use std::{collections::BTreeMap, time::Duration};

use ostrakon_proto::id::NodeId;
use tokio::time::Instant;

/// Invalid transactions that a node may send before it is ignored.
const TOLERATED: u32 = 100;
/// How long it is ignored.
pub(super) const IGNORED: Duration = Duration::from_secs(60);
/// Nodes remembered.
const REMEMBERED: usize = 1_024;

/// Nodes that sent invalid transactions.
#[derive(Debug, Default)]
pub(super) struct InvalidSenders {
    nodes: BTreeMap<NodeId, Record>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Record {
    Sent(u32),
    IgnoredUntil(Instant),
}

impl InvalidSenders {
    /// Whether transactions of `node` are ignored now.
    pub(super) fn ignores(&mut self, node: &NodeId, now: Instant) -> bool {
        match self.nodes.get(node) {
            Some(Record::IgnoredUntil(until)) if now < *until => true,
            Some(Record::IgnoredUntil(_)) => {
                self.nodes.remove(node);
                false
            }
            _ => false,
        }
    }

    /// `node` sent this many more invalid transactions.
    pub(super) fn blame(&mut self, node: NodeId, invalid: usize, now: Instant) {
        let invalid = u32::try_from(invalid).unwrap_or(u32::MAX);
        if invalid == 0 {
            return;
        }
        if !self.nodes.contains_key(&node) && self.nodes.len() >= REMEMBERED {
            let least = self.nodes.iter().min_by_key(|(_, record)| **record).map(|(node, _)| *node);
            least.map(|least| self.nodes.remove(&least));
        }
        let record = self.nodes.entry(node).or_insert(Record::Sent(0));
        if let Record::Sent(sent) = record {
            let sent = sent.saturating_add(invalid);
            *record = if sent >= TOLERATED { Record::IgnoredUntil(now + IGNORED) } else { Record::Sent(sent) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: usize) -> NodeId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        NodeId::new(bytes)
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_sends_invalid_transactions_is_ignored_for_a_while() {
        let (mut senders, now) = (InvalidSenders::default(), Instant::now());
        (0..99).for_each(|_| senders.blame(node(1), 1, now));
        senders.blame(node(2), 0, now);
        assert!(!senders.ignores(&node(1), now));
        senders.blame(node(1), 1, now);
        assert!(senders.ignores(&node(1), now) && !senders.ignores(&node(2), now));
        assert!(senders.ignores(&node(1), now + IGNORED - Duration::from_millis(1)));
        assert!(!senders.ignores(&node(1), now + IGNORED));
        senders.blame(node(1), 99, now);
        assert!(!senders.ignores(&node(1), now), "counting starts over");
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_is_bounded_and_keeps_the_worst() {
        let (mut senders, now) = (InvalidSenders::default(), Instant::now());
        senders.blame(node(0), 100, now);
        (1..=2 * REMEMBERED).for_each(|number| senders.blame(node(number), 1, now));
        assert_eq!(senders.nodes.len(), REMEMBERED);
        assert!(senders.ignores(&node(0), now));
    }
}
