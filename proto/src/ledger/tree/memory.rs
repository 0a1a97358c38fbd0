//! The nodes of one version in memory.

use std::collections::BTreeMap;

use super::{Nodes, Patch};

/// The nodes of the last version: for tests, the simulator, and a ledger in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryNodes {
    nodes: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl MemoryNodes {
    /// Applies a patch: adds its nodes and removes its stale ones.
    pub fn apply(&mut self, patch: &Patch) {
        for stale in &patch.stale {
            self.nodes.remove(&stale.key);
        }
        self.nodes.extend(patch.nodes.iter().cloned());
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no nodes, not even a root: no version was applied.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Bytes of all nodes, without their keys.
    pub fn bytes(&self) -> usize {
        self.nodes.values().map(Vec::len).sum()
    }
}

impl Nodes for MemoryNodes {
    fn node(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.nodes.get(key).cloned()
    }
}
