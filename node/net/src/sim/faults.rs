//! The simulated network's state: which nodes run, how the network is partitioned, and the RNG that draws delays and
//! losses.
//!
//! In go faults and messages, out come their fates; all randomness comes from one seeded generator, in the order of the
//! messages. Not here: waiting ([`super::call`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    time::Duration,
};

use ostrakon_proto::id::NodeId;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio_util::sync::CancellationToken;

use super::{SimConfig, trace::Trace};
use crate::{Intake, Members, Requests, request_queues};

/// Delays and losses of messages from one node to another.
#[derive(Clone, Debug)]
pub struct LinkConditions {
    /// One-way delays are drawn from here.
    pub latency: RangeInclusive<Duration>,
    /// Of a thousand messages, how many are lost.
    pub loss_per_mille: u16,
}

/// One run of a node's process.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) incarnation: u64,
    pub(super) intake: Intake,
    /// The members of the network, as this node knows them.
    pub(super) members: Members,
    /// Cancelled when it crashes.
    pub(super) crashed: CancellationToken,
}

/// The fate of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It arrives after this.
    Arrives(Duration),
    /// It is lost at random.
    Lost,
    /// It is lost in a partition.
    Cut,
}

/// The network's state.
#[derive(Debug)]
pub(super) struct State {
    pub(super) config: SimConfig,
    pub(super) trace: Trace,
    rng: ChaCha8Rng,
    processes: BTreeMap<NodeId, Process>,
    joined: u64,
    /// Group of each node while there is a partition; nodes that are not in it are in group 0.
    groups: BTreeMap<NodeId, usize>,
    blocks: BTreeSet<(NodeId, NodeId)>,
    links: BTreeMap<(NodeId, NodeId), LinkConditions>,
}

impl State {
    pub(super) fn new(seed: u64, config: SimConfig) -> Self {
        Self {
            config,
            trace: Trace::new(seed),
            rng: ChaCha8Rng::seed_from_u64(seed),
            processes: BTreeMap::new(),
            joined: 0,
            groups: BTreeMap::new(),
            blocks: BTreeSet::new(),
            links: BTreeMap::new(),
        }
    }

    pub(super) fn join(&mut self, node: NodeId) -> (u64, Requests) {
        self.crash(node);
        self.joined += 1;
        let (intake, requests) = request_queues(&Default::default());
        let (members, crashed) = (Members::default(), CancellationToken::new());
        self.processes.insert(node, Process { incarnation: self.joined, intake, members, crashed });
        (self.joined, requests)
    }

    pub(super) fn crash(&mut self, node: NodeId) {
        if let Some(process) = self.processes.remove(&node) {
            process.crashed.cancel();
        }
    }

    pub(super) fn partition(&mut self, groups: &[Vec<NodeId>]) {
        let numbered = groups.iter().zip(1..);
        self.groups = numbered.flat_map(|(group, number)| group.iter().map(move |node| (*node, number))).collect();
    }

    pub(super) fn block(&mut self, from: NodeId, to: NodeId) {
        self.blocks.insert((from, to));
    }

    pub(super) fn heal(&mut self) {
        self.groups.clear();
        self.blocks.clear();
    }

    pub(super) fn set_link(&mut self, from: NodeId, to: NodeId, link: Option<LinkConditions>) {
        match link {
            Some(link) => self.links.insert((from, to), link),
            None => self.links.remove(&(from, to)),
        };
    }

    /// The node's process, when it runs.
    pub(super) fn process(&self, node: NodeId) -> Option<&Process> {
        self.processes.get(&node)
    }

    /// Whether messages between these nodes are lost now.
    pub(super) fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        let group = |node| self.groups.get(&node).copied().unwrap_or(0);
        group(from) != group(to) || self.blocks.contains(&(from, to))
    }

    /// Draws the fate of a message. Always takes the same number of draws.
    pub(super) fn fate(&mut self, from: NodeId, to: NodeId) -> Fate {
        let (latency, loss) = match self.links.get(&(from, to)) {
            Some(link) => (link.latency.clone(), link.loss_per_mille),
            None => (self.config.latency.clone(), self.config.loss_per_mille),
        };
        let delay = draw(&mut self.rng, &latency);
        let is_lost = self.rng.random_range(0..1000u16) < loss;
        if self.is_cut(from, to) {
            return Fate::Cut;
        }
        if from != to && is_lost { Fate::Lost } else { Fate::Arrives(delay) }
    }
}

/// A delay in whole microseconds; the timers round it up to milliseconds.
fn draw(rng: &mut ChaCha8Rng, latency: &RangeInclusive<Duration>) -> Duration {
    let micros = |delay: &Duration| u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
    let (least, most) = (micros(latency.start()), micros(latency.end()));
    Duration::from_micros(rng.random_range(least..=most.max(least)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u8) -> NodeId {
        NodeId::new([number; 32])
    }

    #[test]
    fn partitions_and_blocks_cut_the_right_ways() {
        let mut state = State::new(1, SimConfig::default());
        let check =
            |state: &State, from, to, expect| assert_eq!(state.is_cut(node(from), node(to)), expect, "{from} {to}");
        state.partition(&[vec![node(1), node(2)], vec![node(3)]]);
        for (from, to, expect) in [(1, 2, false), (1, 3, true), (3, 1, true), (4, 5, false), (4, 1, true)] {
            check(&state, from, to, expect);
        }
        state.heal();
        check(&state, 1, 3, false);
        state.block(node(1), node(2));
        check(&state, 1, 2, true);
        check(&state, 2, 1, false);
    }

    #[test]
    fn chance_follows_the_seed() {
        let fates = |seed| {
            let mut state = State::new(seed, SimConfig { loss_per_mille: 300, ..SimConfig::default() });
            (0..50).map(|_| state.fate(node(1), node(2))).collect::<Vec<_>>()
        };
        assert_eq!(fates(7), fates(7));
        assert_ne!(fates(7), fates(8));
        let lost = fates(7).iter().filter(|fate| **fate == Fate::Lost).count();
        assert!((5..30).contains(&lost), "{lost} of 50 at 30 %");
    }
}
