//! Sum trees against a list of their leaves, and proofs with every byte changed.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

impl<L: Leaf> SumTree<L> {
    /// Nodes that it does not share with `before`, which it was changed from: each is hashed once.
    pub(crate) fn new_since(&self, before: &Self) -> usize {
        self.root.new_since(&before.root)
    }

    /// Nodes whose hash is still to be computed.
    pub(crate) fn unhashed(&self) -> usize {
        self.root.unhashed()
    }
}

impl<L: Leaf> Node<L> {
    fn new_since(&self, before: &Self) -> usize {
        match (self, before) {
            (Self::Empty | Self::Hidden(_), _) => 0,
            (Self::Leaf(after), Self::Leaf(before)) if Arc::ptr_eq(after, before) => 0,
            (Self::Inner(after), Self::Inner(before)) if Arc::ptr_eq(after, before) => 0,
            (Self::Inner(after), Self::Inner(before)) => {
                1 + after.left.new_since(&before.left) + after.right.new_since(&before.right)
            }
            // A leaf that moved down is shared; it is counted, for it is one of few.
            (Self::Inner(after), _) => 1 + after.left.new_since(&Self::Empty) + after.right.new_since(&Self::Empty),
            (Self::Leaf(_), _) => 1,
        }
    }

    fn unhashed(&self) -> usize {
        match self {
            Self::Empty | Self::Hidden(_) => 0,
            Self::Leaf(stored) => usize::from(stored.hash.get().is_none()),
            Self::Inner(inner) => {
                usize::from(inner.hash.get().is_none()) + inner.left.unhashed() + inner.right.unhashed()
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Item {
    key: [u8; 32],
    weight: u64,
}

impl Leaf for Item {
    fn context() -> &'static ContextKey {
        static CONTEXT: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context("ostrakon test leaf"));
        &CONTEXT
    }

    fn key(&self) -> [u8; 32] {
        self.key
    }

    fn weight(&self) -> u128 {
        u128::from(self.weight)
    }
}

fn item(number: u64, weight: u64) -> Item {
    Item { key: *blake3::hash(&number.to_le_bytes()).as_bytes(), weight }
}

fn tree(count: u64) -> SumTree<Item> {
    (0..count).map(|number| item(number, number % 5)).collect()
}

fn keys(items: &[Item]) -> BTreeSet<[u8; 32]> {
    items.iter().map(|item| item.key).collect()
}

#[test]
fn few_leaves() {
    let mut tree = SumTree::<Item>::default();
    assert_eq!((tree.root(), tree.at(0)), (Sum::default(), Ok(None)));
    let one = item(1, 7);
    tree.insert(one.clone());
    assert_eq!((tree.weight(), tree.at(6), tree.at(7)), (7, Ok(Some((0, &one))), Ok(None)));
    assert_eq!(tree.root().hash, leaf_hash(&one));
    tree.insert(item(1, 0));
    assert_eq!((tree.weight(), tree.at(0)), (0, Ok(None)), "the weight was replaced");
    assert_eq!(tree.leaves().count(), 1);
    tree.remove(&item(2, 0).key);
    tree.remove(&one.key);
    assert_eq!(tree.root(), Sum::default());
}

#[test]
fn keys_that_differ_in_the_last_bit_are_told_apart() {
    let (mut one, mut other) = (item(1, 3), item(1, 4));
    (one.key[31], other.key[31]) = (0, 1);
    let tree: SumTree<Item> = [other.clone(), one.clone()].into_iter().collect();
    assert_eq!((tree.at(2), tree.at(3)), (Ok(Some((0, &one))), Ok(Some((3, &other)))));
    let bytes = codec::encode(&tree);
    assert_eq!(codec::decode::<SumTree<Item>>(&bytes, bytes.len()), Ok(tree.clone()));
    let mut alone = tree;
    alone.remove(&one.key);
    assert_eq!(alone.root(), [other].into_iter().collect::<SumTree<_>>().root(), "it moves up all the way");
}

#[test]
fn an_old_tree_stays_as_it_was() {
    let before = tree(100);
    let (root, mut after) = (before.root(), before.clone());
    after.insert(item(3, 1_000));
    after.remove(&item(4, 0).key);
    assert_ne!(after.root(), root);
    assert_eq!((before.root(), tree(100).root()), (root, root));
}

#[test]
fn a_proof_shows_its_leaves_and_no_others() {
    let whole = tree(1_000);
    let shown: Vec<Item> = [3, 500, 501].map(|number| item(number, number % 5)).to_vec();
    let proof = whole.proof_of(&keys(&shown));
    assert!(whole.is_whole() && !proof.is_whole());
    let bytes = codec::encode(&proof);
    let read: SumTree<Item> = codec::decode(&bytes, bytes.len()).expect("canonical");
    assert_eq!(read.root(), whole.root());
    for leaf in &shown {
        assert_eq!(read.get(&leaf.key), Ok(Some(leaf)));
    }
    assert_eq!(read.get(&item(7, 0).key), Err(Hidden));
    let visible: Vec<bool> = (0..whole.weight()).map(|point| read.at(point).is_ok()).collect();
    assert_eq!(visible.iter().filter(|visible| **visible).count(), 3 + 1);
    for (point, visible) in (0..).zip(visible) {
        assert!(!visible || read.at(point) == whole.at(point), "{point}");
    }
    // None of all these leaves.
    assert_eq!(whole.proof_of(&BTreeSet::new()).root(), whole.root());
}

#[test]
fn every_byte_of_a_proof_counts() {
    let whole = tree(200);
    let shown = keys(&[item(4, 0), item(77, 0), item(199, 0)]);
    let bytes = codec::encode(&whole.proof_of(&shown));
    for at in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut forged = bytes.clone();
            forged[at] ^= flip;
            if let Ok(forged) = codec::decode::<SumTree<Item>>(&forged, bytes.len()) {
                assert_ne!(forged.root(), whole.root(), "byte {at}");
            }
        }
        assert!(codec::decode::<SumTree<Item>>(&bytes[..at], bytes.len()).is_err(), "cut at {at}");
    }
}

#[test]
fn hostile_encodings_are_refused() {
    let check = |desc: &str, bytes: &[u8]| {
        assert!(codec::decode::<SumTree<Item>>(bytes, 1 << 20).is_err(), "{desc}");
    };
    let hidden = |weight: &[u8]| [&[3][..], &[7; 32], weight].concat();
    let leaf = [&[1][..], &codec::encode(&item(1, 1))].concat();
    check("nothing", &[]);
    check("an unknown node", &[4]);
    check("two empty halves", &[2, 0, 0]);
    check("a leaf alone in a half", &[&[2, 0][..], &leaf].concat());
    check("deeper than a key", &vec![2; 100_000]);
    check("a weight in too many bytes", &hidden(&[0x80, 0]));
    check("a weight over the largest", &hidden(&[&[0xff; 18][..], &[0x7f]].concat()));
    check("a weight without an end", &hidden(&[0xff; 40]));
    assert!(codec::decode::<SumTree<Item>>(&hidden(&[&[0xff; 18][..], &[3]].concat()), 100).is_ok(), "the largest");
}

proptest! {
    #[test]
    fn it_is_a_list_in_the_order_of_keys(
        changes in prop::collection::vec((0_u64..60, prop::option::of(0_u64..9)), 0..200),
    ) {
        let (mut tree, mut list) = (SumTree::default(), BTreeMap::new());
        for (number, weight) in changes {
            let leaf = item(number, weight.unwrap_or_default());
            match weight {
                Some(_) => {
                    list.insert(leaf.key, leaf.clone());
                    tree.insert(leaf);
                }
                None => {
                    list.remove(&leaf.key);
                    tree.remove(&leaf.key);
                }
            }
        }
        prop_assert!(tree.leaves().eq(list.values()));
        prop_assert_eq!(tree.root(), list.values().rev().cloned().collect::<SumTree<_>>().root());
        let mut start = 0;
        for leaf in list.values() {
            for point in start..start + leaf.weight() {
                prop_assert_eq!(tree.at(point), Ok(Some((start, leaf))));
            }
            start += leaf.weight();
        }
        prop_assert_eq!(tree.at(start), Ok(None));
        let bytes = codec::encode(&tree);
        prop_assert_eq!(codec::decode::<SumTree<Item>>(&bytes, bytes.len()), Ok(tree));
    }
}
