//! Audits: which leaves a provider must show in an epoch, and what proves that it stores them (ARCHITECTURE 5.8; SPEC,
//! "Audits").
//!
//! In go an epoch's beacon and the bytes that a provider stored when the epoch began; out come points below that
//! number, each in one leaf of one column. So every byte has the same probability, and an audit costs the same for one
//! column as for a million. A proof is the leaves with their paths to the columns' names. Not here: which column a
//! point is in, which the ledger's inventory knows.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

use crate::{
    codec,
    id::{ColumnId, NodeId},
    limits,
    random::RandomStream,
    tree::{self, ProofError, RangeError, group_of_leaf, prove_leaf},
};

/// A leaf of a column that a provider must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChallengedLeaf {
    /// The column.
    pub column: ColumnId,
    /// Its bytes.
    pub column_len: u64,
    /// Number of the leaf, from 0.
    pub leaf: u64,
}

impl ChallengedLeaf {
    /// The leaf that has the byte at `offset`, which is in the column.
    pub fn at(column: ColumnId, column_len: u64, offset: u64) -> Self {
        Self { column, column_len, leaf: offset / u64::try_from(limits::LEAF).expect("a small constant") }
    }
}

/// A leaf and its path.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct LeafProof {
    /// The leaf: 1 to 1,024 bytes.
    #[serde(serialize_with = "crate::json::hex")]
    pub data: Vec<u8>,
    /// The siblings on its path to the column's name ([`tree::prove_leaf`]).
    #[serde(skip)]
    pub siblings: Vec<[u8; 32]>,
}

impl LeafProof {
    /// Leaf number `leaf` of a column, from the bytes of its [group](group_of_leaf), up to the column's end, and the
    /// siblings that prove that.
    ///
    /// # Errors
    /// [`RangeError`] when the leaf is past the end, or the rest is not this column's.
    pub fn of_group(column_len: u64, leaf: u64, group: &[u8], above: &[[u8; 32]]) -> Result<Self, RangeError> {
        let siblings = prove_leaf(column_len, leaf, group, above)?;
        let size = u64::try_from(limits::LEAF).expect("a small constant");
        let from = usize::try_from(leaf * size - group_of_leaf(leaf).start).expect("within a group");
        let data = group[from..group.len().min(from + limits::LEAF)].to_vec();
        Ok(Self { data, siblings })
    }
}

/// What a provider proves an epoch with: the leaves that it was asked for, in the order of the points.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct StorageProof {
    /// The leaves.
    pub leaves: Vec<LeafProof>,
}

/// Why leaves are not those that were asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeavesError {
    /// Too many or too few.
    #[error("the proof has {have} leaves, {need} are asked for")]
    Count {
        /// Leaves of the proof.
        have: usize,
        /// Leaves asked for.
        need: usize,
    },
    /// One of them is another, or damaged.
    #[error("leaf {index}: {source}")]
    Leaf {
        /// Its index in the proof.
        index: usize,
        /// Why it is invalid.
        source: ProofError,
    },
}

impl StorageProof {
    /// Checks that these are the leaves that were asked for, byte for byte.
    ///
    /// # Errors
    /// [`LeavesError`] names the first that is not.
    pub fn verify(&self, asked: &[ChallengedLeaf]) -> Result<(), LeavesError> {
        let (have, need) = (self.leaves.len(), asked.len());
        if have != need {
            return Err(LeavesError::Count { have, need });
        }
        for (index, (LeafProof { data, siblings }, ChallengedLeaf { column, column_len, leaf })) in
            self.leaves.iter().zip(asked).enumerate()
        {
            tree::verify_leaf(column, *column_len, *leaf, data, siblings)
                .map_err(|source| LeavesError::Leaf { index, source })?;
        }
        Ok(())
    }
}

/// The points that `provider` is asked for in the epoch with this beacon, each below `bytes`, which is not zero: the
/// bytes that it stored when the epoch began.
pub fn points(beacon: &[u8; 32], provider: &NodeId, bytes: u64, count: u8) -> Vec<u64> {
    let mut random = RandomStream::new("ostrakon audit points 1", &codec::encode(&(beacon, provider)));
    let point = |_| u64::try_from(random.below(bytes.into())).expect("below a number of 64 bits");
    (0..count).map(point).collect()
}

/// The evidence of silence: the hash of what `provider` was asked in the epoch with this beacon and did not answer,
/// which was for [points] of these bytes.
pub fn silence(beacon: &[u8; 32], provider: &NodeId, bytes: u64) -> [u8; 32] {
    blake3::derive_key("ostrakon audit silence 1", &codec::encode(&(beacon, provider, bytes)))
}

/// The time from which `provider` may answer in an epoch that began at `start_ms` and lasts `epoch_ms`: spread over its
/// first half, so that not all answer in one block.
pub fn opens_ms(beacon: &[u8; 32], provider: &NodeId, start_ms: u64, epoch_ms: u64) -> u64 {
    let half = u128::from((epoch_ms / 2).max(1));
    let mut random = RandomStream::new("ostrakon audit window 1", &codec::encode(&(beacon, provider)));
    start_ms.saturating_add(u64::try_from(random.below(half)).expect("below a number of 64 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{TreeBuilder, group_of_leaf, prove_leaf, prove_range};

    const BEACON: [u8; 32] = [7; 32];

    fn node(number: u8) -> NodeId {
        NodeId::new([number; 32])
    }

    #[test]
    fn every_byte_has_the_same_probability() {
        let mut found = [0_u32; 10];
        for number in 0..200 {
            for point in points(&BEACON, &node(number), 10, 100) {
                found[usize::try_from(point).expect("small")] += 1;
            }
        }
        assert!(found.iter().all(|count| count.abs_diff(2_000) < 200), "{found:?}");
        assert_eq!(points(&BEACON, &node(1), 1, 3), [0, 0, 0]);
    }

    #[test]
    fn points_and_windows_follow_beacon_and_provider() {
        let of = |beacon: u8, number| points(&[beacon; 32], &node(number), u64::MAX, 4);
        assert_eq!(of(1, 1), of(1, 1));
        assert!(of(1, 1) != of(2, 1) && of(1, 1) != of(1, 2));
        let opens: Vec<u64> = (0..200).map(|number| opens_ms(&BEACON, &node(number), 1_000, 3_000)).collect();
        assert!(opens.iter().all(|opens| (1_000..2_500).contains(opens)));
        assert!(opens.iter().any(|opens| *opens < 1_300) && opens.iter().any(|opens| *opens > 2_200));
        assert_eq!(opens_ms(&BEACON, &node(1), 5, 1), 5);
    }

    /// A column, and the proof of the leaf at each of these offsets.
    fn proven(len: usize, offsets: &[u64]) -> (Vec<ChallengedLeaf>, StorageProof) {
        let bytes: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).expect("small")).collect();
        let mut tree = TreeBuilder::new();
        tree.update(&bytes);
        let (column, outboard) = tree.finish();
        let column_len = u64::try_from(len).expect("small");
        let asked: Vec<_> = offsets.iter().map(|offset| ChallengedLeaf::at(column, column_len, *offset)).collect();
        let leaf = |asked: &ChallengedLeaf| {
            let at = usize::try_from(asked.leaf).expect("small") * limits::LEAF;
            let group = at / limits::GROUP * limits::GROUP;
            let above = prove_range(&outboard, group_of_leaf(asked.leaf)).expect("a group");
            let group = &bytes[group..len.min(group + limits::GROUP)];
            let siblings = prove_leaf(column_len, asked.leaf, group, &above);
            LeafProof { data: bytes[at..len.min(at + limits::LEAF)].to_vec(), siblings: siblings.expect("a leaf") }
        };
        let leaves = asked.iter().map(leaf).collect();
        (asked, StorageProof { leaves })
    }

    #[test]
    fn the_leaves_asked_for_verify_and_no_others() {
        for len in [1, 64, 1_023, 1_024, 1_025, 16_384, 16_385, 300_000] {
            let last = u64::try_from(len).expect("small") - 1;
            let (asked, proof) = proven(len, &[0, last / 2, last]);
            assert_eq!(proof.verify(&asked), Ok(()), "{len}");
            assert!(codec::encode(&proof).len() + 40 <= limits::PROOF);
            let fewer = StorageProof { leaves: proof.leaves[1..].to_vec() };
            assert_eq!(fewer.verify(&asked), Err(LeavesError::Count { have: 2, need: 3 }));
            let mut padded = proof.clone();
            padded.leaves[1].data.push(0);
            assert!(matches!(padded.verify(&asked), Err(LeavesError::Leaf { index: 1, .. })), "{len}");
        }
        let (asked, proof) = proven(300_000, &[5, 200_000]);
        let swapped = StorageProof { leaves: proof.leaves.iter().rev().cloned().collect() };
        assert!(matches!(swapped.verify(&asked), Err(LeavesError::Leaf { index: 0, .. })), "another's leaf");
    }

    #[test]
    fn every_byte_of_a_proof_matters() {
        let (asked, proof) = proven(20_000, &[17_000]);
        let bytes = codec::encode(&proof);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let read = codec::decode::<StorageProof>(&changed, limits::PROOF);
            assert!(read.is_err() || read.is_ok_and(|proof| proof.verify(&asked).is_err()), "byte {at}");
        }
    }
}
