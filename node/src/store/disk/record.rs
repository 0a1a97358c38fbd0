//! The format of a column in a file or a pack: header, data, outboard, manifest.
//!
//! ```text
//! file   | header, padded to 4 KiB | data | outboard | manifest |
//! pack   | header of 256 bytes     | data | outboard | manifest | zeros to the next 4 KiB |  next record ...
//! note   | header of 256 bytes                       | manifest | zeros to the next 4 KiB |
//! ```
//! A note is another place of a stored column, or a renewed one. The header says where everything is, and has a
//! checksum of its own, so that the index can be rebuilt from headers. The column's hash verifies the data.

use borsh::{BorshDeserialize, BorshSerialize};
use ostrakon_proto::{
    codec,
    id::{ColumnId, Epoch, ObjectId},
    limits,
    tree::{Outboard, chunk_node},
};

use super::super::Place;

/// Bytes of a header.
pub(super) const HEADER: usize = 256;
/// Offset of the data in a file: files are read and written by pages.
pub(super) const FILE_DATA: u64 = 4096;
/// Offset of the data in a pack's record.
pub(super) const PACK_DATA: u64 = 256;
/// Records of a pack start at multiples of this: the unit in which holes are punched.
pub(super) const ALIGN: u64 = 4096;

const MAGIC: &[u8; 12] = b"ostrakon\0\x01\0\0";
/// Offset of the checksum, which is over everything before it.
const CHECKED: usize = HEADER - 32;

/// The kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) enum RecordKind {
    /// A column with one place of it.
    Column,
    /// Another place of a column, or a renewed one.
    Note,
}

/// The header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The kind of the record.
    pub(super) kind: RecordKind,
    /// The place that it was stored for.
    pub(super) place: Place,
}

/// A header's fields in the order of their encoding.
#[derive(BorshSerialize, BorshDeserialize)]
struct Written {
    kind: RecordKind,
    column: ColumnId,
    column_len: u64,
    object: ObjectId,
    extent: u32,
    index: u8,
    token: Option<[u8; 32]>,
    expires: Epoch,
    manifest_len: u32,
}

impl Header {
    /// Its 256 bytes.
    pub(super) fn encode(&self) -> [u8; HEADER] {
        let Place { object, extent, index, column, column_len, manifest_len, token, expires } = self.place;
        let kind = self.kind;
        let written = Written { kind, column, column_len, object, extent, index, token, expires, manifest_len };
        let fields = codec::encode(&written);
        let mut bytes = [0; HEADER];
        bytes[..MAGIC.len()].copy_from_slice(MAGIC);
        bytes[MAGIC.len()..MAGIC.len() + fields.len()].copy_from_slice(&fields);
        let sum = checksum(&bytes);
        bytes[CHECKED..].copy_from_slice(&sum);
        bytes
    }

    /// The header in these bytes; `None` when they are torn, something else, or out of bounds.
    pub(super) fn decode(bytes: &[u8; HEADER]) -> Option<Self> {
        if !bytes.starts_with(MAGIC) || bytes[CHECKED..] != checksum(bytes) {
            return None;
        }
        let mut fields = &bytes[MAGIC.len()..CHECKED];
        let Written { kind, column, column_len, object, extent, index, token, expires, manifest_len } =
            Written::deserialize(&mut fields).ok()?;
        let possible = column_len <= limits::COLUMN
            && usize::try_from(manifest_len).is_ok_and(|length| length <= limits::MANIFEST);
        let place = Place { object, extent, index, column, column_len, manifest_len, token, expires };
        possible.then_some(Self { kind, place })
    }

    /// Bytes of data and outboard that follow the header.
    pub(super) fn stored_len(&self) -> u64 {
        match self.kind {
            RecordKind::Column => self.place.column_len + Outboard::len_of(self.place.column_len),
            RecordKind::Note => 0,
        }
    }

    /// Bytes of a file with this record.
    pub(super) fn file_len(&self) -> u64 {
        FILE_DATA + self.stored_len() + u64::from(self.place.manifest_len)
    }

    /// Bytes of this record in a pack.
    pub(super) fn pack_len(&self) -> u64 {
        (PACK_DATA + self.stored_len() + u64::from(self.place.manifest_len)).next_multiple_of(ALIGN)
    }
}

/// BLAKE3 of what the checksum covers.
fn checksum(bytes: &[u8; HEADER]) -> [u8; 32] {
    let checked = &bytes[..CHECKED];
    chunk_node(u64::try_from(checked.len()).expect("fits"), 0, checked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::samples::Sample;

    #[test]
    fn a_header_is_read_back_and_any_flipped_bit_is_seen() {
        for kind in [RecordKind::Column, RecordKind::Note] {
            for seed in [1, 2] {
                let header = Header { kind, place: Sample::new(seed, 4096).place };
                let bytes = header.encode();
                assert_eq!(Header::decode(&bytes), Some(header));
                for bit in 0..HEADER * 8 {
                    let mut flipped = bytes;
                    flipped[bit / 8] ^= 1 << (bit % 8);
                    assert_eq!(Header::decode(&flipped), None, "bit {bit}");
                }
            }
        }
        assert_eq!(Header::decode(&[0; HEADER]), None);
    }

    #[test]
    fn impossible_lengths_are_refused() {
        let place = Sample::new(1, 64).place;
        let check = |column_len, manifest_len, expect: bool| {
            let header = Header { kind: RecordKind::Column, place: Place { column_len, manifest_len, ..place } };
            assert_eq!(Header::decode(&header.encode()).is_some(), expect, "{column_len} {manifest_len}");
        };
        check(limits::COLUMN, 1 << 20, true);
        check(limits::COLUMN + 1, 9, false);
        check(64, (1 << 20) + 1, false);
    }

    #[test]
    fn records_fill_whole_pages() {
        let place = Place { manifest_len: 9, ..Sample::new(1, 64).place };
        let header = Header { kind: RecordKind::Column, place };
        assert_eq!((header.pack_len(), header.file_len()), (4096, 4096 + 64 + 9));
        assert_eq!(place.disk_bytes(), 8192 + 9, "as a file, and the manifest in the index");
        let note = Header { kind: RecordKind::Note, place: Place { manifest_len: 4096, ..place } };
        assert_eq!(note.pack_len(), 8192);
    }
}
