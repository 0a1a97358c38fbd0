//! The history: one hash for the ids of all blocks so far, and short proofs of each (SPEC, "History").
//!
//! A Merkle mountain range. Every block appends its id as a leaf; two trees of one size merge into one twice as large,
//! and the roots that remain are the [`Peaks`], one for each bit of the number of leaves. So an append costs a few
//! hashes and reads nothing, and no node ever changes: a store writes each under its position and never deletes it.
//!
//! Genesis is leaf 0, by the chain's id, and the block of height h is leaf h. A header's `history` is the root over all
//! that is *before* it, so of as many leaves as its own height says.

use std::io;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    id::{BlockId, Height},
    limits::{self, HISTORY_SIBLINGS},
};

/// A hash of the mountain range.
type Hash = [u8; 32];

/// A node that an append adds: its position and its hash. Positions rise without gaps.
pub type HistoryNode = (u64, [u8; 32]);

fn hash_leaf(block: &BlockId) -> Hash {
    blake3::derive_key("ostrakon history leaf 1", block.bytes())
}

fn hash_node(left: &Hash, right: &Hash) -> Hash {
    blake3::derive_key("ostrakon history node 1", [*left, *right].as_flattened())
}

/// The root over `leaves` leaves whose tree has the hash `tree`; [`Hash::default`] without leaves.
fn hash_root(leaves: u64, tree: &Hash) -> Hash {
    blake3::derive_key("ostrakon history root 1", &[&leaves.to_le_bytes()[..], tree].concat())
}

/// Leaves of the left half of a tree of `leaves` leaves: the largest power of two below `leaves`.
fn left_half(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}

/// What an append needs of all earlier blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize)]
pub struct Peaks {
    /// Number of leaves.
    leaves: u64,
    /// The roots of the perfect trees, the largest first.
    peaks: Vec<Hash>,
}

impl BorshDeserialize for Peaks {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let (leaves, peaks) = <(u64, Vec<Hash>)>::deserialize_reader(reader)?;
        // Half the positions are left free, so that none overflows.
        if leaves > u64::MAX / 4 || u32::try_from(peaks.len()) != Ok(leaves.count_ones()) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Self { leaves, peaks })
    }
}

impl Peaks {
    /// Number of leaves: genesis and the blocks.
    pub fn len(&self) -> u64 {
        self.leaves
    }

    /// Whether there are no leaves, not even genesis.
    pub fn is_empty(&self) -> bool {
        self.leaves == 0
    }

    /// Appends the id of the next block. Returns the nodes that a store needs for proofs: the new leaf, and the trees
    /// that it completes.
    pub fn append(&mut self, block: &BlockId) -> Vec<HistoryNode> {
        let (mut hash, mut at) = (hash_leaf(block), position(self.leaves, 1));
        let mut written = vec![(at, hash)];
        for _ in 0..self.leaves.trailing_ones() {
            let left = self.peaks.pop().expect("a peak for each bit");
            hash = hash_node(&left, &hash);
            at += 1;
            written.push((at, hash));
        }
        self.peaks.push(hash);
        self.leaves += 1;
        written
    }

    /// The peaks with their positions: all that a store needs of the past to prove later blocks.
    pub fn nodes(&self) -> Vec<HistoryNode> {
        let at = |(first, leaves)| position(first, leaves);
        self.trees().into_iter().map(at).zip(self.peaks.iter().copied()).collect()
    }

    /// First leaf and number of leaves of each perfect tree.
    fn trees(&self) -> Vec<(u64, u64)> {
        let sizes = (0..u64::BITS).rev().map(|bit| 1_u64 << bit).filter(|bit| self.leaves & bit != 0);
        let mut first = 0;
        let tree = |leaves| {
            first += leaves;
            (first - leaves, leaves)
        };
        sizes.map(tree).collect()
    }

    /// The root over all leaves so far, which the header of the next block contains.
    pub fn root(&self) -> [u8; 32] {
        let mut peaks = self.peaks.iter().rev();
        let last = peaks.next().copied().unwrap_or_default();
        hash_root(self.leaves, &peaks.fold(last, |right, left| hash_node(left, &right)))
    }

    /// Checks that `block` is the one of `height`, by the part of its proof [below a peak](HistoryProof::below_peak).
    ///
    /// # Errors
    /// [`BadHistory`] when that is not proven, which includes that the peak has merged since the proof was made.
    pub fn verify(&self, height: Height, block: BlockId, proof: &HistoryProof) -> Result<(), BadHistory> {
        let refused = BadHistory { height, block };
        let mut trees = self.trees().into_iter().zip(&self.peaks);
        let ((first, leaves), peak) = trees.find(|((first, leaves), _)| height.0 < first + leaves).ok_or(refused)?;
        match climb(hash_leaf(&block), leaves, height.0 - first, &proof.siblings) {
            Some(tree) if tree == *peak => Ok(()),
            _ => Err(refused),
        }
    }
}

/// Position of the root of the perfect tree over `leaves` leaves from `first` on: nodes are numbered as they are
/// written, each after its children.
fn position(first: u64, leaves: u64) -> u64 {
    let last = first + leaves - 1;
    2 * last - u64::from(last.count_ones()) + u64::from(leaves.ilog2())
}

/// Proves one block against a [`Peaks::root`]: the siblings from the leaf up. 32 bytes for each doubling of the number
/// of blocks: about a kilobyte at any age.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HistoryProof {
    siblings: Vec<Hash>,
}

/// The proof does not show that the block is in this history. Its sender is at fault: ask another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid history proof: it does not show that block {block} is at height {height}; ask another node")]
pub struct BadHistory {
    /// The height asked for.
    pub height: Height,
    /// The block that is not proven.
    pub block: BlockId,
}

/// Proves the block of `height` against the root over the first `leaves` leaves, which the header of height `leaves`
/// contains. `read` returns the node at a position. The result is `None` when `read` lacks a node, or `height` is not
/// below `leaves`.
pub fn prove(read: impl Fn(u64) -> Option<[u8; 32]>, leaves: u64, height: Height) -> Option<HistoryProof> {
    let index = height.0;
    if index >= leaves || leaves > u64::MAX / 4 {
        return None;
    }
    let (mut first, mut count) = (0, leaves);
    let mut siblings = Vec::new();
    while count > 1 {
        let left = left_half(count);
        if index - first < left {
            siblings.push(tree(&read, first + left, count - left)?);
            count = left;
        } else {
            siblings.push(tree(&read, first, left)?);
            (first, count) = (first + left, count - left);
        }
    }
    siblings.reverse();
    Some(HistoryProof { siblings })
}

/// The hash of the tree over `leaves` leaves from `first` on.
fn tree(read: &impl Fn(u64) -> Option<Hash>, first: u64, leaves: u64) -> Option<Hash> {
    if leaves.is_power_of_two() {
        return read(position(first, leaves));
    }
    let left = left_half(leaves);
    Some(hash_node(&tree(read, first, left)?, &tree(read, first + left, leaves - left)?))
}

/// A perfect tree of the history, cut into equal parts: what a store that lacks its lower nodes asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HistoryRange {
    /// The tree's first leaf.
    first: u64,
    /// Its leaves.
    leaves: u64,
    /// How many parts.
    parts: u64,
}

/// The hashes are not those of the range. Their sender is at fault: ask another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid history hashes for {leaves} blocks from height {first} on: ask another node",
    leaves = .0.leaves, first = .0.first
)]
pub struct BadHistoryRange(pub HistoryRange);

impl HistoryRange {
    /// The ranges from which a store that has only the peaks obtains all nodes, the newest blocks first: so a store
    /// that stopped between two ranges has everything newer than the last range's [oldest node](Self::oldest).
    pub fn of(peaks: &Peaks) -> impl Iterator<Item = Self> {
        let most = u64::try_from(limits::HISTORY_ROW).expect("a small constant");
        let trees = peaks.trees();
        let cut = move |(first, leaves): (u64, u64)| {
            let top = (leaves > most).then(|| Self { first, leaves, parts: (leaves / most).min(most) });
            let each = leaves.min(most);
            let below =
                (0..leaves / each).rev().map(move |at| Self { first: first + at * each, leaves: each, parts: each });
            top.into_iter().chain(below)
        };
        trees.into_iter().rev().flat_map(cut)
    }

    /// Whether it is well-formed; one received from a peer may not be.
    pub fn is_valid(&self) -> bool {
        let Self { first, leaves, parts } = *self;
        let fits = first.checked_add(leaves).is_some_and(|end| end <= u64::MAX / 4);
        leaves.is_power_of_two()
            && first.is_multiple_of(leaves)
            && parts.is_power_of_two()
            && parts <= leaves
            && usize::try_from(parts).is_ok_and(|parts| parts <= limits::HISTORY_ROW)
            && fits
    }

    /// Position of the tree's root, which is known before its parts are.
    pub fn root(&self) -> u64 {
        position(self.first, self.leaves)
    }

    /// Position of its first part's root.
    pub fn oldest(&self) -> u64 {
        position(self.first, self.leaves / self.parts)
    }

    /// The roots of its parts; `None` when `read` lacks one. The range must be valid.
    pub fn read(&self, mut read: impl FnMut(u64) -> Option<[u8; 32]>) -> Option<Vec<[u8; 32]>> {
        let each = self.leaves / self.parts;
        (0..self.parts).map(|at| read(position(self.first + at * each, each))).collect()
    }

    /// Checks the roots of its parts against the tree's `root`; returns them and all nodes above.
    ///
    /// # Errors
    /// [`BadHistoryRange`] when these are not its parts.
    pub fn check(&self, root: &[u8; 32], hashes: &[[u8; 32]]) -> Result<Vec<HistoryNode>, BadHistoryRange> {
        if u64::try_from(hashes.len()) != Ok(self.parts) {
            return Err(BadHistoryRange(*self));
        }
        let (mut level, mut each, mut written) = (hashes.to_vec(), self.leaves / self.parts, Vec::new());
        loop {
            let place = |(at, hash): (u64, &Hash)| (position(self.first + at * each, each), *hash);
            written.extend((0..).zip(&level).map(place));
            if level.len() == 1 {
                break;
            }
            level = level.chunks(2).map(|pair| hash_node(&pair[0], &pair[1])).collect();
            each *= 2;
        }
        if level[0] == *root { Ok(written) } else { Err(BadHistoryRange(*self)) }
    }
}

impl HistoryProof {
    /// Checks that `block` is the one of `height` in the history of `leaves` leaves with this root.
    ///
    /// # Errors
    /// [`BadHistory`] when that is not proven.
    pub fn verify(&self, root: &[u8; 32], leaves: u64, height: Height, block: BlockId) -> Result<(), BadHistory> {
        let refused = BadHistory { height, block };
        if height.0 >= leaves || self.siblings.len() > HISTORY_SIBLINGS {
            return Err(refused);
        }
        match climb(hash_leaf(&block), leaves, height.0, &self.siblings) {
            Some(tree) if hash_root(leaves, &tree) == *root => Ok(()),
            _ => Err(refused),
        }
    }

    /// The part of this proof, of the block of `height` in a history of `leaves` leaves, that lies below a peak: what
    /// [`Peaks::verify`] takes. It does not become invalid with the next block, as the whole does, but when the peak
    /// merges: one over n leaves n blocks after it was complete.
    #[must_use]
    pub fn below_peak(mut self, leaves: u64, height: Height) -> Self {
        // The tree of a leaf is that of the highest bit in which its index and the number of leaves differ.
        let depth = (leaves ^ height.0).checked_ilog2().unwrap_or(0);
        self.siblings.truncate(usize::try_from(depth).expect("below 64"));
        self
    }
}

/// The hash of the tree over `leaves` leaves whose `index`-th one is `leaf`; `None` when the number of siblings does
/// not fit its shape.
fn climb(leaf: Hash, leaves: u64, index: u64, siblings: &[Hash]) -> Option<Hash> {
    if leaves == 1 {
        return siblings.is_empty().then_some(leaf);
    }
    let (sibling, below) = siblings.split_last()?;
    let left = left_half(leaves);
    Some(match index.checked_sub(left) {
        None => hash_node(&climb(leaf, left, index, below)?, sibling),
        Some(index) => hash_node(sibling, &climb(leaf, leaves - left, index, below)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    fn block(index: u64) -> BlockId {
        blake3::hash(&index.to_le_bytes()).into()
    }

    /// The peaks after each number of blocks, and all nodes by position.
    fn range(blocks: u64) -> (Vec<Peaks>, Vec<Hash>) {
        let (mut peaks, mut nodes) = (vec![Peaks::default()], Vec::new());
        for index in 0..blocks {
            let mut next = peaks[peaks.len() - 1].clone();
            for (position, hash) in next.append(&block(index)) {
                assert_eq!(Ok(position), u64::try_from(nodes.len()), "no gap");
                nodes.push(hash);
            }
            peaks.push(next);
        }
        (peaks, nodes)
    }

    /// The root by its definition.
    fn model(blocks: &[BlockId]) -> Hash {
        match blocks {
            [] => Hash::default(),
            [block] => hash_leaf(block),
            _ => {
                let (left, right) = blocks.split_at(blocks.len().next_power_of_two() / 2);
                hash_node(&model(left), &model(right))
            }
        }
    }

    fn proof(nodes: &[Hash], leaves: u64, index: u64) -> HistoryProof {
        let read = |position: u64| nodes.get(usize::try_from(position).ok()?).copied();
        prove(read, leaves, Height(index)).expect("all nodes are there")
    }

    #[test]
    fn every_block_is_proven_in_every_history() {
        let (all, nodes) = range(200);
        let blocks: Vec<BlockId> = (0..200).map(block).collect();
        for (leaves, peaks) in (0_u64..).zip(&all) {
            assert_eq!(peaks.len(), leaves);
            let root = peaks.root();
            assert_eq!(root, hash_root(leaves, &model(&blocks[..usize::try_from(leaves).expect("small")])));
            for index in 0..leaves {
                let proof = proof(&nodes, leaves, index);
                assert!(u64::try_from(proof.siblings.len()).expect("few") <= u64::from(leaves.ilog2()) + 1);
                let verify = |height, block| proof.verify(&root, leaves, Height(height), block);
                assert_eq!(verify(index, block(index)), Ok(()), "{index} of {leaves}");
                assert!(verify(index, block(index + 1)).is_err(), "another block");
                assert!(verify(index + 1, block(index)).is_err(), "another height");
                assert!(verify(index.wrapping_sub(1), block(index)).is_err(), "another height");
                assert!(proof.verify(&root, leaves + 1, Height(index), block(index)).is_err(), "another length");
                assert!(proof.verify(&root, leaves - 1, Height(index), block(index)).is_err(), "another length");
            }
            assert!(prove(|_| Some(Hash::default()), leaves, Height(leaves)).is_none(), "no such block yet");
        }
    }

    /// Below its peak a proof holds until the peak merges, and shows nothing else.
    #[test]
    fn a_proof_below_a_peak_lasts_as_long_as_the_peak() {
        let (all, nodes) = range(70);
        let peak = |leaves: usize, index: u64| all[leaves].trees().into_iter().rfind(|(first, _)| *first <= index);
        for (leaves, at) in (1_u64..=70).zip(1..) {
            for index in 0..leaves {
                let proof = proof(&nodes, leaves, index).below_peak(leaves, Height(index));
                for (later, peaks) in all.iter().enumerate().skip(at) {
                    let verdict = peaks.verify(Height(index), block(index), &proof);
                    assert_eq!(verdict.is_ok(), peak(at, index) == peak(later, index), "{index} of {leaves}, {later}");
                }
                let peaks = &all[at];
                assert!(peaks.verify(Height(index), block(index + 1), &proof).is_err(), "another block");
                assert!(peaks.verify(Height(index + 1), block(index), &proof).is_err(), "another height");
                assert!(peaks.verify(Height(u64::MAX), block(index), &proof).is_err(), "another height");
                let mut longer = proof.clone();
                longer.siblings.push([0; 32]);
                assert!(peaks.verify(Height(index), block(index), &longer).is_err(), "a sibling too many");
                let shorter = HistoryProof { siblings: proof.siblings[1.min(proof.siblings.len())..].to_vec() };
                assert!(shorter == proof || peaks.verify(Height(index), block(index), &shorter).is_err(), "too few");
            }
        }
        assert!(all[0].verify(Height(0), block(0), &HistoryProof { siblings: Vec::new() }).is_err(), "no peaks");
        let endless = HistoryProof { siblings: vec![[0; 32]; 100_000] };
        assert!(all[70].verify(Height(7), block(7), &endless).is_err());
    }

    #[test]
    fn a_proof_with_any_bit_flipped_proves_nothing() {
        let (all, nodes) = range(23);
        let root = all[23].root();
        for index in 0..23 {
            let bytes = codec::encode(&proof(&nodes, 23, index));
            for at in 0..bytes.len() * 8 {
                let mut forged = bytes.clone();
                forged[at / 8] ^= 1 << (at % 8);
                if let Ok(forged) = codec::decode::<HistoryProof>(&forged, 4096) {
                    assert!(forged.verify(&root, 23, Height(index), block(index)).is_err(), "bit {at} of {index}");
                }
            }
        }
    }

    #[test]
    fn a_proof_has_the_one_length_that_its_place_gives() {
        let (all, nodes) = range(23);
        let root = all[23].root();
        let proof = proof(&nodes, 23, 7);
        let verify = |siblings: &[Hash]| {
            HistoryProof { siblings: siblings.to_vec() }.verify(&root, 23, Height(7), block(7)).is_ok()
        };
        assert!(verify(&proof.siblings));
        for cut in 0..proof.siblings.len() {
            assert!(!verify(&proof.siblings[..cut]) && !verify(&proof.siblings[cut + 1..]));
        }
        assert!(!verify(&[&proof.siblings[..], &[[0; 32]]].concat()));
        assert!(!verify(&vec![[0; 32]; 100_000]));
    }

    #[test]
    fn a_node_is_no_leaf_and_no_root() {
        let (all, nodes) = range(2);
        let inner = BlockId::new(nodes[2]);
        assert!(HistoryProof { siblings: Vec::new() }.verify(&all[2].root(), 1, Height(0), inner).is_err());
        assert_ne!(all[2].root(), nodes[2]);
        assert_ne!(all[0].root(), Hash::default());
    }

    #[test]
    fn peaks_are_kept_in_one_form() {
        for peaks in range(40).0 {
            let bytes = codec::encode(&peaks);
            assert_eq!(codec::decode::<Peaks>(&bytes, 4096), Ok(peaks));
        }
        for (leaves, peaks) in [(0_u64, 1), (1, 0), (3, 1), (4, 2), (u64::MAX, 64)] {
            let bytes = codec::encode(&(leaves, vec![Hash::default(); peaks]));
            assert!(codec::decode::<Peaks>(&bytes, 4096).is_err(), "{leaves} leaves with {peaks} peaks");
        }
    }

    #[test]
    fn what_stands_proves_all_that_comes_after_it() {
        let (all, nodes) = range(40);
        for (leaves, peaks) in all.iter().enumerate() {
            for (position, hash) in peaks.nodes() {
                assert_eq!(hash, nodes[usize::try_from(position).expect("small")]);
            }
            // A store that begins here and keeps what it appends.
            let (mut kept, mut grown) = (peaks.nodes(), peaks.clone());
            let first = peaks.len();
            (first..40).for_each(|index| kept.extend(grown.append(&block(index))));
            let read = |position| kept.iter().find(|(at, _)| *at == position).map(|(_, hash)| *hash);
            for index in first..40 {
                let proof = prove(read, 40, Height(index)).expect("what is after the beginning is proven");
                assert_eq!(proof, self::proof(&nodes, 40, index), "{index} from {leaves} on");
            }
        }
    }

    #[test]
    fn a_store_that_has_the_peaks_alone_comes_to_have_all() {
        for blocks in [0, 1, 2, 40, 1000, 1023] {
            let (all, nodes) = range(blocks);
            let peaks = &all[all.len() - 1];
            let mut kept: std::collections::BTreeMap<u64, Hash> = peaks.nodes().into_iter().collect();
            for row in HistoryRange::of(peaks) {
                assert!(row.is_valid());
                let read = |position: u64| nodes.get(usize::try_from(position).ok()?).copied();
                let hashes = row.read(read).expect("all nodes are there");
                let root = kept[&row.root()];
                for at in 0..hashes.len() {
                    let mut forged = hashes.clone();
                    forged[at][at % 32] ^= 1;
                    assert_eq!(row.check(&root, &forged), Err(BadHistoryRange(row)));
                }
                assert_eq!(row.check(&root, &hashes[1..]), Err(BadHistoryRange(row)));
                let written = row.check(&root, &hashes).expect("honest hashes");
                assert!(written.iter().any(|(position, _)| *position == row.oldest()));
                kept.extend(written);
            }
            assert!(kept.into_values().eq(nodes), "{blocks}");
        }
    }

    #[test]
    fn a_stranger_s_row_is_one_or_is_refused() {
        let row = |first, leaves, parts| HistoryRange { first, leaves, parts }.is_valid();
        assert!(row(0, 1, 1) && row(1 << 20, 1 << 20, 1 << 4) && row(0, 1 << 60, 2));
        let bad = [(0, 0, 1), (0, 3, 1), (1, 2, 1), (0, 2, 0), (0, 2, 4), (0, 8, 3), (0, 1 << 63, 1)];
        assert!(bad.into_iter().all(|(first, leaves, parts)| !row(first, leaves, parts)));
        assert!(!row(0, 1 << 60, 1 << 20) && !row(u64::MAX - 1, 2, 1) && !row(1 << 63, 1 << 62, 1));
        // A chain so long that its trees are cut twice.
        let long = Peaks { leaves: (1 << 27) + (1 << 14), peaks: vec![Hash::default(); 2] };
        let rows: Vec<HistoryRange> = HistoryRange::of(&long).collect();
        assert!(rows.iter().all(HistoryRange::is_valid));
        assert_eq!((rows[1].parts, rows.len()), (1 << 13, 1 + (1 << 13) + 1));
    }

    #[test]
    fn a_store_that_lost_nodes_proves_nothing() {
        let (_, nodes) = range(23);
        let read = |position: u64| nodes.get(usize::try_from(position).ok()?).copied().filter(|_| position != 2);
        assert_eq!(prove(read, 23, Height(2)), None);
        assert!(prove(read, 23, Height(0)).is_some(), "what is not needed is not read");
        assert_eq!(prove(|_| None, 23, Height(22)), None);
        assert!(prove(|_| Some(Hash::default()), u64::MAX, Height(0)).is_none());
    }

    /// Roots that another implementation must reach: of 0, 1, 2, 3 and 23 leaves, the i-th being BLAKE3 of i as u64 LE.
    #[test]
    fn golden_roots() {
        let (all, _) = range(23);
        let hex = |leaves: usize| hex::encode(all[leaves].root());
        assert_eq!([0, 1, 2, 3, 23].map(hex), GOLDEN);
    }

    const GOLDEN: [&str; 5] = [
        "f678cdb2e9b149a066cf90332a4e387dd2d7da9dc754feb8891f3db7a81023df",
        "7d97f685976bd18e8bdc95961927fd49bf46477de12cc74382feb442c3a2ba1f",
        "f3a0834e5d0693d85fd8d4ae846f7b4ad7e730913100523df6b3ac9a10f40b82",
        "25397e5acd20ae45494c71f99f678026bc1e2e8800a9a4f7f0e83527ed514c7f",
        "76a81df8b4e8de60e409505fbedd8bf2fb017729864ee06fa283f956fc4ed99d",
    ];
}
