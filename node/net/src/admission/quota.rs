//! A bounded amount of something, and how much of it each source holds.
//!
//! In goes who wants how much, out comes a [`Held`] that gives it back when it is dropped, or why there is none.
//! Members of the network can use all of it, strangers together a part, those of one network a part of that, and one
//! node a share: so neither many identities nor many addresses crowd out the members, nor one network the others.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use ostrakon_proto::id::NodeId;

use super::source::{Prefix, Source};
use crate::lock;

/// How much may be held, in the quota's unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// By all together.
    pub all: usize,
    /// By all strangers together.
    pub strangers: usize,
    /// By the strangers of one network together.
    pub prefix: usize,
    /// By one node.
    pub node: usize,
}

impl Limits {
    /// Three quarters of `all` for strangers, an eighth for those of one network, and `node` for one node.
    pub const fn shared(all: usize, node: usize) -> Self {
        Self { all, strangers: all / 4 * 3, prefix: all / 8, node }
    }
}

/// Which limit does not allow more: the text is for the node that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    /// What one node may hold.
    #[error("this node has reached its limit of requests or connections for one node; wait for answers, then retry")]
    Node,
    /// What the strangers of one network may hold.
    #[error(
        "this node has reached its limit of requests or connections for one IP subnet; retry later, or ask another node"
    )]
    Prefix,
    /// What all strangers may hold.
    #[error(
        "this node has reached its limit of requests or connections for nodes that are not registered on the ledger; \
         retry later, or ask another node"
    )]
    Strangers,
    /// What all may hold.
    #[error("this node has reached its limit of requests or connections; retry later, or ask another node")]
    All,
}

impl Exceeded {
    /// The limit in a word, for metrics.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Node => "node_limit",
            Self::Prefix => "network_limit",
            Self::Strangers => "strangers_limit",
            Self::All => "limit",
        }
    }
}

/// A bounded amount. Clones share it.
#[derive(Clone)]
pub struct Quota(Arc<Mutex<Shares>>);

struct Shares {
    limits: Limits,
    all: usize,
    strangers: usize,
    prefixes: BTreeMap<Prefix, usize>,
    nodes: BTreeMap<NodeId, usize>,
}

/// What a source holds of a quota, until it is dropped.
pub struct Held {
    quota: Quota,
    source: Source,
    amount: usize,
}

impl Quota {
    /// Nothing of it is held.
    pub fn new(limits: Limits) -> Self {
        let (prefixes, nodes) = (BTreeMap::new(), BTreeMap::new());
        Self(Arc::new(Mutex::new(Shares { limits, all: 0, strangers: 0, prefixes, nodes })))
    }

    /// Holds `amount` for `source`.
    ///
    /// # Errors
    /// [`Exceeded`] when a limit does not allow it.
    pub fn hold(&self, source: Source, amount: usize) -> Result<Held, Exceeded> {
        let mut held = Held { quota: self.clone(), source, amount: 0 };
        held.grow(amount).map(|()| held)
    }

    /// How much the strangers of this network hold.
    pub fn of_prefix(&self, prefix: &Prefix) -> usize {
        lock(&self.0).prefixes.get(prefix).copied().unwrap_or(0)
    }

    /// The network whose strangers hold the most, and how much.
    pub fn heaviest(&self) -> Option<(Prefix, usize)> {
        let shares = lock(&self.0);
        shares.prefixes.iter().max_by_key(|(_, held)| **held).map(|(prefix, held)| (*prefix, *held))
    }

    /// How much is held by all together.
    pub fn used(&self) -> usize {
        lock(&self.0).all
    }
}

impl Held {
    /// Who holds it.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Holds `more` as well.
    ///
    /// # Errors
    /// [`Exceeded`] when a limit does not allow it: what was held is held still.
    pub fn grow(&mut self, more: usize) -> Result<(), Exceeded> {
        lock(&self.quota.0).take(&self.source, more)?;
        self.amount += more;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        lock(&self.quota.0).give_back(&self.source, self.amount);
    }
}

impl Shares {
    fn take(&mut self, source: &Source, more: usize) -> Result<(), Exceeded> {
        let over = |used: usize, limit: usize| used.saturating_add(more) > limit;
        let (limits, used) = (self.limits, |map: Option<&usize>| map.copied().unwrap_or(0));
        if over(self.all, limits.all) {
            return Err(Exceeded::All);
        }
        if over(used(self.nodes.get(&source.node)), limits.node) {
            return Err(Exceeded::Node);
        }
        if !source.is_member() {
            if over(used(self.prefixes.get(&source.prefix)), limits.prefix) {
                return Err(Exceeded::Prefix);
            }
            if over(self.strangers, limits.strangers) {
                return Err(Exceeded::Strangers);
            }
            self.strangers += more;
            *self.prefixes.entry(source.prefix).or_default() += more;
        }
        self.all += more;
        *self.nodes.entry(source.node).or_default() += more;
        Ok(())
    }

    fn give_back(&mut self, source: &Source, amount: usize) {
        self.all -= amount;
        subtract(&mut self.nodes, &source.node, amount);
        if !source.is_member() {
            self.strangers -= amount;
            subtract(&mut self.prefixes, &source.prefix, amount);
        }
    }
}

fn subtract<K: Ord>(of: &mut BTreeMap<K, usize>, key: &K, amount: usize) {
    if let Some(used) = of.get_mut(key) {
        *used -= amount;
        if *used == 0 {
            of.remove(key);
        }
    }
}

impl fmt::Debug for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shares = lock(&self.0);
        f.debug_struct("Quota").field("used", &shares.all).field("limits", &shares.limits).finish()
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("source", &self.source).field("amount", &self.amount).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { all: 100, strangers: 60, prefix: 20, node: 15 };

    fn stranger(node: u8, network: u8) -> Source {
        Source::stranger(NodeId::new([node; 32]), Prefix::of_ip([10, 0, network, node].into()))
    }

    fn member(node: u8) -> Source {
        Source::member(NodeId::new([node; 32]))
    }

    #[test]
    fn each_limit_holds_and_is_named() {
        let quota = Quota::new(LIMITS);
        let mut held = Vec::new();
        let mut check = |source, amount, expect: Result<(), Exceeded>| {
            let got = quota.hold(source, amount).map(|more| held.push(more));
            assert_eq!(got, expect, "{source:?} {amount}");
        };
        check(stranger(1, 1), 15, Ok(()));
        check(stranger(1, 1), 1, Err(Exceeded::Node));
        check(stranger(2, 1), 5, Ok(()));
        check(stranger(3, 1), 1, Err(Exceeded::Prefix));
        check(stranger(4, 2), 15, Ok(()));
        check(stranger(5, 3), 15, Ok(()));
        check(stranger(6, 4), 10, Ok(()));
        check(stranger(7, 5), 1, Err(Exceeded::Strangers));
        check(member(8), 15, Ok(()));
        check(member(8), 1, Err(Exceeded::Node));
        check(member(9), 15, Ok(()));
        check(member(10), 11, Err(Exceeded::All));
        check(member(10), usize::MAX, Err(Exceeded::All));
    }

    #[test]
    fn what_is_dropped_is_given_back() {
        let quota = Quota::new(LIMITS);
        let mut one = quota.hold(stranger(1, 1), 10).expect("within the limits");
        let two = quota.hold(member(2), 15).expect("within the limits");
        assert_eq!((one.grow(5), one.grow(1)), (Ok(()), Err(Exceeded::Node)));
        assert_eq!(quota.used(), 30);
        drop((one, two));
        let shares = lock(&quota.0);
        assert!(shares.all == 0 && shares.strangers == 0 && shares.prefixes.is_empty() && shares.nodes.is_empty());
    }
}
