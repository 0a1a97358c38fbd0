//! The state tree: one hash for all records, and short proofs of each (SPEC, "State tree").
//!
//! A Jellyfish Merkle tree. Logically it is binary: the bits of the hash of a record's key are its path, a subtree of
//! one record is that record's leaf, and one without records is empty. So the root follows from the records alone, not
//! from their history. It is stored in [nodes](node) of four levels each, every one under the version that wrote it: an
//! [`update`] reads the parent's nodes, writes new ones, and lists those that no later version needs. A version is a
//! block's height, and genesis is version 0.
//!
//! In go bytes of keys and values; out come a [`Patch`] for a store to commit, or a [`Proof`]. Not here: the values,
//! and when a stale node is deleted, which are up to the store. Nodes read from the store are not verified.

mod memory;
mod node;
mod proof;
pub mod snapshot;
mod update;

#[cfg(test)]
mod tests;

pub use memory::MemoryNodes;
pub use proof::{BadProof, Proof, prove};
pub use update::update;

/// The root of a tree without records.
pub const EMPTY_ROOT: [u8; 32] = node::EMPTY;

/// Path of the record with these key bytes in the tree.
pub fn key_hash(key: &[u8]) -> [u8; 32] {
    node::key_hash(key)
}

/// Splits a node's key into the version that wrote it and its path, which is the same in all versions; `None` when it
/// is not a node's key.
pub fn key_parts(key: &[u8]) -> Option<(u64, &[u8])> {
    let (version, place) = key.split_first_chunk()?;
    Some((u64::from_be_bytes(*version), place))
}

/// Read access to the nodes of the tree.
pub trait Nodes {
    /// The encoded node under this key.
    fn node(&self, key: &[u8]) -> Option<Vec<u8>>;
}

/// The changes of one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// The version's root.
    pub root: [u8; 32],
    /// New nodes: their keys in the store, and their bytes.
    pub nodes: Vec<(Vec<u8>, Vec<u8>)>,
    /// Nodes of the parent that this version does not contain.
    pub stale: Vec<Stale>,
}

/// A node that versions from `created` up to, but not including, `since` contain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// Its key in the store.
    pub key: Vec<u8>,
    /// The first version without it.
    pub since: u64,
    /// The version that wrote it.
    pub created: u64,
}

/// Why a version cannot be read from the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// A node is missing: the version never existed, or was pruned.
    #[error("state tree of version {version} is missing or pruned: no node at depth {depth}")]
    Missing {
        /// The version that wrote the node.
        version: u64,
        /// Its depth in half bytes.
        depth: usize,
    },
    /// A node is malformed. The store is damaged: restore it from a snapshot.
    #[error("state tree is damaged: malformed node of version {version} at depth {depth}; restore from a snapshot")]
    Malformed {
        /// The version that wrote the node.
        version: u64,
        /// Its depth in half bytes.
        depth: usize,
    },
}
