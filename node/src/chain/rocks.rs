//! The ledger on disk: RocksDB, one column family for each kind of record.
//!
//! In comes one synced batch for each block, so that after any crash the ledger is that of one height; out go snapshots
//! for the rules. Keys sort in the order that the rules use. Not here: what the records mean, and columns (the
//! store's).
//!
//! ```text
//! meta     "format" "chain" "tip"    -> u32, chain id, Tip
//! blocks   height (big-endian)       -> DecidedBlock, without its storage proofs
//! proofs   height (big-endian)       -> Proofs, where there are any, until they are dropped
//! txs      tx id                     -> height
//! records  Key::to_bytes             -> Record
//! nodes    key of a state tree node  -> the node
//! history  position (big-endian)     -> hash
//! handovers  height (big-endian)     -> Handover, of blocks after which the validators change
//! touches  account, place of a transaction (big-endian) -> nothing
//! ```
//!
//! [`snapshots`] stores states for nodes that join late, [`restore`] makes a ledger of one, [`prune`] deletes old
//! blocks, [`touches`] finds an account's transactions, [`recent`] and [`nodes`] are caches, [`rosters`] follow from
//! records, and [`beside`] reads the ledger of a node that is running.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use borsh::BorshDeserialize;
use ostrakon_net::{lock, metrics::Seconds};
use ostrakon_proto::{
    codec,
    id::{AccountId, ChainId, Height, TxId},
    ledger::{
        Genesis, Rosters,
        history::HistoryNode,
        proofs::Proofs,
        snapshot::SnapshotChunk,
        state::{Account, Changes, Key, Record, Records, Tip},
        tree::Nodes,
        tx::{Block, DecidedBlock},
    },
    light::{CertifiedHeader, Handover, TxPlace},
};
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, Direction, IteratorMode,
    Options, Snapshot, WriteBatch, WriteOptions,
};
use tokio::time::Instant;

use super::store::{LedgerError, LedgerStore, OpenLedgerError, handover_of};
use crate::ledger_room::LedgerRoom;

pub mod beside;
mod nodes;
mod prune;
mod recent;
pub mod restore;
mod rosters;
mod snapshots;
mod touches;

use nodes::RecentNodes;
use recent::{RecentAccounts, Version};
use rosters::{RecentRosters, TwoRosters};
use snapshots::Snapshots;

/// The layout drawn above.
const FORMAT: u32 = 10;
const FAMILIES: [&str; 9] = [META, BLOCKS, PROOFS, TXS, RECORDS, NODES, HISTORY, HANDOVERS, TOUCHES];
const META: &str = "meta";
const BLOCKS: &str = "blocks";
const PROOFS: &str = "proofs";
const TXS: &str = "txs";
const RECORDS: &str = "records";
const NODES: &str = "nodes";
const HISTORY: &str = "history";
const HANDOVERS: &str = "handovers";
const TOUCHES: &str = "touches";
/// Key in `meta` of the oldest block that is not pruned.
const FIRST: &[u8] = b"first";
/// Key in `meta` of the oldest block whose proofs are not dropped.
const PROVEN: &[u8] = b"proven";

/// Key in `meta` of the bytes of blocks since the newest snapshot.
const SINCE: &[u8] = b"since";

/// Bytes of memory for unwritten records, all families together: a node with a million accounts stays under 512 MiB.
const WRITE_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of the block cache.
const CACHE_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of its write-ahead log: without a bound, a family that is rarely written keeps half a gigabyte of it.
const LOG_BYTES: u64 = 32 * 1024 * 1024;
/// Bytes of a file of blocks or of their proofs: whole files are deleted with what is in them.
const BLOCK_FILE_BYTES: u64 = 8 * 1024 * 1024;

/// Which snapshots and blocks are stored beside the newest state.
#[derive(Clone, Debug, Default)]
pub struct Pruning {
    /// Blocks between two snapshots, of which the last two are stored; 0 makes none. There are fewer where the room is
    /// too small for so many blocks.
    pub snapshot_interval_blocks: u64,
    /// The disk space that it may use: old blocks are pruned by it, but none since the older snapshot.
    pub room: Arc<LedgerRoom>,
}

/// The ledger in a directory.
pub struct Rocks {
    db: DB,
    /// Held during a commit; the error of one that failed, after which there are no more.
    failed: Mutex<Option<LedgerError>>,
    pruning: Pruning,
    snapshots: Option<Snapshots>,
    recent: RecentAccounts,
    recent_nodes: RecentNodes,
    rosters: RecentRosters,
    commit: Seconds,
}

impl std::fmt::Debug for Rocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rocks").field("dir", &self.db.path()).finish_non_exhaustive()
    }
}

impl Rocks {
    /// The ledger of `genesis` in `dir`; a new directory starts with the records of the genesis.
    ///
    /// # Errors
    /// [`OpenLedgerError`] when it is of another network or format, or does not open.
    pub fn open(dir: &Path, genesis: &Genesis) -> Result<Self, OpenLedgerError> {
        let rocks = Self::open_raw(dir)?;
        rocks.begin(dir, genesis)?;
        Ok(rocks)
    }

    /// Makes snapshots and prunes old blocks from now on. Without this it does neither.
    ///
    /// # Errors
    /// [`OpenLedgerError`] when the snapshots cannot be read.
    pub fn with_pruning(mut self, pruning: Pruning) -> Result<Self, OpenLedgerError> {
        let dir = self.db.path().to_owned();
        let damaged = |source| OpenLedgerError::Damaged { dir: dir.clone(), source };
        let snapshots = Snapshots::open(&dir.join("snapshots"), &pruning).map_err(damaged)?;
        let (height, since) = (self.tip().map_err(damaged)?.height, self.since_snapshot().map_err(damaged)?);
        // A crash may have come between the block and its snapshot.
        if snapshots.is_due(height, if since == Some(0) { u64::MAX } else { 0 }) {
            snapshots.freeze(&self.db, height);
        }
        pruning.room.measure();
        (self.pruning, self.snapshots) = (pruning, Some(snapshots));
        Ok(self)
    }

    /// Counts in `commit` how long it takes to write a block.
    #[must_use]
    pub fn timed(self, commit: Seconds) -> Self {
        Self { commit, ..self }
    }

    /// A database with all families, whatever its content.
    fn open_raw(dir: &Path) -> Result<Self, OpenLedgerError> {
        let failed =
            |error: rocksdb::Error| OpenLedgerError::Database { dir: dir.to_owned(), reason: error.to_string() };
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_db_write_buffer_size(WRITE_BYTES);
        options.set_max_open_files(256);
        options.set_keep_log_file_num(4);
        options.set_max_total_wal_size(LOG_BYTES);
        let cache = Cache::new_lru_cache(CACHE_BYTES);
        let families = FAMILIES.map(|name| {
            let mut options = family_options(&cache);
            if [BLOCKS, PROOFS].contains(&name) {
                options.set_target_file_size_base(BLOCK_FILE_BYTES);
            }
            ColumnFamilyDescriptor::new(name, options)
        });
        let db = DB::open_cf_descriptors(&options, dir, families).map_err(failed)?;
        Ok(Self {
            db,
            failed: Mutex::default(),
            pruning: Pruning::default(),
            snapshots: None,
            recent: RecentAccounts::default(),
            recent_nodes: RecentNodes::default(),
            rosters: RecentRosters::default(),
            commit: Seconds::default(),
        })
    }

    /// Checks that it is the ledger of `genesis`, or makes an empty one that.
    fn begin(&self, dir: &Path, genesis: &Genesis) -> Result<(), OpenLedgerError> {
        let damaged = |source| OpenLedgerError::Damaged { dir: dir.to_owned(), source };
        let wanted = genesis.id();
        if let Some(found) = self.read::<u32>(META, b"format").map_err(damaged)?.filter(|found| *found != FORMAT) {
            return Err(OpenLedgerError::Format { dir: dir.to_owned(), found, known: FORMAT });
        }
        match self.read::<ChainId>(META, b"chain").map_err(damaged)? {
            Some(found) if found != wanted => {
                return Err(OpenLedgerError::OtherChain { dir: dir.to_owned(), found, wanted });
            }
            Some(_) => {}
            None => {
                let mut batch = WriteBatch::default();
                self.stage_format(&mut batch, &wanted);
                self.stage(&mut batch, &genesis.changes());
                self.write(batch).map_err(damaged)?;
            }
        }
        self.read_rosters().map_err(damaged)
    }

    /// Reads the rosters from the records of the providers: they are in memory, and nowhere else.
    fn read_rosters(&self) -> Result<(), LedgerError> {
        let height = self.tip()?.height;
        let rosters = Rosters::read(&*self.view()).ok_or(LedgerError::Damaged { what: "rosters" })?;
        self.rosters.note(height, rosters);
        Ok(())
    }

    fn family(&self, name: &str) -> &ColumnFamily {
        self.db.cf_handle(name).expect("every family is made when the database is opened")
    }

    fn read<T: BorshDeserialize>(&self, family: &'static str, key: &[u8]) -> Result<Option<T>, LedgerError> {
        let bytes = self.db.get_pinned_cf(self.family(family), key).map_err(database)?;
        bytes.map(|bytes| T::try_from_slice(&bytes).map_err(|_| LedgerError::Damaged { what: family })).transpose()
    }

    fn tip(&self) -> Result<Tip, LedgerError> {
        self.read(META, b"tip")?.ok_or(LedgerError::Damaged { what: META })
    }

    /// Bytes of blocks since the newest snapshot; 0 at a height that gets one, nothing in a ledger that never counted.
    fn since_snapshot(&self) -> Result<Option<u64>, LedgerError> {
        self.read(META, SINCE)
    }

    /// One synced batch: all of it or nothing.
    fn write(&self, batch: WriteBatch) -> Result<(), LedgerError> {
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        self.db.write_opt(batch, &synced).map_err(database)
    }

    fn stage_format(&self, batch: &mut WriteBatch, chain: &ChainId) {
        batch.put_cf(self.family(META), b"format", codec::encode(&FORMAT));
        batch.put_cf(self.family(META), b"chain", codec::encode(chain));
    }

    fn stage(&self, batch: &mut WriteBatch, changes: &Changes) {
        batch.put_cf(self.family(META), b"tip", codec::encode(&changes.tip));
        let records = self.family(RECORDS);
        for (key, record) in &changes.records {
            match record {
                Some(record) => batch.put_cf(records, key.to_bytes(), codec::encode(record)),
                None => batch.delete_cf(records, key.to_bytes()),
            }
        }
        let nodes = self.family(NODES);
        let (written, stale) = (changes.tree.nodes.iter(), changes.tree.stale.iter());
        in_order(written).into_iter().for_each(|(key, node)| batch.put_cf(nodes, key, node));
        in_order(stale.map(|stale| &stale.key)).into_iter().for_each(|key| batch.delete_cf(nodes, key));
        let history = self.family(HISTORY);
        changes.history.iter().for_each(|(at, hash)| batch.put_cf(history, at.to_be_bytes(), hash));
    }

    /// Stages a block, and its proofs apart from it; out comes how many bytes they have.
    fn stage_block(&self, batch: &mut WriteBatch, decided: &DecidedBlock) -> u64 {
        let DecidedBlock { block: Block { header, txs, charged, proofs }, certificate } = decided;
        let key = header.height.0.to_be_bytes();
        // The bytes of a block without proofs.
        let body = codec::encode(&(header, txs, charged, Proofs::new(), certificate));
        let mut bytes = body.len();
        batch.put_cf(self.family(BLOCKS), key, body);
        if !proofs.is_empty() {
            let proofs = codec::encode(proofs);
            bytes += proofs.len();
            batch.put_cf(self.family(PROOFS), key, proofs);
        }
        u64::try_from(bytes).expect("fits")
    }

    fn commit_next(&self, decided: &DecidedBlock, changes: &Changes) -> Result<(), LedgerError> {
        let (height, tip) = (decided.block.header.height, self.tip()?.height);
        if height <= tip {
            return Ok(());
        }
        if height != tip.next() {
            return Err(LedgerError::Gap { height, tip });
        }
        let mut batch = WriteBatch::default();
        let since = self.since_snapshot()?.unwrap_or_default() + self.stage_block(&mut batch, decided);
        let due = self.snapshots.as_ref().filter(|snapshots| snapshots.is_due(height, since));
        batch.put_cf(self.family(META), SINCE, codec::encode(&if due.is_some() { 0 } else { since }));
        for id in in_order(decided.block.places().map(|(_, tx)| tx.id())) {
            batch.put_cf(self.family(TXS), id.bytes(), codec::encode(&height));
        }
        self.stage_touches(&mut batch, &decided.block);
        if let Some(handover) = handover_of(&*self.view(), decided, changes) {
            batch.put_cf(self.family(HANDOVERS), height.0.to_be_bytes(), codec::encode(&handover));
        }
        self.stage(&mut batch, changes);
        self.recent.begin();
        self.rosters.note(height, changes.rosters.clone());
        let begun = Instant::now();
        self.write(batch)?;
        self.commit.observe(begun.elapsed());
        self.recent.finish(changes);
        self.recent_nodes.written(&changes.tree);
        if let Some(snapshots) = due {
            snapshots.freeze(&self.db, height);
        }
        Ok(())
    }
}

impl LedgerStore for Rocks {
    fn view(&self) -> Box<dyn Records + '_> {
        let ((snapshot, rosters), version) = self.recent.pinned(|| self.rosters.beside(|| self.db.snapshot()));
        Box::new(View { rocks: self, snapshot, version, rosters })
    }

    fn commit(&self, decided: &DecidedBlock, changes: &Changes) -> Result<(), LedgerError> {
        let mut failed = lock(&self.failed);
        if let Some(error) = failed.as_ref() {
            return Err(error.clone());
        }
        let result = self.commit_next(decided, changes);
        if let Err(error @ LedgerError::Database { .. }) = &result {
            *failed = Some(error.clone());
        }
        result
    }

    fn block(&self, height: Height) -> Result<Option<DecidedBlock>, LedgerError> {
        let key = height.0.to_be_bytes();
        let Some(mut decided) = self.read::<DecidedBlock>(BLOCKS, &key)? else { return Ok(None) };
        decided.block.proofs = self.read(PROOFS, &key)?.unwrap_or_default();
        Ok(Some(decided))
    }

    fn past(&self, position: u64) -> Result<Option<[u8; 32]>, LedgerError> {
        self.read(HISTORY, &position.to_be_bytes())
    }

    fn handover(&self, from: Height) -> Result<Option<Handover>, LedgerError> {
        let from = from.0.to_be_bytes();
        let mode = IteratorMode::From(&from, Direction::Forward);
        let Some(entry) = self.db.iterator_cf(self.family(HANDOVERS), mode).next() else { return Ok(None) };
        let (_, bytes) = entry.map_err(database)?;
        Handover::try_from_slice(&bytes).map(Some).map_err(|_| LedgerError::Damaged { what: HANDOVERS })
    }

    fn inclusion(&self, tx: &TxId) -> Result<Option<Height>, LedgerError> {
        self.read(TXS, tx.bytes())
    }

    fn touching(&self, account: &AccountId, before: TxPlace, limit: usize) -> Result<Vec<TxPlace>, LedgerError> {
        self.touches(account, before, limit)
    }

    fn first_block(&self) -> Result<Height, LedgerError> {
        self.first()
    }

    fn snapshots(&self) -> Vec<CertifiedHeader> {
        self.snapshots.as_ref().map(Snapshots::offers).unwrap_or_default()
    }

    fn chunk(&self, height: Height, after: Option<[u8; 32]>) -> Result<Option<SnapshotChunk>, LedgerError> {
        self.snapshots.as_ref().map_or(Ok(None), |snapshots| snapshots.chunk(height, after))
    }

    fn add_past(&self, nodes: &[HistoryNode]) -> Result<(), LedgerError> {
        let mut batch = WriteBatch::default();
        let history = self.family(HISTORY);
        nodes.iter().for_each(|(at, hash)| batch.put_cf(history, at.to_be_bytes(), hash));
        // Not synced: what is lost in a power cut is fetched again.
        self.db.write(batch).map_err(database)
    }

    fn tend(&self) -> Result<bool, LedgerError> {
        let Some(snapshots) = &self.snapshots else { return Ok(false) };
        if snapshots.tend()? {
            return Ok(true);
        }
        // A node that restores a snapshot needs its block and all that follow.
        let oldest = snapshots.oldest().unwrap_or_default();
        self.drop_proofs(oldest)?;
        self.prune(oldest)
    }
}

fn family_options(cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_bloom_filter(10.0, false);
    // In parts: as a whole, those of a large file do not fit into a shard of the cache, and each read loads them again.
    blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    blocks.set_partition_filters(true);
    blocks.set_cache_index_and_filter_blocks(true);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size(WRITE_BYTES / 4);
    // Keys are hashes, so that each compaction writes the whole family again: half as often as by default.
    options.set_level_zero_file_num_compaction_trigger(8);
    options
}

/// Sorted keys: RocksDB inserts them faster, since it finds the position of each near that of the last.
fn in_order<K: Ord>(keys: impl Iterator<Item = K>) -> Vec<K> {
    let mut keys: Vec<K> = keys.collect();
    keys.sort_unstable();
    keys
}

fn database(error: impl std::fmt::Display) -> LedgerError {
    LedgerError::Database { reason: error.to_string() }
}

/// The records at one height.
struct View<'a> {
    rocks: &'a Rocks,
    snapshot: Snapshot<'a>,
    /// The version of the cached accounts of this height.
    version: Option<Version>,
    /// The rosters of this height, and of one beside it.
    rosters: TwoRosters,
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("rocks", &self.rocks).finish_non_exhaustive()
    }
}

impl View<'_> {
    fn read<T: BorshDeserialize>(&self, family: &'static str, key: &[u8]) -> Option<T> {
        let bytes =
            self.snapshot.get_pinned_cf(self.rocks.family(family), key).unwrap_or_else(|error| unreadable(&error));
        bytes.map(|bytes| decoded(family, &bytes))
    }

    fn account_at(&self, version: Version, id: &AccountId) -> Option<Account> {
        if let Some(known) = self.rocks.recent.get(version, id) {
            return known;
        }
        let account = match self.read(RECORDS, &Key::Account(*id).to_bytes()) {
            Some(Record::Account(account)) => Some(account),
            _ => None,
        };
        self.rocks.recent.read(version, *id, account);
        account
    }
}

/// The rules cannot continue without their records, and a wrong answer would be worse: the node stops.
fn unreadable(error: &rocksdb::Error) -> ! {
    panic!("cannot read the ledger database: {error}; repair the disk and restart the node")
}

fn decoded<T: BorshDeserialize>(family: &str, bytes: &[u8]) -> T {
    T::try_from_slice(bytes).unwrap_or_else(|_| {
        panic!("ledger database is damaged: malformed {family}; delete the node's directory `chain` to sync it again")
    })
}

impl Nodes for View<'_> {
    fn node(&self, key: &[u8]) -> Option<Vec<u8>> {
        let read = || self.snapshot.get_cf(self.rocks.family(NODES), key).unwrap_or_else(|error| unreadable(&error));
        self.rocks.recent_nodes.get(key, read)
    }
}

impl Records for View<'_> {
    fn tip(&self) -> Tip {
        self.read(META, b"tip").expect("a ledger has a tip from its first batch on")
    }

    fn rosters(&self) -> Rosters {
        self.rosters.of(self.tip().height)
    }

    fn get(&self, key: &Key) -> Option<Record> {
        match (key, self.version) {
            (Key::Account(id), Some(version)) => self.account_at(version, id).map(Record::Account),
            _ => self.read(RECORDS, &key.to_bytes()),
        }
    }

    fn scan(&self, first: &Key, last: &Key, limit: usize) -> Vec<(Key, Record)> {
        let (first, last) = (first.to_bytes(), last.to_bytes());
        let mode = IteratorMode::From(&first, Direction::Forward);
        let entries = self.snapshot.iterator_cf(self.rocks.family(RECORDS), mode);
        let entries = entries.map(|entry| entry.unwrap_or_else(|error| unreadable(&error)));
        let within = entries.take_while(|(key, _)| **key <= *last).take(limit);
        within.map(|(key, record)| (key_of(&key), decoded(RECORDS, &record))).collect()
    }
}

fn key_of(bytes: &[u8]) -> Key {
    Key::from_bytes(bytes).expect("invariant: every key of the records is what was written")
}

#[cfg(test)]
mod tests;
