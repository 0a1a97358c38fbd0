//! The tree against its definition, and proofs against liars.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    node::{Hash, Leaf, TreeChild, TreeNode, bit, hash_inner},
    proof::prove_hashed,
    update::{LeafChange, update_hashed},
    *,
};
use crate::codec;

impl Patch {
    /// Hashes that its nodes took: of each leaf in them, and of each half of a node that has more than one.
    pub(crate) fn hashes(&self) -> usize {
        let of_node = |(_, bytes): &(Vec<u8>, Vec<u8>)| {
            let [leaves, inners] = [0, 2].map(|at| u16::from_le_bytes([bytes[at], bytes[at + 1]]));
            let halves = [2, 4, 8, 16]
                .into_iter()
                .flat_map(|width| (0..16).step_by(width).map(move |at| u16::MAX >> (16 - width) << at));
            let hashed = halves.filter(|half| inners & half != 0 || (leaves & half).count_ones() > 1).count();
            hashed + usize::try_from(leaves.count_ones()).expect("at most 16")
        };
        self.nodes.iter().map(of_node).sum()
    }
}

/// The root by its definition.
fn model(leaves: &[Leaf], depth: usize) -> Hash {
    match leaves {
        [] => EMPTY_ROOT,
        [leaf] => leaf.hash(),
        _ => {
            let (left, right) = leaves.split_at(leaves.partition_point(|leaf| !bit(&leaf.key, depth)));
            hash_inner(&model(left, depth + 1), &model(right, depth + 1))
        }
    }
}

fn model_root(leaves: &BTreeMap<Hash, Hash>) -> Hash {
    model(&leaves.iter().map(|(key, value)| Leaf { key: *key, value: *value }).collect::<Vec<_>>(), 0)
}

/// All versions that ever were.
#[derive(Default)]
struct Archive(BTreeMap<Vec<u8>, Vec<u8>>);

impl Nodes for Archive {
    fn node(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key).cloned()
    }
}

/// A tree beside what it should be.
#[derive(Default)]
struct World {
    leaves: BTreeMap<Hash, Hash>,
    nodes: MemoryNodes,
    archive: Archive,
    stale: Vec<Stale>,
    /// Root and leaves of each version.
    versions: Vec<(Hash, BTreeMap<Hash, Hash>)>,
}

impl World {
    fn step(&mut self, changes: &BTreeMap<Hash, Option<Hash>>) {
        let version = u64::try_from(self.versions.len()).expect("few");
        let change = |(key, value): (&Hash, &Option<Hash>)| LeafChange { key: *key, value: *value };
        let changed = changes.iter().map(change).collect();
        let patch = update_hashed(&self.nodes, version.checked_sub(1), version, changed).expect("the parent is there");
        for (key, value) in changes {
            match value {
                Some(value) => self.leaves.insert(*key, *value),
                None => self.leaves.remove(key),
            };
        }
        assert_eq!(patch.root, model_root(&self.leaves), "version {version}");
        self.nodes.apply(&patch);
        self.archive.0.extend(patch.nodes);
        self.stale.extend(patch.stale);
        self.versions.push((patch.root, self.leaves.clone()));
    }

    /// Nothing is left over: there are as many nodes as in a tree built in one update.
    fn check_size(&self) {
        let change = |(key, value): (&Hash, &Hash)| LeafChange { key: *key, value: Some(*value) };
        let fresh = update_hashed(&self.nodes, None, 0, self.leaves.iter().map(change).collect()).expect("no parent");
        assert_eq!(self.nodes.len(), fresh.nodes.len());
        assert_eq!(self.nodes.bytes(), fresh.nodes.iter().map(|(_, bytes)| bytes.len()).sum::<usize>());
    }
}

/// Every key of `keys`, proven at `version` to be what it is, and not to be what it is not.
fn check_proofs(nodes: &dyn Nodes, version: u64, root: &Hash, leaves: &BTreeMap<Hash, Hash>, keys: &[Hash]) {
    for key in keys {
        let proof = prove_hashed(nodes, version, key).expect("the version is there");
        let value = leaves.get(key).copied();
        assert_eq!(proof.verify_hashed(root, key, value), Ok(()), "{key:?} {value:?}");
        let lie = if value.is_some() { None } else { Some([1; 32]) };
        assert!(proof.verify_hashed(root, key, lie).is_err());
        assert!(proof.verify_hashed(root, key, Some([0xee; 32])).is_err());
        assert!(proof.verify_hashed(&[7; 32], key, value).is_err());
    }
}

/// Hashes that differ in a few bits only, from the first to the last: trees as deep as they can be.
fn near(choice: u8) -> Hash {
    let mut key = [0; 32];
    for (at, byte) in [0, 0, 1, 15, 16, 31, 31, 31].into_iter().enumerate() {
        if choice >> at & 1 == 1 {
            key[byte] |= 0x80 >> (at * 3 % 8);
        }
    }
    key[31] |= choice & 1;
    key
}

fn hashed(choice: u8) -> Hash {
    key_hash(&[choice])
}

fn batches() -> impl Strategy<Value = Vec<BTreeMap<u8, Option<u8>>>> {
    let change = prop::option::weighted(0.6, 0_u8..4);
    prop::collection::vec(prop::collection::btree_map(any::<u8>(), change, 0..40), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_root_follows_from_the_records_alone(batches in batches(), deep in any::<bool>()) {
        let place = if deep { near } else { hashed };
        let mut world = World::default();
        for batch in &batches {
            world.step(&batch.iter().map(|(key, value)| (place(*key), value.map(|value| [value; 32]))).collect());
            world.check_size();
        }
        let keys: Vec<Hash> = (0..=255).map(place).collect();
        for (version, (root, leaves)) in (0..).zip(&world.versions) {
            check_proofs(&world.archive, version, root, leaves, &keys);
        }
        // A store that has pruned keeps what later versions consist of, and nothing of the others.
        let last = u64::try_from(world.versions.len()).expect("few") - 1;
        for stale in world.stale.iter().filter(|stale| stale.since <= last) {
            assert!(stale.created < stale.since);
            assert!(world.archive.0.remove(&stale.key).is_some(), "stale twice, or never written");
        }
        prop_assert_eq!(world.archive.0.len(), world.nodes.len());
        let (root, leaves) = &world.versions[world.versions.len() - 1];
        check_proofs(&world.archive, last, root, leaves, &keys);
    }

    #[test]
    fn the_order_of_changes_does_not_matter(
        changes in prop::collection::btree_map(any::<u16>(), prop::option::of(any::<u8>()), 0..200),
        seed in any::<u64>(),
    ) {
        let leaf = |(key, value): (&u16, &Option<u8>)| (key.to_le_bytes(), value.map(|value| [value]));
        let sorted: Vec<_> = changes.iter().map(leaf).collect();
        let mut shuffled = sorted.clone();
        shuffled.sort_by_key(|(key, _)| blake3::derive_key(&seed.to_string(), key));
        let nodes = MemoryNodes::default();
        prop_assert_eq!(update(&nodes, None, 0, sorted), update(&nodes, None, 0, shuffled));
    }

    #[test]
    fn another_implementation_comes_to_the_same_root(batches in batches()) {
        let mut nodes = MemoryNodes::default();
        let mut other = jellyfish::Tree::default();
        for (version, batch) in (0_u64..).zip(batches) {
            let leaves: Vec<_> = batch.iter().map(|(key, value)| ([*key], value.map(|value| [value]))).collect();
            let patch = update(&nodes, version.checked_sub(1), version, leaves.clone()).expect("the parent is there");
            nodes.apply(&patch);
            prop_assert_eq!(patch.root, other.update(version, leaves));
        }
    }
}

fn proof(nodes: &dyn Nodes, version: u64, key: &[u8]) -> Proof {
    prove(nodes, version, key).expect("the version is there")
}

/// Forty records.
fn forty() -> (MemoryNodes, Hash, Vec<[u8; 1]>) {
    let mut nodes = MemoryNodes::default();
    let keys: Vec<[u8; 1]> = (0..40).map(|key| [key]).collect();
    let patch = update(&nodes, None, 0, keys.iter().map(|key| (key, Some([key[0]; 3])))).expect("the parent is there");
    nodes.apply(&patch);
    (nodes, patch.root, keys)
}

#[test]
fn a_record_is_proven_with_its_value_and_no_other() {
    let (nodes, root, keys) = forty();
    for key in &keys {
        let proof = proof(&nodes, 0, key);
        assert_eq!(proof.verify(&root, key, Some(&[key[0]; 3])), Ok(()));
        assert_eq!(proof.verify(&root, key, Some(&[key[0]; 2])), Err(BadProof::Root));
        assert_eq!(proof.verify(&root, key, Some(&[])), Err(BadProof::Root));
        assert_eq!(proof.verify(&root, key, None), Err(BadProof::Root), "absence of what is there");
        for other in keys.iter().filter(|other| *other != key) {
            assert!(proof.verify(&root, other, Some(&[key[0]; 3])).is_err());
            assert!(proof.verify(&root, other, Some(&[other[0]; 3])).is_err());
            assert!(proof.verify(&root, other, None).is_err());
        }
    }
}

#[test]
fn what_is_not_there_is_proven_to_be_absent_and_nothing_else() {
    let (nodes, root, keys) = forty();
    let (mut empty, mut other) = (0, 0);
    for absent in 40_u8..=255 {
        let proof = proof(&nodes, 0, &[absent]);
        assert_eq!(proof.verify(&root, &[absent], None), Ok(()));
        assert!(proof.verify(&root, &[absent], Some(&[absent; 3])).is_err(), "presence of what is not there");
        for key in &keys {
            assert!(proof.verify(&root, key, None).is_err(), "absence of what is there");
        }
        if proof.other.is_none() { empty += 1 } else { other += 1 }
    }
    assert!(empty > 0 && other > 0, "both ways to be absent were tried: {empty} {other}");
}

#[test]
fn a_proof_with_any_bit_flipped_proves_nothing() {
    let (nodes, root, _) = forty();
    for key in 0_u8..80 {
        let value = [key; 3];
        let value = (key < 40).then_some(&value[..]);
        let bytes = codec::encode(&proof(&nodes, 0, &[key]));
        for at in 0..bytes.len() * 8 {
            let mut forged = bytes.clone();
            forged[at / 8] ^= 1 << (at % 8);
            if let Ok(proof) = codec::decode::<Proof>(&forged, 16_384) {
                assert!(proof.verify(&root, &[key], value).is_err(), "bit {at} of key {key}");
            }
        }
    }
}

#[test]
fn a_proof_has_as_many_siblings_as_it_has() {
    let (nodes, root, _) = forty();
    let proof = proof(&nodes, 0, &[3]);
    let encode = |siblings: &[Option<Hash>]| Proof { siblings: siblings.to_vec(), other: None };
    let siblings = proof.siblings;
    let value = Some(&[3_u8; 3][..]);
    for cut in 0..siblings.len() {
        assert!(encode(&siblings[..cut]).verify(&root, &[3], value).is_err());
        assert!(encode(&siblings[cut + 1..]).verify(&root, &[3], value).is_err());
    }
    let with = |tail: &[Option<Hash>]| encode(&[&siblings, tail].concat()).verify(&root, &[3], value);
    assert_eq!(with(&[None]), Err(BadProof::Malformed));
    assert_eq!(with(&[Some(EMPTY_ROOT)]), Err(BadProof::Malformed));
    assert_eq!(with(&[Some([1; 32])]), Err(BadProof::Root));
    assert_eq!(with(&vec![Some([1; 32]); 257]), Err(BadProof::Malformed));
}

#[test]
fn an_empty_tree_proves_that_nothing_is_there() {
    let mut nodes = MemoryNodes::default();
    let none: [([u8; 1], Option<[u8; 1]>); 0] = [];
    nodes.apply(&update(&nodes, None, 0, none).expect("the parent is there"));
    let nothing = proof(&nodes, 0, b"a");
    assert_eq!(nothing.verify(&EMPTY_ROOT, b"a", None), Ok(()));
    assert_eq!(nothing.verify(&EMPTY_ROOT, b"a", Some(b"")), Err(BadProof::Root));
    assert_eq!(codec::encode(&nothing).len(), 5);
    // One record, and away again.
    let patch = update(&nodes, Some(0), 1, [(b"a", Some(b"1"))]).expect("the parent is there");
    nodes.apply(&patch);
    assert_eq!(proof(&nodes, 1, b"a").verify(&patch.root, b"a", Some(b"1")), Ok(()));
    assert_eq!(proof(&nodes, 1, b"b").verify(&patch.root, b"b", None), Ok(()));
    assert!(proof(&nodes, 1, b"b").verify(&patch.root, b"a", None).is_err());
    let patch = update(&nodes, Some(1), 2, [(b"a", None::<[u8; 1]>)]).expect("the parent is there");
    nodes.apply(&patch);
    assert_eq!((patch.root, nodes.len()), (EMPTY_ROOT, 1));
}

#[test]
fn a_version_without_changes_has_a_root_too() {
    let (mut nodes, root, _) = forty();
    let none: [([u8; 1], Option<[u8; 1]>); 0] = [];
    let patch = update(&nodes, Some(0), 1, none).expect("the parent is there");
    assert_eq!((patch.root, patch.nodes.len(), patch.stale.len()), (root, 1, 1));
    nodes.apply(&patch);
    assert_eq!(proof(&nodes, 1, &[7]).verify(&root, &[7], Some(&[7; 3])), Ok(()));
    // What does not change anything is not written: the same value, and nothing taken from nothing.
    let same = [([7_u8], Some([7_u8; 3])), ([200], None)];
    let patch = update(&nodes, Some(1), 9, same).expect("the parent is there");
    assert_eq!((patch.root, patch.nodes.len()), (root, 1));
}

#[test]
fn a_version_that_is_not_here_is_said_to_be_missing() {
    let (nodes, ..) = forty();
    assert_eq!(prove(&nodes, 1, b"a").err(), Some(TreeError::Missing { version: 1, depth: 0 }));
    let patch = update(&nodes, Some(4), 5, [(b"a", Some(b"1"))]);
    assert_eq!(patch.err(), Some(TreeError::Missing { version: 4, depth: 0 }));
}

#[test]
fn a_damaged_node_is_said_to_be_damaged() {
    let damage = |bytes: &[u8]| {
        let mut nodes = MemoryNodes::default();
        let root = (node::node_key(0, 0, &EMPTY_ROOT), bytes.to_vec());
        nodes.apply(&Patch { root: EMPTY_ROOT, nodes: vec![root], stale: Vec::new() });
        prove(&nodes, 0, b"a").err()
    };
    let malformed = Some(TreeError::Malformed { version: 0, depth: 0 });
    assert_eq!(damage(&[0; 4]), None);
    assert_eq!(damage(&[]), malformed);
    assert_eq!(damage(&[0; 3]), malformed);
    assert_eq!(damage(&[0; 5]), malformed);
    assert_eq!(damage(&[1, 0, 0, 0]), malformed);
    assert_eq!(damage(&[[1, 0, 1, 0].as_slice(), &[0; 104]].concat()), malformed);
}

#[test]
fn a_node_is_kept_in_few_bytes() {
    let inner = |at: u64| TreeChild::Inner { hash: [1; 32], version: at };
    let mut node = TreeNode([TreeChild::Empty; 16]);
    assert_eq!(node.encode().len(), 4);
    node.0[3] = TreeChild::Leaf(Leaf { key: [1; 32], value: [2; 32] });
    assert_eq!(node.encode().len(), 4 + 64);
    node.0[15] = inner(7);
    assert_eq!(node.encode().len(), 4 + 64 + 40);
    assert_eq!(TreeNode(std::array::from_fn(|_| inner(7))).encode().len(), 644);
}

/// The crate `jmt` with our hashes: the same tree, written by others.
mod jellyfish {
    use std::collections::BTreeMap;

    use jmt::{
        JellyfishMerkleTree, KeyHash, OwnedValue, SimpleHasher, Version,
        storage::{LeafNode, Node, NodeKey, TreeReader},
    };

    use super::{EMPTY_ROOT, Hash, Leaf, hash_inner, key_hash};
    use crate::ledger::tree::node::value_hash;

    /// What that crate hashes stands behind its own marks, and nothing has its own name.
    struct Ours(Vec<u8>);

    impl SimpleHasher for Ours {
        fn new() -> Self {
            Self(Vec::new())
        }

        fn update(&mut self, data: &[u8]) {
            self.0.extend_from_slice(data);
        }

        fn finalize(self) -> [u8; 32] {
            let pair = |bytes: &[u8]| {
                let (left, right) = bytes.split_first_chunk().expect("two hashes");
                [*left, Hash::try_from(right).expect("two hashes")]
            };
            if let Some(pairs) = self.0.strip_prefix(b"JMT::IntrnalNode") {
                let [left, right] = pair(pairs).map(ours);
                return hash_inner(&left, &right);
            }
            if let Some(pairs) = self.0.strip_prefix(b"JMT::LeafNode") {
                let [key, value] = pair(pairs);
                return Leaf { key, value }.hash();
            }
            value_hash(&self.0)
        }
    }

    fn ours(hash: Hash) -> Hash {
        if &hash == b"SPARSE_MERKLE_PLACEHOLDER_HASH__" { EMPTY_ROOT } else { hash }
    }

    #[derive(Default)]
    pub(super) struct Tree(BTreeMap<NodeKey, Node>);

    impl TreeReader for Tree {
        fn get_node_option(&self, key: &NodeKey) -> anyhow::Result<Option<Node>> {
            Ok(self.0.get(key).cloned())
        }

        fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
            Ok(None)
        }

        fn get_value_option(&self, _: Version, _: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
            Ok(None)
        }
    }

    impl Tree {
        pub(super) fn update(&mut self, version: u64, leaves: Vec<([u8; 1], Option<[u8; 1]>)>) -> Hash {
            let leaf = |(key, value): ([u8; 1], Option<[u8; 1]>)| (KeyHash(key_hash(&key)), value.map(Vec::from));
            let tree = JellyfishMerkleTree::<_, Ours>::new(&*self);
            let (root, batch) = tree.put_value_set(leaves.into_iter().map(leaf), version).expect("its reader has all");
            self.0.extend(batch.node_batch.nodes().clone());
            ours(root.0)
        }
    }
}
