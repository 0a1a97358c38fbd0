//! The nodes of one version in memory.

use std::collections::BTreeMap;

use super::{Nodes, Patch};

/// Keeps the nodes of the last version: for tests, for the simulator, and for a ledger in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryNodes {
    nodes: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl MemoryNodes {
    /// Takes over what the patch writes and forgets what it makes stale.
    pub fn apply(&mut self, patch: &Patch) {
        for stale in &patch.stale {
            self.nodes.remove(&stale.key);
        }
        self.nodes.extend(patch.nodes.iter().cloned());
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none, not even a root: no version was applied.
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
