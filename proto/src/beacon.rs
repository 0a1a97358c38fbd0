//! The randomness of the ledger: unique BLS signatures of the proposers over the height and the mix of all signatures
//! before it (ARCHITECTURE 5.5).
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
    json,
    sign::BadSignature,
};

const TAG: &[u8] = b"OSTRAKON_BEACON_1_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";

/// Tag of proofs of possession. It differs from that of the beacon, because anyone may choose the statement.
const PROOF_TAG: &[u8] = b"OSTRAKON_SEAT_1_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";

/// A validator's public beacon key: a compressed point of G2; hexadecimal in text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct BeaconKey(pub [u8; 96]);

/// A proposer's signature over one height: a compressed point of G1.
#[derive(Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct BeaconSignature(#[serde(serialize_with = "json::hex", deserialize_with = "json::from_hex")] pub [u8; 48]);

/// What the proposer of a height signs. The mix is known only once the height before is decided, so nobody signs in
/// advance.
#[derive(Clone, Copy, Debug)]
pub struct BeaconTurn<'a> {
    /// The chain.
    pub chain: &'a ChainId,
    /// The height.
    pub height: Height,
    /// The [`mix`] before it.
    pub mix: &'a [u8; 32],
}

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

    /// The one signature of this key for this turn.
    pub fn sign(&self, turn: &BeaconTurn<'_>) -> BeaconSignature {
        BeaconSignature(self.0.sign(&message(turn), TAG, &[]).compress())
    }

    /// Proof of possession: signs `statement`, which must name everything the key is to be bound to.
    pub fn prove(&self, statement: &[u8]) -> BeaconSignature {
        BeaconSignature(self.0.sign(statement, PROOF_TAG, &[]).compress())
    }
}

/// Checks that `key` signed this turn; key and signature are checked to be in their groups.
///
/// # Errors
/// [`BadSignature`] otherwise.
pub fn verify(key: &BeaconKey, signature: &BeaconSignature, turn: &BeaconTurn<'_>) -> Result<(), BadSignature> {
    verify_tagged(key, signature, &message(turn), TAG)
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

/// The mix that a chain begins with.
pub fn first_mix(chain: &ChainId) -> [u8; 32] {
    blake3::derive_key("ostrakon beacon mix 1", chain.bytes())
}

/// The mix with one more signature.
pub fn mix(before: &[u8; 32], signature: &BeaconSignature) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("ostrakon beacon mix 1");
    hasher.update(before).update(&signature.0).finalize().into()
}

fn message(turn: &BeaconTurn<'_>) -> Vec<u8> {
    [turn.chain.bytes().as_slice(), &turn.height.0.to_le_bytes(), turn.mix].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: ChainId = ChainId::new([1; 32]);

    fn turn(height: u64) -> BeaconTurn<'static> {
        BeaconTurn { chain: &CHAIN, height: Height(height), mix: &[4; 32] }
    }

    #[test]
    fn signatures_are_unique_and_bound_to_key_chain_height_and_mix() {
        let secret = BeaconSecret::from_seed(&[2; 32]);
        let signature = secret.sign(&turn(7));
        assert_eq!(signature, secret.sign(&turn(7)));
        assert_eq!(verify(&secret.public(), &signature, &turn(7)), Ok(()));
        assert_eq!(verify(&secret.public(), &signature, &turn(8)), Err(BadSignature));
        let other_mix = BeaconTurn { mix: &[5; 32], ..turn(7) };
        assert_eq!(verify(&secret.public(), &signature, &other_mix), Err(BadSignature));
        let other_chain = BeaconTurn { chain: &ChainId::new([9; 32]), ..turn(7) };
        assert_eq!(verify(&secret.public(), &signature, &other_chain), Err(BadSignature));
        let other = BeaconSecret::from_seed(&[3; 32]).public();
        assert_eq!(verify(&other, &signature, &turn(7)), Err(BadSignature));
        assert_eq!(verify(&BeaconKey([0; 96]), &signature, &turn(7)), Err(BadSignature));
        assert_eq!(verify(&secret.public(), &BeaconSignature([0; 48]), &turn(7)), Err(BadSignature));
    }

    #[test]
    fn a_proof_of_possession_is_not_a_beacon_signature() {
        let (secret, statement) = (BeaconSecret::from_seed(&[2; 32]), message(&turn(7)));
        let proof = secret.prove(&statement);
        assert_eq!(verify_proof(&secret.public(), &proof, &statement), Ok(()));
        assert_eq!(verify_proof(&secret.public(), &proof, b"another"), Err(BadSignature));
        assert_eq!(verify(&secret.public(), &proof, &turn(7)), Err(BadSignature));
        assert_eq!(verify_proof(&secret.public(), &secret.sign(&turn(7)), &statement), Err(BadSignature));
    }

    #[test]
    fn every_signature_changes_the_mix() {
        let (first, signature) = (first_mix(&CHAIN), BeaconSecret::from_seed(&[2; 32]).sign(&turn(7)));
        let (once, twice) = (mix(&first, &signature), mix(&mix(&first, &signature), &signature));
        assert!(first != once && once != twice && first_mix(&ChainId::new([9; 32])) != first);
    }
}
