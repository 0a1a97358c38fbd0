//! The store of a holder: columns, each with the manifest that lists it and its places in objects (ARCHITECTURE 7).
//!
//! In come uploads, chunk by chunk; out go ranges with the hashes that prove them. [`Columns`] is the trait that the
//! rest of the node uses: [`Volumes`] spreads columns over disks, each of which is a [`Disk`] that stores them durably;
//! [`Memory`] serves the simulator and fails on command. [`upload`] puts chunks in order and hashes them, for both.
//!
//! Not here: who may store or read (`serve`), and which places the ledger still pays for (`retention`). The store never
//! deletes a column by itself.

use std::{fmt::Debug, io, path::PathBuf, sync::Arc};

use bytes::Bytes;
use ostrakon_proto::{
    id::{ColumnId, Epoch, ObjectId},
    limits,
    manifest::Manifest,
    tree::{Outboard, RangeError},
    wire::put::{Taken, UploadId},
};

mod disk;
mod memory;
#[cfg(test)]
mod samples;
mod upload;
mod volumes;

pub use disk::{Around, Disk, DiskConfig, OpenError};
pub use memory::{Memory, Reads};
pub use volumes::{
    IDENTITY_FILE, InvalidVolumeId, ListedVolume, STORE_DIR, VOLUMES_FILE, VolumeId, VolumeIdentity, VolumeList,
    VolumeListError, VolumeProblem, VolumeState, VolumeStatus, Volumes,
};

/// A place of a column in an object; one column may have several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceKey {
    /// The column.
    pub column: ColumnId,
    /// The object whose manifest lists it.
    pub object: ObjectId,
    /// The extent's number in the object.
    pub extent: u32,
    /// The column's index in the extent.
    pub index: u8,
}

/// A place, with what the holder must know about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The object whose manifest lists the column.
    pub object: ObjectId,
    /// The extent's number in the object.
    pub extent: u32,
    /// The column's index in the extent.
    pub index: u8,
    /// The column.
    pub column: ColumnId,
    /// The column's length in bytes.
    pub column_len: u64,
    /// Bytes of the object's manifest, which is stored with the column.
    pub manifest_len: u32,
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

    /// Whether these bytes are the manifest of its object.
    fn is_listed_by(&self, manifest: &[u8]) -> bool {
        let fits = manifest.len() <= limits::MANIFEST && u64::from(self.manifest_len) == length_of(manifest);
        fits && Manifest::object_id(manifest) == self.object
    }

    /// Bytes of disk that it uses at most: a record of whole pages with column, hashes and manifest, and the manifest
    /// in the index.
    pub fn disk_bytes(&self) -> u64 {
        let (page, manifest) = (4096, u64::from(self.manifest_len));
        let record = page + self.column_len + Outboard::len_of(self.column_len) + manifest;
        record.next_multiple_of(page) + manifest
    }
}

/// The state of a place by the ledger, as far as this node has followed it. After an index was rebuilt every place is
/// temporary until retention has checked the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub enum PlaceState {
    /// No commitment names it yet.
    Temporary {
        /// The last epoch in which one may.
        expires: Epoch,
    },
    /// A commitment pays for it.
    Committed,
    /// No commitment pays for it any more; it is deleted later.
    Trash {
        /// The first epoch in the trash.
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
    /// A place that is stored now.
    fn new(place: Place) -> Self {
        Self { place, state: PlaceState::Temporary { expires: place.expires } }
    }

    /// The place when it is stored again: a receipt is signed for it, so it must last as long as the receipt is valid.
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
    /// Its length in bytes.
    pub column_len: u64,
    /// The token hash of each of its places, the first [`PLACES`] of them.
    pub tokens: Vec<Option<[u8; 32]>>,
    /// Whether scrubbing found it damaged: it is not served, and the next good upload of it replaces it.
    pub damaged: bool,
}

/// Places of one column that [`ColumnInfo`] looks at: enough for any honest use, and a bound on the work of a read.
pub const PLACES: usize = 64;

/// A range of a column, with its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenRange {
    /// The bytes, up to the column's end.
    pub bytes: Bytes,
    /// Sibling hashes from the range's subtree up to the root.
    pub siblings: Vec<[u8; 32]>,
}

fn length_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("fits")
}

/// How full the store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Usage {
    /// Columns stored.
    pub columns: u64,
    /// Their bytes, each column once.
    pub used_bytes: u64,
    /// Bytes of disk that temporary places use, each with its column, and open uploads may use.
    pub temporary_bytes: u64,
    /// Bytes of these that are for open uploads: the most that they may have.
    pub upload_bytes: u64,
    /// Bytes of disk that trashed places use, each with its column.
    pub trash_bytes: u64,
    /// Bytes reserved for open uploads and not yet written.
    pub promised_bytes: u64,
    /// Bytes free for new columns.
    pub free_bytes: u64,
    /// Size of the disk in bytes, whatever is on it.
    pub disk_bytes: u64,
    /// Packs of small columns.
    #[serde(default)]
    pub packs: u64,
    /// Bytes of uploads that were received more than once, since the store was opened.
    pub repeated_bytes: u64,
}

impl Usage {
    /// Of two stores together.
    fn plus(self, other: Self) -> Self {
        Self {
            columns: self.columns + other.columns,
            used_bytes: self.used_bytes + other.used_bytes,
            temporary_bytes: self.temporary_bytes + other.temporary_bytes,
            upload_bytes: self.upload_bytes + other.upload_bytes,
            trash_bytes: self.trash_bytes + other.trash_bytes,
            promised_bytes: self.promised_bytes + other.promised_bytes,
            free_bytes: self.free_bytes.saturating_add(other.free_bytes),
            disk_bytes: self.disk_bytes.saturating_add(other.disk_bytes),
            packs: self.packs + other.packs,
            repeated_bytes: self.repeated_bytes + other.repeated_bytes,
        }
    }

    /// Counts a place.
    fn count_in(&mut self, stored: &StoredPlace) {
        if let Some(bytes) = self.bytes_in(stored.state) {
            *bytes += stored.place.disk_bytes();
        }
    }

    /// Removes a place from the counts.
    fn count_out(&mut self, stored: &StoredPlace) {
        if let Some(bytes) = self.bytes_in(stored.state) {
            *bytes -= stored.place.disk_bytes();
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

/// Why an operation of the store failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Refuse new columns; keep serving.
    #[error(
        "not enough disk space for {wanted} bytes: {free} are free; free some, or lower `disk_reserve_bytes` or \
         `ledger_budget_bytes`"
    )]
    Full {
        /// Bytes asked for.
        wanted: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// It was never opened, is finished, or was evicted by a newer one.
    #[error("unknown upload; open it again")]
    UnknownUpload,
    /// The upload is longer than announced.
    #[error("upload of {length} bytes exceeds the {reserve} bytes that were reserved")]
    TooLong {
        /// Where the bytes would have ended.
        length: u64,
        /// Bytes reserved; [`limits::COLUMN`] at most.
        reserve: u64,
    },
    /// Send the bytes from `next` on first.
    #[error("chunk at byte {offset} arrived too early: send the bytes from {next} on first")]
    TooEarly {
        /// The chunk's first byte.
        offset: u64,
        /// The next byte expected.
        next: u64,
    },
    /// The upload is a different column; it is dropped.
    #[error("upload is column {found} of {found_len} bytes, but the manifest lists {column} of {column_len} bytes")]
    Mismatch {
        /// The column that was expected.
        column: ColumnId,
        /// Its length.
        column_len: u64,
        /// The column that was uploaded.
        found: ColumnId,
        /// Its length.
        found_len: u64,
    },
    /// The manifest is not the object's; the upload is dropped.
    #[error("manifest does not belong to object {object}, or is larger than {max} bytes", max = limits::MANIFEST)]
    WrongManifest {
        /// The object.
        object: ObjectId,
    },
    /// The range is not one that a subtree covers.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// Ask another holder.
    #[error("column {column} is not stored on this node")]
    NotFound {
        /// The column.
        column: ColumnId,
    },
    /// The stored bytes are not the column; repair it from other holders.
    #[error("column {column} is damaged on this node: {reason}")]
    Corrupt {
        /// The column.
        column: ColumnId,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The caller that wrote this with others' columns panicked, which is a bug: upload it again.
    #[error("a write to disk was interrupted by a bug; upload the column again")]
    Interrupted,
    /// A write was not made durable: nothing is written until the node is restarted; reads continue.
    #[error("a write to a volume failed, so it is read-only; repair its disk and restart the node")]
    Poisoned,
    /// The disk is not mounted any more where it was: nothing is written there.
    #[error("the volume at {} was unmounted: mount it again and restart the node", path.display())]
    Gone {
        /// The volume's directory.
        path: PathBuf,
    },
    /// Ask another holder.
    #[error("this node cannot tell whether it stores that: one of its volumes is missing; use another holder")]
    Unavailable,
    /// Ask again later, or another holder.
    #[error("this node has just started and is still opening its volumes: try again later, or use another holder")]
    Opening,
    /// Ask another node.
    #[error("this node has no volume that takes columns: use another node")]
    NoVolume,
    /// The disk failed.
    #[error("cannot read or write {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: Arc<io::Error>,
    },
    /// The index failed.
    #[error("store index failed: {source}")]
    Index {
        /// The error of RocksDB.
        #[from]
        source: rocksdb::Error,
    },
    /// The index holds what no version of this program writes.
    #[error("store index has an unreadable record: stop the node, delete `store/index`, and start it to rebuild it")]
    BadRecord,
}

/// The columns of a holder. Every method may block on the disk; call them from a pool for blocking work. Any may fail
/// with [`StoreError::Opening`] for some time after the start.
///
/// ## Durability
/// When `finish` returns, the column, its place and its manifest survive power loss; before, nothing is guaranteed.
///
/// ## Visibility
/// A column is served only after all of it was hashed and matched its id.
pub trait Columns: Send + Sync + Debug + 'static {
    /// Opens an upload of at most `reserve` bytes, or resumes it; returns what was received already.
    ///
    /// When too many uploads are open, the least recently used one is dropped.
    ///
    /// # Errors
    /// [`StoreError::Full`] when there is no space for it, [`StoreError::TooLong`] over [`limits::COLUMN`].
    fn begin(&self, upload: UploadId, reserve: u64) -> Result<Taken, StoreError>;

    /// Adds bytes to an upload; returns the next byte expected. What was received already is ignored.
    ///
    /// # Errors
    /// [`StoreError::TooEarly`] when too much is missing before them; then send that first.
    fn write(&self, upload: UploadId, offset: u64, bytes: Bytes) -> Result<u64, StoreError>;

    /// Makes the upload a stored column in this place; once it is stored, doing so again succeeds without an upload.
    /// The later `expires` counts, and a place in the trash becomes temporary again.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] when the bytes are not the column. After any error the upload is dropped.
    fn finish(&self, upload: UploadId, place: Place, manifest: Bytes) -> Result<(), StoreError>;

    /// Drops an upload.
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
    /// [`StoreError::NotFound`], [`StoreError::Range`], or [`StoreError::Corrupt`] when the column is known to be
    /// damaged.
    fn read(&self, id: &ColumnId, start: u64, length: u32) -> Result<ProvenRange, StoreError>;

    /// The manifest of an object of which a column is stored.
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

    /// Deletes a place if it is in this state: with its last place the column, with an object's last the manifest.
    /// Whether there is no such place any more: one that was stored again meanwhile stays.
    ///
    /// # Errors
    /// When the index fails.
    fn purge(&self, place: &PlaceKey, state: PlaceState) -> Result<bool, StoreError>;

    /// Does a part of the work that nobody waits for: gives back what is left of deleted columns, and moves columns off
    /// a volume that is drained. Whether there is more to do.
    fn compact(&self) -> bool;

    /// Reads and hashes a whole column; records whether it is damaged.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it does not match its id.
    fn scrub_column(&self, id: &ColumnId) -> Result<(), StoreError>;

    /// Whether a part of it is not open yet: what is there is answered by [`StoreError::Opening`].
    fn is_opening(&self) -> bool {
        false
    }

    /// How full the store is.
    fn usage(&self) -> Usage;
}
