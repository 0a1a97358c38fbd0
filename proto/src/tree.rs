//! The BLAKE3 tree of a column: its name, and proofs of its parts (ARCHITECTURE 3, 5.5; SPEC, "Columns and tree").
//!
//! A column's name is the plain BLAKE3 hash of its bytes. Proofs follow the tree below that hash: a **leaf** of 1 KiB,
//! a
//! **group** of 16 leaves, a **chunk** of 16 groups. The [`Outboard`] stores the tree's values from the groups up, so
//! that a proof costs one small read. A proof is the siblings from a node up to the root; their number follows from the
//! column's length, so a proof has one shape.
//!
//! A proof binds bytes to the column's hash *and to the length that the verifier knows*: take the length from the chain
//! or from a checked manifest, never from the prover.

mod proof;

pub use proof::{
    ProofError, Range, RangeError, group_of_leaf, prove_leaf, prove_range, sibling_offsets, verify_leaf, verify_range,
};

use blake3::{
    Hasher,
    hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root},
};

use crate::{
    id::ColumnId,
    limits::{CHUNK, COLUMN, GROUP},
};

/// A value of the tree: a chaining value below the root, or the root's hash.
type Node = [u8; 32];

/// Bytes of a group, and of one value of the tree.
const GROUP_BYTES: u64 = 16 * 1024;
const NODE_BYTES: u64 = 32;

/// Builds a column's tree while the column arrives.
#[derive(Clone)]
pub struct TreeBuilder {
    /// Values of the full groups.
    groups: Vec<Node>,
    /// The group that is not full yet, and its bytes so far.
    open: Hasher,
    filled: usize,
}

impl std::fmt::Debug for TreeBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TreeBuilder({} bytes)", self.column_len())
    }
}

impl Default for TreeBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl TreeBuilder {
    /// The tree of an empty column.
    pub fn new() -> Self {
        Self { groups: Vec::new(), open: Hasher::new(), filled: 0 }
    }

    /// Bytes taken so far.
    pub fn column_len(&self) -> u64 {
        let filled = u64::try_from(self.filled).expect("at most one group");
        count(&self.groups) * GROUP_BYTES + filled
    }

    /// Appends the column's next bytes; any number, fastest by whole groups.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            // A full group is closed only when more follows: if it stays the only one, its value is the root.
            if self.filled == GROUP {
                self.groups.push(self.open.finalize_non_root());
                // A new hasher: `reset` does not forget the offset.
                self.open = Hasher::new();
                self.open.set_input_offset(count(&self.groups) * GROUP_BYTES);
                self.filled = 0;
            }
            let (now, rest) = bytes.split_at(bytes.len().min(GROUP - self.filled));
            self.open.update(now);
            self.filled += now.len();
            bytes = rest;
        }
    }

    /// The column's name and its outboard.
    pub fn finish(mut self) -> (ColumnId, Outboard) {
        let column_len = self.column_len();
        if self.groups.is_empty() {
            return (self.open.finalize().into(), Outboard { column_len, bytes: Vec::new() });
        }
        self.groups.push(self.open.finalize_non_root());
        let mut bytes = Vec::with_capacity(usize::try_from(Outboard::len_of(column_len)).expect("at most 4 MiB"));
        let mut level = self.groups;
        while level.len() > 2 {
            bytes.extend_from_slice(level.as_flattened());
            level = above(&level);
        }
        bytes.extend_from_slice(level.as_flattened());
        (merge_subtrees_root(&level[0], &level[1], Mode::Hash).into(), Outboard { column_len, bytes })
    }
}

/// The values one level up: pairs are merged, an odd last one is carried.
fn above(level: &[Node]) -> Vec<Node> {
    let merge = |pair: &[Node]| match pair {
        [left, right] => merge_subtrees_non_root(left, right, Mode::Hash),
        carried => carried[0],
    };
    level.chunks(2).map(merge).collect()
}

fn count(nodes: &[Node]) -> u64 {
    u64::try_from(nodes.len()).expect("a length fits 64 bits")
}

/// The bytes are not an outboard of a column of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("wrong outboard length: {have} bytes, a column of {column_len} bytes has an outboard of {want} bytes")]
pub struct OutboardError {
    /// Bytes given.
    pub have: usize,
    /// Bytes needed.
    pub want: u64,
    /// Bytes of the column.
    pub column_len: u64,
}

/// A column's tree from the groups up: level by level, the root left out. Level l has `ceil(groups / 2^l)` values; a
/// column of one group has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outboard {
    column_len: u64,
    bytes: Vec<u8>,
}

impl Outboard {
    /// The outboard of a column of `column_len` bytes, as stored. Its values are not checked: wrong ones produce
    /// invalid proofs.
    ///
    /// # Errors
    /// [`OutboardError`] when the length is wrong.
    pub fn from_bytes(column_len: u64, bytes: &[u8]) -> Result<Self, OutboardError> {
        let (have, want) = (bytes.len(), Self::len_of(column_len));
        if u64::try_from(have) != Ok(want) {
            return Err(OutboardError { have, want, column_len });
        }
        Ok(Self { column_len, bytes: bytes.to_vec() })
    }

    /// Its bytes, for storage.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of the column that it belongs to.
    pub fn column_len(&self) -> u64 {
        self.column_len
    }

    /// Bytes of the outboard of a column of this length.
    pub fn len_of(column_len: u64) -> u64 {
        level_offset(column_len, u32::MAX)
    }

    /// The value at this byte offset.
    fn node(&self, offset: u64) -> Node {
        let start = usize::try_from(offset).expect("an outboard is in memory");
        self.bytes[start..start + 32].try_into().expect("32 bytes")
    }
}

/// Offset of a level in the outboard; the outboard's length, for a level at or above the root's.
fn level_offset(column_len: u64, level: u32) -> u64 {
    let mut nodes = column_len.div_ceil(GROUP_BYTES);
    let mut offset = 0;
    for _ in 0..level {
        if nodes <= 1 {
            break;
        }
        offset += nodes * NODE_BYTES;
        nodes = nodes.div_ceil(2);
    }
    offset
}

/// The value of one chunk of a column: its subtree's, or the root's hash when it is the only chunk. Only whether
/// `column_len` is more than [`CHUNK`] matters, so a writer that does not know the end yet may pass [`COLUMN`].
///
/// # Panics
/// When `chunk` is empty or `offset` is not a multiple of [`CHUNK`].
pub fn chunk_node(column_len: u64, offset: u64, chunk: &[u8]) -> [u8; 32] {
    debug_assert!(column_len <= COLUMN && chunk.len() <= CHUNK, "a chunk of a column");
    subtree(column_len, offset, chunk)
}

/// The value of the subtree of `bytes` at `offset`: the root's hash when they are the whole column.
fn subtree(column_len: u64, offset: u64, bytes: &[u8]) -> Node {
    if u64::try_from(bytes.len()) == Ok(column_len) {
        return blake3::hash(bytes).into();
    }
    Hasher::new().set_input_offset(offset).update(bytes).finalize_non_root()
}

/// The name of the column whose chunks have these values, in order.
///
/// # Panics
/// When there is none.
pub fn root(nodes: &[[u8; 32]]) -> ColumnId {
    let mut level = nodes.to_vec();
    while level.len() > 2 {
        level = above(&level);
    }
    match level.as_slice() {
        [only] => ColumnId::new(*only),
        [left, right] => merge_subtrees_root(left, right, Mode::Hash).into(),
        _ => panic!("a column has at least one chunk"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Around a leaf, a group, a chunk; odd numbers of each; and a few MiB.
    pub(super) const LENGTHS: [usize; 29] = [
        1,
        64,
        1_023,
        1_024,
        1_025,
        2_048,
        3_000,
        16_383,
        16_384,
        16_385,
        17_408,
        32_768,
        32_769,
        49_152,
        70_000,
        5 * 16_384,
        262_143,
        262_144,
        262_145,
        262_144 + 16_384,
        262_144 + 16_385,
        2 * 262_144,
        2 * 262_144 + 1,
        3 * 262_144 - 1,
        5 * 262_144 + 5 * 1_024,
        7 * 262_144,
        1 << 20,
        (1 << 20) + 64,
        3_333_333,
    ];

    pub(super) fn bytes(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().update(b"column").finalize_xof().fill(&mut bytes);
        bytes
    }

    pub(super) fn length(bytes: &[u8]) -> u64 {
        u64::try_from(bytes.len()).expect("small")
    }

    pub(super) fn built(bytes: &[u8]) -> (ColumnId, Outboard) {
        let mut builder = TreeBuilder::new();
        builder.update(bytes);
        assert_eq!(builder.column_len(), length(bytes));
        builder.finish()
    }

    fn by_chunks(bytes: &[u8]) -> ColumnId {
        let offsets = (0u64..).step_by(CHUNK);
        let node = |(offset, chunk): (u64, &[u8])| chunk_node(length(bytes), offset, chunk);
        root(&offsets.zip(bytes.chunks(CHUNK)).map(node).collect::<Vec<_>>())
    }

    #[test]
    fn constants_agree() {
        assert_eq!(u64::try_from(GROUP), Ok(GROUP_BYTES));
        assert_eq!(built(&[]).0, blake3::hash(&[]).into());
    }

    #[test]
    fn a_columns_name_is_its_plain_hash() {
        for len in LENGTHS {
            let bytes = bytes(len);
            let (column, outboard) = built(&bytes);
            assert_eq!(column, blake3::hash(&bytes).into(), "{len} bytes");
            assert_eq!(by_chunks(&bytes), column, "{len} bytes, by chunks");
            assert_eq!(u64::try_from(outboard.as_bytes().len()), Ok(Outboard::len_of(length(&bytes))), "{len} bytes");
            assert_eq!(Outboard::from_bytes(length(&bytes), outboard.as_bytes()), Ok(outboard));
        }
    }

    #[test]
    fn outboards_of_another_length_are_refused() {
        let check = |column_len, have: usize, want| {
            let error = OutboardError { have, want, column_len };
            assert_eq!(Outboard::from_bytes(column_len, &vec![0; have]), Err(error));
        };
        check(16_384, 32, 0);
        check(16_385, 0, 64);
        // Three groups: three values, then two.
        check(40_000, 96, 160);
        check(40_000, 161, 160);
        assert_eq!(Outboard::len_of(COLUMN), 32 * (2 * 65_536 - 2));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn pieces_of_any_size_build_the_same_tree(
            len in 0usize..1_000_000,
            cuts in prop::collection::vec(1usize..60_000, 1..20),
        ) {
            let bytes = bytes(len);
            let mut builder = TreeBuilder::new();
            let mut rest = bytes.as_slice();
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                builder.update(now);
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(builder.finish(), built(&bytes));
            prop_assert_eq!(built(&bytes).0, blake3::hash(&bytes).into());
        }
    }
}
