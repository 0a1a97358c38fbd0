//! The sum tree: leaves with weights, one hash for all of them, and proofs of which leaf is at a point of the whole
//! weight (ARCHITECTURE 5.4; SPEC, "Sum tree").
//!
//! Binary: the bits of a leaf's key are its path, a subtree of one leaf is that leaf, and one without leaves is empty.
//! So root and order follow from the leaves alone, not from their history. Each node covers the weights of its two
//! halves, so who knows the root can be shown the leaf at a point, and cannot be shown another. A clone is cheap and
//! stays as it is, as changes copy what they share of the path to a leaf; hashes are computed when they are asked for,
//! so that many changes copy and hash a node once.
//!
//! A proof is the tree itself, where the subtrees that do not matter are hidden behind hash and weight ([`proof`]).

use std::sync::{Arc, LazyLock, OnceLock};

use blake3::{
    Hasher,
    hazmat::{ContextKey, HasherExt, hash_derive_key_context},
};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::codec;

mod proof;
#[cfg(test)]
mod tests;

/// What a leaf is.
pub trait Leaf: Clone + BorshSerialize + BorshDeserialize {
    /// Key of the context under which leaves of this kind are hashed.
    fn context() -> &'static ContextKey;

    /// Its place: leaves are in the order of their keys.
    fn key(&self) -> [u8; 32];

    /// Its part of the whole.
    fn weight(&self) -> u128;
}

/// What commits to a subtree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Sum {
    /// Hash over all of its leaves; zeros when there are none.
    pub hash: [u8; 32],
    /// Their weights together.
    pub weight: u128,
}

/// The leaf that was asked for is in a hidden subtree: the proof shows less than it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the proof does not show the leaf that was asked for; ask another node")]
pub struct Hidden;

/// Leaves in the order of their keys, or a part of them with the proof that they are.
#[derive(Clone, Debug)]
pub struct SumTree<L> {
    root: Node<L>,
}

#[derive(Clone, Debug)]
enum Node<L> {
    Empty,
    Leaf(Arc<Stored<L>>),
    Inner(Arc<Inner<L>>),
    Hidden(Arc<Sum>),
}

#[derive(Debug)]
struct Stored<L> {
    leaf: L,
    hash: OnceLock<[u8; 32]>,
}

#[derive(Clone, Debug)]
struct Inner<L> {
    left: Node<L>,
    right: Node<L>,
    weight: u128,
    hash: OnceLock<[u8; 32]>,
}

impl<L> Default for SumTree<L> {
    fn default() -> Self {
        Self { root: Node::Empty }
    }
}

/// Trees with the same root have the same leaves.
impl<L: Leaf> PartialEq for SumTree<L> {
    fn eq(&self, other: &Self) -> bool {
        self.root() == other.root()
    }
}

impl<L: Leaf> Eq for SumTree<L> {}

impl<L: Leaf> FromIterator<L> for SumTree<L> {
    fn from_iter<I: IntoIterator<Item = L>>(leaves: I) -> Self {
        let mut tree = Self::default();
        leaves.into_iter().for_each(|leaf| tree.insert(leaf));
        tree
    }
}

const WHOLE: &str = "only whole trees are changed";

impl<L: Leaf> SumTree<L> {
    /// What commits to all leaves.
    pub fn root(&self) -> Sum {
        self.root.sum()
    }

    /// The weight of all leaves.
    pub fn weight(&self) -> u128 {
        self.root.weight()
    }

    /// Adds a leaf, or replaces the one with its key.
    ///
    /// # Panics
    /// When its place is hidden: only whole trees are changed.
    pub fn insert(&mut self, leaf: L) {
        let key = leaf.key();
        self.root.set(0, &key, Some(leaf));
    }

    /// Removes the leaf with this key, if there is one.
    ///
    /// # Panics
    /// When its place is hidden: only whole trees are changed.
    pub fn remove(&mut self, key: &[u8; 32]) {
        self.root.set(0, key, None);
    }

    /// The leaf with this key.
    ///
    /// # Errors
    /// [`Hidden`] when its place is hidden.
    pub fn get(&self, key: &[u8; 32]) -> Result<Option<&L>, Hidden> {
        let (mut node, mut depth) = (&self.root, 0);
        loop {
            match node {
                Node::Empty => return Ok(None),
                Node::Leaf(stored) => return Ok(Some(&stored.leaf).filter(|leaf| leaf.key() == *key)),
                Node::Inner(inner) => node = if bit(key, depth) { &inner.right } else { &inner.left },
                Node::Hidden(_) => return Err(Hidden),
            }
            depth += 1;
        }
    }

    /// The leaf that covers this point of the whole weight, and the first point that it covers; `None` past the last.
    ///
    /// # Errors
    /// [`Hidden`] when it is hidden.
    pub fn at(&self, point: u128) -> Result<Option<(u128, &L)>, Hidden> {
        let (mut node, mut start) = (&self.root, 0);
        if point >= self.weight() {
            return Ok(None);
        }
        loop {
            match node {
                Node::Empty => return Ok(None),
                Node::Leaf(stored) => return Ok(Some((start, &stored.leaf))),
                Node::Hidden(_) => return Err(Hidden),
                Node::Inner(inner) => {
                    let middle = start.saturating_add(inner.left.weight());
                    (node, start) = if point < middle { (&inner.left, start) } else { (&inner.right, middle) };
                }
            }
        }
    }

    /// All leaves that are not hidden, in the order of their keys.
    pub fn leaves(&self) -> impl Iterator<Item = &L> {
        let mut open = vec![&self.root];
        std::iter::from_fn(move || {
            loop {
                match open.pop()? {
                    Node::Empty | Node::Hidden(_) => {}
                    Node::Leaf(stored) => return Some(&stored.leaf),
                    Node::Inner(inner) => open.extend([&inner.right, &inner.left]),
                }
            }
        })
    }
}

impl<L: Leaf> Node<L> {
    fn leaf(leaf: L) -> Self {
        Self::Leaf(Arc::new(Stored { leaf, hash: OnceLock::new() }))
    }

    /// The subtree with these two halves.
    fn above(left: Self, right: Self) -> Self {
        let mut inner = Inner { left, right, weight: 0, hash: OnceLock::new() };
        inner.changed().unwrap_or_else(|| Self::Inner(Arc::new(inner)))
    }

    fn weight(&self) -> u128 {
        match self {
            Self::Empty => 0,
            Self::Leaf(stored) => stored.leaf.weight(),
            Self::Inner(inner) => inner.weight,
            Self::Hidden(sum) => sum.weight,
        }
    }

    fn sum(&self) -> Sum {
        match self {
            Self::Empty => Sum::default(),
            Self::Leaf(stored) => {
                Sum { hash: *stored.hash.get_or_init(|| leaf_hash(&stored.leaf)), weight: self.weight() }
            }
            Self::Inner(inner) => {
                let hash = inner.hash.get_or_init(|| inner_hash(inner.left.sum(), inner.right.sum()));
                Sum { hash: *hash, weight: inner.weight }
            }
            Self::Hidden(sum) => **sum,
        }
    }

    /// Puts a leaf, or none, into the subtree `depth` bits down the path to `key`.
    fn set(&mut self, depth: usize, key: &[u8; 32], leaf: Option<L>) {
        match self {
            Self::Empty => *self = leaf.map_or(Self::Empty, Self::leaf),
            Self::Leaf(stored) if stored.leaf.key() == *key => *self = leaf.map_or(Self::Empty, Self::leaf),
            Self::Leaf(stored) => {
                let own = stored.leaf.key();
                if let Some(leaf) = leaf {
                    *self = self.beside(&own, depth, key, leaf);
                }
            }
            Self::Inner(shared) => {
                let inner = Arc::make_mut(shared);
                let half = if bit(key, depth) { &mut inner.right } else { &mut inner.left };
                half.set(depth + 1, key, leaf);
                if let Some(rest) = inner.changed() {
                    *self = rest;
                }
            }
            Self::Hidden(_) => unreachable!("{WHOLE}"),
        }
    }

    /// The subtree of this leaf, which has the key `own`, and another.
    fn beside(&self, own: &[u8; 32], depth: usize, key: &[u8; 32], leaf: L) -> Self {
        let halves = match (bit(own, depth), bit(key, depth)) {
            (false, true) => (self.clone(), Self::leaf(leaf)),
            (true, false) => (Self::leaf(leaf), self.clone()),
            (false, false) => (self.beside(own, depth + 1, key, leaf), Self::Empty),
            (true, true) => (Self::Empty, self.beside(own, depth + 1, key, leaf)),
        };
        Self::above(halves.0, halves.1)
    }
}

impl<L: Leaf> Inner<L> {
    /// Follows a change of its halves. What is left of it when there are no two leaves takes its place.
    fn changed(&mut self) -> Option<Node<L>> {
        match (&self.left, &self.right) {
            (Node::Empty, rest @ (Node::Empty | Node::Leaf(_))) | (rest @ Node::Leaf(_), Node::Empty) => {
                Some(rest.clone())
            }
            _ => {
                self.weight = self.left.weight().saturating_add(self.right.weight());
                self.hash = OnceLock::new();
                None
            }
        }
    }
}

/// The `depth`-th bit of a key, the first being the highest.
fn bit(key: &[u8; 32], depth: usize) -> bool {
    key[depth / 8] >> (7 - depth % 8) & 1 == 1
}

fn leaf_hash<L: Leaf>(leaf: &L) -> [u8; 32] {
    Hasher::new_from_context_key(L::context()).update(&codec::encode(leaf)).finalize().into()
}

static INNER: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context("ostrakon sum node 1"));

fn inner_hash(left: Sum, right: Sum) -> [u8; 32] {
    let mut hasher = Hasher::new_from_context_key(&INNER);
    for Sum { hash, weight } in [left, right] {
        hasher.update(&hash).update(&weight.to_le_bytes());
    }
    hasher.finalize().into()
}
