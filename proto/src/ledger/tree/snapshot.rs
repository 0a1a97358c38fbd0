//! A version of the tree in chunks: for a node that starts from the state of a block instead of replaying all blocks.
//!
//! A chunk is a range of records in the order of their keys' hashes, with the siblings left and right of it, so that
//! each chunk proves by itself that it has all records between its ends. [`TreeRestore`] accepts chunks in order and
//! returns the tree's nodes, under the snapshot's version. Nothing of a chunk is returned before all of it is verified.

use borsh::{BorshDeserialize, BorshSerialize};

use super::{
    Nodes, TreeError,
    node::{EMPTY, Hash, Leaf, Subtree, TreeChild, TreeNode, bit, hash_inner, key_hash, nibble, node_key, value_hash},
    proof::prove_hashed,
};
use crate::limits::STATE_PROOF_SIBLINGS;

/// A record: the bytes of its key and of its value.
pub type EncodedRecord = (Vec<u8>, Vec<u8>);

/// The siblings on one side of the path to a leaf.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Edge {
    /// Depth of the leaf in bits.
    depth: u16,
    /// The siblings on the outer side, from the root down; `None` for an empty one.
    outside: Vec<Option<Hash>>,
}

/// A chunk of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SnapshotChunk {
    /// The records; at least one.
    records: Vec<EncodedRecord>,
    /// The edge left of the record before them, which the receiver has; `None` in the first chunk.
    left: Option<Edge>,
    /// The edge right of the last of them.
    right: Edge,
}

/// Why a chunk is invalid. Its sender is at fault: ask another node for the same chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadChunk {
    /// It has no records, or the snapshot is complete already.
    #[error("invalid chunk: it has no records, or the snapshot is complete already")]
    Empty,
    /// Its records are not in order, or do not come after those before them.
    #[error("invalid chunk: its records are not in order")]
    Order,
    /// Its proof does not have the shape that its records require.
    #[error("invalid chunk: its proof is malformed")]
    Malformed,
    /// Its records and proof do not hash to the state root.
    #[error("invalid chunk: it does not hash to the state root")]
    Root,
}

impl SnapshotChunk {
    /// Its records.
    pub fn records(&self) -> &[EncodedRecord] {
        &self.records
    }

    /// Key hash of its last record, which the next chunk comes after.
    pub fn last(&self) -> Option<[u8; 32]> {
        self.records.last().map(|(key, _)| key_hash(key))
    }
}

/// The chunk of `version` that follows the record whose key hashes to `after`, or the first. `records` returns the
/// record with a key hash. The chunk ends before its records exceed `max_bytes`, but has at least one; `None` when no
/// record is left. Where `after` is not a record, the chunk is invalid.
///
/// # Errors
/// [`TreeError`] when `nodes` does not have this version, or `records` lacks one of its records.
pub fn chunk(
    nodes: &dyn Nodes,
    records: &dyn Fn(&[u8; 32]) -> Option<EncodedRecord>,
    version: u64,
    after: Option<[u8; 32]>,
    max_bytes: usize,
) -> Result<Option<SnapshotChunk>, TreeError> {
    let mut gather = Gather { nodes, records, after, max_bytes, bytes: 0, pairs: Vec::new(), last: None };
    gather.node(version, 0, &Hash::default())?;
    let Some(last) = gather.last else {
        return Ok(None);
    };
    let left = after.map(|after| edge(nodes, version, &after, false)).transpose()?;
    Ok(Some(SnapshotChunk { records: gather.pairs, left, right: edge(nodes, version, &last, true)? }))
}

/// The edge on one side of the path to the leaf of `key`.
fn edge(nodes: &dyn Nodes, version: u64, key: &Hash, right: bool) -> Result<Edge, TreeError> {
    let siblings = prove_hashed(nodes, version, key)?.siblings;
    let depth = u16::try_from(siblings.len()).expect("at most 256 siblings");
    let outside = siblings.into_iter().enumerate().filter(|(depth, _)| bit(key, *depth) != right);
    Ok(Edge { depth, outside: outside.map(|(_, sibling)| sibling).collect() })
}

/// Collects records by walking over the leaves in order.
struct Gather<'a> {
    nodes: &'a dyn Nodes,
    records: &'a dyn Fn(&Hash) -> Option<EncodedRecord>,
    after: Option<Hash>,
    max_bytes: usize,
    bytes: usize,
    pairs: Vec<EncodedRecord>,
    last: Option<Hash>,
}

impl Gather<'_> {
    /// Collects the leaves under one node; `false` when no more fit. `way` is the node's path, padded with zeroes.
    fn node(&mut self, version: u64, depth: usize, way: &Hash) -> Result<bool, TreeError> {
        let node = TreeNode::load(self.nodes, version, depth, way)?;
        for (at, child) in (0_u8..).zip(&node.0) {
            let mut way = *way;
            way[depth / 2] |= if depth.is_multiple_of(2) { at << 4 } else { at };
            let more = match child {
                TreeChild::Leaf(leaf) if self.after.is_none_or(|after| leaf.key > after) => {
                    self.leaf(leaf, version, depth)?
                }
                TreeChild::Inner { version, .. } if !self.is_before(&way, depth) => {
                    self.node(*version, depth + 1, &way)?
                }
                _ => true,
            };
            if !more {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether everything under the child at `way` comes before the first record wanted.
    fn is_before(&self, way: &Hash, depth: usize) -> bool {
        let differs = |after: &Hash| (0..=depth).find(|depth| nibble(way, *depth) != nibble(after, *depth));
        self.after.is_some_and(|after| differs(&after).is_some_and(|at| nibble(way, at) < nibble(&after, at)))
    }

    fn leaf(&mut self, leaf: &Leaf, version: u64, depth: usize) -> Result<bool, TreeError> {
        let (key, value) = (self.records)(&leaf.key).ok_or(TreeError::Missing { version, depth })?;
        // Both lengths are written, too.
        let bytes = key.len().saturating_add(value.len()).saturating_add(2 * size_of::<u32>());
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.max_bytes && self.last.is_some() {
            return Ok(false);
        }
        self.last = Some(leaf.key);
        self.pairs.push((key, value));
        Ok(true)
    }
}

/// A tree being restored from chunks. Its canonical bytes, written with what was accepted, let a restart resume.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TreeRestore {
    root: Hash,
    version: u64,
    /// The last leaf accepted.
    last: Option<Leaf>,
    /// The nodes on the path to it from the root down, without later leaves.
    open: Vec<TreeNode>,
    complete: bool,
}

/// A node of the tree, encoded: its key in the store, and its bytes.
pub type EncodedNode = (Vec<u8>, Vec<u8>);

impl TreeRestore {
    /// An empty restore of the state with this root, from a trusted header, whose tree is stored under this version.
    pub fn new(root: [u8; 32], version: u64) -> Self {
        Self { root, version, last: None, open: vec![TreeNode::EMPTY], complete: root == EMPTY }
    }

    /// Key hash of the last record accepted, which the next chunk comes after.
    pub fn after(&self) -> Option<[u8; 32]> {
        self.last.map(|leaf| leaf.key)
    }

    /// Whether all records were accepted.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Verifies and accepts the next chunk. Returns the nodes that it completes, for the store to write in one batch
    /// with the chunk's records and with this restore itself.
    ///
    /// # Errors
    /// [`BadChunk`] when it is invalid or not the next one; then nothing has changed.
    pub fn take(&mut self, chunk: &SnapshotChunk) -> Result<Vec<EncodedNode>, BadChunk> {
        if self.complete || chunk.records.is_empty() {
            return Err(BadChunk::Empty);
        }
        let leaf = |(key, value): &EncodedRecord| Leaf { key: key_hash(key), value: value_hash(value) };
        self.take_hashed(chunk.records.iter().map(leaf), chunk.left.as_ref(), &chunk.right)
    }

    /// [`Self::take`] of records that are hashed already.
    fn take_hashed(
        &mut self,
        leaves: impl Iterator<Item = Leaf>,
        left: Option<&Edge>,
        right: &Edge,
    ) -> Result<Vec<EncodedNode>, BadChunk> {
        let leaves: Vec<Leaf> = self.last.into_iter().chain(leaves).collect();
        if !leaves.is_sorted_by(|a, b| a.key < b.key) {
            return Err(BadChunk::Order);
        }
        if left.is_some() != self.last.is_some() {
            return Err(BadChunk::Malformed);
        }
        if range_root(&leaves, left, right)? != self.root {
            return Err(BadChunk::Root);
        }
        let mut kept = Vec::new();
        for leaf in leaves.into_iter().skip(usize::from(self.last.is_some())) {
            self.append(leaf, &mut kept);
        }
        self.complete = right.outside.iter().all(Option::is_none);
        if self.complete {
            self.close(1, &mut kept);
        }
        Ok(kept)
    }

    /// The root's node, once all records were accepted. A store that has it has the whole tree, so it is written last.
    pub fn finish(&self) -> Option<EncodedNode> {
        self.complete.then(|| (node_key(self.version, 0, &EMPTY), self.open[0].encode()))
    }

    /// Inserts the next leaf; nodes that no later leaf can be under are complete.
    fn append(&mut self, leaf: Leaf, kept: &mut Vec<EncodedNode>) {
        let shared = self.last.map_or(0, |last| {
            (0..).find(|depth| nibble(&last.key, *depth) != nibble(&leaf.key, *depth)).expect("keys differ")
        });
        self.close(shared + 1, kept);
        // The last leaf moves down to the node where the two paths part.
        if let Some(last) = self.last {
            while self.open.len() <= shared {
                let above = self.open.len() - 1;
                self.open[above].0[nibble(&last.key, above)] = TreeChild::Empty;
                self.open.push(TreeNode::EMPTY);
            }
            if self.open[shared].0[nibble(&last.key, shared)] == TreeChild::Empty {
                self.open[shared].0[nibble(&last.key, shared)] = TreeChild::Leaf(last);
            }
        }
        self.open[shared].0[nibble(&leaf.key, shared)] = TreeChild::Leaf(leaf);
        self.last = Some(leaf);
    }

    /// Closes the open nodes from `depth` on.
    fn close(&mut self, depth: usize, kept: &mut Vec<EncodedNode>) {
        let way = self.last.map_or(EMPTY, |last| last.key);
        while self.open.len() > depth {
            let node = self.open.pop().expect("it is longer");
            let at = self.open.len();
            kept.push((node_key(self.version, at, &way), node.encode()));
            self.open[at - 1].0[nibble(&way, at - 1)] = TreeChild::Inner { hash: node.hash(), version: self.version };
        }
    }
}

/// The root of the tree in which `leaves` are all leaves between the first and the last of them. Without a `left` edge,
/// they are also all leaves before.
fn range_root(leaves: &[Leaf], left: Option<&Edge>, right: &Edge) -> Result<Hash, BadChunk> {
    // An empty sibling has one encoding.
    if left.into_iter().chain([right]).any(|edge| edge.outside.contains(&Some(EMPTY))) {
        return Err(BadChunk::Malformed);
    }
    let mut range = Range {
        left: left.map(|edge| (usize::from(edge.depth), edge.outside.iter())),
        right: (usize::from(right.depth), right.outside.iter()),
    };
    let root = range.edges(leaves, 0, left.is_some(), true)?;
    let rest = range.left.map_or(0, |(_, outside)| outside.len()) + range.right.1.len();
    if rest > 0 { Err(BadChunk::Malformed) } else { Ok(root) }
}

/// An edge being walked down: depth of its leaf, and its remaining siblings.
type Walk<'a> = (usize, std::slice::Iter<'a, Option<Hash>>);

struct Range<'a> {
    left: Option<Walk<'a>>,
    right: Walk<'a>,
}

impl Range<'_> {
    /// The hash of a subtree `depth` bits down that has the first leaf of all, when `left`, or the last, when `right`.
    /// Above its leaf an edge has more than one leaf beside it, so that every step is a node.
    fn edges(&mut self, leaves: &[Leaf], depth: usize, left: bool, right: bool) -> Result<Hash, BadChunk> {
        if !left && !right {
            return Ok(inside(leaves, depth).hash());
        }
        let ends = |walk: &Walk<'_>| walk.0 == depth;
        if left && self.left.as_ref().is_some_and(ends) || right && ends(&self.right) {
            let [leaf] = leaves else { return Err(BadChunk::Malformed) };
            return Ok(leaf.hash());
        }
        let (first, last) = (leaves.first().ok_or(BadChunk::Malformed)?, leaves.last().ok_or(BadChunk::Malformed)?);
        if depth >= STATE_PROOF_SIBLINGS {
            return Err(BadChunk::Malformed);
        }
        let (low, high) = leaves.split_at(leaves.partition_point(|leaf| !bit(&leaf.key, depth)));
        // What lies outside comes with the proof, from the root down: left of the first leaf, and right of the last.
        let outside_left = match self.left.as_mut().filter(|_| left && bit(&first.key, depth)) {
            Some((_, outside)) => Some(outside.next().ok_or(BadChunk::Malformed)?.unwrap_or(EMPTY)),
            None => None,
        };
        let outside_right = match right && !bit(&last.key, depth) {
            true => Some(self.right.1.next().ok_or(BadChunk::Malformed)?.unwrap_or(EMPTY)),
            false => None,
        };
        let below = match outside_left {
            Some(hash) => hash,
            None => self.edges(low, depth + 1, left, right && !bit(&last.key, depth))?,
        };
        let above = match outside_right {
            Some(hash) => hash,
            None => self.edges(high, depth + 1, left && bit(&first.key, depth), right)?,
        };
        Ok(hash_inner(&below, &above))
    }
}

/// The subtree of which these are all leaves.
fn inside(leaves: &[Leaf], depth: usize) -> Subtree {
    match leaves {
        [] => Subtree::Empty,
        [leaf] => Subtree::Leaf(leaf.hash()),
        _ => {
            let (low, high) = leaves.split_at(leaves.partition_point(|leaf| !bit(&leaf.key, depth)));
            Subtree::above(inside(low, depth + 1), inside(high, depth + 1))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        codec,
        ledger::tree::{
            MemoryNodes, Patch, prove, update,
            update::{LeafChange, update_hashed},
        },
    };

    /// A state, its root, and its records by the hashes of their keys.
    struct World {
        nodes: MemoryNodes,
        root: Hash,
        records: BTreeMap<Hash, EncodedRecord>,
    }

    const VERSION: u64 = 3;

    impl World {
        fn new(records: u16) -> Self {
            let pair = |number: u16| (number.to_le_bytes().to_vec(), vec![7; usize::from(number % 50)]);
            let pairs: Vec<EncodedRecord> = (0..records).map(pair).collect();
            let mut nodes = MemoryNodes::default();
            // In two versions, so that the nodes are of both.
            let (old, new) = pairs.split_at(pairs.len() / 2);
            let leaf = |(key, value): &EncodedRecord| (key.clone(), Some(value.clone()));
            nodes.apply(&update(&nodes, None, 0, old.iter().map(leaf)).expect("no parent"));
            let patch = update(&nodes, Some(0), VERSION, new.iter().map(leaf)).expect("the parent is there");
            nodes.apply(&patch);
            let records = pairs.into_iter().map(|pair| (key_hash(&pair.0), pair)).collect();
            Self { nodes, root: patch.root, records }
        }

        fn chunk(&self, after: Option<Hash>, max_bytes: usize) -> Option<SnapshotChunk> {
            let record = |key: &Hash| self.records.get(key).cloned();
            chunk(&self.nodes, &record, VERSION, after, max_bytes).expect("the version is there")
        }
    }

    fn apply(nodes: &mut MemoryNodes, kept: impl IntoIterator<Item = EncodedNode>) {
        nodes.apply(&Patch { nodes: kept.into_iter().collect(), ..Patch::default() });
    }

    #[test]
    fn a_state_comes_back_from_its_chunks() {
        for (records, max_bytes) in [(0, 1), (1, 1), (2, 1), (3, 1), (40, 1), (300, 100), (300, 5_000), (300, 1 << 20)]
        {
            let world = World::new(records);
            let mut restore = TreeRestore::new(world.root, 9);
            let (mut nodes, mut all) = (MemoryNodes::default(), Vec::new());
            while !restore.is_complete() {
                assert_eq!(restore.finish(), None);
                let chunk = world.chunk(restore.after(), max_bytes).expect("some are missing");
                let bytes: usize = chunk.records().iter().map(|(key, value)| key.len() + value.len() + 8).sum();
                assert!(bytes <= max_bytes || chunk.records().len() == 1);
                let sent = codec::decode(&codec::encode(&chunk), 1 << 20).expect("canonical");
                apply(&mut nodes, restore.take(&sent).expect("an honest chunk"));
                all.extend(chunk.records().to_vec());
                assert!(restore.take(&sent).is_err(), "the same again");
                // A restart between two chunks.
                restore = codec::decode(&codec::encode(&restore), 1 << 20).expect("canonical");
            }
            apply(&mut nodes, restore.finish());
            assert_eq!(world.chunk(restore.after(), max_bytes), None, "no chunk after the last");
            assert_eq!(all, world.records.values().cloned().collect::<Vec<_>>());
            assert_eq!((nodes.len(), nodes.bytes()), (world.nodes.len(), world.nodes.bytes()));
            for (key, value) in &all {
                let proof = prove(&nodes, 9, key).expect("the version is there");
                assert_eq!(proof.verify(&world.root, key, Some(value)), Ok(()));
            }
            // The next block continues from it.
            let step = |nodes: &MemoryNodes, parent| update(nodes, Some(parent), 10, [(b"a", Some(b"b"))]);
            let roots = [step(&nodes, 9), step(&world.nodes, VERSION)].map(|patch| patch.map(|patch| patch.root));
            assert_eq!(roots[0], roots[1]);
        }
    }

    /// The second of several chunks, with the restore that took the first.
    fn second(max_bytes: usize) -> (World, TreeRestore, SnapshotChunk) {
        let world = World::new(40);
        let mut restore = TreeRestore::new(world.root, 9);
        restore.take(&world.chunk(None, max_bytes).expect("the first")).expect("an honest chunk");
        let chunk = world.chunk(restore.after(), max_bytes).expect("the second");
        assert!(chunk.records.len() > 1 && chunk.right.outside.iter().any(Option::is_some));
        (world, restore, chunk)
    }

    fn refused(restore: &TreeRestore, chunk: &SnapshotChunk) -> BadChunk {
        let mut tried = restore.clone();
        let error = tried.take(chunk).expect_err("a lie");
        assert_eq!(&tried, restore, "nothing is taken of it");
        error
    }

    #[test]
    fn a_chunk_with_any_bit_flipped_is_refused() {
        let (world, restore, chunk) = second(200);
        for (restore, chunk) in
            [(restore, chunk), (TreeRestore::new(world.root, 9), world.chunk(None, 200).expect("the first"))]
        {
            let bytes = codec::encode(&chunk);
            for at in 0..bytes.len() * 8 {
                let mut forged = bytes.clone();
                forged[at / 8] ^= 1 << (at % 8);
                if let Ok(forged) = codec::decode(&forged, 1 << 20) {
                    refused(&restore, &forged);
                }
            }
            assert!(restore.clone().take(&chunk).is_ok());
        }
    }

    #[test]
    fn a_chunk_with_records_left_out_added_or_moved_is_refused() {
        let (world, restore, chunk) = second(200);
        for at in 0..chunk.records.len() {
            let mut forged = chunk.clone();
            forged.records.remove(at);
            refused(&restore, &forged);
            let mut forged = chunk.clone();
            let twice = forged.records[at].clone();
            forged.records.insert(at, twice);
            assert_eq!(refused(&restore, &forged), BadChunk::Order);
            let mut forged = chunk.clone();
            forged.records.rotate_left(at + 1);
            assert!(at + 1 == chunk.records.len() || refused(&restore, &forged) == BadChunk::Order);
        }
        for number in 1_000..1_100_u16 {
            let mut forged = chunk.clone();
            forged.records.push((number.to_le_bytes().to_vec(), Vec::new()));
            forged.records.sort_by_key(|(key, _)| key_hash(key));
            refused(&restore, &forged);
        }
        assert_eq!(refused(&restore, &SnapshotChunk { records: Vec::new(), ..chunk.clone() }), BadChunk::Empty);
        // Not from where the last one ended: too early, too late, or the first again.
        refused(&restore, &world.chunk(None, 200).expect("the first"));
        let (last, third) = (key_hash(&chunk.records[chunk.records.len() - 1].0), key_hash(&chunk.records[0].0));
        refused(&restore, &world.chunk(Some(last), 200).expect("the third"));
        refused(&restore, &world.chunk(Some(third), 200).expect("some"));
        assert_eq!(refused(&TreeRestore::new(world.root, 9), &chunk), BadChunk::Malformed);
        assert!(chunk.left.is_some());
    }

    #[test]
    fn the_end_cannot_be_feigned() {
        let (_, restore, chunk) = second(200);
        let mut forged = chunk.clone();
        forged.right.outside.iter_mut().for_each(|outside| *outside = None);
        assert_eq!(refused(&restore, &forged), BadChunk::Root);
        forged.right.outside.clear();
        assert_eq!(refused(&restore, &forged), BadChunk::Malformed);
        for depth in 0..=u16::MAX {
            let mut forged = chunk.clone();
            forged.right.depth = depth;
            assert!(
                depth == chunk.right.depth
                    || matches!(refused(&restore, &forged), BadChunk::Malformed | BadChunk::Root)
            );
        }
        let mut forged = chunk;
        forged.right.outside.extend([None; 300]);
        assert_eq!(refused(&restore, &forged), BadChunk::Malformed);
    }

    #[test]
    fn chunks_of_another_state_are_refused() {
        let (_, restore, _) = second(200);
        let other = World::new(41);
        refused(&TreeRestore::new(World::new(40).root, 9), &other.chunk(None, 200).expect("the first"));
        if let Some(chunk) = other.chunk(restore.after(), 200) {
            refused(&restore, &chunk);
        }
        let mut whole = TreeRestore::new(EMPTY, 9);
        assert!(whole.is_complete());
        assert_eq!(whole.take(&other.chunk(None, 200).expect("the first")), Err(BadChunk::Empty));
    }

    #[test]
    fn a_store_without_a_record_serves_nothing() {
        let world = World::new(40);
        let missing = chunk(&world.nodes, &|_| None, VERSION, None, 100);
        assert!(matches!(missing, Err(TreeError::Missing { .. })));
        assert!(chunk(&world.nodes, &|_| None, 8, None, 100).is_err());
    }

    /// The second of three chunks of 12 records, and the root of all: what another implementation must come to.
    #[test]
    fn golden_chunk() {
        let world = World::new(12);
        let mut restore = TreeRestore::new(world.root, 9);
        restore.take(&world.chunk(None, 70).expect("the first")).expect("an honest chunk");
        let chunk = world.chunk(restore.after(), 70).expect("the second");
        let hashes = [blake3::Hash::from_bytes(world.root), blake3::hash(&codec::encode(&chunk))];
        assert_eq!(hashes.map(|hash| hash.to_string()), GOLDEN);
    }

    const GOLDEN: [&str; 2] = [
        "a8b7320dd21fbfa959ff4655d8eb4eec61ad4abbc56d9e56f506908d761c8976",
        "01fbbd81ca14a5a638beedc15abe05a64ce1dcecf4a4a085fc7996ec27c60ad3",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Trees as deep as they can be, cut at random places.
        #[test]
        fn deep_trees_come_back_too(
            bits in prop::collection::btree_set(prop::collection::btree_set(0_usize..256, 0..4), 1..24),
            cuts in prop::collection::vec(1_usize..6, 24),
        ) {
            let key = |bits: &std::collections::BTreeSet<usize>| {
                let mut key = [0; 32];
                bits.iter().for_each(|bit| key[bit / 8] |= 0x80 >> (bit % 8));
                key
            };
            let mut leaves: Vec<Leaf> = bits.iter().map(|bits| Leaf { key: key(bits), value: [1; 32] }).collect();
            leaves.sort_by_key(|leaf| leaf.key);
            let change = |leaf: &Leaf| LeafChange { key: leaf.key, value: Some(leaf.value) };
            let mut built = MemoryNodes::default();
            let patch = update_hashed(&built, None, 0, leaves.iter().map(change).collect()).expect("no parent");
            built.apply(&patch);

            let mut restore = TreeRestore::new(patch.root, 0);
            let (mut nodes, mut rest) = (MemoryNodes::default(), leaves.as_slice());
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                let Some(last) = now.last() else { break };
                let left = restore.after().map(|after| edge(&built, 0, &after, false).expect("it is there"));
                let right = edge(&built, 0, &last.key, true).expect("it is there");
                for out in 0..now.len() {
                    let less = now.iter().enumerate().filter(|(at, _)| *at != out).map(|(_, leaf)| *leaf);
                    prop_assert!(restore.clone().take_hashed(less, left.as_ref(), &right).is_err());
                }
                let kept = restore.take_hashed(now.iter().copied(), left.as_ref(), &right);
                apply(&mut nodes, kept.expect("an honest chunk"));
                prop_assert_eq!(restore.is_complete(), later.is_empty());
                rest = later;
            }
            apply(&mut nodes, restore.finish());
            prop_assert_eq!(nodes, built);
        }
    }
}
