//! From one version of the tree to the next: only nodes above a changed leaf are read and written.

use super::{
    Nodes, Patch, Stale, TreeError,
    node::{Hash, Leaf, TreeChild, TreeNode, key_hash, nibble, node_key, value_hash},
};

/// A leaf's new value; `None` removes it.
pub(super) struct LeafChange {
    pub(super) key: Hash,
    pub(super) value: Option<Hash>,
}

/// The patch that gives the records with these keys these values at `version`; `None` removes a record. `parent` is the
/// version before, `None` for the first. The order of the leaves does not matter. A root is written even without
/// leaves: every version has one.
///
/// # Errors
/// [`TreeError`] when `nodes` lacks a node of the parent.
///
/// # Panics
/// When `version` is not later than `parent`, or a key occurs twice.
pub fn update<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    nodes: &dyn Nodes,
    parent: Option<u64>,
    version: u64,
    leaves: impl IntoIterator<Item = (K, Option<V>)>,
) -> Result<Patch, TreeError> {
    let change = |(key, value): (K, Option<V>)| LeafChange {
        key: key_hash(key.as_ref()),
        value: value.map(|value| value_hash(value.as_ref())),
    };
    update_hashed(nodes, parent, version, leaves.into_iter().map(change).collect())
}

/// [`update`] of keys and values that are hashed already.
pub(super) fn update_hashed(
    nodes: &dyn Nodes,
    parent: Option<u64>,
    version: u64,
    mut changes: Vec<LeafChange>,
) -> Result<Patch, TreeError> {
    assert!(parent < Some(version), "a version follows its parent");
    changes.sort_unstable_by_key(|change| change.key);
    assert!(changes.is_sorted_by(|a, b| a.key < b.key), "a key changes once in one version");
    let patch = Patch { root: Hash::default(), nodes: Vec::with_capacity(changes.len() + 1), stale: Vec::new() };
    let mut update = Update { nodes, version, patch };
    update.root(parent, &changes)?;
    Ok(update.patch)
}

struct Update<'a> {
    nodes: &'a dyn Nodes,
    version: u64,
    patch: Patch,
}

impl Update<'_> {
    /// The root has a node of its own even if it has fewer than two leaves.
    fn root(&mut self, parent: Option<u64>, changes: &[LeafChange]) -> Result<(), TreeError> {
        let way = Hash::default();
        let mut node = match parent {
            Some(parent) => TreeNode::load(self.nodes, parent, 0, &way)?,
            None => TreeNode::EMPTY,
        };
        self.children(&mut node, 0, changes)?;
        if let Some(parent) = parent {
            self.stale(parent, 0, &way);
        }
        self.patch.root = self.write(&node, 0, &way);
        Ok(())
    }

    fn children(&mut self, node: &mut TreeNode, depth: usize, changes: &[LeafChange]) -> Result<(), TreeError> {
        for group in changes.chunk_by(|a, b| nibble(&a.key, depth) == nibble(&b.key, depth)) {
            let child = &mut node.0[nibble(&group[0].key, depth)];
            *child = self.child(*child, depth + 1, group)?;
        }
        Ok(())
    }

    /// The new value of the subtree `at`, which is `depth` half bytes down the path that all of `changes` share.
    fn child(&mut self, at: TreeChild, depth: usize, changes: &[LeafChange]) -> Result<TreeChild, TreeError> {
        let kept = match at {
            TreeChild::Inner { version, .. } => return self.inner(at, version, depth, changes),
            TreeChild::Leaf(leaf) => Some(leaf),
            TreeChild::Empty => None,
        };
        let new = |change: &LeafChange| change.value.map(|value| Leaf { key: change.key, value });
        if let [change] = changes
            && kept.is_none_or(|leaf| leaf.key == change.key)
        {
            return Ok(new(change).map_or(TreeChild::Empty, TreeChild::Leaf));
        }
        let mut leaves: Vec<Leaf> = changes.iter().filter_map(new).collect();
        if let Some(leaf) = kept
            && changes.binary_search_by_key(&leaf.key, |change| change.key).is_err()
        {
            leaves.insert(leaves.partition_point(|other| other.key < leaf.key), leaf);
        }
        Ok(self.build(depth, &leaves))
    }

    fn inner(
        &mut self,
        at: TreeChild,
        version: u64,
        depth: usize,
        changes: &[LeafChange],
    ) -> Result<TreeChild, TreeError> {
        let way = &changes[0].key;
        let before = TreeNode::load(self.nodes, version, depth, way)?;
        let mut node = before;
        self.children(&mut node, depth, changes)?;
        if node == before {
            return Ok(at);
        }
        self.stale(version, depth, way);
        Ok(node.collapsed().unwrap_or_else(|| self.place(&node, depth, way)))
    }

    /// A new subtree of these leaves.
    fn build(&mut self, depth: usize, leaves: &[Leaf]) -> TreeChild {
        let [first, _, ..] = leaves else {
            return leaves.first().map_or(TreeChild::Empty, |leaf| TreeChild::Leaf(*leaf));
        };
        let mut node = TreeNode::EMPTY;
        for group in leaves.chunk_by(|a, b| nibble(&a.key, depth) == nibble(&b.key, depth)) {
            node.0[nibble(&group[0].key, depth)] = self.build(depth + 1, group);
        }
        self.place(&node, depth, &first.key)
    }

    fn place(&mut self, node: &TreeNode, depth: usize, way: &Hash) -> TreeChild {
        TreeChild::Inner { hash: self.write(node, depth, way), version: self.version }
    }

    fn write(&mut self, node: &TreeNode, depth: usize, way: &Hash) -> Hash {
        self.patch.nodes.push((node_key(self.version, depth, way), node.encode()));
        node.hash()
    }

    fn stale(&mut self, created: u64, depth: usize, way: &Hash) {
        self.patch.stale.push(Stale { key: node_key(created, depth, way), since: self.version, created });
    }
}
