//! The randomness of the ledger: unique BLS signatures of the proposers over the height, mixed (ARCHITECTURE 5.5).
//!
//! A BLS signature is unique: its signer cannot try for a better one, only withhold it together with the whole block.
//! Public keys in G2, signatures in G1 (`min_sig`), hash-to-curve of RFC 9380 with a tag of our own. Not here: the mix
//! of an epoch, which the ledger makes.

use blst::{
    BLST_ERROR,
    min_sig::{PublicKey, SecretKey},
};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    id::{ChainId, Height, parse_hex},
    json, limits,
    sign::BadSignature,
};

const TAG: &[u8] = b"OSTRAKON_BEACON_1_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";

/// Tag of proofs of possession. It differs from that of the beacon, because anyone may choose the statement.
const PROOF_TAG: &[u8] = b"OSTRAKON_SEAT_1_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";

/// A validator's public beacon key: a compressed point of G2; hexadecimal in text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct BeaconKey(pub [u8; 96]);

/// A proposer's signature over one height: a compressed point of G1.
#[derive(Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct BeaconSignature(#[serde(serialize_with = "json::hex")] pub [u8; 48]);

/// A validator's secret beacon key.
pub struct BeaconSecret(SecretKey);

impl BeaconKey {
    /// Whether it is a point of the group other than the identity.
    pub fn is_valid(&self) -> bool {
        PublicKey::key_validate(&self.0).is_ok()
    }
}

impl std::fmt::Debug for BeaconSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BeaconSecret(..)")
    }
}

impl std::fmt::Debug for BeaconKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BeaconKey({self})")
    }
}

impl std::fmt::Debug for BeaconSignature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BeaconSignature({}..)", hex::encode(&self.0[..2]))
    }
}

impl std::fmt::Display for BeaconKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for BeaconKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BeaconKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as Deserialize>::deserialize(deserializer)?;
        let key = parse_hex(&text).map(Self);
        key.ok_or_else(|| de::Error::custom("invalid beacon key: 192 lower-case hexadecimal digits are needed"))
    }
}

impl BeaconSecret {
    /// The key derived from this seed (IETF BLS KeyGen).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SecretKey::key_gen(seed, b"ostrakon beacon 1").expect("32 bytes are enough for KeyGen"))
    }

    /// Its public half.
    pub fn public(&self) -> BeaconKey {
        BeaconKey(self.0.sk_to_pk().compress())
    }

    /// The one signature of this key over this height.
    pub fn sign(&self, chain: &ChainId, height: Height) -> BeaconSignature {
        BeaconSignature(self.0.sign(&message(chain, height), TAG, &[]).compress())
    }

    /// Proof of possession: signs `statement`, which must name everything the key is to be bound to.
    pub fn prove(&self, statement: &[u8]) -> BeaconSignature {
        BeaconSignature(self.0.sign(statement, PROOF_TAG, &[]).compress())
    }
}

/// Checks that `key` signed `height` of `chain`; key and signature are checked to be in their groups.
///
/// # Errors
/// [`BadSignature`] otherwise.
pub fn verify(
    key: &BeaconKey,
    signature: &BeaconSignature,
    chain: &ChainId,
    height: Height,
) -> Result<(), BadSignature> {
    verify_tagged(key, signature, &message(chain, height), TAG)
}

/// Checks a proof of possession: that the holder of `key`'s secret signed `statement`.
///
/// # Errors
/// [`BadSignature`] otherwise.
pub fn verify_proof(key: &BeaconKey, proof: &BeaconSignature, statement: &[u8]) -> Result<(), BadSignature> {
    verify_tagged(key, proof, statement, PROOF_TAG)
}

fn verify_tagged(key: &BeaconKey, signature: &BeaconSignature, message: &[u8], tag: &[u8]) -> Result<(), BadSignature> {
    let key = PublicKey::key_validate(&key.0).map_err(|_| BadSignature)?;
    let point = blst::min_sig::Signature::uncompress(&signature.0).map_err(|_| BadSignature)?;
    match point.verify(true, message, tag, &[], &key, false) {
        BLST_ERROR::BLST_SUCCESS => Ok(()),
        _ => Err(BadSignature),
    }
}

/// Appends one block's signature to those of the last heights, and drops the oldest over [`limits::BEACONS`].
pub fn append(last: &mut Vec<BeaconSignature>, signature: &BeaconSignature) {
    last.push(*signature);
    let over = last.len().saturating_sub(limits::BEACONS);
    last.drain(..over);
}

fn message(chain: &ChainId, height: Height) -> Vec<u8> {
    [chain.bytes().as_slice(), &height.0.to_le_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_unique_and_bound_to_key_chain_and_height() {
        let (chain, secret) = (ChainId::new([1; 32]), BeaconSecret::from_seed(&[2; 32]));
        let signature = secret.sign(&chain, Height(7));
        assert_eq!(signature, secret.sign(&chain, Height(7)));
        assert_eq!(verify(&secret.public(), &signature, &chain, Height(7)), Ok(()));
        assert_eq!(verify(&secret.public(), &signature, &chain, Height(8)), Err(BadSignature));
        assert_eq!(verify(&secret.public(), &signature, &ChainId::new([9; 32]), Height(7)), Err(BadSignature));
        let other = BeaconSecret::from_seed(&[3; 32]).public();
        assert_eq!(verify(&other, &signature, &chain, Height(7)), Err(BadSignature));
        assert_eq!(verify(&BeaconKey([0; 96]), &signature, &chain, Height(7)), Err(BadSignature));
        assert_eq!(verify(&secret.public(), &BeaconSignature([0; 48]), &chain, Height(7)), Err(BadSignature));
    }

    #[test]
    fn a_proof_of_possession_is_not_a_beacon_signature() {
        let (chain, secret) = (ChainId::new([1; 32]), BeaconSecret::from_seed(&[2; 32]));
        let statement = message(&chain, Height(7));
        let proof = secret.prove(&statement);
        assert_eq!(verify_proof(&secret.public(), &proof, &statement), Ok(()));
        assert_eq!(verify_proof(&secret.public(), &proof, b"another"), Err(BadSignature));
        assert_eq!(verify(&secret.public(), &proof, &chain, Height(7)), Err(BadSignature));
        assert_eq!(verify_proof(&secret.public(), &secret.sign(&chain, Height(7)), &statement), Err(BadSignature));
    }
}
