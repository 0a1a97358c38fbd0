//! Storage proofs in a block: a list beside the transactions, in a lane of its own (SPEC, "Proofs of a block").
//!
//! A proof is no transaction: it has no account, nonce, fee or signature. So transactions never push proofs out, and
//! the list can be dropped when nobody needs it any more: the header keeps its root. Not here: what a proof proves.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
};

use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

use crate::{
    codec,
    id::{Epoch, NodeId},
    ledger::inclusion::root_of,
    limits,
};

/// What a proof is of: a provider proves once an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize, Serialize)]
pub struct ProofKey {
    /// The provider.
    pub provider: NodeId,
    /// The epoch whose beacon challenged it.
    pub epoch: Epoch,
}

/// A storage proof. There is no kind of it yet, so no value, and no list but the empty one decodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum StorageProof {}

impl BorshSerialize for StorageProof {
    fn serialize<W: Write>(&self, _: &mut W) -> io::Result<()> {
        match *self {}
    }
}

impl BorshDeserialize for StorageProof {
    fn deserialize_reader<R: Read>(_: &mut R) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::InvalidData, "there is no kind of storage proof yet"))
    }
}

/// The proofs of a block, each key once.
pub type Proofs = BTreeMap<ProofKey, StorageProof>;

/// The root of the tree over a block's proofs, in the order of their keys.
pub fn proof_root(proofs: &Proofs) -> [u8; 32] {
    root_of(proofs.iter().map(|entry| blake3::derive_key("ostrakon proof leaf 1", &codec::encode(&entry))).collect())
}

/// Bytes that a block's proofs take in their lane.
pub(super) fn bytes_of(proofs: &Proofs) -> usize {
    proofs.iter().map(|entry| codec::encode(&entry).len()).sum()
}

/// Whether a lane with this many bytes of proofs has space for another, however large it is.
pub(super) const fn has_space(bytes: usize) -> bool {
    bytes + limits::PROOF <= limits::PROOFS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{codec::DecodeError, ledger::tx::tx_root};

    #[test]
    fn there_is_one_list_of_proofs() {
        let none = Proofs::new();
        assert_eq!(codec::decode::<Proofs>(&codec::encode(&none), limits::PROOFS), Ok(none.clone()));
        let one = [&1_u32.to_le_bytes()[..], &[0; 100]].concat();
        assert_eq!(codec::decode::<Proofs>(&one, limits::PROOFS), Err(DecodeError::Malformed));
        assert_eq!((proof_root(&none), bytes_of(&none)), (tx_root(&[]), 0));
    }

    #[test]
    fn a_lane_has_space_while_the_largest_proof_fits() {
        let fits = limits::PROOFS - limits::PROOF;
        assert!(has_space(0) && has_space(fits) && !has_space(fits + 1));
    }
}
