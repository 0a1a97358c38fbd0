//! Proofs of parts of a column: the siblings on the path from a part's node to the root.

use blake3::hazmat::{Mode, merge_subtrees_non_root, merge_subtrees_root};

use super::{GROUP_BYTES, NODE_BYTES, Node, Outboard, level_offset, subtree};
use crate::{
    id::ColumnId,
    limits::{CHUNK, LEAF},
};

const LEAF_BYTES: u64 = 1024;
/// Levels from a leaf to its group.
const LEAF_LEVELS: u32 = 4;

/// A part of a column with one proof: an aligned subtree, which the column's end may cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First byte; a multiple of `length`.
    pub start: u64,
    /// Bytes: 16 KiB times a power of two, at most 256 KiB.
    pub length: u32,
}

/// Why a range cannot be proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RangeError {
    /// Its length is not 16 KiB times a power of two, or over 256 KiB.
    #[error("invalid range length of {0} bytes: 16 KiB times a power of two is needed, at most 256 KiB")]
    Length(u32),
    /// It does not begin at a multiple of its length, or begins past the column's end.
    #[error(
        "invalid range start {start}: in a column of {column_len} bytes, a range of {length} bytes must start at a \
         multiple of its length"
    )]
    Start {
        /// First byte.
        start: u64,
        /// Bytes of the range.
        length: u32,
        /// Bytes of the column.
        column_len: u64,
    },
    /// The outboard or the group's bytes are not this column's.
    #[error("wrong column: the outboard or the group's bytes do not belong to a column of {column_len} bytes")]
    Column {
        /// Bytes of the column.
        column_len: u64,
    },
}

/// Why a proof is invalid. The prover is at fault: ask another holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The range is not one of this column.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// The bytes are too many or too few.
    #[error("wrong length: {have} bytes received, the range has {want}")]
    Length {
        /// Bytes received.
        have: usize,
        /// Bytes of the range, cut at the column's end.
        want: u64,
    },
    /// The proof has too many or too few siblings.
    #[error("malformed proof: {have} siblings received, the column's length requires {want}")]
    Siblings {
        /// Siblings received.
        have: usize,
        /// Siblings required.
        want: usize,
    },
    /// Bytes and siblings do not hash to the column's name.
    #[error("bytes do not match column {0}: corrupt, or of another column")]
    Mismatch(ColumnId),
}

/// A node's path to the root.
#[derive(Clone, Copy)]
struct Path {
    /// The node's number in its level.
    index: u64,
    /// Nodes of its level.
    count: u64,
}

impl Path {
    /// The path of a part of `unit` bytes, a power of two of leaves.
    fn new(column_len: u64, unit: u64, index: u64) -> Self {
        Self { index, count: column_len.div_ceil(unit) }
    }

    /// Each level's number and the index of the sibling there; levels where the node is carried up alone are left out.
    fn siblings(self) -> impl Iterator<Item = (u32, u64)> {
        let up = |path: &Self| Some(Self { index: path.index / 2, count: path.count.div_ceil(2) });
        let levels = std::iter::successors(Some(self), up).take_while(|path| path.count > 1);
        let level = |(level, path): (u32, Self)| (path.index ^ 1 < path.count).then_some((level, path.index ^ 1));
        (0..).zip(levels).filter_map(level)
    }

    /// The root's hash computed from `node` and its siblings, of which there are as many as [`Self::siblings`].
    fn root(self, mut node: Node, siblings: &[Node]) -> Node {
        let levels = self.siblings().count();
        for (at, ((_, index), sibling)) in (1..).zip(self.siblings().zip(siblings)) {
            let (left, right) = if index % 2 == 0 { (sibling, &node) } else { (&node, sibling) };
            // The last merge is the root's: only there can two nodes be the whole level.
            node = match at == levels {
                true => merge_subtrees_root(left, right, Mode::Hash).into(),
                false => merge_subtrees_non_root(left, right, Mode::Hash),
            };
        }
        node
    }

    fn verify(self, column: &ColumnId, node: Node, siblings: &[Node]) -> Result<(), ProofError> {
        let (have, want) = (siblings.len(), self.siblings().count());
        if have != want {
            return Err(ProofError::Siblings { have, want });
        }
        if self.root(node, siblings) != *column.bytes() {
            return Err(ProofError::Mismatch(*column));
        }
        Ok(())
    }
}

/// Where in a column's outboard the siblings of a range are, from the range up: 32 bytes each. For a store that reads
/// these few instead of the whole outboard.
///
/// # Errors
/// [`RangeError`] when it is not a range of such a column.
pub fn sibling_offsets(column_len: u64, range: Range) -> Result<Vec<u64>, RangeError> {
    let path = range_path(column_len, range)?;
    let base = (u64::from(range.length) / GROUP_BYTES).ilog2();
    let offset = |(level, index)| level_offset(column_len, base + level) + index * NODE_BYTES;
    Ok(path.siblings().map(offset).collect())
}

/// The siblings that prove a range of the outboard's column.
///
/// # Errors
/// [`RangeError`] when it is not a range of this column.
pub fn prove_range(outboard: &Outboard, range: Range) -> Result<Vec<[u8; 32]>, RangeError> {
    let offsets = sibling_offsets(outboard.column_len(), range)?;
    Ok(offsets.into_iter().map(|offset| outboard.node(offset)).collect())
}

/// Checks that `data` is this range, cut at the column's end, of the column of this name and length.
///
/// # Errors
/// [`ProofError`] when it is not, or the proof does not have the shape that the length requires.
pub fn verify_range(
    column: &ColumnId,
    column_len: u64,
    range: Range,
    data: &[u8],
    siblings: &[[u8; 32]],
) -> Result<(), ProofError> {
    let path = range_path(column_len, range)?;
    expect_len(data, u64::from(range.length).min(column_len - range.start))?;
    path.verify(column, subtree(column_len, range.start, data), siblings)
}

fn range_path(column_len: u64, range: Range) -> Result<Path, RangeError> {
    let Range { start, length } = range;
    let bytes = u64::from(length);
    let groups = bytes / GROUP_BYTES;
    let whole = bytes % GROUP_BYTES == 0 && groups.is_power_of_two();
    if !whole || usize::try_from(length).is_ok_and(|length| length > CHUNK) {
        return Err(RangeError::Length(length));
    }
    if start % bytes != 0 || start >= column_len {
        return Err(RangeError::Start { start, length, column_len });
    }
    Ok(Path::new(column_len, bytes, start / bytes))
}

fn expect_len(data: &[u8], want: u64) -> Result<(), ProofError> {
    let have = data.len();
    if u64::try_from(have) == Ok(want) { Ok(()) } else { Err(ProofError::Length { have, want }) }
}

/// The group of leaf number `leaf`.
pub const fn group_of_leaf(leaf: u64) -> Range {
    Range { start: leaf / (1 << LEAF_LEVELS) * GROUP_BYTES, length: 16 * 1024 }
}

/// The siblings that prove leaf number `leaf`, from the bytes of its [group](group_of_leaf), up to the column's end,
/// and the siblings that prove that ([`prove_range`]).
///
/// # Errors
/// [`RangeError`] when the leaf is past the end, or `group` or `above` are not this column's.
pub fn prove_leaf(column_len: u64, leaf: u64, group: &[u8], above: &[[u8; 32]]) -> Result<Vec<[u8; 32]>, RangeError> {
    let (path, range) = (leaf_path(column_len, leaf)?, group_of_leaf(leaf));
    let of_group = range_path(column_len, range)?.siblings().count();
    let fits = u64::try_from(group.len()) == Ok(GROUP_BYTES.min(column_len - range.start)) && above.len() == of_group;
    if !fits {
        return Err(RangeError::Column { column_len });
    }
    let inside = path.siblings().take_while(|(level, _)| *level < LEAF_LEVELS);
    let inside = inside.map(|place| inner(column_len, range.start, group, place));
    Ok(inside.chain(above.iter().copied()).collect())
}

/// The value of a node inside a group: `index` counts the column's nodes of that level, level 0 being leaves.
fn inner(column_len: u64, start: u64, group: &[u8], (level, index): (u32, u64)) -> Node {
    let unit = LEAF_BYTES << level;
    let from = usize::try_from(index * unit - start).expect("inside the group");
    let to = group.len().min(from + (LEAF << level));
    subtree(column_len, index * unit, &group[from..to])
}

/// Checks that `data` is leaf number `leaf` of the column of this name and length.
///
/// # Errors
/// [`ProofError`] when it is not, or the proof does not have the shape that the length requires.
pub fn verify_leaf(
    column: &ColumnId,
    column_len: u64,
    leaf: u64,
    data: &[u8],
    siblings: &[[u8; 32]],
) -> Result<(), ProofError> {
    let path = leaf_path(column_len, leaf)?;
    expect_len(data, LEAF_BYTES.min(column_len - leaf * LEAF_BYTES))?;
    path.verify(column, subtree(column_len, leaf * LEAF_BYTES, data), siblings)
}

fn leaf_path(column_len: u64, leaf: u64) -> Result<Path, RangeError> {
    if leaf >= column_len.div_ceil(LEAF_BYTES) {
        return Err(RangeError::Start { start: leaf.saturating_mul(LEAF_BYTES), length: 1024, column_len });
    }
    Ok(Path::new(column_len, LEAF_BYTES, leaf))
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample};

    use super::{
        super::tests::{LENGTHS, built, bytes, length},
        *,
    };

    const UNITS: [u32; 5] = [16_384, 32_768, 65_536, 131_072, 262_144];

    /// A column with its name and outboard.
    struct Sample {
        bytes: Vec<u8>,
        column: ColumnId,
        outboard: Outboard,
    }

    fn sample(len: usize) -> Sample {
        let bytes = bytes(len);
        let (column, outboard) = built(&bytes);
        Sample { bytes, column, outboard }
    }

    fn place(offset: u64) -> usize {
        usize::try_from(offset).expect("small")
    }

    impl Sample {
        fn len(&self) -> u64 {
            length(&self.bytes)
        }

        fn cut(&self, start: u64, length: u64) -> &[u8] {
            &self.bytes[place(start)..place(self.len().min(start + length))]
        }

        fn data(&self, range: Range) -> &[u8] {
            self.cut(range.start, range.length.into())
        }

        fn ranges(&self) -> impl Iterator<Item = Range> {
            let starts = |length: u32| (0..self.len()).step_by(place(length.into()));
            UNITS.into_iter().flat_map(move |length| starts(length).map(move |start| Range { start, length }))
        }

        fn verify(&self, range: Range, data: &[u8], siblings: &[Node]) -> Result<(), ProofError> {
            verify_range(&self.column, self.len(), range, data, siblings)
        }

        fn leaves(&self) -> u64 {
            self.len().div_ceil(LEAF_BYTES)
        }

        fn prove_leaf(&self, leaf: u64) -> Vec<Node> {
            let group = self.cut(leaf / 16 * GROUP_BYTES, GROUP_BYTES);
            let above = prove_range(&self.outboard, group_of_leaf(leaf)).expect("a group");
            prove_leaf(self.len(), leaf, group, &above).expect("a leaf")
        }

        fn verify_leaf(&self, leaf: u64, data: &[u8], siblings: &[Node]) -> Result<(), ProofError> {
            verify_leaf(&self.column, self.len(), leaf, data, siblings)
        }
    }

    #[test]
    fn every_range_of_every_length_verifies() {
        for column in LENGTHS.map(sample) {
            for range in column.ranges() {
                let siblings = prove_range(&column.outboard, range).expect("a range");
                assert_eq!(
                    column.verify(range, column.data(range), &siblings),
                    Ok(()),
                    "{range:?} of {}",
                    column.len()
                );
            }
        }
    }

    #[test]
    fn every_leaf_verifies() {
        for column in LENGTHS.map(sample).iter().filter(|column| column.len() < 600_000) {
            for leaf in 0..column.leaves() {
                let (data, siblings) = (column.cut(leaf * LEAF_BYTES, LEAF_BYTES), column.prove_leaf(leaf));
                assert_eq!(column.verify_leaf(leaf, data, &siblings), Ok(()), "leaf {leaf} of {}", column.len());
            }
        }
    }

    #[test]
    fn a_store_reads_the_siblings_where_it_is_told() {
        let column = sample(5 * 262_144 + 5_000);
        for range in column.ranges() {
            let read =
                |offset: u64| <Node>::try_from(&column.outboard.as_bytes()[place(offset)..][..32]).expect("32 bytes");
            let offsets = sibling_offsets(column.len(), range).expect("a range");
            assert_eq!(prove_range(&column.outboard, range), Ok(offsets.into_iter().map(read).collect()));
        }
    }

    /// Every single changed byte of `data` and of `siblings` must be refused.
    fn refuses_changes(data: &[u8], siblings: &[Node], verify: impl Fn(&[u8], &[Node]) -> Result<(), ProofError>) {
        assert_eq!(verify(data, siblings), Ok(()));
        let refused = |data: &[u8], siblings: &[Node]| matches!(verify(data, siblings), Err(ProofError::Mismatch(_)));
        let mut changed = data.to_vec();
        for at in 0..data.len() {
            changed[at] ^= 1 << (at % 8);
            assert!(refused(&changed, siblings), "byte {at} of the data");
            changed[at] = data[at];
        }
        let mut changed = siblings.to_vec();
        for at in 0..32 * siblings.len() {
            changed.as_flattened_mut()[at] ^= 1 << (at % 8);
            assert!(refused(data, &changed), "byte {at} of the siblings");
            changed.copy_from_slice(siblings);
        }
    }

    #[test]
    fn every_changed_byte_of_a_range_is_refused() {
        for (len, start, length) in [
            (1_000, 0, 16_384),
            (16_384, 0, 16_384),
            (70_000, 32_768, 16_384),
            (70_000, 65_536, 65_536),
            (40_000, 0, 32_768),
        ] {
            let (column, range) = (sample(len), Range { start, length });
            let siblings = prove_range(&column.outboard, range).expect("a range");
            refuses_changes(column.data(range), &siblings, |data, siblings| column.verify(range, data, siblings));
        }
    }

    #[test]
    fn every_changed_byte_of_a_leaf_is_refused() {
        for (len, leaf) in [(500, 0), (3_000, 1), (3_000, 2), (16_384, 7), (70_000, 40), (70_000, 68), (700_000, 512)] {
            let column = sample(len);
            let data = column.cut(leaf * LEAF_BYTES, LEAF_BYTES);
            refuses_changes(data, &column.prove_leaf(leaf), |data, siblings| column.verify_leaf(leaf, data, siblings));
        }
    }

    #[test]
    fn other_shapes_are_refused() {
        let column = sample(300_000);
        let range = Range { start: 65_536, length: 65_536 };
        let (data, siblings) = (column.data(range), prove_range(&column.outboard, range).expect("a range"));
        let (have, want) = (siblings.len(), siblings.len());
        assert_eq!(want, 3);
        let more = [&siblings[..], &[[0; 32]]].concat();
        let extra = ProofError::Siblings { have: have + 1, want };
        assert_eq!(column.verify(range, data, &more), Err(extra));
        assert_eq!(column.verify(range, data, &siblings[1..]), Err(ProofError::Siblings { have: have - 1, want }));
        assert_eq!(column.verify(range, data, &[]), Err(ProofError::Siblings { have: 0, want }));
        for cut in [0, 1, 65_535] {
            let error = ProofError::Length { have: cut, want: 65_536 };
            assert_eq!(column.verify(range, &data[..cut], &siblings), Err(error));
        }
        let long = [data, &[0]].concat();
        assert_eq!(column.verify(range, &long, &siblings), Err(ProofError::Length { have: 65_537, want: 65_536 }));
        // The neighbour's place, another column, and siblings out of order.
        let mismatch = Err(ProofError::Mismatch(column.column));
        assert_eq!(column.verify(Range { start: 131_072, ..range }, data, &siblings), mismatch);
        let other = ColumnId::new([1; 32]);
        assert_eq!(verify_range(&other, 300_000, range, data, &siblings), Err(ProofError::Mismatch(other)));
        let turned = [siblings[1], siblings[0], siblings[2]];
        assert_eq!(column.verify(range, data, &turned), mismatch);
    }

    #[test]
    fn a_column_of_another_length_is_refused_where_its_shape_differs() {
        let column = sample(300_000);
        let range = Range { start: 0, length: 262_144 };
        let (data, siblings) = (column.data(range), prove_range(&column.outboard, range).expect("a range"));
        let check = |column_len| verify_range(&column.column, column_len, range, data, &siblings);
        assert_eq!(check(300_000), Ok(()));
        assert_eq!(check(262_144), Err(ProofError::Siblings { have: 1, want: 0 }));
        assert_eq!(check(200_000), Err(ProofError::Length { have: 262_144, want: 200_000 }));
        assert_eq!(check(600_000), Err(ProofError::Siblings { have: 1, want: 2 }));
        // The end of a column proves its length: one byte more or less is another range.
        let end = Range { start: 262_144, length: 262_144 };
        let (data, siblings) = (column.data(end), prove_range(&column.outboard, end).expect("a range"));
        let check = |column_len| verify_range(&column.column, column_len, end, data, &siblings);
        assert_eq!(check(300_000), Ok(()));
        assert_eq!(check(299_999), Err(ProofError::Length { have: 37_856, want: 37_855 }));
        assert_eq!(check(300_001), Err(ProofError::Length { have: 37_856, want: 37_857 }));
    }

    #[test]
    fn invalid_ranges_are_rejected() {
        let check = |start, length, error: fn(&RangeError) -> bool| {
            let refused = sibling_offsets(300_000, Range { start, length }).expect_err("no range");
            assert!(error(&refused), "{start} {length}: {refused:?}");
        };
        let no_length = |error: &RangeError| matches!(error, RangeError::Length(_));
        let no_start = |error: &RangeError| matches!(error, RangeError::Start { .. });
        for length in [0, 1, 1_024, 16_383, 16_385, 49_152, 524_288, u32::MAX] {
            check(0, length, no_length);
        }
        for (start, length) in
            [(1, 16_384), (16_384, 32_768), (311_296, 16_384), (524_288, 262_144), (u64::MAX, 16_384)]
        {
            check(start, length, no_start);
        }
        let column = sample(3_000);
        assert!(prove_leaf(3_000, 3, &column.bytes, &[]).is_err());
        assert!(prove_leaf(3_000, 0, &column.bytes[1..], &[]).is_err());
        assert!(prove_leaf(3_000, 0, &column.bytes, &[[0; 32]]).is_err());
        assert!(matches!(column.verify_leaf(3, &[], &[]), Err(ProofError::Range(_))));
        assert!(matches!(column.verify_leaf(u64::MAX, &[], &[]), Err(ProofError::Range(_))));
    }

    #[test]
    fn a_leaf_is_not_a_group_and_a_group_no_leaf() {
        let column = sample(16_384);
        let leaf = column.cut(0, LEAF_BYTES);
        assert_eq!(
            column.verify(Range { start: 0, length: 16_384 }, leaf, &[]),
            Err(ProofError::Length { have: 1_024, want: 16_384 })
        );
        assert_eq!(column.verify_leaf(0, leaf, &[]), Err(ProofError::Siblings { have: 0, want: 4 }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn changed_proofs_of_large_columns_are_refused(
            len in 1usize..4_000_000,
            (at, flip, length) in (any::<sample::Index>(), any::<sample::Index>(), sample::select(UNITS.to_vec())),
        ) {
            let column = sample(len);
            let start = u64::try_from(at.index(len)).expect("small") / u64::from(length) * u64::from(length);
            let range = Range { start, length };
            let mut data = column.data(range).to_vec();
            let mut siblings = prove_range(&column.outboard, range).expect("a range");
            prop_assert_eq!(column.verify(range, &data, &siblings), Ok(()));
            let flip = flip.index(data.len() + 32 * siblings.len());
            match flip.checked_sub(data.len()) {
                None => data[flip] ^= 0x10,
                Some(flip) => siblings.as_flattened_mut()[flip] ^= 0x10,
            }
            prop_assert_eq!(column.verify(range, &data, &siblings), Err(ProofError::Mismatch(column.column)));
        }
    }
}
