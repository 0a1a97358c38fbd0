//! Reading without locks: the index says where, the file is opened, and for packs the index is read again afterwards.
//!
//! While a column is read its record may be moved or deleted, and its blocks reused. The index changes before the
//! blocks do, so the bytes are the column's if the index says the same before and after. An open file has its bytes
//! whatever happens to its name.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use ostrakon_proto::{
    id::ColumnId,
    limits,
    tree::{self, Outboard, TreeBuilder, sibling_offsets},
};
use rustix::{buffer::spare_capacity, io::Errno};

use super::super::{ProvenRange, StoreError};
use super::{
    Disk, files,
    index::{Batch, ColumnRecord, Durability, Location},
    packs,
    record::{FILE_DATA, HEADER, Header, PACK_DATA, RecordKind},
    volume::{Volume, failed},
};

/// How often a read is repeated because the column was moved.
const TRIES: usize = 8;

/// A stored column, opened.
struct Opened<'a> {
    id: &'a ColumnId,
    file: File,
    path: PathBuf,
    /// The offset of its data.
    data: u64,
    column_len: u64,
}

impl Disk {
    /// A range and its siblings, as stored.
    pub(super) fn read_range(&self, id: &ColumnId, start: u64, length: u32) -> Result<ProvenRange, StoreError> {
        self.steadily(id, |record| {
            if record.damaged {
                return Err(StoreError::Corrupt { column: *id, reason: "found by scrubbing" });
            }
            let offsets = sibling_offsets(record.column_len, tree::Range { start, length })?;
            let opened = Opened::open(&self.volume, id, record)?;
            let cut = u64::from(length).min(record.column_len - start);
            let bytes = opened.read(start, cut)?.into();
            let siblings = offsets.into_iter().map(|offset| opened.sibling(offset)).collect::<Result<_, _>>()?;
            self.volume.metrics.read(cut);
            Ok(ProvenRange { bytes, siblings })
        })
    }

    /// Reads and hashes a column, and records whether it is damaged.
    pub(super) fn scrub(&self, id: &ColumnId) -> Result<(), StoreError> {
        let scrubbed = self.steadily(id, |record| Opened::open(&self.volume, id, record)?.verify());
        let damaged = match &scrubbed {
            Ok(()) => false,
            Err(StoreError::Corrupt { .. }) => true,
            Err(_) => return scrubbed,
        };
        let object = self.index.places_of(id).next().transpose()?.map(|(key, _)| key.object);
        let Some(object) = object else { return scrubbed };
        let _lock = self.column_locks.take(id, &object);
        if let Some(record) = self.index.column(id)?.filter(|record| record.damaged != damaged) {
            let mut batch = Batch::default();
            batch.put_column(id, &ColumnRecord { damaged, ..record });
            self.index.commit(batch, Durability::Unsynced)?;
        }
        scrubbed
    }

    /// Repeats `read` with a column's record until the record is the same before and after.
    fn steadily<T>(
        &self,
        id: &ColumnId,
        mut read: impl FnMut(&ColumnRecord) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut record = self.index.column(id)?.ok_or(StoreError::NotFound { column: *id })?;
        for _ in 1..TRIES {
            let result = read(&record);
            if result.is_ok() && record.location == Location::File {
                return result;
            }
            let after = self.index.column(id)?.ok_or(StoreError::NotFound { column: *id })?;
            if after == record {
                return result;
            }
            record = after;
        }
        read(&record)
    }
}

impl<'a> Opened<'a> {
    /// Opens a column and verifies its header.
    fn open(volume: &Volume, id: &'a ColumnId, record: &ColumnRecord) -> Result<Self, StoreError> {
        let (path, start, data) = match record.location {
            Location::File => (files::path_of(volume, id), 0, FILE_DATA),
            Location::Pack(piece) => (packs::path_of(volume, piece.pack), piece.offset, piece.offset + PACK_DATA),
        };
        // A file that is missing was not lost if its disk was unmounted.
        let missing = |error| volume.in_place().err().unwrap_or_else(|| unreadable(id, &path, error));
        let file = File::open(&path).map_err(missing)?;
        let opened = Self { id, file, path, data, column_len: record.column_len };
        let mut bytes = [0; HEADER];
        opened.fill(&mut bytes, start)?;
        let its_own = |header: &Header| {
            header.kind == RecordKind::Column
                && header.place.column == *id
                && header.place.column_len == record.column_len
        };
        match Header::decode(&bytes).is_some_and(|header| its_own(&header)) {
            true => Ok(opened),
            false => Err(StoreError::Corrupt { column: *id, reason: "its header does not match" }),
        }
    }

    fn fill(&self, bytes: &mut [u8], offset: u64) -> Result<(), StoreError> {
        self.file.read_exact_at(bytes, offset).map_err(|error| unreadable(self.id, &self.path, error))
    }

    /// `length` bytes of what follows the header, from `start` on.
    fn read(&self, start: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        let length = usize::try_from(length).expect("at most a chunk or an outboard");
        let mut bytes = Vec::with_capacity(length);
        // Not zeroed first: that alone was a twentieth of the cost of a node's answer.
        while bytes.len() < length {
            let at = self.data + start + u64::try_from(bytes.len()).expect("fits");
            match rustix::io::pread(&self.file, spare_capacity(&mut bytes), at) {
                Ok(0) => return Err(unreadable(self.id, &self.path, io::ErrorKind::UnexpectedEof.into())),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(unreadable(self.id, &self.path, error.into())),
            }
        }
        bytes.truncate(length);
        Ok(bytes)
    }

    fn sibling(&self, offset: u64) -> Result<[u8; 32], StoreError> {
        let mut node = [0; 32];
        self.fill(&mut node, self.data + self.column_len + offset)?;
        Ok(node)
    }

    /// Hashes all of it.
    fn verify(&self) -> Result<(), StoreError> {
        let mut tree = TreeBuilder::new();
        let chunk = u64::try_from(limits::CHUNK).expect("fits");
        let mut start = 0;
        while start < self.column_len {
            let length = chunk.min(self.column_len - start);
            tree.update(&self.read(start, length)?);
            start += length;
        }
        let (found, outboard) = tree.finish();
        if found != *self.id {
            return Err(StoreError::Corrupt { column: *self.id, reason: "its hash does not match" });
        }
        let stored = self.read(self.column_len, Outboard::len_of(self.column_len))?;
        match stored == outboard.as_bytes() {
            true => Ok(()),
            false => Err(StoreError::Corrupt { column: *self.id, reason: "its hash tree does not match" }),
        }
    }
}

/// Distinguishes errors that mean that the column is lost from temporary ones.
fn unreadable(id: &ColumnId, path: &Path, error: io::Error) -> StoreError {
    let corrupt = |reason| StoreError::Corrupt { column: *id, reason };
    match error.kind() {
        io::ErrorKind::NotFound => corrupt("its file is missing"),
        io::ErrorKind::UnexpectedEof => corrupt("its file is truncated"),
        _ if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => corrupt("the disk cannot read it"),
        _ => failed(path, error),
    }
}
