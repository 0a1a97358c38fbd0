//! A queue from which sources take turns, in units of cost: fair queueing between members and strangers, between the
//! networks of strangers, and between the nodes of one network.
//!
//! In go items with their cost, out they come in a fair order. At each of the three levels every flow that has
//! something queued gets the same share, whatever the others queue: each has a virtual time that advances by what it
//! was served, and the one that is behind comes first (start-time fair queueing; Goyal, Vin and Cheng, SIGCOMM 1996).
//! What a request costs is known only when it is answered, so [`FairQueue::charge`] advances the time of its source
//! afterwards. When the queue is full, the longest flow loses its newest item. Pure: it has no clock.

use std::collections::{BTreeMap, VecDeque};

use ostrakon_proto::id::NodeId;

use super::source::{Prefix, Source, Standing};

/// Items of many sources.
#[derive(Debug)]
pub struct FairQueue<T> {
    flows: Flows<Standing, Flows<Prefix, Flows<NodeId, Waiting<T>>>>,
    limit: usize,
    limit_of_node: usize,
}

/// The items of one node, each with its cost.
type Waiting<T> = VecDeque<(u64, T)>;

impl<T> FairQueue<T> {
    /// An empty queue of at most `limit` items, `limit_of_node` of one node.
    pub fn new(limit: usize, limit_of_node: usize) -> Self {
        Self { flows: Flows::default(), limit, limit_of_node }
    }

    /// Queues an item. Returns one that has to go instead because the queue is full: it may be this one.
    pub fn push(&mut self, source: &Source, cost: u64, item: T) -> Option<T> {
        if self.flows.len_of(source) >= self.limit_of_node {
            return Some(item);
        }
        self.flows.push(source, cost, item);
        if self.flows.len <= self.limit { None } else { self.flows.drop_newest() }
    }

    /// The next item.
    pub fn pop(&mut self) -> Option<T> {
        self.flows.pop().map(|(_, item)| item)
    }

    /// The source was served for `cost` more than its item said.
    pub fn charge(&mut self, source: &Source, cost: u64) {
        self.flows.charge(source, cost);
    }
}

/// The flow of a source at one level.
trait Level: Ord + Copy {
    fn of(source: &Source) -> Self;
}

impl Level for Standing {
    fn of(source: &Source) -> Self {
        source.standing
    }
}

impl Level for Prefix {
    fn of(source: &Source) -> Self {
        source.prefix
    }
}

impl Level for NodeId {
    fn of(source: &Source) -> Self {
        source.node
    }
}

/// What is queued below one flow.
trait Backlog: Default {
    type Item;
    fn push(&mut self, source: &Source, cost: u64, item: Self::Item);
    fn pop(&mut self) -> Option<(u64, Self::Item)>;
    fn drop_newest(&mut self) -> Option<Self::Item>;
    fn charge(&mut self, source: &Source, cost: u64);
    fn len(&self) -> usize;
    fn len_of(&self, source: &Source) -> usize;
}

impl<T> Backlog for Waiting<T> {
    type Item = T;

    fn push(&mut self, _: &Source, cost: u64, item: T) {
        self.push_back((cost, item));
    }

    fn pop(&mut self) -> Option<(u64, T)> {
        self.pop_front()
    }

    fn drop_newest(&mut self) -> Option<T> {
        self.pop_back().map(|(_, item)| item)
    }

    fn charge(&mut self, _: &Source, _: u64) {}

    fn len(&self) -> usize {
        Self::len(self)
    }

    fn len_of(&self, _: &Source) -> usize {
        Self::len(self)
    }
}

/// Flows that share what the level above gives them.
#[derive(Debug)]
struct Flows<K, Q> {
    flows: BTreeMap<K, Flow<Q>>,
    /// Items of all flows.
    len: usize,
    /// The virtual time: how far the flow that was served last had been served before.
    now: u64,
}

#[derive(Debug, Default)]
struct Flow<Q> {
    /// How far it was served, in virtual time.
    served: u64,
    queue: Q,
}

impl<K: Ord, Q> Default for Flows<K, Q> {
    fn default() -> Self {
        Self { flows: BTreeMap::new(), len: 0, now: 0 }
    }
}

impl<K: Level, Q: Backlog> Backlog for Flows<K, Q> {
    type Item = Q::Item;

    fn push(&mut self, source: &Source, cost: u64, item: Q::Item) {
        let flow = self.flows.entry(K::of(source)).or_default();
        if flow.queue.len() == 0 {
            // Time in which it wanted nothing is not saved up.
            flow.served = flow.served.max(self.now);
        }
        flow.queue.push(source, cost, item);
        self.len += 1;
    }

    fn pop(&mut self) -> Option<(u64, Q::Item)> {
        let waiting = self.flows.iter_mut().filter(|(_, flow)| flow.queue.len() > 0);
        let (_, flow) = waiting.min_by_key(|(key, flow)| (flow.served, **key))?;
        let (cost, item) = flow.queue.pop()?;
        self.now = flow.served;
        flow.served = flow.served.saturating_add(cost);
        self.len -= 1;
        self.forget();
        Some((cost, item))
    }

    fn drop_newest(&mut self) -> Option<Q::Item> {
        let longest = self.flows.iter_mut().max_by_key(|(key, flow)| (flow.queue.len(), **key));
        let item = longest.and_then(|(_, flow)| flow.queue.drop_newest())?;
        self.len -= 1;
        Some(item)
    }

    fn charge(&mut self, source: &Source, cost: u64) {
        // A flow that is gone was behind the others even with this.
        if let Some(flow) = self.flows.get_mut(&K::of(source)) {
            flow.served = flow.served.saturating_add(cost);
            flow.queue.charge(source, cost);
        }
    }

    fn len(&self) -> usize {
        self.len
    }

    fn len_of(&self, source: &Source) -> usize {
        self.flows.get(&K::of(source)).map_or(0, |flow| flow.queue.len_of(source))
    }
}

impl<K: Level, Q: Backlog> Flows<K, Q> {
    /// Forgets what makes no difference any more: all of it once nobody waits, and flows that would start at the
    /// present as any new one.
    fn forget(&mut self) {
        if self.len == 0 {
            (self.flows, self.now) = (BTreeMap::new(), 0);
        }
        let now = self.now;
        self.flows.retain(|_, flow| flow.served > now || flow.queue.len() > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger(node: u8, network: u8) -> Source {
        Source::stranger(NodeId::new([node; 32]), Prefix::of_ip([10, 0, network, node].into()))
    }

    fn member(node: u8) -> Source {
        Source::member(NodeId::new([node; 32]))
    }

    fn queued(limit: usize, items: &[(Source, u64, usize)]) -> FairQueue<NodeId> {
        let mut queue = FairQueue::new(limit, 1000);
        for (source, cost, count) in items {
            (0..*count).for_each(|_| assert_eq!(queue.push(source, *cost, source.node), None));
        }
        queue
    }

    /// Of the first `count` items, how many are of each node.
    fn served<const N: usize>(queue: &mut FairQueue<NodeId>, count: usize, of: [Source; N]) -> [usize; N] {
        let taken: Vec<NodeId> = (0..count).filter_map(|_| queue.pop()).collect();
        of.map(|source| taken.iter().filter(|node| **node == source.node).count())
    }

    #[test]
    fn nodes_networks_and_members_share_at_each_level() {
        let (a, b, c, m) = (stranger(1, 1), stranger(2, 1), stranger(3, 2), member(4));
        let mut queue = queued(1000, &[(a, 10, 100), (b, 10, 100), (c, 10, 100), (m, 10, 100)]);
        assert_eq!(served(&mut queue, 80, [m, c, a, b]), [40, 20, 10, 10]);
        let mut queue = queued(1000, &[(a, 10, 100), (b, 10, 3)]);
        assert_eq!(served(&mut queue, 20, [a, b]), [17, 3], "what one does not want the other gets");
    }

    #[test]
    fn shares_are_of_cost_and_not_of_items() {
        let (small, large) = (stranger(1, 1), stranger(2, 2));
        let mut queue = queued(1000, &[(large, 100, 50), (small, 10, 200)]);
        assert_eq!(served(&mut queue, 110, [large, small]), [10, 100]);
        let mut queue = queued(1000, &[(large, 10, 50), (small, 10, 50)]);
        queue.charge(&large, 200);
        assert_eq!(served(&mut queue, 22, [large, small]), [1, 21], "an answer was long");
    }

    #[test]
    fn who_comes_late_waits_for_one_turn_and_saves_nothing_up() {
        let (busy, late) = (stranger(1, 1), stranger(2, 2));
        let mut queue = queued(1000, &[(busy, 10, 500)]);
        assert_eq!(served(&mut queue, 300, [busy]), [300]);
        (0..100).for_each(|_| assert_eq!(queue.push(&late, 10, late.node), None));
        assert_eq!(served(&mut queue, 40, [busy, late]), [20, 20]);
    }

    #[test]
    fn when_it_is_full_the_longest_flow_loses_its_newest() {
        let (greedy, modest, m) = (stranger(1, 1), stranger(2, 2), member(3));
        let mut queue = queued(10, &[(greedy, 10, 10)]);
        assert_eq!(queue.push(&greedy, 10, greedy.node), Some(greedy.node));
        for source in [modest, m, m] {
            assert_eq!(queue.push(&source, 10, source.node), Some(greedy.node), "{source:?}");
        }
        assert_eq!(served(&mut queue, 11, [greedy, modest, m]), [7, 1, 2]);
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn one_node_has_a_limit_of_its_own() {
        let mut queue = FairQueue::new(100, 3);
        let counted = (0..10).filter(|_| queue.push(&member(1), 1, ()).is_none()).count();
        assert_eq!((counted, queue.push(&member(2), 1, ())), (3, None));
    }

    #[test]
    fn nothing_is_kept_of_those_who_are_gone() {
        let mut queue = FairQueue::new(100, 100);
        assert_eq!(queue.push(&member(1), 10, ()), None);
        for node in 0..200 {
            assert_eq!(queue.push(&stranger(node, node), 10, ()), None);
            assert_eq!(queue.push(&member(1), 10, ()), None);
            assert_eq!([queue.pop(), queue.pop()], [Some(()); 2]);
        }
        let flows = |standing| {
            queue.flows.flows.get(&standing).map_or(0, |flow: &Flow<Flows<Prefix, _>>| flow.queue.flows.len())
        };
        assert!(flows(Standing::Stranger) <= 2 && flows(Standing::Member) == 1);
        assert_eq!([queue.pop(), queue.pop()], [Some(()), None]);
        assert!(queue.flows.flows.is_empty());
    }
}
