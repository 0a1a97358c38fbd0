//! Proofs that a record has a value, or does not exist: the siblings on the path from the root to its leaf.

use borsh::{BorshDeserialize, BorshSerialize};

use super::{
    Nodes, TreeError,
    node::{EMPTY, Hash, Leaf, TreeChild, TreeNode, bit, fold, hash_inner, key_hash, nibble, value_hash},
};
use crate::limits::STATE_PROOF_SIBLINGS;

/// Proof of one record, or of its absence, against a state root. 33 bytes for each doubling of the number of records,
/// and 5 or 69 more: about 570 bytes with 100,000 records, 680 with a million.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Proof {
    /// The siblings, from the root down; `None` for an empty one.
    pub(super) siblings: Vec<Option<Hash>>,
    /// The leaf at the end of the path, if it is another record's.
    pub(super) other: Option<Leaf>,
}

/// Why a proof is invalid. Its sender is at fault: ask another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadProof {
    /// Not the proof of any tree.
    #[error("invalid proof: malformed")]
    Malformed,
    /// The other leaf does not show the record's absence.
    #[error("invalid proof: it is for another key")]
    Key,
    /// The proof does not hash to the state root.
    #[error("invalid proof: it does not hash to the state root")]
    Root,
}

/// Proves the record with this key at `version`, or its absence.
///
/// # Errors
/// [`TreeError`] when `nodes` does not have this version, or no longer.
pub fn prove(nodes: &dyn Nodes, version: u64, key: &[u8]) -> Result<Proof, TreeError> {
    prove_hashed(nodes, version, &key_hash(key))
}

/// [`prove`] of a key that is hashed already.
pub(super) fn prove_hashed(nodes: &dyn Nodes, version: u64, key: &Hash) -> Result<Proof, TreeError> {
    let mut siblings = Vec::with_capacity(32);
    let mut node = TreeNode::load(nodes, version, 0, key)?;
    let mut end = node.collapsed().unwrap_or_else(|| beside(&node, nibble(key, 0), &mut siblings));
    let mut depth = 0;
    while let TreeChild::Inner { version, .. } = end {
        depth += 1;
        node = TreeNode::load(nodes, version, depth, key)?;
        end = beside(&node, nibble(key, depth), &mut siblings);
    }
    let other = match end {
        TreeChild::Leaf(leaf) if leaf.key != *key => Some(leaf),
        _ => None,
    };
    Ok(Proof { siblings, other })
}

/// Walks down the four levels of `node` to its `index`-th child, or to the leaf or empty subtree that contains it.
fn beside(node: &TreeNode, index: usize, siblings: &mut Vec<Option<Hash>>) -> TreeChild {
    let mut children = &node.0[..];
    while children.len() > 1 {
        let (left, right) = children.split_at(children.len() / 2);
        let (own, sibling) = if index & left.len() == 0 { (left, right) } else { (right, left) };
        siblings.push(Some(fold(sibling).hash()).filter(|hash| *hash != EMPTY));
        children = own;
        let mut there = children.iter().filter(|child| **child != TreeChild::Empty);
        match (there.next(), there.next()) {
            (None, _) => return TreeChild::Empty,
            (Some(leaf @ TreeChild::Leaf(_)), None) => return *leaf,
            _ => {}
        }
    }
    children[0]
}

impl Proof {
    /// Checks that under `root` the record with this key has this value, or with `None` that it does not exist.
    ///
    /// # Errors
    /// [`BadProof`] when that is not proven.
    pub fn verify(&self, root: &[u8; 32], key: &[u8], value: Option<&[u8]>) -> Result<(), BadProof> {
        self.verify_hashed(root, &key_hash(key), value.map(value_hash))
    }

    /// [`Self::verify`] of a key and a value that are hashed already.
    pub(super) fn verify_hashed(&self, root: &Hash, key: &Hash, value: Option<Hash>) -> Result<(), BadProof> {
        let depth = self.siblings.len();
        // A subtree of one leaf is that leaf: the last sibling is not empty.
        let ends = self.siblings.last().is_none_or(Option::is_some);
        if depth > STATE_PROOF_SIBLINGS || !ends || self.siblings.contains(&Some(EMPTY)) {
            return Err(BadProof::Malformed);
        }
        let end = match (value, self.other) {
            (Some(value), None) => Leaf { key: *key, value }.hash(),
            (Some(_), Some(_)) => return Err(BadProof::Malformed),
            (None, None) => EMPTY,
            (None, Some(other)) if absent(key, &other.key, depth) => other.hash(),
            (None, Some(_)) => return Err(BadProof::Key),
        };
        let up = |below: Hash, (depth, sibling): (usize, &Option<Hash>)| {
            let sibling = sibling.as_ref().unwrap_or(&EMPTY);
            if bit(key, depth) { hash_inner(sibling, &below) } else { hash_inner(&below, sibling) }
        };
        if self.siblings.iter().enumerate().rev().fold(end, up) != *root {
            return Err(BadProof::Root);
        }
        Ok(())
    }
}

/// Whether a leaf of key `other`, `depth` bits down the path to `key`, shows that `key` has none.
fn absent(key: &Hash, other: &Hash, depth: usize) -> bool {
    key != other && (0..depth).all(|depth| bit(key, depth) == bit(other, depth))
}
