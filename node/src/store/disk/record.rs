//! How a column lies in a file or a pack: header, data, outboard, manifest.
//!
//! ```text
//! file   | header, padded to 4 KiB | data | outboard | manifest |
//! pack   | header of 256 bytes     | data | outboard | manifest | zeros to the next 4 KiB |  next record ...
//! note   | header of 256 bytes                       | manifest | zeros to the next 4 KiB |
//! ```
//! A note is a further place of a column that is stored already, or a place renewed. The header alone says where
//! everything is, and carries its own checksum, so that the index can be rebuilt from headers. Whether the data is what
//! the header says is for the column's hash to tell.

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
/// Where data begins in a file: files are read and written by pages.
pub(super) const FILE_DATA: u64 = 4096;
/// Where data begins after the start of a pack's record.
pub(super) const PACK_DATA: u64 = 256;
/// Records of a pack begin at multiples of this: what a hole can be punched into.
pub(super) const ALIGN: u64 = 4096;

const MAGIC: &[u8; 12] = b"ostrakon\0\x01\0\0";
/// Where the checksum begins: it is over everything before it.
const CHECKED: usize = HEADER - 32;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) enum Kind {
    /// A column with one place of it.
    Column,
    /// One more place of a column, or one renewed.
    Note,
}

/// The header of a record: everything but the bytes themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// What the record is.
    pub(super) kind: Kind,
    /// The place that it was stored for.
    pub(super) place: Place,
    /// Bytes of the manifest.
    pub(super) manifest_len: u32,
}

/// A header's fields as they are written.
#[derive(BorshSerialize, BorshDeserialize)]
struct Written {
    kind: Kind,
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
        let Place { object, extent, index, column, column_len, token, expires } = self.place;
        let (kind, manifest_len) = (self.kind, self.manifest_len);
        let written = Written { kind, column, column_len, object, extent, index, token, expires, manifest_len };
        let fields = codec::encode(&written);
        let mut bytes = [0; HEADER];
        bytes[..MAGIC.len()].copy_from_slice(MAGIC);
        bytes[MAGIC.len()..MAGIC.len() + fields.len()].copy_from_slice(&fields);
        let sum = checksum(&bytes);
        bytes[CHECKED..].copy_from_slice(&sum);
        bytes
    }

    /// The header that these bytes are; `None` when they are torn, of another kind, or impossible.
    pub(super) fn decode(bytes: &[u8; HEADER]) -> Option<Self> {
        if !bytes.starts_with(MAGIC) || bytes[CHECKED..] != checksum(bytes) {
            return None;
        }
        let mut fields = &bytes[MAGIC.len()..CHECKED];
        let Written { kind, column, column_len, object, extent, index, token, expires, manifest_len } =
            Written::deserialize(&mut fields).ok()?;
        let possible = column_len <= limits::COLUMN
            && usize::try_from(manifest_len).is_ok_and(|length| length <= limits::MANIFEST);
        let place = Place { object, extent, index, column, column_len, token, expires };
        possible.then_some(Self { kind, place, manifest_len })
    }

    /// Bytes of data and outboard that follow the header.
    pub(super) fn stored_len(&self) -> u64 {
        match self.kind {
            Kind::Column => self.place.column_len + Outboard::len_of(self.place.column_len),
            Kind::Note => 0,
        }
    }

    /// Bytes of a file with this record.
    pub(super) fn file_len(&self) -> u64 {
        FILE_DATA + self.stored_len() + u64::from(self.manifest_len)
    }

    /// Bytes that this record takes of a pack.
    pub(super) fn pack_len(&self) -> u64 {
        (PACK_DATA + self.stored_len() + u64::from(self.manifest_len)).next_multiple_of(ALIGN)
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
        for kind in [Kind::Column, Kind::Note] {
            for seed in [1, 2] {
                let header = Header { kind, place: Sample::new(seed, 4096).place, manifest_len: 9 };
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
            let header = Header { kind: Kind::Column, place: Place { column_len, ..place }, manifest_len };
            assert_eq!(Header::decode(&header.encode()).is_some(), expect, "{column_len} {manifest_len}");
        };
        check(limits::COLUMN, 1 << 20, true);
        check(limits::COLUMN + 1, 9, false);
        check(64, (1 << 20) + 1, false);
    }

    #[test]
    fn records_fill_whole_pages() {
        let header = Header { kind: Kind::Column, place: Sample::new(1, 64).place, manifest_len: 9 };
        assert_eq!((header.pack_len(), header.file_len()), (4096, 4096 + 64 + 9));
        let note = Header { kind: Kind::Note, manifest_len: 4096, ..header };
        assert_eq!(note.pack_len(), 8192);
    }
}
