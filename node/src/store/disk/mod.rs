//! Columns on disk, through power loss (ARCHITECTURE 7; the rules are those of a storage node: write, sync, name, sync,
//! index, sync, then acknowledge).
//!
//! ```text
//! lock        one process at a time
//! incoming/   unfinished uploads; emptied at each start
//! columns/    a file for each column of 1 MiB or more       [`files`]
//! packs/      smaller columns, many to a file               [`packs`], [`rewrite`]
//! index/      RocksDB: what is where                        [`index`], built anew from the others by [`rebuild`]
//! ```
//! [`record`] is the format that files and packs share, [`write`] fills and empties it, [`read`] reads it,
//! [`volume`] is the disk under it all, and [`claims`] keeps two operations on one column apart.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use ostrakon_proto::{
    id::{ColumnId, ObjectId},
    wire::put::{Taken, UploadId},
};

use self::{
    claims::Claims,
    files::Staged,
    index::{Index, PlaceRecord},
    packs::Packs,
    volume::Volume,
};
use super::{
    ColumnInfo, Columns, PLACES, Place, PlaceKey, PlaceState, Range, StoreError, StoredPlace, Usage,
    upload::{Bounds, Uploads},
};

mod claims;
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

/// What may be set of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bytes of the disk that columns leave free; without it 5 %, at most 10 GiB.
    pub keep_free: Option<u64>,
    /// Bytes of a pack.
    pub pack_bytes: u64,
    /// Uploads open at once: each large one keeps a file open.
    pub uploads: usize,
    /// Bytes that uploads hold in memory, all together.
    pub held_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { keep_free: None, pack_bytes: 256 << 20, uploads: 256, held_bytes: 64 << 20 }
    }
}

/// Why a store did not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Stop the other process.
    #[error("store {} is in use by another process: a store has one node", dir.display())]
    InUse {
        /// The store's directory.
        dir: PathBuf,
    },
    /// The index is of another version of this program.
    #[error("store index has version {found}, which this program does not know: use the program that wrote it")]
    Version {
        /// Its version.
        found: u8,
    },
    /// The disk failed, or does not allow it.
    #[error("store {}: {source}", path.display())]
    Io {
        /// The store's directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The index can neither be opened nor is it damaged.
    #[error("store index: {0}")]
    Index(#[source] rocksdb::Error),
    /// Taking stock failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Columns on disk.
#[derive(Debug)]
pub struct Disk {
    volume: Arc<Volume>,
    index: Arc<Index>,
    packs: Packs,
    claims: Claims,
    uploads: Uploads<Staged>,
    usage: Mutex<Usage>,
}

impl Disk {
    /// Opens the store in a directory, which is made if it is missing; builds its index anew if that is lost.
    ///
    /// # Errors
    /// [`OpenError::InUse`] while another process has it.
    pub fn open(dir: &Path, config: Config) -> Result<Self, OpenError> {
        let volume = Arc::new(Volume::open(dir, config.keep_free)?);
        let (index, stock) = rebuild::recover(&volume)?;
        let index = Arc::new(index);
        let packs = Packs::open(&index, &volume, stock.packs, config.pack_bytes)?;
        let uploads = Uploads::new(Bounds { open: config.uploads, held_bytes: config.held_bytes });
        Ok(Self { volume, index, packs, claims: Claims::default(), uploads, usage: Mutex::new(stock.usage) })
    }

    fn usage_lock(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().expect("no holder of this lock panics")
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
        self.tidy(stored?);
        Ok(())
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

    fn read(&self, id: &ColumnId, start: u64, length: u32) -> Result<Range, StoreError> {
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

    fn purge(&self, place: &PlaceKey) -> Result<(), StoreError> {
        let sparse = self.forget(place)?;
        self.tidy(sparse);
        Ok(())
    }

    fn scrub_column(&self, id: &ColumnId) -> Result<(), StoreError> {
        self.scrub(id)
    }

    fn usage(&self) -> Usage {
        let (counted, promised) = (*self.usage_lock(), self.volume.promised());
        let free_bytes = self.volume.free().saturating_sub(promised);
        Usage { promised_bytes: promised, free_bytes, repeated_bytes: self.uploads.repeated_bytes(), ..counted }
    }
}
