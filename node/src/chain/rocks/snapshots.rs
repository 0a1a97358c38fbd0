//! Snapshots on disk: the state at regular heights, for nodes that join late.
//!
//! The commit of such a block is followed by a checkpoint of the database: hard links, so it costs a flush and no copy.
//! Later, in the background, the checkpoint is prepared: what is not state is dropped from it, and records are listed
//! by the hashes of their keys, in whose order they are served. After a crash in between, an unprepared checkpoint is
//! prepared again. One that is to be deleted gets another name first, so that nothing half deleted looks like a
//! snapshot; what has such a name when the ledger is opened, or does not open itself, is deleted: a node needs none of
//! its own. Not here: what a chunk is (`ostrakon_proto`).
//!
//! ```text
//! snapshots/<height>   a database like the ledger's, without blocks, proofs, txs, history and handovers
//! snapshots/<other>    being made or deleted
//! keys                 hash of the key           -> Key::to_bytes
//! meta                 "offer", then "ready"     -> CertifiedHeader, nothing
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use ostrakon_net::lock;
use ostrakon_proto::{
    codec,
    id::Height,
    ledger::{
        snapshot::{self, SnapshotChunk},
        state::Key,
        tree::{Nodes, key_hash},
        tx::DecidedBlock,
    },
    light::CertifiedHeader,
    limits,
};
use rocksdb::{
    Cache, ColumnFamilyDescriptor, DB, IteratorMode, Options, WriteBatch, WriteOptions, checkpoint::Checkpoint,
};

use super::{
    BLOCKS, HANDOVERS, HISTORY, META, NODES, PROOFS, Pruning, RECORDS, TOUCHES, TXS, database, family_options,
};
use crate::chain::store::LedgerError;

const KEYS: &str = "keys";
const OFFER: &[u8] = b"offer";
const READY: &[u8] = b"ready";
/// Snapshots stored: a node that restores the older one has until the newer one is replaced.
const KEPT: usize = 2;
/// A snapshot is made after one part in this many of the ledger's room in blocks at the latest: blocks since the older
/// of two are not deleted, and must fit.
const ROOM_PART: u64 = 8;
/// But not before this many bytes of blocks.
const BYTES_MIN: u64 = 8 * 1024 * 1024;
/// Keys listed in one write.
const BATCH: usize = 4_096;
/// Bytes of the block cache of each.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// The snapshots of one ledger.
pub(super) struct Snapshots {
    dir: PathBuf,
    every: u64,
    every_bytes: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ready: BTreeMap<Height, Arc<Frozen>>,
    /// Checkpoints that are to be prepared.
    raw: BTreeSet<Height>,
}

/// One snapshot, ready to be served.
struct Frozen {
    db: DB,
    offer: CertifiedHeader,
}

impl Snapshots {
    /// The snapshots in `dir`, with one more as often as `pruning` says.
    pub(super) fn open(dir: &Path, pruning: &Pruning) -> Result<Self, LedgerError> {
        fs::create_dir_all(dir).map_err(database)?;
        let mut state = State::default();
        for entry in fs::read_dir(dir).map_err(database)? {
            let path = entry.map_err(database)?.path();
            let height = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            match height.map(|height| (Height(height), Frozen::open(&path))) {
                Some((height, Ok(Some(frozen)))) => _ = state.ready.insert(height, Arc::new(frozen)),
                Some((height, Ok(None))) => _ = state.raw.insert(height),
                Some((height, Err(error))) => {
                    tracing::warn!(%height, %error, "a snapshot of the ledger does not open; deleting it");
                    remove_garbage(&path);
                }
                None => remove_garbage(&path),
            }
        }
        let every_bytes = match pruning.room.budget() {
            0 => u64::MAX,
            budget => (budget / ROOM_PART).max(BYTES_MIN),
        };
        let every = pruning.snapshot_interval_blocks;
        Ok(Self { dir: dir.to_owned(), every, every_bytes, state: Mutex::new(state) })
    }

    /// Whether there is to be a snapshot at this height, when there are so many bytes of blocks since the newest.
    pub(super) fn is_due(&self, height: Height, since: u64) -> bool {
        height > Height(0) && self.every > 0 && (height.0.is_multiple_of(self.every) || since >= self.every_bytes)
    }

    /// Makes a snapshot of `db`, which is at this height. A failure is no reason to stop: other nodes have snapshots,
    /// too.
    pub(super) fn freeze(&self, db: &DB, height: Height) {
        let mut state = lock(&self.state);
        if state.ready.contains_key(&height) || state.raw.contains(&height) {
            return;
        }
        let checkpoint = Checkpoint::new(db).and_then(|now| now.create_checkpoint(self.dir.join(height.to_string())));
        match checkpoint {
            Ok(()) => _ = state.raw.insert(height),
            Err(error) => tracing::warn!(%height, %error, "cannot make a snapshot of the ledger"),
        }
    }

    /// Prepares one checkpoint, or deletes one snapshot that is too old; whether there was one.
    pub(super) fn tend(&self) -> Result<bool, LedgerError> {
        let raw = lock(&self.state).raw.pop_first();
        if let Some(height) = raw {
            let frozen = match prepare(&self.dir.join(height.to_string())) {
                Ok(frozen) => frozen,
                Err(error) => {
                    // There will be others; a full disk is better off without it.
                    self.delete(height).map_err(database)?;
                    return Err(error);
                }
            };
            tracing::info!(%height, "snapshot of the ledger is ready");
            lock(&self.state).ready.insert(height, Arc::new(frozen));
            return Ok(true);
        }
        let old = {
            let (mut state, kept) = (lock(&self.state), if self.every == 0 { 0 } else { KEPT });
            (state.ready.len() > kept).then(|| state.ready.pop_first()).flatten()
        };
        let Some((height, _)) = old else { return Ok(false) };
        self.delete(height).map_err(database)?;
        Ok(true)
    }

    /// Deletes a snapshot: what a crash leaves of it has a name by which it is known as garbage.
    fn delete(&self, height: Height) -> io::Result<()> {
        let garbage = self.dir.join(format!("{height}.deleted"));
        fs::rename(self.dir.join(height.to_string()), &garbage)?;
        File::open(&self.dir)?.sync_all()?;
        fs::remove_dir_all(&garbage)
    }

    /// Height of the oldest, ready or not.
    pub(super) fn oldest(&self) -> Option<Height> {
        let state = lock(&self.state);
        state.ready.keys().next().into_iter().chain(state.raw.first()).min().copied()
    }

    /// Those that are ready, the newest last.
    pub(super) fn offers(&self) -> Vec<CertifiedHeader> {
        lock(&self.state).ready.values().map(|frozen| frozen.offer.clone()).collect()
    }

    /// The chunk that follows `after`; `None` when there is no such snapshot, or nothing follows.
    pub(super) fn chunk(&self, height: Height, after: Option<[u8; 32]>) -> Result<Option<SnapshotChunk>, LedgerError> {
        let Some(frozen) = lock(&self.state).ready.get(&height).cloned() else { return Ok(None) };
        let record = |hash: &[u8; 32]| frozen.record(hash);
        let chunk = snapshot::chunk(&*frozen, &record, height.0, after, limits::SNAPSHOT_CHUNK);
        chunk.map_err(|_| LedgerError::Damaged { what: "a snapshot" })
    }
}

/// Deletes what is no snapshot. What stays is deleted at the next start: nothing depends on it.
fn remove_garbage(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path) {
        tracing::warn!(path = %path.display(), %error, "cannot delete the remains of a snapshot of the ledger");
    }
}

/// Prepares a checkpoint to be served.
fn prepare(path: &Path) -> Result<Frozen, LedgerError> {
    {
        let mut db = open(path, false)?;
        if read(&db, META, OFFER)?.is_none() {
            write_offer(&db)?;
        }
        for name in [BLOCKS, PROOFS, TXS, HISTORY, HANDOVERS, TOUCHES] {
            if db.cf_handle(name).is_some() {
                db.drop_cf(name).map_err(database)?;
            }
        }
        list_keys(&db)?;
        put(&db, READY, &[])?;
    }
    Frozen::open(path)?.ok_or(LedgerError::Damaged { what: "a snapshot" })
}

/// Writes the header and certificate of the snapshot's block, while the block is there.
fn write_offer(db: &DB) -> Result<(), LedgerError> {
    let damaged = LedgerError::Damaged { what: "a snapshot" };
    let newest = db.iterator_cf(db.cf_handle(BLOCKS).ok_or(damaged.clone())?, IteratorMode::End).next();
    let (_, block) = newest.ok_or(damaged.clone())?.map_err(database)?;
    let DecidedBlock { block, certificate } = borsh::from_slice(&block).map_err(|_| damaged)?;
    put(db, OFFER, &codec::encode(&CertifiedHeader { header: block.header, certificate }))
}

/// Lists the records of the state tree by the hashes of their keys.
fn list_keys(db: &DB) -> Result<(), LedgerError> {
    let damaged = LedgerError::Damaged { what: "a snapshot" };
    let (records, keys) = (db.cf_handle(RECORDS).ok_or(damaged.clone())?, db.cf_handle(KEYS).ok_or(damaged.clone())?);
    let mut batch = WriteBatch::default();
    for entry in db.iterator_cf(records, IteratorMode::Start) {
        let (key, _) = entry.map_err(database)?;
        if Key::from_bytes(&key).ok_or(damaged.clone())?.is_proven() {
            batch.put_cf(keys, key_hash(&key), &key);
        }
        if batch.len() >= BATCH {
            db.write(std::mem::take(&mut batch)).map_err(database)?;
        }
    }
    db.write(batch).map_err(database)
}

fn put(db: &DB, key: &[u8], value: &[u8]) -> Result<(), LedgerError> {
    let meta = db.cf_handle(META).ok_or(LedgerError::Damaged { what: "a snapshot" })?;
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    db.put_cf_opt(meta, key, value, &synced).map_err(database)
}

fn read(db: &DB, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
    db.cf_handle(family).map_or(Ok(None), |family| db.get_cf(family, key).map_err(database))
}

/// Opens a checkpoint with the families that it has.
fn open(path: &Path, read_only: bool) -> Result<DB, LedgerError> {
    let mut options = Options::default();
    options.create_missing_column_families(!read_only);
    options.set_max_open_files(64);
    options.set_keep_log_file_num(1);
    let mut families = DB::list_cf(&options, path).map_err(database)?;
    if !read_only && !families.iter().any(|name| name == KEYS) {
        families.push(KEYS.to_owned());
    }
    let cache = Cache::new_lru_cache(CACHE_BYTES);
    let families = families.into_iter().map(|name| ColumnFamilyDescriptor::new(name, family_options(&cache)));
    let opened = match read_only {
        true => DB::open_cf_descriptors_read_only(&options, path, families, false),
        false => DB::open_cf_descriptors(&options, path, families),
    };
    opened.map_err(database)
}

impl Frozen {
    /// The snapshot in `path`, if it is ready.
    fn open(path: &Path) -> Result<Option<Self>, LedgerError> {
        let db = open(path, true)?;
        let (offer, ready) = (read(&db, META, OFFER)?, read(&db, META, READY)?);
        let Some(offer) = offer.filter(|_| ready.is_some()) else { return Ok(None) };
        let offer = borsh::from_slice(&offer).map_err(|_| LedgerError::Damaged { what: "a snapshot" })?;
        Ok(Some(Self { db, offer }))
    }

    fn record(&self, hash: &[u8; 32]) -> Option<(Vec<u8>, Vec<u8>)> {
        let key = read(&self.db, KEYS, hash).ok()??;
        let value = read(&self.db, RECORDS, &key).ok()??;
        Some((key, value))
    }
}

impl Nodes for Frozen {
    fn node(&self, key: &[u8]) -> Option<Vec<u8>> {
        read(&self.db, NODES, key).ok()?
    }
}
