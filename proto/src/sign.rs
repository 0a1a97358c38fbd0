//! Signatures: ed25519 by ZIP-215 rules, over a domain tag, the chain id and the message.
//!
//! One rule everywhere (`ed25519-consensus`), so that every node gives the same verdict on every crafted signature.
//! Nothing signed for one purpose or network means anything for another.

use borsh::{BorshDeserialize, BorshSerialize};
use ed25519_consensus::{SigningKey, VerificationKey};
use zeroize::Zeroizing;

use crate::{
    codec,
    id::{ChainId, Id},
};

/// What a signature is for: the first bytes of what is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A transaction, by its account.
    Tx,
    /// A storage receipt, by the node.
    Receipt,
    /// A request to store a column, by the account that will pay.
    Put,
    /// Consent to be a provider of an account, by the node.
    Consent,
    /// A proposal of a block, by a validator.
    Proposal,
    /// A vote for a block or for none, by a validator.
    Vote,
    /// The key of a node's encrypted connections, by the node.
    Channel,
}

impl Purpose {
    const fn tag(self) -> &'static [u8] {
        match self {
            Self::Tx => b"ostrakon tx 1\0",
            Self::Receipt => b"ostrakon receipt 1\0",
            Self::Put => b"ostrakon put 1\0",
            Self::Consent => b"ostrakon consent 1\0",
            Self::Proposal => b"ostrakon proposal 1\0",
            Self::Vote => b"ostrakon vote 1\0",
            Self::Channel => b"ostrakon channel 1\0",
        }
    }
}

/// 64 bytes that a key's owner made over one message.
#[derive(Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Signature(pub [u8; 64]);

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signature({:02x}{:02x}..)", self.0[0], self.0[1])
    }
}

/// The signature is not the key's over this message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("signature does not verify")]
pub struct BadSignature;

/// A secret ed25519 key. Debug shows only its public half.
#[derive(Clone)]
pub struct Keypair {
    signing: SigningKey,
}

impl std::fmt::Debug for Keypair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keypair({:?})", self.signing.verification_key())
    }
}

impl Keypair {
    /// The key that this seed gives.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { signing: SigningKey::from(*seed) }
    }

    /// Its public half, as an account or a node id.
    pub fn public<K>(&self) -> Id<K> {
        Id::new(self.signing.verification_key().to_bytes())
    }

    /// Its seed, for the keystore and for libp2p's key.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.signing.to_bytes())
    }

    /// Signs `message` for `purpose` on `chain`.
    pub fn sign<T: BorshSerialize + ?Sized>(&self, purpose: Purpose, chain: &ChainId, message: &T) -> Signature {
        Signature(self.signing.sign(&signed_bytes(purpose, chain, message)).to_bytes())
    }
}

/// Checks that `signer` signed `message` for `purpose` on `chain`.
///
/// # Errors
/// [`BadSignature`] when it did not, or when `signer` is no valid key.
pub fn verify<K, T: BorshSerialize + ?Sized>(
    signer: &Id<K>,
    signature: &Signature,
    purpose: Purpose,
    chain: &ChainId,
    message: &T,
) -> Result<(), BadSignature> {
    let key = VerificationKey::try_from(*signer.bytes()).map_err(|_| BadSignature)?;
    key.verify(&ed25519_consensus::Signature::from(signature.0), &signed_bytes(purpose, chain, message))
        .map_err(|_| BadSignature)
}

/// `tag ‖ chain ‖ borsh(message)` (SPEC, "Signatures").
fn signed_bytes<T: BorshSerialize + ?Sized>(purpose: Purpose, chain: &ChainId, message: &T) -> Vec<u8> {
    [purpose.tag(), chain.bytes(), &codec::encode(message)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::AccountId;

    #[test]
    fn binds_key_purpose_chain_and_message() {
        let (key, chain) = (Keypair::from_seed(&[1; 32]), ChainId::new([2; 32]));
        let me: AccountId = key.public();
        let other: AccountId = Keypair::from_seed(&[3; 32]).public();
        let signature = key.sign(Purpose::Tx, &chain, "pay");
        assert_eq!(verify(&me, &signature, Purpose::Tx, &chain, "pay"), Ok(()));
        assert_eq!(verify(&other, &signature, Purpose::Tx, &chain, "pay"), Err(BadSignature));
        assert_eq!(verify(&me, &signature, Purpose::Receipt, &chain, "pay"), Err(BadSignature));
        assert_eq!(verify(&me, &signature, Purpose::Tx, &ChainId::new([9; 32]), "pay"), Err(BadSignature));
        assert_eq!(verify(&me, &signature, Purpose::Tx, &chain, "pax"), Err(BadSignature));
        let mut flipped = signature;
        flipped.0[40] ^= 1;
        assert_eq!(verify(&me, &flipped, Purpose::Tx, &chain, "pay"), Err(BadSignature));
    }
}
