//! The data key: the one key under which every secret of a profile is sealed, each record by itself.
//!
//! AES-256-GCM with a random nonce of 96 bits for each record. That is safe as long as one key seals far fewer than
//! 2^32 records (NIST SP 800-38D, 8.3); a profile seals one a stored object. What a record is for is authenticated with
//! it, so that no record can stand in for another.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use borsh::{BorshDeserialize, BorshSerialize};
use ostrakon_proto::{
    codec,
    id::{AccountId, ObjectId},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes of a nonce.
const NONCE: usize = 12;
/// Bytes of the authentication tag.
const TAG: usize = 16;
/// What keeps these records apart from all else that may ever be sealed under the same key.
const DOMAIN: &str = "ostrakon sealed record 1";

/// The random key that seals a profile's records. `Debug` hides it; gone from memory when dropped.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Zeroize, ZeroizeOnDrop)]
pub struct DataKey([u8; 32]);

/// A sealed record: nonce, ciphertext and tag. Serde writes it in hexadecimal.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Sealed(Vec<u8>);

/// What a sealed record is for, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize)]
pub(crate) enum Purpose {
    /// The secret key of this account.
    Account(AccountId),
    /// The key and name of this object.
    Object(ObjectId),
    /// The object key of an unfinished add, with the hash of all else that its journal says it is about.
    Journal([u8; 32]),
    /// A data key, under a key that follows from a passphrase.
    Wrapped,
    /// What a backup of this account contains.
    Backup(AccountId),
}

/// The record is not what was sealed under this key for this purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an encrypted record is damaged, or belongs to another profile")]
pub struct NotAuthentic;

impl DataKey {
    /// A new random key.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut key = Self([0; 32]);
        getrandom::fill(&mut key.0)?;
        Ok(key)
    }

    pub(crate) const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Seals a record.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub(crate) fn seal(&self, purpose: Purpose, plain: &[u8]) -> Result<Sealed, getrandom::Error> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce)?;
        // Long enough from the start, so that the plaintext is overwritten where it lies.
        let mut bytes = Vec::with_capacity(NONCE + plain.len() + TAG);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.cipher().seal_in_place_separate_tag(nonce, associated(purpose), &mut bytes[NONCE..]);
        bytes.extend_from_slice(tag.expect("a record is far below AES-GCM's length limit").as_ref());
        Ok(Sealed(bytes))
    }

    /// Opens a record.
    ///
    /// # Errors
    /// [`NotAuthentic`] when it was not sealed by [`DataKey::seal`] with this key for this purpose.
    pub(crate) fn open(&self, purpose: Purpose, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, NotAuthentic> {
        let (nonce, rest) = sealed.0.split_first_chunk::<NONCE>().ok_or(NotAuthentic)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut bytes = Zeroizing::new(rest.to_vec());
        let opened = self.cipher().open_in_place(nonce, associated(purpose), &mut bytes);
        let plain = opened.map_err(|_| NotAuthentic)?.len();
        bytes.truncate(plain);
        Ok(bytes)
    }

    fn cipher(&self) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &self.0).expect("AES-256 takes 32 bytes"))
    }
}

fn associated(purpose: Purpose) -> Aad<Vec<u8>> {
    Aad::from(codec::encode(&(DOMAIN, purpose)))
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as Deserialize>::deserialize(deserializer)?;
        hex::decode(text).map(Self).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_opens_for_its_purpose_under_its_key_only() {
        let (key, object) = (DataKey::new([1; 32]), Purpose::Object(ObjectId::new([7; 32])));
        for plain in [&b""[..], b"secret", &[3; 1_000]] {
            let sealed = key.seal(object, plain).expect("sealed");
            assert_eq!(key.open(object, &sealed).expect("opens").as_slice(), plain);
            assert_ne!(key.seal(object, plain).expect("sealed"), sealed, "a nonce is used once");
        }
        let sealed = key.seal(object, b"secret").expect("sealed");
        let refused =
            |key: &DataKey, purpose, sealed: &Sealed| assert_eq!(key.open(purpose, sealed), Err(NotAuthentic));
        refused(&DataKey::new([2; 32]), object, &sealed);
        refused(&key, Purpose::Object(ObjectId::new([8; 32])), &sealed);
        refused(&key, Purpose::Journal([7; 32]), &sealed);
        for length in 0..sealed.0.len() {
            refused(&key, object, &Sealed(sealed.0[..length].to_vec()));
        }
        for at in 0..sealed.0.len() {
            let mut changed = sealed.clone();
            changed.0[at] ^= 1;
            refused(&key, object, &changed);
        }
    }

    #[test]
    fn debug_shows_nothing() {
        let key = DataKey::new([0xab; 32]);
        let sealed = key.seal(Purpose::Wrapped, b"secret").expect("sealed");
        assert_eq!(format!("{key:?} {sealed:?}"), "DataKey(..) Sealed(34 bytes)");
    }
}
