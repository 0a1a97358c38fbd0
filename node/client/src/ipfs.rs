//! Files as IPFS knows them: a tree of blocks, each named by its hash.
//!
//! There is one way to cut a file: profile unixfs-v1-2025 (IPIP-499), by which every implementation gives the same
//! bytes the same root. Leaves are raw blocks of 1 MiB, nodes have up to 1,024 children, names are CIDv1 of SHA-256.
//!
//! Nothing of the network is cut so: its columns are no blocks. A tree is computed of a file's plaintext, for clients
//! that read it with the tools of IPFS.

mod car;
mod export;
mod import;
mod leaves;
mod tree;

pub use car::{car_header, section_head};
pub use export::{CarExport, Exported};
pub use import::{CarError, CarFile};
pub use leaves::Leaves;
pub use tree::{
    Block, InvalidBlockName, LEAF, LEAVES_MAX, Sha256, Spot, Tree, block_name, file_name, leaf_count, node_name,
    raw_name,
};

pub use cid::Cid;

#[cfg(test)]
mod tests;
