//! The state tree: one hash for all records, and short proofs of each (SPEC, "State tree").
//!
//! A Jellyfish Merkle tree. In its meaning it is binary: a record lies where the hash of its key says bit by bit, a
//! subtree of one record is that record's leaf, and one without records is empty. So the root follows from the records
//! alone, not from how they came to be. It is kept in [nodes](node) of four levels each, every one under the version
//! that wrote it: an [`update`] reads the parent's nodes, writes new ones, and says which ones no later version needs.
//! A version is a block's height, and genesis is version 0.
//!
//! What comes in is bytes of keys and values; what goes out is a [`Patch`] for a store to commit, or a [`Proof`]. The
//! values themselves are the store's; so is when a stale node is deleted. Nodes are trusted as the store gives them:
//! they came from here.

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

/// Where the record with these key bytes lies in the tree.
pub fn key_hash(key: &[u8]) -> [u8; 32] {
    node::key_hash(key)
}

/// A node's key apart: the version that wrote it, and its place in the tree, which is the same in all versions. `None`
/// is for what is no node's key.
pub fn key_parts(key: &[u8]) -> Option<(u64, &[u8])> {
    let (version, place) = key.split_first_chunk()?;
    Some((u64::from_be_bytes(*version), place))
}

/// What the tree reads.
pub trait Nodes {
    /// The node kept under this key.
    fn node(&self, key: &[u8]) -> Option<Vec<u8>>;
}

/// What a version writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// The version's root.
    pub root: [u8; 32],
    /// New nodes: under which key they are kept, and their bytes.
    pub nodes: Vec<(Vec<u8>, Vec<u8>)>,
    /// Nodes that this version has no more.
    pub stale: Vec<Stale>,
}

/// A node that is of no use to `since` and later versions; earlier ones from `created` on consist of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// The key it is kept under.
    pub key: Vec<u8>,
    /// The first version without it.
    pub since: u64,
    /// The version that wrote it.
    pub created: u64,
}

/// The store has not what a version consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// A node is not there: the version never was, or it is pruned.
    #[error("the state tree of version {version} is not here, or pruned: no node {depth} half bytes down")]
    Missing {
        /// The version that wrote the node.
        version: u64,
        /// How deep it lies.
        depth: usize,
    },
    /// A node is none. The store is damaged: restore it from a snapshot.
    #[error("the state tree is damaged: a node of version {version}, {depth} half bytes down, cannot be read")]
    Malformed {
        /// The version that wrote the node.
        version: u64,
        /// How deep it lies.
        depth: usize,
    },
}
