//! The index: what is stored and where, in RocksDB. It holds nothing that files and packs do not, except the states of
//! places, which the ledger determines again.
//!
//! ```text
//! v                                             -> version; written last: an index without it is incomplete
//! c column                                      -> ColumnRecord
//! p column object extent index                  -> PlaceRecord
//! o object column extent index                  -> (nothing): finds the places of an object
//! m object                                      -> manifest
//! ```

use std::{path::Path, sync::Arc};

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use ostrakon_proto::{
    codec,
    id::{ColumnId, Epoch, Id, ObjectId},
};
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBRecoveryMode, Direction, IteratorMode, LogLevel, Options,
    ReadOptions, WriteBatch, WriteOptions,
};
use tokio::time::Instant;

use super::super::{Place, PlaceKey, PlaceState, StoreError, StoredPlace};
use super::{
    OpenError,
    volume::{Volume, remove_dir},
};
use crate::metrics::Synced;

const VERSION: u8 = 2;
const VERSION_KEY: &[u8] = b"v";
/// The most bytes of a record: all are far smaller.
const RECORD_MAX: usize = 512;

/// The position of a record in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Piece {
    /// The pack's number.
    pub(super) pack: u32,
    /// Its first byte in the pack.
    pub(super) offset: u64,
    /// Its length in bytes.
    pub(super) length: u64,
}

/// Where a column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) enum Location {
    /// In a file of its own.
    File,
    /// In a pack.
    Pack(Piece),
}

/// A stored column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct ColumnRecord {
    /// Its length in bytes.
    pub(super) column_len: u64,
    /// Where it is.
    pub(super) location: Location,
    /// Whether scrubbing found it damaged.
    pub(super) damaged: bool,
}

/// A place of a stored column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct PlaceRecord {
    /// The column's length in bytes.
    pub(super) column_len: u64,
    /// Bytes of the object's manifest.
    pub(super) manifest_len: u32,
    /// Hash of the token that readers must show.
    pub(super) token: Option<[u8; 32]>,
    /// The latest of all uploads of it.
    pub(super) expires: Epoch,
    /// Its state.
    pub(super) state: PlaceState,
    /// Its note in a pack, when the column's own record is of another place.
    pub(super) note: Option<Piece>,
}

impl PlaceRecord {
    /// The record of a place.
    pub(super) fn new(stored: &StoredPlace, note: Option<Piece>) -> Self {
        let Place { column_len, manifest_len, token, expires, .. } = stored.place;
        Self { column_len, manifest_len, token, expires, state: stored.state, note }
    }

    /// The place of this record.
    pub(super) fn stored(&self, key: &PlaceKey) -> StoredPlace {
        let PlaceKey { column, object, extent, index } = *key;
        let Self { column_len, manifest_len, token, expires, state, .. } = *self;
        let place = Place { object, extent, index, column, column_len, manifest_len, token, expires };
        StoredPlace { place, state }
    }
}

/// Changes that become durable together.
#[derive(Default)]
pub(super) struct Batch(WriteBatch);

impl Batch {
    pub(super) fn put_column(&mut self, id: &ColumnId, record: &ColumnRecord) {
        self.0.put(id_key(b'c', id), codec::encode(record));
    }

    pub(super) fn delete_column(&mut self, id: &ColumnId) {
        self.0.delete(id_key(b'c', id));
    }

    pub(super) fn put_place(&mut self, key: &PlaceKey, record: &PlaceRecord) {
        self.0.put(place_key(key), codec::encode(record));
        self.0.put(object_key(key), []);
    }

    pub(super) fn delete_place(&mut self, key: &PlaceKey) {
        self.0.delete(place_key(key));
        self.0.delete(object_key(key));
    }

    pub(super) fn put_manifest(&mut self, object: &ObjectId, manifest: &[u8]) {
        self.0.put(id_key(b'm', object), manifest);
    }

    pub(super) fn delete_manifest(&mut self, object: &ObjectId) {
        self.0.delete(id_key(b'm', object));
    }
}

/// How durable a change must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// It survives power loss.
    Synced,
    /// It survives the process, and power loss once a later change is synced.
    Unsynced,
}

/// The open index.
#[derive(Debug)]
pub(super) struct Index {
    db: DB,
    volume: Arc<Volume>,
}

impl Index {
    /// Opens the index; `None` when it is missing, incomplete or damaged.
    pub(super) fn open(volume: &Arc<Volume>) -> Result<Option<Self>, OpenError> {
        let db = match DB::open(&options(), volume.path("index")) {
            Ok(db) => db,
            Err(error) if is_loss(&error) => {
                tracing::warn!(%error, "store index is damaged; rebuilding it");
                return Ok(None);
            }
            Err(error) => return Err(OpenError::Index(error)),
        };
        let index = Self { db, volume: Arc::clone(volume) };
        let version = index.db.get(VERSION_KEY);
        match version {
            Ok(Some(version)) if *version == [VERSION] => Ok(Some(index)),
            Ok(Some(version)) => Err(OpenError::Version { found: version.first().copied().unwrap_or_default() }),
            Ok(None) => Ok(None),
            Err(error) if is_loss(&error) => Ok(None),
            Err(error) => Err(OpenError::Index(error)),
        }
    }

    /// Replaces the index by an empty one, which is incomplete until [`Self::complete`].
    pub(super) fn create(volume: &Arc<Volume>) -> Result<Self, OpenError> {
        let path = volume.path("index");
        remove_dir(&path).map_err(|source| OpenError::Io { path: path.clone(), source })?;
        let db = DB::open(&options(), &path).map_err(OpenError::Index)?;
        volume.sync_dir(&volume.path(""))?;
        Ok(Self { db, volume: Arc::clone(volume) })
    }

    /// Marks the index as complete.
    pub(super) fn complete(&self) -> Result<(), StoreError> {
        self.db.flush()?;
        let mut batch = Batch::default();
        batch.0.put(VERSION_KEY, [VERSION]);
        self.commit(batch, Durability::Synced)
    }

    /// Applies changes; a failure poisons the volume, as a failed sync does.
    pub(super) fn commit(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        self.volume.writable()?;
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Synced);
        let begun = Instant::now();
        let written = self.db.write_opt(batch.0, &options);
        if durability == Durability::Synced {
            self.volume.metrics.synced(Synced::Index, begun.elapsed());
        }
        written.map_err(|error| {
            self.volume.poison();
            error.into()
        })
    }

    pub(super) fn column(&self, id: &ColumnId) -> Result<Option<ColumnRecord>, StoreError> {
        self.db.get_pinned(id_key(b'c', id))?.map(|bytes| record(&bytes)).transpose()
    }

    pub(super) fn place(&self, key: &PlaceKey) -> Result<Option<PlaceRecord>, StoreError> {
        self.db.get_pinned(place_key(key))?.map(|bytes| record(&bytes)).transpose()
    }

    pub(super) fn manifest(&self, object: &ObjectId) -> Result<Option<Bytes>, StoreError> {
        Ok(self.db.get(id_key(b'm', object))?.map(Bytes::from))
    }

    pub(super) fn has_manifest(&self, object: &ObjectId) -> Result<bool, StoreError> {
        Ok(self.db.get_pinned(id_key(b'm', object))?.is_some())
    }

    /// All columns, in the order of their ids.
    pub(super) fn columns(&self) -> impl Iterator<Item = Result<(ColumnId, ColumnRecord), StoreError>> {
        self.scan(b"c", b"c").map(|entry| {
            let (key, value) = entry?;
            Ok((ColumnId::new(key[1..].try_into().map_err(|_| StoreError::BadRecord)?), record(&value)?))
        })
    }

    /// Places in the order of their keys, from the one after `after` on.
    pub(super) fn places(
        &self,
        after: Option<PlaceKey>,
    ) -> impl Iterator<Item = Result<(PlaceKey, PlaceRecord), StoreError>> {
        // The shortest key after a key is that key with a zero byte behind it.
        let from = after.map_or(vec![b'p'], |key| [place_key(&key), vec![0]].concat());
        self.scan(&from, b"p").map(place_entry)
    }

    /// Places of one column.
    pub(super) fn places_of(
        &self,
        column: &ColumnId,
    ) -> impl Iterator<Item = Result<(PlaceKey, PlaceRecord), StoreError>> + use<'_> {
        let prefix = id_key(b'p', column);
        self.scan(&prefix, &prefix).map(place_entry)
    }

    /// The number of places of an object, counted up to two.
    pub(super) fn places_of_object(&self, object: &ObjectId) -> Result<usize, StoreError> {
        let prefix = id_key(b'o', object);
        self.scan(&prefix, &prefix).take(2).try_fold(0, |count, entry| entry.map(|_| count + 1))
    }

    fn scan(&self, from: &[u8], prefix: &[u8]) -> impl Iterator<Item = Result<KeyValue, StoreError>> + use<'_> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(end_of(prefix));
        let mode = IteratorMode::From(from, Direction::Forward);
        self.db.iterator_opt(mode, options).map(|entry| entry.map_err(StoreError::from))
    }
}

type KeyValue = (Box<[u8]>, Box<[u8]>);

/// Whether opening or reading failed because the index itself is damaged, so that a new one helps.
pub(super) fn is_loss(error: &rocksdb::Error) -> bool {
    use rocksdb::ErrorKind::{Corruption, IOError, InvalidArgument, NotFound};
    match error.kind() {
        Corruption | InvalidArgument | NotFound => true,
        IOError => error.to_string().contains("No such file"),
        _ => false,
    }
}

/// Options with small buffers: the index of a terabyte of columns is a few megabytes.
fn options() -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(8 << 20));
    table.set_bloom_filter(10.0, false);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::None);
    options.set_write_buffer_size(8 << 20);
    options.set_max_total_wal_size(32 << 20);
    options.set_max_open_files(128);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options.set_log_level(LogLevel::Warn);
    // A crash leaves a torn end. Damage before the end has other causes: then the index is rebuilt, not cut there.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options
}

fn record<T: BorshDeserialize + BorshSerialize>(bytes: &[u8]) -> Result<T, StoreError> {
    codec::decode(bytes, RECORD_MAX).map_err(|_| StoreError::BadRecord)
}

fn id_key<K>(kind: u8, id: &Id<K>) -> Vec<u8> {
    [&[kind], id.bytes().as_slice()].concat()
}

fn place_key(key: &PlaceKey) -> Vec<u8> {
    let PlaceKey { column, object, extent, index } = key;
    [b"p", column.bytes().as_slice(), object.bytes(), &extent.to_be_bytes(), &[*index]].concat()
}

fn object_key(key: &PlaceKey) -> Vec<u8> {
    let PlaceKey { column, object, extent, index } = key;
    [b"o", object.bytes().as_slice(), column.bytes(), &extent.to_be_bytes(), &[*index]].concat()
}

fn place_entry(entry: Result<KeyValue, StoreError>) -> Result<(PlaceKey, PlaceRecord), StoreError> {
    let (key, value) = entry?;
    let parse = |key: &[u8]| {
        let (column, rest) = key.get(1..)?.split_first_chunk()?;
        let (object, rest) = rest.split_first_chunk()?;
        let (extent, rest) = rest.split_first_chunk()?;
        let [index] = rest else { return None };
        let (column, object) = (ColumnId::new(*column), ObjectId::new(*object));
        Some(PlaceKey { column, object, extent: u32::from_be_bytes(*extent), index: *index })
    };
    Ok((parse(&key).ok_or(StoreError::BadRecord)?, record(&value)?))
}

/// The first key after all keys with this prefix.
fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            break;
        }
    }
    end
}

/// Whether the path of the index exists: at the first start it does not.
pub(super) fn exists(volume: &Volume) -> bool {
    Path::new(&volume.path("index")).exists()
}
