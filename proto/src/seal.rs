//! Encryption of private objects: one random key each, sealed piece by piece (SPEC, "Segments and sealed stream").
//!
//! The STREAM construction over AES-256-GCM: a piece's place and whether it is the last are its nonce, so that a piece
//! out of order, twice, or missing at the end does not open. From the object's key come three things that tell nothing
//! of each other: the sealing key, the commitment in the manifest, and a read token for each column.
//!
//! Not here: randomness; the caller brings the key. A key must seal one content only, ever.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{limits::TAG, manifest::Content, wire::get::ReadToken};

const SEAL: &str = "ostrakon object key seal 1";
const COMMIT: &str = "ostrakon object key commitment 1";
const COMMIT_PACK: &str = "ostrakon object key commitment of a pack 1";
const COMMIT_STAMPED: &str = "ostrakon object key commitment of a stamped file 1";
const READ: &str = "ostrakon object key read 1";
const TOKEN: &str = "ostrakon read token 1";

/// The secret of one private object: who has it can read. Gone from memory when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct ObjectKey([u8; 32]);

impl std::fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ObjectKey(..)")
    }
}

impl ObjectKey {
    /// The key with these bytes, which should be random.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What the manifest shows of it: checked before anything is opened, so that one object opens under one key only,
    /// and as one kind of content. Who has no key cannot tell the kinds apart.
    pub fn commitment(&self, content: Content) -> [u8; 32] {
        let context = match content {
            Content::File => COMMIT,
            Content::Pack => COMMIT_PACK,
            Content::StampedFile => COMMIT_STAMPED,
        };
        blake3::derive_key(context, &self.0)
    }

    /// What a reader shows the holder of this column. Holders cannot derive each other's.
    pub fn read_token(&self, extent: u32, index: u8) -> ReadToken {
        let mut material = Zeroizing::new([0; 37]);
        material[..32].copy_from_slice(&self.0);
        material[32..36].copy_from_slice(&extent.to_le_bytes());
        material[36] = index;
        ReadToken(blake3::derive_key(READ, material.as_slice()))
    }

    /// The cipher under this key.
    pub fn sealer(&self) -> Sealer {
        let key = Zeroizing::new(blake3::derive_key(SEAL, &self.0));
        let key = UnboundKey::new(&AES_256_GCM, key.as_slice()).expect("AES-256 takes 32 bytes");
        Sealer { key: LessSafeKey::new(key) }
    }
}

/// What a manifest lists of a read token.
pub fn token_hash(token: &ReadToken) -> [u8; 32] {
    blake3::derive_key(TOKEN, &token.0)
}

/// Which piece of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceId {
    /// Its extent.
    pub extent: u32,
    /// Its number in the extent.
    pub counter: u32,
    /// Whether it is the object's last.
    pub last: bool,
}

impl PieceId {
    /// Extent, 4 bytes, then counter, 7 bytes, both little-endian; then 1 for the last piece and 0 for others.
    fn nonce(self) -> Nonce {
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&self.extent.to_le_bytes());
        nonce[4..8].copy_from_slice(&self.counter.to_le_bytes());
        nonce[11] = u8::from(self.last);
        Nonce::assume_unique_for_key(nonce)
    }
}

/// The piece does not open: the key is not the object's, or the bytes are not what was sealed at this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("piece {} of extent {} is not authentic: wrong key, or changed bytes", .0.counter, .0.extent)]
pub struct OpenError(pub PieceId);

/// Seals and opens the pieces of one object.
pub struct Sealer {
    key: LessSafeKey,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(..)")
    }
}

impl Sealer {
    /// Seals in place: `buffer` is the plaintext and [`TAG`] spare bytes, and becomes the sealed piece.
    ///
    /// # Panics
    /// When `buffer` is shorter than the tag.
    pub fn seal(&self, piece: PieceId, buffer: &mut [u8]) {
        let plain = buffer.len().checked_sub(TAG).expect("the buffer ends with the tag");
        let (plain, spare) = buffer.split_at_mut(plain);
        let tag = self.key.seal_in_place_separate_tag(piece.nonce(), Aad::empty(), plain);
        spare.copy_from_slice(tag.expect("a piece is far below AES-GCM's length limit").as_ref());
    }

    /// Opens in place, and returns how many bytes of plaintext `buffer` now begins with.
    ///
    /// # Errors
    /// [`OpenError`] when the piece is not authentic; what `buffer` then has must not be used.
    pub fn open(&self, piece: PieceId, buffer: &mut [u8]) -> Result<usize, OpenError> {
        let opened = self.key.open_in_place(piece.nonce(), Aad::empty(), buffer);
        opened.map(|plain| plain.len()).map_err(|_| OpenError(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> ObjectKey {
        ObjectKey::from_bytes([byte; 32])
    }

    fn piece(extent: u32, counter: u32, last: bool) -> PieceId {
        PieceId { extent, counter, last }
    }

    fn sealed(key: &ObjectKey, piece: PieceId, plain: &[u8]) -> Vec<u8> {
        let mut buffer = [plain, &[0; TAG]].concat();
        key.sealer().seal(piece, &mut buffer);
        buffer
    }

    #[test]
    fn opens_what_was_sealed_at_any_size() {
        for len in [0, 1, 15, 16, 17, 1_000, crate::limits::PIECE] {
            let plain = vec![7; len];
            let mut buffer = sealed(&key(1), piece(2, 3, false), &plain);
            assert!(len < 15 || buffer[..len] != plain);
            assert_eq!(key(1).sealer().open(piece(2, 3, false), &mut buffer), Ok(len));
            assert_eq!(buffer[..len], plain);
        }
    }

    #[test]
    fn another_place_key_or_length_does_not_open() {
        let here = piece(1, 1, false);
        let bytes = sealed(&key(1), here, b"a piece of an object");
        let check = |key: &ObjectKey, piece: PieceId, mut bytes: Vec<u8>| {
            assert_eq!(key.sealer().open(piece, &mut bytes), Err(OpenError(piece)));
        };
        check(&key(2), here, bytes.clone());
        check(&key(1), piece(0, 1, false), bytes.clone());
        check(&key(1), piece(1, 2, false), bytes.clone());
        check(&key(1), piece(1, 1, true), bytes.clone());
        check(&key(1), piece(1, 257, false), bytes.clone());
        check(&key(1), here, [&bytes[..], &[0]].concat());
        for len in 0..bytes.len() {
            check(&key(1), here, bytes[..len].to_vec());
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            check(&key(1), here, changed);
        }
    }

    #[test]
    fn what_comes_from_a_key_differs() {
        let mut all = vec![*key(1).bytes()];
        for key in [key(1), key(2)] {
            all.extend([Content::File, Content::Pack, Content::StampedFile].map(|content| key.commitment(content)));
        }
        for (extent, index) in [(0, 0), (0, 1), (1, 0), (256, 0)] {
            let token = key(1).read_token(extent, index);
            all.extend([token.0, token_hash(&token)]);
        }
        all.push(key(2).read_token(0, 0).0);
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn debug_tells_nothing() {
        assert_eq!(format!("{:?} {:?}", key(0xab), key(0xab).sealer()), "ObjectKey(..) Sealer(..)");
    }
}
