//! What a holder keeps: columns, each with the manifest that lists it, and where in which object it stands
//! (ARCHITECTURE 7).
//!
//! In come uploads, chunk after chunk; out go ranges with the hashes that prove them. [`Columns`] is what the rest of
//! the node sees: [`Disk`] keeps columns through power loss, [`Memory`] serves the simulator and breaks on command.
//! [`upload`] puts chunks in order and hashes them, for both.
//!
//! Not here: who may store or read (`serve`), and which places the ledger still pays for (retention). The store never
//! forgets a column by itself.

use std::{fmt::Debug, io, path::PathBuf, sync::Arc};

use bytes::Bytes;
use ostrakon_proto::{
    id::{ColumnId, Epoch, ObjectId},
    limits,
    tree::RangeError,
    wire::put::{Taken, UploadId},
};

mod disk;
mod memory;
#[cfg(test)]
mod samples;
mod upload;

pub use disk::{Config, Disk, OpenError};
pub use memory::{Memory, Reads};

/// Where a column stands: one column may stand in several places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceKey {
    /// The column.
    pub column: ColumnId,
    /// The object whose manifest lists it.
    pub object: ObjectId,
    /// In which extent.
    pub extent: u32,
    /// At which index.
    pub index: u8,
}

/// A column in its place, with what the holder must know about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The object whose manifest lists the column.
    pub object: ObjectId,
    /// In which extent.
    pub extent: u32,
    /// At which index.
    pub index: u8,
    /// The column.
    pub column: ColumnId,
    /// Its bytes.
    pub column_len: u64,
    /// Hash of the token that readers must show, if the object is private.
    pub token: Option<[u8; 32]>,
    /// The last epoch in which a commit may still use the draw it was stored for.
    pub expires: Epoch,
}

impl Place {
    /// Its key.
    pub fn key(&self) -> PlaceKey {
        PlaceKey { column: self.column, object: self.object, extent: self.extent, index: self.index }
    }
}

/// What the ledger wants with a place, as far as this node has followed it. After an index was rebuilt every place is
/// temporary again until retention has asked the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub enum PlaceState {
    /// No commitment names it yet.
    Temporary {
        /// The last epoch in which one still may.
        expires: Epoch,
    },
    /// A commitment pays for it.
    Committed,
    /// Nothing pays for it any more.
    Trash {
        /// Since this epoch.
        since: Epoch,
    },
}

/// A place and its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredPlace {
    /// The place; `expires` is the latest that any upload of it brought.
    pub place: Place,
    /// Its state.
    pub state: PlaceState,
}

impl StoredPlace {
    /// A place that was stored just now.
    fn new(place: Place) -> Self {
        Self { place, state: PlaceState::Temporary { expires: place.expires } }
    }

    /// The place when it is stored again: a receipt is given for it, so it must last as long as the receipt may be
    /// used.
    fn renewed(self, expires: Epoch) -> Self {
        let expires = expires.max(self.place.expires);
        let state = match self.state {
            PlaceState::Committed => PlaceState::Committed,
            PlaceState::Temporary { .. } | PlaceState::Trash { .. } => PlaceState::Temporary { expires },
        };
        Self { place: Place { expires, ..self.place }, state }
    }
}

/// What is known of a stored column without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnInfo {
    /// Its bytes.
    pub column_len: u64,
    /// The token hash of each of its places, the first [`PLACES`] of them.
    pub tokens: Vec<Option<[u8; 32]>>,
    /// Whether scrubbing found it damaged: it is not served, and the next good upload of it replaces it.
    pub damaged: bool,
}

/// Places of one column that [`ColumnInfo`] looks at: enough for any honest use, and a bound on the work of a read.
pub const PLACES: usize = 64;

/// A range of a column, with what proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The bytes, cut at the column's end.
    pub bytes: Bytes,
    /// Sibling hashes from the range's subtree up to the root.
    pub siblings: Vec<[u8; 32]>,
}

/// How full the store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Columns stored.
    pub columns: u64,
    /// Their bytes, each column once.
    pub used_bytes: u64,
    /// Bytes of columns in temporary places, once for each place.
    pub temporary_bytes: u64,
    /// Bytes of columns in trashed places, once for each place.
    pub trash_bytes: u64,
    /// Bytes promised to open uploads and not yet written.
    pub promised_bytes: u64,
    /// Bytes that new columns may still take.
    pub free_bytes: u64,
    /// Bytes of uploads that came once more than they had to, since the store was opened.
    pub repeated_bytes: u64,
}

impl Usage {
    /// Counts a place.
    fn count_in(&mut self, stored: &StoredPlace) {
        if let Some(bytes) = self.bytes_in(stored.state) {
            *bytes += stored.place.column_len;
        }
    }

    /// Counts a place no longer.
    fn count_out(&mut self, stored: &StoredPlace) {
        if let Some(bytes) = self.bytes_in(stored.state) {
            *bytes -= stored.place.column_len;
        }
    }

    fn bytes_in(&mut self, state: PlaceState) -> Option<&mut u64> {
        match state {
            PlaceState::Temporary { .. } => Some(&mut self.temporary_bytes),
            PlaceState::Trash { .. } => Some(&mut self.trash_bytes),
            PlaceState::Committed => None,
        }
    }
}

/// Why the store did not do what it was asked to.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Refuse new columns; keep serving.
    #[error("no room for {wanted} bytes: {free} are free for columns; free some disk space or lower the reserve")]
    Full {
        /// Bytes asked for.
        wanted: u64,
        /// Bytes that could be had.
        free: u64,
    },
    /// Begin it anew: it was never begun, is finished, or gave way to a newer one.
    #[error("no such upload; begin it again")]
    UnknownUpload,
    /// The uploader broke its own promise.
    #[error("upload of {length} bytes is over its reserve of {reserve}")]
    TooLong {
        /// Where the bytes would have ended.
        length: u64,
        /// Bytes reserved; [`limits::COLUMN`] at most.
        reserve: u64,
    },
    /// Send the bytes from `next` on first.
    #[error("bytes at {offset} came too early: {next} is the next one wanted")]
    TooEarly {
        /// Where the bytes began.
        offset: u64,
        /// The next byte wanted.
        next: u64,
    },
    /// The upload is no such column; it is forgotten.
    #[error("upload is column {found} of {found_len} bytes, not {column} of {column_len}")]
    Mismatch {
        /// The column it should have been.
        column: ColumnId,
        /// Its length.
        column_len: u64,
        /// What came instead.
        found: ColumnId,
        /// Its length.
        found_len: u64,
    },
    /// The manifest is not the object's; the upload is forgotten.
    #[error("manifest is not that of {object}, or over {max} bytes", max = limits::MANIFEST)]
    WrongManifest {
        /// The object named.
        object: ObjectId,
    },
    /// The reader asked for what no subtree covers.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// Ask another holder.
    #[error("column {column} is not stored here")]
    NotFound {
        /// The column.
        column: ColumnId,
    },
    /// The stored bytes are not the column; repair it from other holders.
    #[error("column {column} is damaged here: {reason}")]
    Corrupt {
        /// The column.
        column: ColumnId,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The volume takes no more writes until the node is restarted; reads go on.
    #[error("the disk failed to make a write durable; restart the node once the disk is healthy")]
    Poisoned,
    /// The disk failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The index failed.
    #[error("store index: {source}")]
    Index {
        /// What RocksDB said.
        #[from]
        source: rocksdb::Error,
    },
    /// The index holds what no version of this program writes; delete it, and it is rebuilt at the next start.
    #[error(
        "store index has an unreadable record; stop the node, delete the directory `index` of the store, and start it"
    )]
    BadRecord,
}

/// The columns that a holder keeps. Every method may block on the disk; call them from a pool for blocking work.
///
/// ## Durability
/// When `finish` returns, the column, its place and its manifest survive power loss; nothing is promised before.
///
/// ## Visibility
/// A column is served only when all of it was hashed and found to be what its name says.
pub trait Columns: Send + Sync + Debug + 'static {
    /// Begins an upload of at most `reserve` bytes, or resumes it; tells what came of it already.
    ///
    /// When too many uploads are open, the one longest untouched is forgotten.
    ///
    /// # Errors
    /// [`StoreError::Full`] when there is no room for it, [`StoreError::TooLong`] over [`limits::COLUMN`].
    fn begin(&self, upload: UploadId, reserve: u64) -> Result<Taken, StoreError>;

    /// Takes bytes of an upload; tells the next byte wanted. What came already is ignored.
    ///
    /// # Errors
    /// [`StoreError::TooEarly`] when too much is missing before them; then send that first.
    fn write(&self, upload: UploadId, offset: u64, bytes: Bytes) -> Result<u64, StoreError>;

    /// Makes the upload a stored column in this place; once it is stored, doing so again succeeds without an upload.
    /// A later `expires` is kept, and a place in the trash becomes temporary again.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] when the bytes are not the column. After any error the upload is forgotten.
    fn finish(&self, upload: UploadId, place: Place, manifest: Bytes) -> Result<(), StoreError>;

    /// Forgets an upload.
    fn abort(&self, upload: UploadId);

    /// What is known of a column; `None` when it is not stored.
    ///
    /// # Errors
    /// When the index fails.
    fn column(&self, id: &ColumnId) -> Result<Option<ColumnInfo>, StoreError>;

    /// Reads a range, not verified: `length` is [`limits::GROUP`] times a power of two, at most [`limits::CHUNK`], and
    /// `start` a multiple of it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Range`], or [`StoreError::Corrupt`] when the damage is plain.
    fn read(&self, id: &ColumnId, start: u64, length: u32) -> Result<Range, StoreError>;

    /// The manifest of an object of which some column is stored.
    ///
    /// # Errors
    /// When the index fails.
    fn manifest(&self, object: &ObjectId) -> Result<Option<Bytes>, StoreError>;

    /// Up to `limit` places in the order of their keys, from the one after `after` on.
    ///
    /// # Errors
    /// When the index fails.
    fn places(&self, after: Option<PlaceKey>, limit: usize) -> Result<Vec<StoredPlace>, StoreError>;

    /// Changes the state of a place.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such place.
    fn set_state(&self, place: &PlaceKey, state: PlaceState) -> Result<(), StoreError>;

    /// Forgets a place for good; with its last place the column goes, with an object's last place the manifest. No
    /// error when there is no such place.
    ///
    /// # Errors
    /// When the index fails.
    fn purge(&self, place: &PlaceKey) -> Result<(), StoreError>;

    /// Reads and hashes a whole column; remembers when it is damaged.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it is not what its name says.
    fn scrub_column(&self, id: &ColumnId) -> Result<(), StoreError>;

    /// How full the store is.
    fn usage(&self) -> Usage;
}
