//! The manifest: the small block that an object's name is the hash of (ARCHITECTURE 3; SPEC, "Manifest").
//!
//! Canonical DAG-CBOR, bounded before it is read; decoding re-encodes and compares, so one object has one manifest. It
//! states the object's length, its code and its columns. It names no file and no owner.
//!
//! Not here: whether a column's bytes match its name ([`crate::tree`]) or its index ([`crate::row`]).

use borsh::{BorshDeserialize, BorshSerialize};
use cid::Cid;
use multihash::Multihash;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use crate::{
    id::{ColumnId, ObjectId},
    layout::{Layout, LayoutError},
    limits,
    pack::Stamp,
    params::Code,
};

/// The version of the format: the manifest's field `v`.
const VERSION: u8 = 1;
const RAW: u64 = 0x55;
const BLAKE3: u64 = 0x1e;

/// What an object is and where its columns are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Plaintext bytes.
    pub size: u64,
    /// Its code.
    pub code: Code,
    /// Whether it is private or public.
    pub protection: Protection,
    /// Its extents, in order.
    pub extents: Vec<Extent>,
}

/// What an object's plaintext is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum Content {
    /// One file; neither its name nor anything else about it is recorded.
    #[default]
    File,
    /// A directory, as a pack ([`crate::pack`]).
    Pack,
    /// One file, and after its bytes its mode and time, as a [`Stamp`]. Of private objects only, so that nobody without
    /// the key can read them.
    StampedFile,
}

impl Content {
    /// Plaintext bytes after those of the file.
    pub fn trailer(self) -> u64 {
        match self {
            Self::File | Self::Pack => 0,
            Self::StampedFile => u64::try_from(Stamp::LEN).expect("a few bytes"),
        }
    }
}

/// How an object's content is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Private: sealed under a key with this commitment ([`crate::seal::ObjectKey::commitment`]).
    Sealed {
        /// Key commitment, which also fixes the kind of content.
        commitment: [u8; 32],
    },
    /// Public: plaintext with this hash.
    Public {
        /// BLAKE3 of the whole content.
        hash: [u8; 32],
        /// What it is.
        content: Content,
    },
}

/// One extent's columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The n columns, by index.
    pub columns: Vec<ColumnId>,
    /// Hash of each column's read token ([`crate::seal::token_hash`]); empty when public.
    pub tokens: Vec<[u8; 32]>,
}

/// Why bytes, or a value, are not a valid manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Longer than a manifest may be.
    #[error("manifest of {len} bytes is over the limit of {} bytes", limits::MANIFEST)]
    TooLong {
        /// Bytes received.
        len: usize,
    },
    /// Not a manifest, or of a newer version than this program supports.
    #[error("manifest is malformed, or of a newer version than this program supports")]
    Malformed,
    /// A manifest in other than its one encoding.
    #[error("manifest is not in canonical form")]
    NotCanonical,
    /// No layout exists for its size and code.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The number of extents does not follow from its size and code.
    #[error("manifest lists {have} extents, its size and code require {want}")]
    Extents {
        /// Extents listed.
        have: usize,
        /// Extents there must be.
        want: u32,
    },
    /// An extent does not list n columns, or lacks read tokens in a private object, or has some in a public one.
    #[error("extent {extent} of the manifest does not list exactly {n} columns with their read tokens")]
    Columns {
        /// Number of the extent, from 0.
        extent: u32,
        /// Columns there must be.
        n: u8,
    },
}

impl Manifest {
    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        serde_ipld_dagcbor::to_vec(&Block::from(self)).expect("writing to a Vec cannot fail")
    }

    /// The manifest whose canonical bytes these are, checked.
    ///
    /// # Errors
    /// [`ManifestError`] when they are too many, not canonical, or break a rule.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > limits::MANIFEST {
            return Err(ManifestError::TooLong { len: bytes.len() });
        }
        let block: Block = serde_ipld_dagcbor::from_slice(bytes).map_err(|_| ManifestError::Malformed)?;
        let manifest = Self::try_from(block)?;
        manifest.check()?;
        if manifest.encode() != bytes {
            return Err(ManifestError::NotCanonical);
        }
        Ok(manifest)
    }

    /// Id of the object whose manifest has these bytes.
    pub fn object_id(bytes: &[u8]) -> ObjectId {
        blake3::hash(bytes).into()
    }

    /// Checks the rules that tie its parts together; what [`Self::decode`] returns satisfies them.
    ///
    /// # Errors
    /// [`ManifestError`] that names the broken rule.
    pub fn check(&self) -> Result<(), ManifestError> {
        if let Protection::Public { content: Content::StampedFile, .. } = self.protection {
            return Err(ManifestError::Malformed);
        }
        let layout = Layout::new(self.size, self.code, self.is_sealed())?;
        let (have, want) = (self.extents.len(), layout.extents());
        if u32::try_from(have) != Ok(want) {
            return Err(ManifestError::Extents { have, want });
        }
        let columns = usize::from(self.code.n);
        let tokens = if self.is_sealed() { columns } else { 0 };
        for (number, extent) in (0..).zip(&self.extents) {
            if (extent.columns.len(), extent.tokens.len()) != (columns, tokens) {
                return Err(ManifestError::Columns { extent: number, n: self.code.n });
            }
        }
        Ok(())
    }

    /// Whether the object is private.
    pub fn is_sealed(&self) -> bool {
        matches!(self.protection, Protection::Sealed { .. })
    }

    /// How the object's bytes are spread over its columns.
    ///
    /// # Panics
    /// When [`Self::check`] fails.
    pub fn layout(&self) -> Layout {
        Layout::new(self.size, self.code, self.is_sealed()).expect("a checked manifest has a layout")
    }
}

/// The block as DAG-CBOR has it: field names in DAG-CBOR's order, shorter first.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Block {
    k: u8,
    n: u8,
    v: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<ByteArray<32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pack: Option<bool>,
    size: u64,
    extents: Vec<ExtentBlock>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commitment: Option<ByteArray<32>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExtentBlock {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tokens: Vec<ByteArray<32>>,
    columns: Vec<Cid>,
}

impl From<&Manifest> for Block {
    fn from(manifest: &Manifest) -> Self {
        let (hash, pack, commitment) = match manifest.protection {
            Protection::Sealed { commitment } => (None, None, Some(ByteArray::new(commitment))),
            Protection::Public { hash, content } => {
                (Some(ByteArray::new(hash)), (content == Content::Pack).then_some(true), None)
            }
        };
        let extents = manifest.extents.iter().map(ExtentBlock::from).collect();
        let Code { k, n } = manifest.code;
        Self { k, n, v: VERSION, hash, pack, size: manifest.size, extents, commitment }
    }
}

impl From<&Extent> for ExtentBlock {
    fn from(extent: &Extent) -> Self {
        let cid = |column: &ColumnId| {
            let hash = Multihash::wrap(BLAKE3, column.bytes()).expect("32 bytes fit a multihash of 64");
            Cid::new_v1(RAW, hash)
        };
        Self {
            tokens: extent.tokens.iter().copied().map(ByteArray::new).collect(),
            columns: extent.columns.iter().map(cid).collect(),
        }
    }
}

impl TryFrom<Block> for Manifest {
    type Error = ManifestError;

    fn try_from(block: Block) -> Result<Self, ManifestError> {
        let protection = match (block.commitment, block.hash, block.pack) {
            (Some(commitment), None, None) => Protection::Sealed { commitment: commitment.into_array() },
            (None, Some(hash), pack) => {
                let content = if pack == Some(true) { Content::Pack } else { Content::File };
                Protection::Public { hash: hash.into_array(), content }
            }
            _ => return Err(ManifestError::Malformed),
        };
        if block.v != VERSION {
            return Err(ManifestError::Malformed);
        }
        let extents = block.extents.into_iter().map(Extent::try_from).collect::<Result<_, _>>()?;
        Ok(Self { size: block.size, code: Code { k: block.k, n: block.n }, protection, extents })
    }
}

impl TryFrom<ExtentBlock> for Extent {
    type Error = ManifestError;

    fn try_from(block: ExtentBlock) -> Result<Self, ManifestError> {
        let column = |cid: &Cid| {
            let exact = cid.version() == cid::Version::V1 && cid.codec() == RAW && cid.hash().code() == BLAKE3;
            let digest = cid.hash().digest().try_into().ok().filter(|_| exact);
            digest.map(ColumnId::new).ok_or(ManifestError::Malformed)
        };
        let columns = block.columns.iter().map(column).collect::<Result<_, _>>()?;
        Ok(Self { columns, tokens: block.tokens.into_iter().map(ByteArray::into_array).collect() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn extents(count: u32, code: Code, sealed: bool) -> Vec<Extent> {
        let columns = (0..code.n).map(|index| ColumnId::new([index; 32])).collect();
        let tokens = if sealed { (0..code.n).map(|index| [255 - index; 32]).collect() } else { Vec::new() };
        vec![Extent { columns, tokens }; usize::try_from(count).expect("small")]
    }

    fn manifest(size: u64, code: Code, sealed: bool) -> Manifest {
        let protection = match sealed {
            true => Protection::Sealed { commitment: [1; 32] },
            false => Protection::Public { hash: [2; 32], content: Content::File },
        };
        let layout = Layout::new(size, code, sealed).expect("a layout");
        Manifest { size, code, protection, extents: extents(layout.extents(), code, sealed) }
    }

    fn small(sealed: bool) -> Manifest {
        manifest(100, Code { k: 2, n: 4 }, sealed)
    }

    #[test]
    fn manifests_round_trip() {
        for manifest in [
            small(true),
            small(false),
            manifest(1 << 33, Code { k: 4, n: 12 }, true),
            manifest(0, Code { k: 1, n: 255 }, true),
        ] {
            let bytes = manifest.encode();
            assert_eq!(Manifest::decode(&bytes).as_ref(), Ok(&manifest));
            assert_eq!(Manifest::object_id(&bytes), blake3::hash(&bytes).into());
            assert_eq!(manifest.layout().size(), manifest.size);
        }
    }

    #[test]
    fn public_packs_are_marked_and_files_are_not() {
        let file = small(false);
        let pack =
            Manifest { protection: Protection::Public { hash: [2; 32], content: Content::Pack }, ..file.clone() };
        assert_eq!(Manifest::decode(&pack.encode()), Ok(pack.clone()));
        assert_eq!(replaced(&edited(&pack, b"\x64pack\xf5", b""), b"\xa7", b"\xa6"), file.encode());
        let false_pack = edited(&pack, b"\x64pack\xf5", b"\x64pack\xf4");
        assert_eq!(Manifest::decode(&false_pack), Err(ManifestError::NotCanonical));
        let sealed = replaced(&edited(&small(true), b"\xa6", b"\xa7"), b"\x64size", b"\x64pack\xf5\x64size");
        assert_eq!(Manifest::decode(&sealed), Err(ManifestError::Malformed));
    }

    #[test]
    fn the_largest_object_of_every_code_fits() {
        for (n, sealed) in (2..=255).flat_map(|n| [(n, true), (n, false)]) {
            let code = Code { k: 1 + (n - 2) / 2, n };
            let longest = Layout::longest(code, sealed).expect("a code");
            let bytes = manifest(longest.size(), code, sealed).encode();
            assert!(bytes.len() <= limits::MANIFEST, "{code}: {} bytes", bytes.len());
        }
    }

    #[test]
    fn broken_rules_are_named() {
        let check = |change: fn(&mut Manifest), expect: ManifestError| {
            let mut changed = small(true);
            change(&mut changed);
            assert_eq!(changed.check(), Err(expect));
            assert_eq!(Manifest::decode(&changed.encode()), Err(expect));
        };
        let columns = ManifestError::Columns { extent: 0, n: 4 };
        check(|manifest| manifest.extents.clear(), ManifestError::Extents { have: 0, want: 1 });
        check(
            |manifest| manifest.extents.push(manifest.extents[0].clone()),
            ManifestError::Extents { have: 2, want: 1 },
        );
        check(|manifest| manifest.size = 1 << 31, ManifestError::Extents { have: 1, want: 2 });
        check(|manifest| manifest.extents[0].columns.truncate(3), columns);
        check(|manifest| manifest.extents[0].tokens.truncate(3), columns);
        check(|manifest| manifest.extents[0].tokens.clear(), columns);
        check(|manifest| manifest.protection = Protection::Public { hash: [0; 32], content: Content::File }, columns);
        let stamped = Protection::Public { hash: [0; 32], content: Content::StampedFile };
        let public = Manifest { protection: stamped, ..small(false) };
        assert_eq!(public.check(), Err(ManifestError::Malformed));
        let none = Code { k: 4, n: 4 };
        check(|manifest| manifest.code.k = 4, ManifestError::Layout(LayoutError::Code(none)));
        let mut huge = small(true);
        huge.size = u64::MAX;
        assert!(matches!(Manifest::decode(&huge.encode()), Err(ManifestError::Layout(LayoutError::TooLarge { .. }))));
    }

    /// The bytes of `manifest` with the first `from` replaced by `to`.
    fn edited(manifest: &Manifest, from: &[u8], to: &[u8]) -> Vec<u8> {
        replaced(&manifest.encode(), from, to)
    }

    fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
        let at = bytes.windows(from.len()).position(|window| window == from).expect("it is there");
        [&bytes[..at], to, &bytes[at + from.len()..]].concat()
    }

    #[test]
    fn other_encodings_of_a_manifest_are_refused() {
        let refuse = |what: &str, bytes: &[u8]| {
            let error = Manifest::decode(bytes).expect_err(what);
            assert!(matches!(error, ManifestError::Malformed | ManifestError::NotCanonical), "{what}: {error}");
        };
        let sealed = small(true);
        let size = b"\x64size\x18\x64";
        assert_eq!(edited(&sealed, size, size), sealed.encode());
        refuse("a longer integer", &edited(&sealed, size, b"\x64size\x19\x00\x64"));
        refuse("a float", &edited(&sealed, size, b"\x64size\xfb\x40\x59\x00\x00\x00\x00\x00\x00"));
        refuse("a negative size", &edited(&sealed, size, b"\x64size\x38\x63"));
        refuse("null", &edited(&sealed, size, b"\x64size\xf6"));
        refuse("keys out of order", &edited(&sealed, b"\xa6\x61k\x02\x61n\x04", b"\xa6\x61n\x04\x61k\x02"));
        refuse("a key twice", &edited(&sealed, b"\xa6\x61k\x02", b"\xa7\x61k\x02\x61k\x02"));
        refuse("an unknown field", &edited(&sealed, b"\xa6\x61k\x02\x61n\x04", b"\xa7\x61k\x02\x61n\x04\x61o\x04"));
        refuse(
            "a deep unknown field",
            &edited(&sealed, b"\xa6\x61k\x02", &[&b"\xa7\x61a"[..], &[0x81; 100_000]].concat()),
        );
        refuse("a later version", &edited(&sealed, b"\x61v\x01", b"\x61v\x02"));
        refuse("no version", &edited(&sealed, b"\xa6\x61k\x02\x61n\x04\x61v\x01", b"\xa5\x61k\x02\x61n\x04"));
        refuse("an indefinite map", &[&edited(&sealed, b"\xa6", b"\xbf")[..], &[0xff]].concat());
        refuse("trailing bytes", &[&sealed.encode()[..], &[0]].concat());
        refuse(
            "a byte string that claims much",
            &edited(&sealed, b"\x6acommitment\x58\x20", b"\x6acommitment\x5a\xff\xff\xff\xff"),
        );
        refuse(
            "a list that claims much",
            &edited(&sealed, b"\x67columns\x84", b"\x67columns\x9b\x0f\xff\xff\xff\xff\xff\xff\xff"),
        );
        let public = small(false);
        refuse("an empty list of tokens", &edited(&public, b"\x67columns", b"\x66tokens\x80\x67columns"));
        let hash = [&b"\x64hash\x58\x20"[..], &[2; 32]].concat();
        let commitment = [&b"\x6acommitment\x58\x20"[..], &[2; 32]].concat();
        let both = [edited(&public, b"\xa6", b"\xa7"), commitment].concat();
        refuse("both protections", &both);
        refuse("no protection", &replaced(&edited(&public, b"\xa6", b"\xa5"), &hash, b""));
        for at in 0..sealed.encode().len() {
            refuse("truncated", &sealed.encode()[..at]);
        }
    }

    #[test]
    fn other_cids_are_refused() {
        let public = small(false);
        let cid = b"\xd8\x2a\x58\x25\x00\x01\x55\x1e\x20";
        assert_eq!(edited(&public, cid, cid), public.encode());
        for other in [
            &b"\xd8\x2a\x58\x25\x00\x01\x71\x1e\x20"[..], // dag-cbor
            b"\xd8\x2a\x58\x25\x00\x01\x55\x12\x20",      // SHA-256
            b"\xd8\x2a\x58\x25\x00\x01\x55\x00\x20",      // identity
            b"\xd8\x2a\x58\x25\x00\x02\x55\x1e\x20",      // version 2
            b"\xd8\x2a\x58\x25\x01\x01\x55\x1e\x20",      // another base
            b"\xd8\x2b\x58\x25\x00\x01\x55\x1e\x20",      // another tag
            b"\x58\x25\x00\x01\x55\x1e\x20",              // no tag
            b"\xd8\x2a\x58\x24\x00\x01\x55\x1e\x1f",      // a shorter hash
        ] {
            let error = Manifest::decode(&edited(&public, cid, other)).expect_err("another CID");
            assert_eq!(error, ManifestError::Malformed, "{other:02x?}");
        }
    }

    #[test]
    fn a_block_over_the_limit_is_not_read() {
        let len = limits::MANIFEST + 1;
        assert_eq!(Manifest::decode(&vec![0x81; len]), Err(ManifestError::TooLong { len }));
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same_bytes(at in any::<prop::sample::Index>(), byte: u8, sealed: bool) {
            let mut bytes = small(sealed).encode();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(manifest) = Manifest::decode(&bytes) {
                prop_assert_eq!(manifest.encode(), bytes);
            }
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Manifest::decode(&bytes).is_err());
        }
    }
}
