//! Where a record stands in the order of a bucket's index: its kind, and then what it is of.

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::id::ObjectId;

/// Name of a multipart upload, drawn at random.
pub type MultipartId = [u8; 16];

const OBJECT: u8 = 1;
const UPLOAD: u8 = 2;
const PART: u8 = 3;
const BLOB: u8 = 4;
const SETTING: u8 = 5;
const TREE: u8 = 6;
const BLOCK: u8 = 7;

/// A SHA-256 hash, of a block of a public object.
pub type BlockHash = [u8; 32];

/// The bytes that records are sorted by: a kind, and what that kind is sorted by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Place(Vec<u8>);

impl Place {
    /// Before all others.
    pub const fn first() -> Self {
        Self(Vec::new())
    }

    /// Of the object with this key; the prefix of all whose keys begin so.
    pub fn object(key: &[u8]) -> Self {
        Self([&[OBJECT], key].concat())
    }

    /// Of an upload to this key. Uploads are sorted by key and then by id.
    pub fn upload(key: &[u8], id: &MultipartId) -> Self {
        let mut bytes = Self::uploads_to(key);
        bytes.0.extend(id);
        bytes
    }

    /// The prefix of all uploads to keys of this prefix.
    pub fn uploads_of(prefix: &[u8]) -> Self {
        let mut place = Self::uploads_to(prefix);
        place.0.truncate(place.0.len() - 2);
        place
    }

    /// The prefix of all uploads to this key: zero bytes of a key are escaped, so that no key's bytes reach into the
    /// next one's.
    pub fn uploads_to(key: &[u8]) -> Self {
        let mut bytes = vec![UPLOAD];
        for byte in key {
            bytes.push(*byte);
            if *byte == 0 {
                bytes.push(u8::MAX);
            }
        }
        bytes.extend([0, 0]);
        Self(bytes)
    }

    /// Of a part of an upload.
    pub fn part(upload: &MultipartId, number: u16) -> Self {
        Self([&[PART][..], upload, &number.to_be_bytes()].concat())
    }

    /// The prefix of all parts of an upload.
    pub fn parts(upload: &MultipartId) -> Self {
        Self([&[PART][..], upload].concat())
    }

    /// Of an object of the network that the bucket uses.
    pub fn blob(object: &ObjectId) -> Self {
        Self([&[BLOB][..], object.bytes()].concat())
    }

    /// The prefix of all objects of the network that the bucket uses.
    pub fn blobs() -> Self {
        Self(vec![BLOB])
    }

    /// Of a setting of the bucket; the prefix of all whose names begin so.
    pub fn setting(name: &str) -> Self {
        Self([&[SETTING], name.as_bytes()].concat())
    }

    /// Of the tree of a public object, whose root has this hash.
    pub fn tree(root: &BlockHash, key: &[u8]) -> Self {
        Self([&[TREE][..], root, key].concat())
    }

    /// The prefix of the trees with this root.
    pub fn trees(root: &BlockHash) -> Self {
        Self::tree(root, b"")
    }

    /// Of a block below a root.
    pub fn block(block: &BlockHash, root: &BlockHash) -> Self {
        Self([&[BLOCK][..], block, root].concat())
    }

    /// The prefix of a block, below all roots.
    pub fn blocks(block: &BlockHash) -> Self {
        Self([&[BLOCK][..], block].concat())
    }

    /// The place of these bytes, whatever they are.
    pub(super) fn of_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key, if an object is here.
    pub fn object_key(&self) -> Option<&[u8]> {
        self.of(OBJECT)
    }

    /// Key and id, if an upload is here.
    pub fn upload_of(&self) -> Option<(Vec<u8>, MultipartId)> {
        let (escaped, id) = self.of(UPLOAD)?.split_last_chunk()?;
        let escaped = escaped.strip_suffix(&[0, 0])?;
        let (mut key, mut bytes) = (Vec::with_capacity(escaped.len()), escaped.iter());
        while let Some(byte) = bytes.next() {
            key.push(*byte);
            if *byte == 0 && bytes.next() != Some(&u8::MAX) {
                return None;
            }
        }
        Some((key, *id))
    }

    /// Upload and number, if a part is here.
    pub fn part_of(&self) -> Option<(MultipartId, u16)> {
        let (upload, number) = self.of(PART)?.split_first_chunk()?;
        Some((*upload, u16::from_be_bytes(number.try_into().ok()?)))
    }

    /// The name of the setting, if one is here.
    pub fn setting_of(&self) -> Option<&str> {
        std::str::from_utf8(self.of(SETTING)?).ok()
    }

    /// The object of the network, if one is recorded here.
    pub fn blob_of(&self) -> Option<ObjectId> {
        Some(ObjectId::new(self.of(BLOB)?.try_into().ok()?))
    }

    /// Root and key, if a tree is here.
    pub fn tree_of(&self) -> Option<(&BlockHash, &[u8])> {
        self.of(TREE)?.split_first_chunk()
    }

    /// The root that the block is below, if a block is here.
    pub fn root_of(&self) -> Option<&BlockHash> {
        self.of(BLOCK)?.split_last_chunk().map(|(_, root)| root)
    }

    /// Whether this place is of that prefix.
    pub fn starts_with(&self, prefix: &Self) -> bool {
        self.0.starts_with(&prefix.0)
    }

    /// The first place after all that begin with this one; `None` where there is none.
    pub fn after_prefix(&self) -> Option<Self> {
        let kept = self.0.iter().rposition(|byte| *byte != u8::MAX)?;
        let mut bytes = self.0[..=kept].to_vec();
        *bytes.last_mut()? += 1;
        Some(Self(bytes))
    }

    /// The next place after this one.
    #[must_use]
    pub fn successor(&self) -> Self {
        Self([&self.0[..], &[0]].concat())
    }

    fn of(&self, kind: u8) -> Option<&[u8]> {
        self.0.split_first().filter(|(tag, _)| **tag == kind).map(|(_, rest)| rest)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({})", self.0.escape_ascii())
    }
}
