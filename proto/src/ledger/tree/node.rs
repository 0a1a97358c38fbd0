//! One node of the state tree: its hash and its encoding (SPEC, "State tree").
//!
//! A node covers four levels of the binary tree: 16 children. A subtree without leaves is empty, one with a single leaf
//! is that leaf, stored within its parent, and any other is a node of its own.

use std::sync::LazyLock;

use blake3::{
    Hasher,
    hazmat::{ContextKey, HasherExt, hash_derive_key_context},
};
use borsh::{BorshDeserialize, BorshSerialize};

use super::TreeError;

/// A hash of the tree.
pub(super) type Hash = [u8; 32];

/// Hash of a subtree without leaves. No input is known that hashes to it.
pub(super) const EMPTY: Hash = [0; 32];

/// Children of a node.
pub(super) const WIDTH: usize = 16;

/// Nodes on the longest path: one for each half byte of a key's hash.
const DEPTH: usize = 64;

static KEY: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context("ostrakon state key 1"));
static VALUE: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context("ostrakon state value 1"));
static LEAF: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context("ostrakon state leaf 1"));
static INNER: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context("ostrakon state node 1"));

/// Path of the record with these key bytes.
pub(super) fn key_hash(key: &[u8]) -> Hash {
    Hasher::new_from_context_key(&KEY).update(key).finalize().into()
}

/// Hash of a record's value, in its leaf.
pub(super) fn value_hash(value: &[u8]) -> Hash {
    Hasher::new_from_context_key(&VALUE).update(value).finalize().into()
}

/// Hash of the parent of these two.
pub(super) fn hash_inner(left: &Hash, right: &Hash) -> Hash {
    Hasher::new_from_context_key(&INNER).update(left).update(right).finalize().into()
}

/// A leaf: a record, by hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Leaf {
    /// [`key_hash`] of its key.
    pub(super) key: Hash,
    /// [`value_hash`] of its value.
    pub(super) value: Hash,
}

impl Leaf {
    pub(super) fn hash(&self) -> Hash {
        Hasher::new_from_context_key(&LEAF).update(&self.key).update(&self.value).finalize().into()
    }
}

/// The `depth`-th half byte of a key's hash.
pub(super) fn nibble(key: &Hash, depth: usize) -> usize {
    let byte = key[depth / 2];
    usize::from(if depth.is_multiple_of(2) { byte >> 4 } else { byte & 15 })
}

/// The `depth`-th bit of a key's hash, the first being the highest.
pub(super) fn bit(key: &Hash, depth: usize) -> bool {
    key[depth / 8] >> (7 - depth % 8) & 1 == 1
}

/// A subtree, as stored in its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) enum TreeChild {
    /// A subtree without leaves.
    Empty,
    /// A subtree with one leaf.
    Leaf(Leaf),
    /// A subtree with more leaves, which is a node of its own.
    Inner {
        /// Its hash.
        hash: Hash,
        /// The version that wrote its node.
        version: u64,
    },
}

/// A subtree, as its parent's hash depends on it: a leaf beside an empty subtree stays that leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subtree {
    Empty,
    Leaf(Hash),
    Inner(Hash),
}

impl Subtree {
    pub(super) fn hash(self) -> Hash {
        match self {
            Self::Empty => EMPTY,
            Self::Leaf(hash) | Self::Inner(hash) => hash,
        }
    }

    /// The subtree with these two halves.
    pub(super) fn above(left: Self, right: Self) -> Self {
        match (left, right) {
            (Self::Empty, Self::Empty) => Self::Empty,
            (Self::Empty, Self::Leaf(hash)) | (Self::Leaf(hash), Self::Empty) => Self::Leaf(hash),
            _ => Self::Inner(hash_inner(&left.hash(), &right.hash())),
        }
    }
}

impl TreeChild {
    pub(super) fn subtree(&self) -> Subtree {
        match self {
            Self::Empty => Subtree::Empty,
            Self::Leaf(leaf) => Subtree::Leaf(leaf.hash()),
            Self::Inner { hash, .. } => Subtree::Inner(*hash),
        }
    }
}

/// The children of one node, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct TreeNode(pub(super) [TreeChild; WIDTH]);

impl TreeNode {
    pub(super) const EMPTY: Self = Self([TreeChild::Empty; WIDTH]);

    pub(super) fn hash(&self) -> Hash {
        fold(&self.0).hash()
    }

    /// What its parent stores in its place when it has fewer than two leaves.
    pub(super) fn collapsed(&self) -> Option<TreeChild> {
        let mut there = self.0.iter().filter(|child| **child != TreeChild::Empty);
        match (there.next(), there.next()) {
            (None, _) => Some(TreeChild::Empty),
            (Some(leaf @ TreeChild::Leaf(_)), None) => Some(*leaf),
            _ => None,
        }
    }

    /// Two bit sets, of the leaves and of the inner nodes, then each child that is not empty, in order.
    pub(super) fn encode(&self) -> Vec<u8> {
        let (mut leaves, mut inners) = (0_u16, 0_u16);
        let mut bytes = vec![0; 4];
        bytes.reserve_exact(WIDTH * 64);
        for (at, child) in self.0.iter().enumerate() {
            match child {
                TreeChild::Empty => {}
                TreeChild::Leaf(leaf) => {
                    leaves |= 1 << at;
                    bytes.extend_from_slice(&leaf.key);
                    bytes.extend_from_slice(&leaf.value);
                }
                TreeChild::Inner { hash, version } => {
                    inners |= 1 << at;
                    bytes.extend_from_slice(hash);
                    bytes.extend_from_slice(&version.to_le_bytes());
                }
            }
        }
        bytes[..2].copy_from_slice(&leaves.to_le_bytes());
        bytes[2..4].copy_from_slice(&inners.to_le_bytes());
        bytes.shrink_to_fit();
        bytes
    }

    /// The node encoded by [`Self::encode`]; `None` when the bytes are malformed.
    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let leaves = u16::from_le_bytes(*take(&mut bytes)?);
        let inners = u16::from_le_bytes(*take(&mut bytes)?);
        let mut node = Self::EMPTY;
        for (at, child) in node.0.iter_mut().enumerate() {
            match (leaves >> at & 1, inners >> at & 1) {
                (0, 0) => {}
                (1, 0) => *child = TreeChild::Leaf(Leaf { key: *take(&mut bytes)?, value: *take(&mut bytes)? }),
                (0, 1) => {
                    let hash = *take(&mut bytes)?;
                    *child = TreeChild::Inner { hash, version: u64::from_le_bytes(*take(&mut bytes)?) };
                }
                _ => return None,
            }
        }
        bytes.is_empty().then_some(node)
    }

    /// The node of `version` that is `depth` half bytes down the path to `key`.
    pub(super) fn load(nodes: &dyn super::Nodes, version: u64, depth: usize, key: &Hash) -> Result<Self, TreeError> {
        if depth >= DEPTH {
            return Err(TreeError::Malformed { version, depth });
        }
        let bytes = nodes.node(&node_key(version, depth, key)).ok_or(TreeError::Missing { version, depth })?;
        Self::decode(&bytes).ok_or(TreeError::Malformed { version, depth })
    }
}

fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(head)
}

/// The subtree over these children; their number is a power of two.
pub(super) fn fold(children: &[TreeChild]) -> Subtree {
    match children {
        [child] => child.subtree(),
        _ => {
            let (left, right) = children.split_at(children.len() / 2);
            Subtree::above(fold(left), fold(right))
        }
    }
}

/// Key of a node in a store: the version that wrote it, its depth, and its path. Nodes of one version are adjacent, and
/// versions are in order.
pub(super) fn node_key(version: u64, depth: usize, key: &Hash) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(9 + depth.div_ceil(2));
    bytes.extend_from_slice(&version.to_be_bytes());
    bytes.push(u8::try_from(depth).expect("a key has 64 half bytes"));
    bytes.extend_from_slice(&key[..depth.div_ceil(2)]);
    if !depth.is_multiple_of(2) {
        let last = bytes.len() - 1;
        bytes[last] &= 0xf0;
    }
    bytes
}
