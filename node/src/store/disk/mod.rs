//! Columns on disk, durable through power loss: write, sync, rename, sync, index, sync, then acknowledge (ARCHITECTURE
//! 7).
//!
//! ```text
//! lock        one process at a time
//! incoming/   unfinished uploads; emptied at each start
//! columns/    a file for each column of 1 MiB or more       [`files`]
//! packs/      smaller columns, many to a file               [`packs`], [`rewrite`]
//! index/      RocksDB: what is where                        [`index`], rebuilt from the others by [`rebuild`]
//! ```
//! [`record`] is the format that files and packs share, [`write`] fills and empties it, [`read`] reads it,
//! [`volume`] is the disk under it all, and [`column_locks`] makes operations on one column run one after the other.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use ostrakon_net::lock;
use ostrakon_proto::{
    id::{ColumnId, ObjectId},
    wire::put::{Taken, UploadId},
};

use self::{
    column_locks::ColumnLocks,
    files::Staged,
    index::{Index, PlaceRecord},
    packs::Packs,
    volume::Volume,
};
use super::{
    ColumnInfo, Columns, PLACES, Place, PlaceKey, PlaceState, ProvenRange, StoreError, StoredPlace, Usage,
    upload::{UploadLimits, Uploads},
};
use crate::{ledger_room::LedgerRoom, metrics::StoreMetrics};

mod column_locks;
mod files;
mod index;
mod packs;
mod read;
mod rebuild;
mod record;
mod rewrite;
mod volume;
mod write;

#[cfg(test)]
mod tests;

/// Settings of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskConfig {
    /// Bytes of the disk that columns leave free; `None` is 5 % of the disk, at most 10 GiB.
    pub reserve_bytes: Option<u64>,
    /// Size of a pack in bytes.
    pub pack_bytes: u64,
    /// The most uploads that are open at a time: each large one has an open file.
    pub uploads: usize,
    /// Bytes of memory of all uploads together.
    pub held_bytes: u64,
}

impl Default for DiskConfig {
    fn default() -> Self {
        Self { reserve_bytes: None, pack_bytes: 256 << 20, uploads: 256, held_bytes: 64 << 20 }
    }
}

/// What is beside a store: who counts what it does, and whose room it leaves free.
#[derive(Clone, Debug, Default)]
pub struct Around {
    /// The counts.
    pub metrics: StoreMetrics,
    /// The room of the ledger, on whichever disk that is.
    pub room: Arc<LedgerRoom>,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it open.
    #[error("store {} is in use by another process; stop it first", dir.display())]
    InUse {
        /// The store's directory.
        dir: PathBuf,
    },
    /// The index is of another version of this program.
    #[error("store index has version {found}, which this program does not know; use the version that wrote it")]
    Version {
        /// Its version.
        found: u8,
    },
    /// The disk failed, or permissions are missing.
    #[error("store {}: {source}", path.display())]
    Io {
        /// The store's directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The index cannot be opened, though it is not damaged.
    #[error("cannot open the store index: {0}")]
    Index(#[source] rocksdb::Error),
    /// The index or a file cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Columns on disk.
#[derive(Debug)]
pub struct Disk {
    volume: Arc<Volume>,
    index: Arc<Index>,
    packs: Packs,
    column_locks: ColumnLocks,
    uploads: Uploads<Staged>,
    usage: Mutex<Usage>,
}

impl Disk {
    /// Opens the store in a directory, which is created if it is missing; rebuilds its index if that is lost.
    ///
    /// # Errors
    /// [`OpenError::InUse`] while another process has it.
    pub fn open(dir: &Path, config: DiskConfig) -> Result<Self, OpenError> {
        Self::open_beside(dir, config, Around::default())
    }

    /// As [`Disk::open`], with what is beside it.
    ///
    /// # Errors
    /// As [`Disk::open`].
    pub fn open_beside(dir: &Path, config: DiskConfig, around: Around) -> Result<Self, OpenError> {
        let volume = Arc::new(Volume::open(dir, config.reserve_bytes, around)?);
        let (index, tally) = rebuild::recover(&volume)?;
        let index = Arc::new(index);
        let packs = Packs::open(&index, &volume, tally.packs, config.pack_bytes)?;
        let uploads = Uploads::new(UploadLimits { open: config.uploads, held_bytes: config.held_bytes });
        Ok(Self { volume, index, packs, column_locks: ColumnLocks::default(), uploads, usage: Mutex::new(tally.usage) })
    }

    /// Whether writes are allowed.
    ///
    /// # Errors
    /// Why not: a write failed before, or the disk is gone.
    pub(super) fn writable(&self) -> Result<(), StoreError> {
        self.volume.writable()
    }

    /// Whether this upload is open.
    pub(super) fn has_upload(&self, upload: &UploadId) -> bool {
        self.uploads.has(upload)
    }

    /// Whether storing this place again renews what is stored here, undamaged.
    pub(super) fn renews(&self, place: &PlaceKey) -> bool {
        let has_place = self.writable().is_ok() && self.index.place(place).is_ok_and(|place| place.is_some());
        has_place && self.index.column(&place.column).is_ok_and(|column| column.is_some_and(|it| !it.damaged))
    }
}

impl Columns for Disk {
    fn begin(&self, upload: UploadId, reserve: u64) -> Result<Taken, StoreError> {
        self.volume.writable()?;
        self.uploads.begin(upload, reserve, || Staged::new(&self.volume, reserve))
    }

    fn write(&self, upload: UploadId, offset: u64, bytes: Bytes) -> Result<u64, StoreError> {
        self.uploads.write(upload, offset, bytes)
    }

    fn finish(&self, upload: UploadId, place: Place, manifest: Bytes) -> Result<(), StoreError> {
        let stored = self.store(upload, place, manifest);
        self.uploads.abort(upload);
        stored
    }

    fn abort(&self, upload: UploadId) {
        self.uploads.abort(upload);
    }

    fn column(&self, id: &ColumnId) -> Result<Option<ColumnInfo>, StoreError> {
        let Some(record) = self.index.column(id)? else { return Ok(None) };
        let token =
            |entry: Result<(PlaceKey, PlaceRecord), _>| entry.map(|(key, record)| record.stored(&key).place.token);
        let tokens = self.index.places_of(id).take(PLACES).map(token).collect::<Result<_, StoreError>>()?;
        Ok(Some(ColumnInfo { column_len: record.column_len, tokens, damaged: record.damaged }))
    }

    fn read(&self, id: &ColumnId, start: u64, length: u32) -> Result<ProvenRange, StoreError> {
        self.read_range(id, start, length)
    }

    fn manifest(&self, object: &ObjectId) -> Result<Option<Bytes>, StoreError> {
        self.index.manifest(object)
    }

    fn places(&self, after: Option<PlaceKey>, limit: usize) -> Result<Vec<StoredPlace>, StoreError> {
        let stored = |entry: Result<(PlaceKey, PlaceRecord), _>| entry.map(|(key, record)| record.stored(&key));
        self.index.places(after).take(limit).map(stored).collect()
    }

    fn set_state(&self, place: &PlaceKey, state: PlaceState) -> Result<(), StoreError> {
        self.change_state(place, state)
    }

    fn purge(&self, place: &PlaceKey, state: PlaceState) -> Result<bool, StoreError> {
        self.forget(place, state)
    }

    fn compact(&self) -> bool {
        self.rewrite_some()
    }

    fn scrub_column(&self, id: &ColumnId) -> Result<(), StoreError> {
        self.scrub(id)
    }

    fn usage(&self) -> Usage {
        let (counted, promised) = (*lock(&self.usage), self.volume.promised());
        let (size, free) = self.volume.size_and_free();
        let uploads = self.uploads.reserved_bytes();
        Usage {
            temporary_bytes: counted.temporary_bytes + uploads,
            upload_bytes: uploads,
            promised_bytes: promised,
            free_bytes: if self.writable().is_ok() { free.saturating_sub(promised) } else { 0 },
            disk_bytes: size,
            packs: self.packs.number(),
            repeated_bytes: self.uploads.repeated_bytes(),
            ..counted
        }
    }
}
