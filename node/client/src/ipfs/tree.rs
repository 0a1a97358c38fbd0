//! The blocks of a file, and their names.

use std::ops::Range;

use bytes::Bytes;
use cid::{Cid, Version};
use ipld_dagpb::{PbLink, PbNode};
use multihash::Multihash;
use unsigned_varint::encode;

use super::leaves::{Leaves, hashed};

/// A SHA-256 hash.
pub type Sha256 = [u8; 32];

/// Bytes of every leaf but the last.
pub const LEAF: usize = 1024 * 1024;
/// Leaves of a file at most, which makes it 16 GiB: their hashes are held in memory, and in one record of a bucket.
pub const LEAVES_MAX: usize = 16 * 1024;

/// Children of a node at most.
const WIDTH: usize = 1024;
/// Multicodec of raw bytes, of nodes in DAG-PB, and of the identity as a hash and of SHA-256.
const RAW: u64 = 0x55;
const DAG_PB: u64 = 0x70;
const SHA2_256: u64 = 0x12;

/// A file's tree. Leaves are known by their hashes.
#[derive(Clone, Debug)]
pub struct Tree {
    size: u64,
    leaves: Vec<Sha256>,
    /// Nodes from those above the leaves to the root; without any, the only leaf is the root.
    levels: Vec<Vec<Node>>,
}

#[derive(Clone, Debug)]
struct Node {
    hash: Sha256,
    bytes: Bytes,
    /// Bytes of the file below it, and of all blocks of its tree.
    size: u64,
    total: u64,
}

/// Where in a tree a block is: its level, of which 0 has the leaves, and its number among those of its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    level: usize,
    index: usize,
}

/// A block of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// A node, with its bytes.
    Node(Sha256, Bytes),
    /// A leaf, and which bytes of the file it is.
    Leaf(Sha256, Range<u64>),
}

/// A text that names no block which a file can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} names no block of a file: need a CID of SHA-256, of raw bytes or DAG-PB")]
pub struct InvalidBlockName {
    name: String,
}

/// The name of raw bytes with this hash.
pub fn raw_name(hash: &Sha256) -> Cid {
    name(RAW, hash)
}

/// The name of a node whose bytes have this hash.
pub fn node_name(hash: &Sha256) -> Cid {
    name(DAG_PB, hash)
}

/// The name of a file of so many bytes, whose root has this hash.
pub fn file_name(size: u64, root: &Sha256) -> Cid {
    if size <= bytes_of(LEAF) { raw_name(root) } else { node_name(root) }
}

fn name(codec: u64, hash: &Sha256) -> Cid {
    Cid::new_v1(codec, Multihash::wrap(SHA2_256, hash).expect("32 bytes fit a multihash"))
}

/// The hash in a block's name; of either version, in any base.
///
/// # Errors
/// [`InvalidBlockName`].
pub fn block_name(text: &str) -> Result<(Cid, Sha256), InvalidBlockName> {
    let invalid = || InvalidBlockName { name: text.chars().take(100).collect() };
    let cid = Cid::try_from(text).map_err(|_| invalid())?;
    let cid = if cid.version() == Version::V0 { cid.into_v1().map_err(|_| invalid())? } else { cid };
    hash_of(&cid).map(|hash| (cid, hash)).ok_or_else(invalid)
}

/// The hash in a block's name, if it is one that a file's block can have.
pub(super) fn hash_of(cid: &Cid) -> Option<Sha256> {
    let is_known = matches!(cid.codec(), RAW | DAG_PB) && cid.hash().code() == SHA2_256;
    cid.hash().digest().try_into().ok().filter(|_| is_known)
}

/// Whether this is the name of raw bytes.
pub(super) fn is_raw(cid: &Cid) -> bool {
    cid.codec() == RAW
}

/// Leaves of a file of so many bytes; `None` of one that is too large to have a tree.
pub fn leaf_count(size: u64) -> Option<usize> {
    let count = usize::try_from(size.div_ceil(bytes_of(LEAF))).ok()?;
    (count <= LEAVES_MAX).then_some(count.max(1))
}

impl Tree {
    /// Of a file of so many bytes, whose leaves have these hashes; `None` when they are not as many as such a file has.
    pub fn new(size: u64, leaves: Vec<Sha256>) -> Option<Self> {
        if leaf_count(size)? != leaves.len() {
            return None;
        }
        let mut tree = Self { size, leaves, levels: Vec::new() };
        while tree.width() > 1 {
            let level = (0..tree.width()).step_by(WIDTH).map(|first| tree.parent(first)).collect();
            tree.levels.push(level);
        }
        Some(tree)
    }

    /// Of bytes in memory.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let mut leaves = Leaves::new();
        leaves.update(bytes);
        Self::new(bytes_of(bytes.len()), leaves.finish())
    }

    /// The name of the file.
    pub fn root(&self) -> Cid {
        self.child(self.levels.len(), 0).0
    }

    /// Its hash.
    pub fn root_hash(&self) -> Sha256 {
        self.levels.last().and_then(|level| level.first()).map_or(self.leaves[0], |node| node.hash)
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes of the leaves, in order.
    pub fn leaves(&self) -> &[Sha256] {
        &self.leaves
    }

    /// The hashes of all nodes.
    pub fn nodes(&self) -> impl Iterator<Item = Sha256> {
        self.levels.iter().flatten().map(|node| node.hash)
    }

    /// Where the root is.
    pub fn top(&self) -> Spot {
        Spot { level: self.levels.len(), index: 0 }
    }

    /// Where the first block with this hash is, from the root on.
    pub fn find(&self, hash: &Sha256) -> Option<Spot> {
        let nodes = self.levels.iter().enumerate().rev();
        let mut nodes =
            nodes.filter_map(|(below, level)| Some((below + 1, level.iter().position(|one| one.hash == *hash)?)));
        let leaf = || self.leaves.iter().position(|leaf| leaf == hash).map(|index| (0, index));
        nodes.next().or_else(leaf).map(|(level, index)| Spot { level, index })
    }

    /// The block that is there.
    pub fn block(&self, at: Spot) -> Option<Block> {
        match at.level.checked_sub(1) {
            None => self.leaves.get(at.index).map(|hash| Block::Leaf(*hash, self.range(at))),
            Some(below) => {
                let node = self.levels.get(below)?.get(at.index)?;
                Some(Block::Node(node.hash, node.bytes.clone()))
            }
        }
    }

    /// That block, and those below it that are needed to read these bytes of the file, each before its children.
    pub fn blocks(&self, at: Spot, bytes: &Range<u64>) -> Vec<Block> {
        let mut blocks = Vec::new();
        self.collect(at, bytes, &mut blocks);
        blocks
    }

    fn collect(&self, at: Spot, bytes: &Range<u64>, blocks: &mut Vec<Block>) {
        blocks.extend(self.block(at));
        let Some(level) = at.level.checked_sub(1).filter(|_| !bytes.is_empty()) else { return };
        for index in children(at.index, self.width_of(level)) {
            let child = Spot { level, index };
            let Range { start, end } = self.range(child);
            if start < bytes.end && bytes.start < end {
                self.collect(child, bytes, blocks);
            }
        }
    }

    /// Which bytes of the file are below a block.
    pub fn range(&self, Spot { level, index }: Spot) -> Range<u64> {
        let each = (0..level).fold(bytes_of(LEAF), |bytes, _| bytes.saturating_mul(bytes_of(WIDTH)));
        let start = each.saturating_mul(bytes_of(index));
        start.min(self.size)..start.saturating_add(each).min(self.size)
    }

    /// Blocks of the highest level so far.
    fn width(&self) -> usize {
        self.width_of(self.levels.len())
    }

    fn width_of(&self, level: usize) -> usize {
        level.checked_sub(1).map_or(self.leaves.len(), |above| self.levels[above].len())
    }

    /// Name, bytes of the file, and bytes of all blocks, of a block.
    fn child(&self, level: usize, index: usize) -> (Cid, u64, u64) {
        match level.checked_sub(1) {
            None => {
                let Range { start, end } = self.range(Spot { level, index });
                (raw_name(&self.leaves[index]), end - start, end - start)
            }
            Some(above) => {
                let Node { hash, size, total, .. } = &self.levels[above][index];
                (node_name(hash), *size, *total)
            }
        }
    }

    /// The node above the blocks of the highest level from `first` on.
    fn parent(&self, first: usize) -> Node {
        let level = self.levels.len();
        let below: Vec<_> =
            children(first / WIDTH, self.width_of(level)).map(|index| self.child(level, index)).collect();
        let size = below.iter().map(|(_, size, _)| size).sum();
        let mut data = vec![0x08, 0x02];
        number(0x18, size, &mut data);
        below.iter().for_each(|(_, size, _)| number(0x20, *size, &mut data));
        let total: u64 = below.iter().map(|(_, _, total)| total).sum();
        let link = |(cid, _, total)| PbLink { cid, name: Some(String::new()), size: Some(total) };
        let links = below.into_iter().map(link).collect();
        let bytes = Bytes::from(PbNode { links, data: Some(data.into()) }.into_bytes());
        Node { hash: hashed(&bytes), total: total.saturating_add(bytes_of(bytes.len())), bytes, size }
    }
}

impl Block {
    /// Its name.
    pub fn name(&self) -> Cid {
        match self {
            Self::Node(hash, _) => node_name(hash),
            Self::Leaf(hash, _) => raw_name(hash),
        }
    }

    /// Its bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Node(_, bytes) => bytes_of(bytes.len()),
            Self::Leaf(_, range) => range.end - range.start,
        }
    }
}

/// The children of a node, of so many blocks.
fn children(parent: usize, width: usize) -> Range<usize> {
    let first = parent.saturating_mul(WIDTH);
    first..first.saturating_add(WIDTH).min(width)
}

/// A field of `Data` (UnixFS 1): its type is 2, a file; 3 are its bytes, and 4 those below each child.
fn number(tag: u8, value: u64, out: &mut Vec<u8>) {
    out.push(tag);
    out.extend(encode::u64(value, &mut encode::u64_buffer()));
}

fn bytes_of(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
