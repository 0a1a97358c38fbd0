//! Signatures: ed25519 by ZIP-215 rules, over a domain tag, the chain id and the message.
//!
//! One rule everywhere (`ed25519-zebra`), so that every node gives the same verdict on every crafted signature.
//! A signature made for one purpose or network is invalid for any other.

use std::convert::Infallible;

use borsh::{BorshDeserialize, BorshSerialize};
use ed25519_zebra::{SigningKey, VerificationKey, VerificationKeyBytes, batch};
use rand_core::{TryCryptoRng, TryRng};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    codec,
    id::{ChainId, Id},
    json,
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
    /// Permission for another account to draw as this one, by its account.
    DrawAs,
    /// Consent to be a validator of an account, by its node and by its vote key.
    Seat,
    /// A proposal of a block, by a validator.
    Proposal,
    /// A vote for a block or for nil, by a validator.
    Vote,
    /// A claim to be the only process that signs for a validator, by its vote key.
    Claim,
    /// The key of a node's encrypted connections, by the node.
    Channel,
    /// What a node brings to a network that is to be founded, by all its keys; the chain's id is zeros.
    Card,
}

impl Purpose {
    const fn tag(self) -> &'static [u8] {
        match self {
            Self::Tx => b"ostrakon tx 1\0",
            Self::Receipt => b"ostrakon receipt 1\0",
            Self::Put => b"ostrakon put 1\0",
            Self::Consent => b"ostrakon consent 1\0",
            Self::DrawAs => b"ostrakon draw-as 1\0",
            Self::Seat => b"ostrakon seat 1\0",
            Self::Proposal => b"ostrakon proposal 1\0",
            Self::Vote => b"ostrakon vote 1\0",
            Self::Claim => b"ostrakon claim 1\0",
            Self::Channel => b"ostrakon channel 1\0",
            Self::Card => b"ostrakon card 1\0",
        }
    }
}

/// Signatures verified in one equation. More would cost hardly less each, and one invalid signature has all of them
/// verified again, one by one.
const BATCH: usize = 128;

/// An ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Signature(#[serde(serialize_with = "json::hex", deserialize_with = "json::from_hex")] pub [u8; 64]);

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signature({}..)", hex::encode(&self.0[..2]))
    }
}

/// The signature was not made by this key over this message, or the key is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid signature: not made by this key over this message")]
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
    /// The key derived from this seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { signing: SigningKey::from(*seed) }
    }

    /// Its public half, as an account or a node id.
    pub fn public<K>(&self) -> Id<K> {
        Id::new(self.signing.verification_key().into())
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
/// [`BadSignature`] when it did not, or when `signer` is not a valid key.
pub fn verify<K, T: BorshSerialize + ?Sized>(
    signer: &Id<K>,
    signature: &Signature,
    purpose: Purpose,
    chain: &ChainId,
    message: &T,
) -> Result<(), BadSignature> {
    let key = VerificationKey::try_from(*signer.bytes()).map_err(|_| BadSignature)?;
    key.verify(&ed25519_zebra::Signature::from(signature.0), &signed_bytes(purpose, chain, message))
        .map_err(|_| BadSignature)
}

/// One of the signatures that [`verify_many`] verifies.
#[derive(Clone, Copy, Debug)]
pub struct SignatureCheck<'a> {
    /// The public key.
    pub signer: &'a [u8; 32],
    /// The signature.
    pub signature: &'a Signature,
    /// The canonical bytes of the message.
    pub message: &'a [u8],
}

/// Verifies many signatures for `purpose` on `chain` in less than half the time that [`verify`] takes for each. The
/// verdicts are the same: by ZIP-215 a batch is valid exactly when each of its signatures is.
///
/// # Errors
/// [`BadSignature`] in the place of each that does not verify.
pub fn verify_many(claims: &[SignatureCheck<'_>], purpose: Purpose, chain: &ChainId) -> Vec<Result<(), BadSignature>> {
    let mut verdicts = Vec::with_capacity(claims.len());
    for claims in claims.chunks(BATCH) {
        let items: Vec<batch::Item> = claims.iter().map(|claim| item(claim, purpose, chain)).collect();
        let mut batch = batch::Verifier::new();
        items.iter().for_each(|item| batch.queue(item.clone()));
        if batch.verify(Coefficients::of(claims)).is_ok() {
            verdicts.extend(claims.iter().map(|_| Ok(())));
        } else {
            verdicts.extend(items.into_iter().map(|item| item.verify_single().map_err(|_| BadSignature)));
        }
    }
    verdicts
}

fn item(claim: &SignatureCheck<'_>, purpose: Purpose, chain: &ChainId) -> batch::Item {
    let message = [purpose.tag(), chain.bytes(), claim.message].concat();
    let signature = ed25519_zebra::Signature::from(claim.signature.0);
    (VerificationKeyBytes::from(*claim.signer), signature, message.as_slice()).into()
}

/// The coefficients of a batch's equation: a hash over the whole batch, so that a signer cannot make errors cancel out,
/// and no randomness is needed.
struct Coefficients(blake3::OutputReader);

impl Coefficients {
    fn of(claims: &[SignatureCheck<'_>]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("ostrakon batch coefficients 1");
        for claim in claims {
            hasher.update(claim.signer).update(&claim.signature.0).update(blake3::hash(claim.message).as_bytes());
        }
        Self(hasher.finalize_xof())
    }
}

impl TryRng for Coefficients {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Coefficients {}

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

    /// Verdicts of the batch, each compared with that of [`verify`] for the same.
    fn both(claims: &[([u8; 32], Signature, &str)]) -> Vec<bool> {
        let chain = ChainId::new([2; 32]);
        let messages: Vec<Vec<u8>> = claims.iter().map(|(.., message)| codec::encode(*message)).collect();
        let many: Vec<SignatureCheck<'_>> = claims
            .iter()
            .zip(&messages)
            .map(|((signer, signature, _), message)| SignatureCheck { signer, signature, message })
            .collect();
        let batched = verify_many(&many, Purpose::Tx, &chain);
        for ((signer, signature, message), verdict) in claims.iter().zip(&batched) {
            assert_eq!(verify(&AccountId::new(*signer), signature, Purpose::Tx, &chain, *message), *verdict);
        }
        batched.iter().map(Result::is_ok).collect()
    }

    fn signed(seed: u8, message: &'static str) -> ([u8; 32], Signature, &'static str) {
        let key = Keypair::from_seed(&[seed; 32]);
        let signature = key.sign(Purpose::Tx, &ChainId::new([2; 32]), message);
        (*key.public::<AccountId>().bytes(), signature, message)
    }

    #[test]
    fn a_batch_says_what_each_signature_says() {
        assert!(both(&[]).is_empty());
        let mut claims: Vec<_> = (0..=255).map(|seed| signed(seed, "pay")).collect();
        claims.extend((0..9).map(|seed| signed(seed, "pay again")));
        assert!(both(&claims).iter().all(|good| *good));
        for bad in [0, 127, 128, 264] {
            let mut claims = claims.clone();
            claims[bad].1.0[33] ^= 1;
            let expect: Vec<bool> = (0..claims.len()).map(|at| at != bad).collect();
            assert_eq!(both(&claims), expect);
        }
        // Two wrong by amounts that cancel out in a plain sum.
        let (one, other) = (claims[3].1, claims[4].1);
        (claims[3].1, claims[4].1) = (other, one);
        assert_eq!(both(&claims).iter().filter(|good| !**good).count(), 2);
    }

    /// Points of small order, and keys and commitments with a torsion part: where implementations differ.
    #[test]
    fn a_batch_agrees_on_crafted_points() {
        let unhex = |text: &str| crate::id::parse_hex::<32>(text).expect("hexadecimal");
        let join = |r: [u8; 32], s: [u8; 32]| Signature([r, s].concat().try_into().expect("64 bytes"));
        let small = [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "0000000000000000000000000000000000000000000000000000000000000080",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            // Not canonical: y = p, and the identity with its sign set.
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0100000000000000000000000000000000000000000000000000000000000080",
        ];
        let mut claims = Vec::new();
        for key in small {
            claims.extend(small.iter().map(|point| (unhex(key), join(unhex(point), [0; 32]), "anything")));
        }
        assert!(both(&claims).iter().all(|good| *good), "by ZIP-215 these verify, alone and together");
        // R, A, or both are a proper point plus one of order 8: only the equation times the cofactor holds.
        let key = "88aa55e6afeed8960a3191de78600347db8acd0a3795412f275f049b86260488";
        let torsion = "99555efe5dbf5b50b6fb4d8c38ee05c4ea8a97011c08e11366e8c8c00e8ce5d5";
        for (key, point, scalar) in [
            (
                key,
                "5b61c2e3b93e6c06450f327ea72cdfeb8cde6aa020d2dd827ab3f86e708c8393",
                "bab22f3a2e4c10a2a6a55664bbb4f094db11e60e8035b3d81e7fb7e83eaeda0a",
            ),
            (
                torsion,
                "3e54c441927f9f0ee5e13e34f0b0404c5043651a8f4b7ef087a1c42262a85d0a",
                "b80024612c1a9fb8c7af1283b4961931c1550fc069481c270da165d1c5eaf001",
            ),
            (
                torsion,
                "607055ca3d4aa8af26961afb12b1e60a75fac88f9c260ff25806631dbb269159",
                "aed9aac7e904b3290922a20a240d3e54005854df7bfa82e130fc962f156c2308",
            ),
        ] {
            claims.push((unhex(key), join(unhex(point), unhex(scalar)), "mixed"));
        }
        claims.push(signed(1, "proper"));
        assert!(both(&claims).iter().all(|good| *good));
        // A scalar that is not reduced, and a point that is none, spoil only themselves.
        claims.push((unhex(small[0]), join(unhex(small[0]), [255; 32]), "anything"));
        claims.push((unhex(small[0]), join([2; 32], [0; 32]), "anything"));
        let verdicts = both(&claims);
        assert_eq!(verdicts.iter().filter(|good| !**good).count(), 2);
        assert!(verdicts.ends_with(&[false, false]));
    }
}
