//! The ledger on disk: RocksDB, one column family for each kind of record.
//!
//! In comes one synced batch a block, so that after any crash the ledger is that of one height; out go snapshots for
//! the rules. Keys sort as the rules' orders do. Not here: what the records mean, and columns (they are the store's).
//!
//! ```text
//! meta         "format" "chain" "tip"                   -> u32, chain id, Tip
//! blocks       height (big-endian)                      -> Decided
//! txs          tx id                                    -> height
//! accounts     account                                  -> Account
//! providers    node                                     -> Provider
//! commitments  object ‖ extent (big-endian) ‖ owner     -> Commitment
//! ends         end epoch (big-endian) ‖ commitment key  -> nothing
//! epochs       epoch (big-endian)                       -> EpochRecord
//! ```

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use borsh::{BorshDeserialize, BorshSerialize};
use ostrakon_proto::{
    codec,
    id::{AccountId, ChainId, Epoch, Height, NodeId, ObjectId, TxId},
    ledger::{
        Genesis,
        state::{Account, Changes, Commitment, CommitmentId, EpochRecord, Provider, Records, Tip},
        tx::Decided,
    },
};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, Direction, IteratorMode, Options, Snapshot,
    WriteBatch, WriteOptions,
};

use super::store::{LedgerError, LedgerStore, OpenLedgerError};

/// The layout drawn above.
const FORMAT: u32 = 1;
const FAMILIES: [&str; 8] = [META, BLOCKS, TXS, ACCOUNTS, PROVIDERS, COMMITMENTS, ENDS, EPOCHS];
const META: &str = "meta";
const BLOCKS: &str = "blocks";
const TXS: &str = "txs";
const ACCOUNTS: &str = "accounts";
const PROVIDERS: &str = "providers";
const COMMITMENTS: &str = "commitments";
const ENDS: &str = "ends";
const EPOCHS: &str = "epochs";

/// Memory for unwritten records, all families together: a node stays under 512 MiB.
const WRITE_BYTES: usize = 32 * 1024 * 1024;
/// Memory for blocks read.
const CACHE_BYTES: usize = 32 * 1024 * 1024;

/// The ledger in a directory.
pub struct Rocks {
    db: DB,
    /// One commit at a time, and none after one failed.
    failed: Mutex<Option<LedgerError>>,
}

impl std::fmt::Debug for Rocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rocks").field("dir", &self.db.path()).finish_non_exhaustive()
    }
}

impl Rocks {
    /// The ledger of `genesis` in `dir`; a fresh directory begins with the records of the genesis.
    ///
    /// # Errors
    /// [`OpenLedgerError`]: it is another chain's, of another format, or does not open.
    pub fn open(dir: &Path, genesis: &Genesis) -> Result<Self, OpenLedgerError> {
        let failed =
            |error: rocksdb::Error| OpenLedgerError::Database { dir: dir.to_owned(), reason: error.to_string() };
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_db_write_buffer_size(WRITE_BYTES);
        options.set_max_open_files(256);
        options.set_keep_log_file_num(4);
        let cache = Cache::new_lru_cache(CACHE_BYTES);
        let families = FAMILIES.map(|name| ColumnFamilyDescriptor::new(name, family_options(&cache)));
        let db = DB::open_cf_descriptors(&options, dir, families).map_err(failed)?;
        let rocks = Self { db, failed: Mutex::new(None) };
        rocks.begin(dir, genesis)?;
        Ok(rocks)
    }

    /// Checks whose ledger it is, or makes it that of `genesis`.
    fn begin(&self, dir: &Path, genesis: &Genesis) -> Result<(), OpenLedgerError> {
        let damaged = |source| OpenLedgerError::Damaged { dir: dir.to_owned(), source };
        let wanted = genesis.id();
        if let Some(found) = self.read::<u32>(META, b"format").map_err(damaged)?.filter(|found| *found != FORMAT) {
            return Err(OpenLedgerError::Format { dir: dir.to_owned(), found, known: FORMAT });
        }
        match self.read::<ChainId>(META, b"chain").map_err(damaged)? {
            Some(found) if found != wanted => Err(OpenLedgerError::OtherChain { dir: dir.to_owned(), found, wanted }),
            Some(_) => Ok(()),
            None => {
                let mut batch = WriteBatch::default();
                batch.put_cf(self.family(META), b"format", codec::encode(&FORMAT));
                batch.put_cf(self.family(META), b"chain", codec::encode(&wanted));
                self.stage(&mut batch, &genesis.changes()).map_err(damaged)?;
                self.write(batch).map_err(damaged)
            }
        }
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

    /// One synced batch: all of it or nothing.
    fn write(&self, batch: WriteBatch) -> Result<(), LedgerError> {
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        self.db.write_opt(batch, &synced).map_err(database)
    }

    fn stage(&self, batch: &mut WriteBatch, changes: &Changes) -> Result<(), LedgerError> {
        batch.put_cf(self.family(META), b"tip", codec::encode(&changes.tip));
        for (id, account) in &changes.accounts {
            batch.put_cf(self.family(ACCOUNTS), id.bytes(), codec::encode(account));
        }
        for (node, provider) in &changes.providers {
            self.stage_record(batch, PROVIDERS, node.bytes(), provider.as_ref());
        }
        for (epoch, record) in &changes.epochs {
            self.stage_record(batch, EPOCHS, &epoch.0.to_be_bytes(), record.as_ref());
        }
        for (id, commitment) in &changes.commitments {
            let key = commitment_key(id);
            if let Some(before) = self.read::<Commitment>(COMMITMENTS, &key)? {
                batch.delete_cf(self.family(ENDS), end_key(before.end, &key));
            }
            if let Some(now) = commitment {
                batch.put_cf(self.family(ENDS), end_key(now.end, &key), []);
            }
            self.stage_record(batch, COMMITMENTS, &key, commitment.as_ref());
        }
        Ok(())
    }

    fn stage_record<T: BorshSerialize>(&self, batch: &mut WriteBatch, family: &str, key: &[u8], record: Option<&T>) {
        match record {
            Some(record) => batch.put_cf(self.family(family), key, codec::encode(record)),
            None => batch.delete_cf(self.family(family), key),
        }
    }

    fn commit_next(&self, decided: &Decided, changes: &Changes) -> Result<(), LedgerError> {
        let (height, tip) = (decided.block.header.height, self.tip()?.height);
        if height <= tip {
            return Ok(());
        }
        if height != tip.next() {
            return Err(LedgerError::Gap { height, tip });
        }
        let mut batch = WriteBatch::default();
        batch.put_cf(self.family(BLOCKS), height.0.to_be_bytes(), codec::encode(decided));
        for tx in &decided.block.txs {
            batch.put_cf(self.family(TXS), tx.id().bytes(), codec::encode(&height));
        }
        self.stage(&mut batch, changes)?;
        self.write(batch)
    }
}

impl LedgerStore for Rocks {
    fn view(&self) -> Box<dyn Records + '_> {
        Box::new(View { rocks: self, snapshot: self.db.snapshot() })
    }

    fn commit(&self, decided: &Decided, changes: &Changes) -> Result<(), LedgerError> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = failed.as_ref() {
            return Err(error.clone());
        }
        let result = self.commit_next(decided, changes);
        if let Err(error @ LedgerError::Database { .. }) = &result {
            *failed = Some(error.clone());
        }
        result
    }

    fn block(&self, height: Height) -> Result<Option<Decided>, LedgerError> {
        self.read(BLOCKS, &height.0.to_be_bytes())
    }

    fn inclusion(&self, tx: &TxId) -> Result<Option<Height>, LedgerError> {
        self.read(TXS, tx.bytes())
    }
}

fn family_options(cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_bloom_filter(10.0, false);
    blocks.set_cache_index_and_filter_blocks(true);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size(WRITE_BYTES / 4);
    options
}

fn database(error: rocksdb::Error) -> LedgerError {
    LedgerError::Database { reason: error.to_string() }
}

fn commitment_key(id: &CommitmentId) -> Vec<u8> {
    [id.object.bytes().as_slice(), &id.extent.to_be_bytes(), id.owner.bytes()].concat()
}

fn end_key(end: Epoch, commitment_key: &[u8]) -> Vec<u8> {
    [&end.0.to_be_bytes(), commitment_key].concat()
}

/// The records at one height.
struct View<'a> {
    rocks: &'a Rocks,
    snapshot: Snapshot<'a>,
}

impl View<'_> {
    fn get<T: BorshDeserialize>(&self, family: &'static str, key: &[u8]) -> Option<T> {
        let bytes =
            self.snapshot.get_pinned_cf(self.rocks.family(family), key).unwrap_or_else(|error| unreadable(&error));
        bytes.map(|bytes| record(family, &bytes))
    }

    /// Keys and values of `family` from `start` on.
    fn scan(&self, family: &'static str, start: &[u8]) -> impl Iterator<Item = (Box<[u8]>, Box<[u8]>)> {
        let mode = IteratorMode::From(start, Direction::Forward);
        let entries = self.snapshot.iterator_cf(self.rocks.family(family), mode);
        entries.map(|entry| entry.unwrap_or_else(|error| unreadable(&error)))
    }
}

/// The rules can not go on without their records, and a wrong answer would be worse: the node stops.
fn unreadable(error: &rocksdb::Error) -> ! {
    panic!("invariant: the ledger's database can be read; it failed: {error}")
}

fn record<T: BorshDeserialize>(family: &str, bytes: &[u8]) -> T {
    T::try_from_slice(bytes).unwrap_or_else(|_| panic!("invariant: every record of {family} is what was written"))
}

impl Records for View<'_> {
    fn tip(&self) -> Tip {
        self.get(META, b"tip").expect("a ledger has a tip from its first batch on")
    }

    fn account(&self, id: &AccountId) -> Account {
        self.get(ACCOUNTS, id.bytes()).unwrap_or_default()
    }

    fn provider(&self, id: &NodeId) -> Option<Provider> {
        self.get(PROVIDERS, id.bytes())
    }

    fn providers(&self) -> Vec<Provider> {
        self.scan(PROVIDERS, &[]).map(|(_, value)| record(PROVIDERS, &value)).collect()
    }

    fn commitment(&self, id: &CommitmentId) -> Option<Commitment> {
        self.get(COMMITMENTS, &commitment_key(id))
    }

    fn commitments_of(&self, object: &ObjectId, limit: usize) -> Vec<Commitment> {
        let mine = self.scan(COMMITMENTS, object.bytes()).take_while(|(key, _)| key.starts_with(object.bytes()));
        mine.take(limit).map(|(_, value)| record(COMMITMENTS, &value)).collect()
    }

    fn ending(&self, epoch: Epoch, limit: usize) -> Vec<CommitmentId> {
        let due = self.scan(ENDS, &[]).map(|(key, _)| end_of(&key));
        due.take_while(|(end, _)| *end <= epoch).take(limit).map(|(_, id)| id).collect()
    }

    fn epoch(&self, epoch: Epoch) -> Option<EpochRecord> {
        self.get(EPOCHS, &epoch.0.to_be_bytes())
    }
}

/// What [`end_key`] wrote.
fn end_of(key: &[u8]) -> (Epoch, CommitmentId) {
    let part = |from: usize, to: usize| key.get(from..to).expect("invariant: every key of ends is what was written");
    let id = |from| part(from, from + 32).try_into().expect("32 bytes");
    let end = u64::from_be_bytes(part(0, 8).try_into().expect("8 bytes"));
    let extent = u32::from_be_bytes(part(40, 44).try_into().expect("4 bytes"));
    let (object, owner) = (ObjectId::new(id(8)), AccountId::new(id(44)));
    (Epoch(end), CommitmentId { object, extent, owner })
}
