//! Which nodes are members of the network: validators and registered providers, as the ledger has them.
//!
//! The node that reads the ledger sets them; what shares out memory, places or turns asks. Strangers are all others,
//! and all nodes while nobody has set any. Not here: what a member may use that a stranger may not.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use ostrakon_proto::id::NodeId;

use crate::{
    admission::{Prefix, Source},
    lock,
};

/// The nodes that are members. Clones share the set.
#[derive(Clone, Debug, Default)]
pub struct Members(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    nodes: Mutex<BTreeSet<NodeId>>,
    changes: AtomicU64,
}

impl Members {
    /// From now on these nodes are the members, and no others.
    pub fn set(&self, nodes: BTreeSet<NodeId>) {
        let mut current = lock(&self.0.nodes);
        if *current != nodes {
            *current = nodes;
            self.0.changes.fetch_add(1, Relaxed);
        }
    }

    /// Whether this node is a member.
    pub(crate) fn contains(&self, node: &NodeId) -> bool {
        lock(&self.0.nodes).contains(node)
    }

    /// As whom this node uses something up when it connects from `prefix`.
    pub fn source(&self, node: NodeId, prefix: Prefix) -> Source {
        if self.contains(&node) { Source::member(node) } else { Source::stranger(node, prefix) }
    }

    /// How often the set has changed, for those who remember what [`Members::contains`] returned.
    pub(crate) fn changes(&self) -> u64 {
        self.0.changes.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_those_last_set() {
        let members = Members::default();
        let shared = members.clone();
        let check = |set: &[u8], expect: [bool; 2], changes| {
            members.set(set.iter().map(|byte| NodeId::new([*byte; 32])).collect());
            let source = |node: NodeId| shared.source(node, Prefix::of_node(&node));
            let are = [1, 2].map(|byte| source(NodeId::new([byte; 32])).is_member());
            assert_eq!((are, shared.changes()), (expect, changes), "{set:?}");
        };
        check(&[], [false, false], 0);
        check(&[1], [true, false], 1);
        check(&[1], [true, false], 1);
        check(&[2], [false, true], 2);
        check(&[], [false, false], 3);
    }
}
