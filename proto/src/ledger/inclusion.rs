//! Proofs that a transaction is in a list of a block: a Merkle tree over the ids in the list (SPEC, "Blocks").
//!
//! The tree has the shape of RFC 6962: of n leaves, the left half has the largest power of two below n. Leaves, nodes
//! and root are hashed under contexts of their own, and the root covers n, so a path proves one id at one index of n.
//! In goes a root of a header, which a certificate covers; out comes whether the id is in the tree. A proof against the
//! root of one list never holds against that of the other: what is proven to be applied did not fail.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::id::TxId;

/// Hashes in a path at most: more than a block's bytes can hold transactions for.
const PATH: usize = 32;

/// The path from a transaction's id to the root.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TxProof {
    /// Its index in the list.
    pub index: u32,
    /// Number of transactions in the list.
    pub count: u32,
    /// The siblings from the leaf to the root.
    pub path: Vec<[u8; 32]>,
}

/// The proof does not show this transaction in a block with this root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid inclusion proof: it does not show the transaction in the block; ask another node")]
pub struct NotIncluded;

/// The tree over the ids of a list: any number of proofs for the hashing of one.
#[derive(Clone, Debug)]
pub struct TxTree {
    /// The nodes of each level, leaves first. One that has no other beside it is on the next level, too.
    levels: Vec<Vec<[u8; 32]>>,
}

impl TxTree {
    /// The tree over these ids, in block order.
    pub fn new(ids: &[TxId]) -> Self {
        Self::over(ids.iter().map(leaf).collect())
    }

    fn over(leaves: Vec<[u8; 32]>) -> Self {
        let (mut levels, mut level) = (Vec::new(), leaves);
        while level.len() > 1 {
            let above = level.chunks(2).map(|pair| match pair {
                [left, right] => node(left, right),
                alone => alone.first().copied().unwrap_or_default(),
            });
            let above = above.collect();
            levels.push(std::mem::replace(&mut level, above));
        }
        levels.push(level);
        Self { levels }
    }

    /// The proof for the id at `index`; `None` past the last.
    pub fn proof(&self, index: usize) -> Option<TxProof> {
        let count = self.levels.first().map_or(0, Vec::len);
        if index >= count {
            return None;
        }
        let levels = self.levels.iter().enumerate();
        let path = levels.filter_map(|(height, level)| level.get((index >> height) ^ 1)).copied().collect();
        Some(TxProof { index: u32::try_from(index).ok()?, count: u32::try_from(count).ok()?, path })
    }

    fn root(&self) -> [u8; 32] {
        let count = self.levels.first().map_or(0, Vec::len);
        let top = self.levels.last().and_then(|top| top.first()).copied().unwrap_or_default();
        root(u32::try_from(count).unwrap_or(u32::MAX), &top)
    }
}

/// The root of the tree over transaction ids, in block order.
pub fn tx_root(ids: &[TxId]) -> [u8; 32] {
    TxTree::new(ids).root()
}

/// The root of the tree over other leaves than those of transactions.
pub(super) fn root_of(leaves: Vec<[u8; 32]>) -> [u8; 32] {
    TxTree::over(leaves).root()
}

/// The proof for the id at `index`; `None` past the last.
pub fn tx_proof(ids: &[TxId], index: usize) -> Option<TxProof> {
    TxTree::new(ids).proof(index)
}

impl TxProof {
    /// Checks that the transaction is at the proof's index in the list with this root.
    ///
    /// # Errors
    /// [`NotIncluded`] otherwise.
    pub fn verify(&self, list: &[u8; 32], id: &TxId) -> Result<(), NotIncluded> {
        if self.index >= self.count || self.path.len() > PATH {
            return Err(NotIncluded);
        }
        let sides = sides(self.index, self.count);
        if sides.len() != self.path.len() {
            return Err(NotIncluded);
        }
        let top = sides.iter().zip(&self.path).fold(leaf(id), |below, (side, beside)| match side {
            Side::Left => node(&below, beside),
            Side::Right => node(beside, &below),
        });
        if root(self.count, &top) == *list { Ok(()) } else { Err(NotIncluded) }
    }
}

/// Which half of a node something is in.
#[derive(Clone, Copy, Debug)]
enum Side {
    Left,
    Right,
}

/// The side on which the leaf lies at each level, lowest first.
fn sides(index: u32, count: u32) -> Vec<Side> {
    let (mut at, mut len, mut sides) = (index, count, Vec::new());
    while len > 1 {
        let left = 1 << (len - 1).ilog2();
        if at < left {
            sides.push(Side::Left);
            len = left;
        } else {
            sides.push(Side::Right);
            (at, len) = (at - left, len - left);
        }
    }
    sides.reverse();
    sides
}

fn leaf(id: &TxId) -> [u8; 32] {
    blake3::derive_key("ostrakon tx leaf 1", id.bytes())
}

fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key("ostrakon tx node 1", &[*left, *right].concat())
}

fn root(count: u32, top: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key("ostrakon tx root 2", &[count.to_le_bytes().as_slice(), top].concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(count: usize) -> Vec<TxId> {
        (0..count).map(|number| TxId::from(blake3::hash(&number.to_le_bytes()))).collect()
    }

    #[test]
    fn every_transaction_of_every_block_can_be_shown_and_no_other() {
        for count in 1..70 {
            let ids = ids(count);
            let root = tx_root(&ids);
            for (index, id) in ids.iter().enumerate() {
                let proof = tx_proof(&ids, index).expect("it is there");
                assert_eq!(proof.verify(&root, id), Ok(()), "{index} of {count}");
                assert_eq!(proof.verify(&root, &TxId::new([7; 32])), Err(NotIncluded));
                let moved = TxProof { index: proof.index ^ 1, ..proof.clone() };
                assert_eq!(moved.verify(&root, id), Err(NotIncluded));
            }
            assert_eq!(tx_proof(&ids, count), None);
        }
        assert_eq!(tx_proof(&[], 0), None);
    }

    #[test]
    fn the_left_half_has_the_largest_power_of_two() {
        fn top(ids: &[TxId]) -> [u8; 32] {
            match ids {
                [] => [0; 32],
                [id] => leaf(id),
                _ => {
                    let (left, right) = ids.split_at(1 << (ids.len() - 1).ilog2());
                    node(&top(left), &top(right))
                }
            }
        }
        for count in 0..70 {
            let ids = ids(usize::try_from(count).expect("small"));
            assert_eq!(tx_root(&ids), root(count, &top(&ids)), "{count}");
        }
    }

    #[test]
    fn the_number_is_part_of_the_root() {
        let roots: Vec<_> = (0..70).map(|count| tx_root(&ids(count))).collect();
        for (count, root) in roots.iter().enumerate() {
            assert!(!roots[..count].contains(root));
        }
        let two = ids(2);
        let inner = TxId::new(node(&leaf(&two[0]), &leaf(&two[1])));
        assert_ne!(tx_root(&[inner]), tx_root(&two), "a node is no leaf");
    }

    #[test]
    fn impossible_places_are_refused() {
        let ids = ids(3);
        let (root, proof) = (tx_root(&ids), tx_proof(&ids, 2).expect("it is there"));
        let check = |index, count, path: Vec<[u8; 32]>| {
            assert_eq!(TxProof { index, count, path }.verify(&root, &ids[2]), Err(NotIncluded), "{index} of {count}");
        };
        check(0, 0, vec![]);
        check(3, 3, proof.path.clone());
        check(2, 3, vec![]);
        check(2, 3, [proof.path.clone(), vec![[0; 32]]].concat());
        check(2, 4, proof.path.clone());
        check(u32::MAX - 1, u32::MAX, proof.path.clone());
        check(u32::MAX, u32::MAX, vec![[0; 32]; 33]);
        check(0, 1, vec![[0; 32]; 100_000]);
    }

    proptest! {
        #[test]
        fn forged_proofs_fail(
            count in 1_usize..300,
            at in any::<prop::sample::Index>(),
            byte in any::<prop::sample::Index>(),
            flip in 1_u8..,
        ) {
            let ids = ids(count);
            let (root, index) = (tx_root(&ids), at.index(count));
            let proof = tx_proof(&ids, index).expect("it is there");
            let mut bytes = crate::codec::encode(&proof);
            let at = byte.index(bytes.len());
            bytes[at] ^= flip;
            if let Ok(forged) = crate::codec::decode::<TxProof>(&bytes, 4096) {
                prop_assert_eq!(forged.verify(&root, &ids[index]), Err(NotIncluded));
            }
        }
    }
}
