//! What a bucket knows: objects, uploads, their parts, and how much of each object of the network is in use.

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};

use super::{BlockHash, Place};
use crate::id::ObjectId;

/// An object of the network that a bucket stores bytes in. Its key is derived from the salt
/// ([`BucketSecret::blob_key`](super::BucketSecret::blob_key)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Blob {
    /// The object.
    pub object: ObjectId,
    /// What its key is derived from.
    pub salt: [u8; 16],
}

/// A record and its place; without a value it says that what older runs have there is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Where it stands.
    pub place: Place,
    /// What is there.
    pub value: Option<Value>,
}

/// What is at a place. `B` says how an object of the network is named: in a page, by its index in the page's table.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Value<B = Blob> {
    /// At [`Place::object`].
    Object(ObjectInfo<B>),
    /// At [`Place::upload`].
    Upload(UploadInfo),
    /// At [`Place::part`].
    Part(PartInfo<B>),
    /// At [`Place::blob`].
    Blob(BlobInfo),
    /// At [`Place::setting`].
    Setting(Vec<u8>),
    /// At [`Place::tree`]: the hashes of the leaves, in order; none if the root is the only leaf.
    Tree(Vec<BlockHash>),
    /// At [`Place::block`].
    Block,
}

/// An object of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ObjectInfo<B = Blob> {
    /// When it was put, in milliseconds of Unix time.
    pub modified_ms: u64,
    /// Its entity tag.
    pub etag: ETag,
    /// A checksum of its bytes, which was verified when it was put.
    pub checksum: Option<Checksum>,
    /// Headers that it is served with, each once, in order.
    pub headers: Vec<(ObjectHeader, String)>,
    /// What its user says of it: names in lower case, in order.
    pub metadata: Vec<(String, String)>,
    /// Its tags.
    pub tags: Vec<(String, String)>,
    /// The hash of its root block, if it is public: it can be read by that name.
    pub root: Option<BlockHash>,
    /// Its bytes, in order.
    pub pieces: Vec<Piece<B>>,
}

/// Some bytes of an object of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Piece<B = Blob> {
    /// The object of the network.
    pub blob: B,
    /// Where in its plaintext they begin.
    pub offset: u64,
    /// How many they are.
    pub length: u64,
    /// Whether a part of a multipart upload ends with them. Of an object that was put as one, none does.
    pub ends_part: bool,
}

/// A multipart upload that is open.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct UploadInfo {
    /// When it began, in milliseconds of Unix time.
    pub begun_ms: u64,
    /// The checksum that its object is to have, if that was announced.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
    /// Headers of its object.
    pub headers: Vec<(ObjectHeader, String)>,
    /// Metadata of its object.
    pub metadata: Vec<(String, String)>,
    /// Tags of its object.
    pub tags: Vec<(String, String)>,
}

/// A part of a multipart upload.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PartInfo<B = Blob> {
    /// When it was put, in milliseconds of Unix time.
    pub modified_ms: u64,
    /// MD5 of its bytes.
    pub md5: [u8; 16],
    /// A checksum of its bytes, which was verified.
    pub checksum: Option<Checksum>,
    /// The hashes of its leaves, if its object is to be public.
    pub leaves: Vec<BlockHash>,
    /// Its bytes.
    pub pieces: Vec<Piece<B>>,
}

/// How much of an object of the network is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BlobInfo {
    /// What its key is derived from.
    pub salt: [u8; 16],
    /// Bytes of its plaintext.
    pub size: u64,
    /// Its extents, each of which is a commitment on the ledger.
    pub extents: u32,
    /// Bytes of it that objects, parts and runs refer to. With none left it is released.
    pub live: u64,
}

/// An entity tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ETag {
    /// MD5 of the bytes.
    Whole([u8; 16]),
    /// MD5 of the MD5s of so many parts.
    Parts([u8; 16], u16),
}

/// A checksum of bytes.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Checksum {
    /// How it was computed.
    pub algorithm: ChecksumAlgorithm,
    /// Over what.
    pub kind: ChecksumKind,
    /// Its bytes, as many as the algorithm makes.
    pub bytes: Vec<u8>,
}

/// What clients of S3 check bytes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ChecksumAlgorithm {
    /// CRC-32 of ISO 3309.
    Crc32,
    /// CRC-32 with Castagnoli's polynomial.
    Crc32C,
    /// CRC-64 of the NVMe specification.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// What a checksum is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ChecksumKind {
    /// All bytes.
    Whole,
    /// The checksums of the parts.
    Composite,
}

/// Headers that an object is served with as it was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum ObjectHeader {
    /// `Cache-Control`.
    CacheControl,
    /// `Content-Disposition`.
    ContentDisposition,
    /// `Content-Encoding`.
    ContentEncoding,
    /// `Content-Language`.
    ContentLanguage,
    /// `Content-Type`.
    ContentType,
    /// `Expires`.
    Expires,
}

impl Blob {
    /// In a batch, the batch itself: its name depends on what it contains.
    pub const OWN: Self = Self { object: ObjectId::new([0; 32]), salt: [0; 16] };

    /// This, or `own` where it is [`Blob::OWN`].
    #[must_use]
    pub fn or_own(self, own: Self) -> Self {
        if self == Self::OWN { own } else { self }
    }
}

impl<B> Value<B> {
    /// The same with every object of the network named as `name` does.
    pub(super) fn renamed<C, E>(self, name: &mut impl FnMut(B) -> Result<C, E>) -> Result<Value<C>, E> {
        Ok(match self {
            Self::Object(info) => {
                let ObjectInfo { modified_ms, etag, checksum, headers, metadata, tags, root, pieces } = info;
                let pieces = renamed(pieces, name)?;
                Value::Object(ObjectInfo { modified_ms, etag, checksum, headers, metadata, tags, root, pieces })
            }
            Self::Part(PartInfo { modified_ms, md5, checksum, leaves, pieces }) => {
                Value::Part(PartInfo { modified_ms, md5, checksum, leaves, pieces: renamed(pieces, name)? })
            }
            Self::Upload(info) => Value::Upload(info),
            Self::Blob(info) => Value::Blob(info),
            Self::Setting(bytes) => Value::Setting(bytes),
            Self::Tree(leaves) => Value::Tree(leaves),
            Self::Block => Value::Block,
        })
    }

    /// The same with its bytes elsewhere; of what has no bytes, the same.
    #[must_use]
    pub fn moved(self, pieces: Vec<Piece<B>>) -> Self {
        match self {
            Self::Object(info) => Self::Object(ObjectInfo { pieces, ..info }),
            Self::Part(info) => Self::Part(PartInfo { pieces, ..info }),
            other => other,
        }
    }

    /// Where its bytes are.
    pub fn pieces(&self) -> &[Piece<B>] {
        match self {
            Self::Object(info) => &info.pieces,
            Self::Part(info) => &info.pieces,
            Self::Upload(_) | Self::Blob(_) | Self::Setting(_) | Self::Tree(_) | Self::Block => &[],
        }
    }
}

fn renamed<B, C, E>(pieces: Vec<Piece<B>>, name: &mut impl FnMut(B) -> Result<C, E>) -> Result<Vec<Piece<C>>, E> {
    let piece = |Piece { blob, offset, length, ends_part }| Ok(Piece { blob: name(blob)?, offset, length, ends_part });
    pieces.into_iter().map(piece).collect()
}

impl<B> ObjectInfo<B> {
    /// Its bytes.
    pub fn size(&self) -> u64 {
        self.pieces.iter().fold(0, |size, piece| size.saturating_add(piece.length))
    }

    /// Bytes of each of its parts; none of an object that was put as one.
    pub fn parts(&self) -> Vec<u64> {
        let (mut parts, mut open) = (Vec::new(), 0_u64);
        for piece in &self.pieces {
            open = open.saturating_add(piece.length);
            if piece.ends_part {
                parts.push(std::mem::take(&mut open));
            }
        }
        parts
    }

    /// The header that it is served with.
    pub fn header(&self, header: ObjectHeader) -> Option<&str> {
        self.headers.iter().find(|(name, _)| *name == header).map(|(_, value)| value.as_str())
    }
}

impl<B> PartInfo<B> {
    /// Its bytes.
    pub fn size(&self) -> u64 {
        self.pieces.iter().fold(0, |size, piece| size.saturating_add(piece.length))
    }
}

impl fmt::Display for ETag {
    /// As clients show it, without quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(md5) => f.write_str(&hex::encode(md5)),
            Self::Parts(md5, count) => write!(f, "{}-{count}", hex::encode(md5)),
        }
    }
}

impl ChecksumAlgorithm {
    /// Bytes of its checksums.
    pub const fn size(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32C => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}
