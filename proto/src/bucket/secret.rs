//! What only a bucket's owner has: the key of its account, the keys of its objects, and what the ledger's cell says.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use borsh::{BorshDeserialize, BorshSerialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Blob, BucketError};
use crate::{codec, id::AccountId, limits::TAG, seal::ObjectKey, sign::Keypair};

const ACCOUNT: &str = "ostrakon bucket account 1";
const BLOB: &str = "ostrakon bucket object key 1";
const CELL: &str = "ostrakon bucket cell 1";
const PUBLIC_NAME: &str = "ostrakon bucket public name 1";
const CELL_KEY: &str = "ostrakon bucket cell key 1";

/// The secret of a bucket: who has it can read and write.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct BucketSecret([u8; 32]);

/// What a bucket's cell says: where its newest batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Reference {
    /// The batch.
    pub blob: Blob,
    /// Bytes of its plaintext; the list of runs is at the end.
    pub size: u64,
}

impl BucketSecret {
    /// Of the bucket with this name: the same on every machine that has the owner's key.
    pub fn derive(owner: &Keypair, name: &str) -> Self {
        let material = Zeroizing::new([owner.seed().as_slice(), name.as_bytes()].concat());
        Self(blake3::derive_key(ACCOUNT, &material))
    }

    /// The key that its account signs with.
    pub fn keypair(&self) -> Keypair {
        Keypair::from_seed(&self.0)
    }

    /// The name of its cell, by which the ledger tells nothing of it.
    pub fn cell(&self) -> [u8; 32] {
        let account: AccountId = self.keypair().public();
        blake3::derive_key(CELL, account.bytes())
    }

    /// The seed of a key that says nothing of the account, for those who name whom they read from.
    pub fn public_name(&self) -> [u8; 32] {
        blake3::derive_key(PUBLIC_NAME, &self.0)
    }

    /// The key of an object that is stored with this salt.
    pub fn blob_key(&self, salt: &[u8; 16]) -> ObjectKey {
        let mut material = Zeroizing::new([0; 48]);
        material[..32].copy_from_slice(&self.0);
        material[32..].copy_from_slice(salt);
        ObjectKey::from_bytes(blake3::derive_key(BLOB, material.as_slice()))
    }

    /// The cell's value: this reference, sealed. The nonce must never have been used for another one.
    pub fn seal(&self, reference: &Reference, nonce: [u8; 12]) -> Vec<u8> {
        let mut bytes = codec::encode(reference);
        let tag =
            self.cipher().seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut bytes);
        let tag = tag.expect("a reference is far below AES-GCM's length limit");
        [&nonce[..], &bytes, tag.as_ref()].concat()
    }

    /// The reference that a cell's value says.
    ///
    /// # Errors
    /// [`BucketError::Cell`] when it was sealed with another secret, or is none.
    pub fn open(&self, value: &[u8]) -> Result<Reference, BucketError> {
        let wrong = BucketError::Cell;
        let (nonce, sealed) = value.split_first_chunk::<12>().ok_or(wrong)?;
        let mut bytes = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self.cipher().open_in_place(nonce, Aad::empty(), &mut bytes).map_err(|_| wrong)?;
        codec::decode(plain, 256 - TAG).map_err(|_| wrong)
    }

    fn cipher(&self) -> LessSafeKey {
        let key = Zeroizing::new(blake3::derive_key(CELL_KEY, &self.0));
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_slice()).expect("AES-256 takes 32 bytes"))
    }
}

impl std::fmt::Debug for BucketSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BucketSecret(..)")
    }
}
