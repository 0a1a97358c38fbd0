//! Which nodes are members of the network: validators and registered providers, as the ledger has them.
//!
//! The node that reads the ledger sets them; what shares out memory, places or turns asks. Strangers are all others,
//! and all nodes while nobody has set any. Not here: what a member may use that a stranger may not.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use ostrakon_proto::id::NodeId;

use crate::{
    admission::{Prefix, Source},
    lock,
};

/// The nodes that are members. Clones share the set.
#[derive(Clone, Debug, Default)]
pub struct Members(Arc<Mutex<BTreeSet<NodeId>>>);

impl Members {
    /// From now on these nodes are the members, and no others.
    pub fn set(&self, nodes: BTreeSet<NodeId>) {
        *lock(&self.0) = nodes;
    }

    /// As whom this node uses something up when it connects from `prefix`.
    pub fn source(&self, node: NodeId, prefix: Prefix) -> Source {
        if lock(&self.0).contains(&node) { Source::member(node) } else { Source::stranger(node, prefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_those_last_set() {
        let members = Members::default();
        let shared = members.clone();
        let check = |set: &[u8], expect: [bool; 2]| {
            members.set(set.iter().map(|byte| NodeId::new([*byte; 32])).collect());
            let source = |node: NodeId| shared.source(node, Prefix::of_node(&node));
            let are = [1, 2].map(|byte| source(NodeId::new([byte; 32])).is_member());
            assert_eq!(are, expect, "{set:?}");
        };
        check(&[], [false, false]);
        check(&[1], [true, false]);
        check(&[1], [true, false]);
        check(&[2], [false, true]);
        check(&[], [false, false]);
    }
}
