//! Which nodes are members of the network: validators and registered providers, as the ledger has them.
//!
//! The node that reads the ledger sets them; what shares out memory, places or turns asks. Strangers are all others,
//! and all nodes while nobody has set any. Not here: what a member may use that a stranger may not.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use ostrakon_proto::id::NodeId;

use crate::lock;

/// The nodes that are members. Clones share the set.
#[derive(Clone, Debug, Default)]
pub struct Members(Arc<Mutex<BTreeSet<NodeId>>>);

impl Members {
    /// From now on these nodes are the members, and no others.
    pub fn set(&self, nodes: BTreeSet<NodeId>) {
        *lock(&self.0) = nodes;
    }

    /// Whether this node is a member.
    pub fn contains(&self, node: &NodeId) -> bool {
        lock(&self.0).contains(node)
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
            let are = [1, 2].map(|byte| shared.contains(&NodeId::new([byte; 32])));
            assert_eq!(are, expect, "{set:?}");
        };
        check(&[], [false, false]);
        check(&[1], [true, false]);
        check(&[1], [true, false]);
        check(&[2], [false, true]);
        check(&[], [false, false]);
    }
}
