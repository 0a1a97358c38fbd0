//! Reads the ledger in a node's directory while the node runs, or while it does not.
//!
//! In comes a directory, out goes what a provider stores and is paid for, as of one block. RocksDB opens a database for
//! reading beside the process that has its lock, and shows what was written by then. Files that the node merges
//! meanwhile vanish, so whatever does not open, or does not add up, is opened again. Nothing is written.

use std::path::Path;

use borsh::BorshDeserialize;
use ostrakon_proto::{
    id::{Amount, Epoch, Height, NodeId},
    ledger::state::{CommitmentId, Key, Pay, Provider, Record, Slot, Tip},
};
use rocksdb::{Cache, ColumnFamilyDescriptor, DB, Direction, IteratorMode, Options};

use super::{CACHE_BYTES, FORMAT, META, RECORDS, database, family_options};
use crate::chain::store::{LedgerError, OpenLedgerError};

/// How often it is opened, at most.
const ATTEMPTS: u32 = 20;

/// What a provider stores, after a block.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The block.
    pub height: Height,
    /// The provider.
    pub provider: Provider,
    /// Its live slots, in the order of its inventory.
    pub slots: Vec<StoredSlot>,
}

/// A live slot of a provider.
#[derive(Clone, Copy, Debug)]
pub struct StoredSlot {
    /// Its commitment.
    pub commitment: CommitmentId,
    /// Its index in that.
    pub index: u8,
    /// The first epoch that is not paid for.
    pub end: Epoch,
    /// Bytes of the column.
    pub column_len: u64,
    /// The slot.
    pub slot: Slot,
}

impl Stored {
    /// What `node` stores by the ledger in this directory; `None` when that does not have it as a provider.
    ///
    /// # Errors
    /// [`OpenLedgerError`] when there is no such ledger, it is of another format, or it is damaged.
    pub fn read(dir: &Path, node: NodeId) -> Result<Option<Self>, OpenLedgerError> {
        let source = LedgerError::Damaged { what: "inventory: its slots do not add up" };
        let mut last = OpenLedgerError::Damaged { dir: dir.to_owned(), source };
        for _ in 0..ATTEMPTS {
            match Self::look(dir, node) {
                Ok(found) if found.as_ref().is_none_or(Self::adds_up) => return Ok(found),
                Ok(_) => {}
                Err(error @ OpenLedgerError::Format { .. }) => return Err(error),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn look(dir: &Path, node: NodeId) -> Result<Option<Self>, OpenLedgerError> {
        let damaged = |source| OpenLedgerError::Damaged { dir: dir.to_owned(), source };
        Beside::open(dir)?.stored_by(node).map_err(damaged)
    }

    /// Whether the slots are what the provider's record says: all that was read is of one block.
    fn adds_up(&self) -> bool {
        let pay = &self.provider.audited.pay;
        let bytes: u64 = self.slots.iter().map(|slot| slot.column_len).sum();
        let rate: u64 = self.slots.iter().map(|slot| slot.rate(pay).0).sum();
        (bytes, Amount(rate)) == (self.provider.used, pay.rate)
    }
}

impl StoredSlot {
    /// What the provider's next proof pays for it, before fees: nothing once it has ended. The sum over all slots is
    /// the provider's rate.
    pub fn rate(&self, pay: &Pay) -> Amount {
        if self.end >= pay.settled { self.slot.rate(self.column_len) } else { Amount::ZERO }
    }

    /// Epochs that were proven since it was settled: since it began, or its commitment was extended or released.
    pub fn proven(&self, pay: &Pay) -> u64 {
        pay.proofs.before(self.end).saturating_sub(self.slot.base)
    }

    /// What these epochs have paid for it, before fees.
    pub fn due(&self, pay: &Pay) -> Amount {
        Amount(self.slot.rate(self.column_len).0.saturating_mul(self.proven(pay)))
    }
}

/// A ledger, open for reading.
struct Beside {
    db: DB,
}

impl Beside {
    fn open(dir: &Path) -> Result<Self, OpenLedgerError> {
        let failed = |reason: String| OpenLedgerError::Database { dir: dir.to_owned(), reason };
        // The database's binding would make it.
        if !dir.is_dir() {
            return Err(failed("there is none".to_owned()));
        }
        let mut options = Options::default();
        // All files immediately: one that is opened later may be gone by then.
        options.set_max_open_files(-1);
        let cache = Cache::new_lru_cache(CACHE_BYTES);
        let families = [META, RECORDS].map(|name| ColumnFamilyDescriptor::new(name, family_options(&cache)));
        let db = DB::open_cf_descriptors_read_only(&options, dir, families, false)
            .map_err(|error| failed(error.to_string()))?;
        let ledger = Self { db };
        let damaged = |source| OpenLedgerError::Damaged { dir: dir.to_owned(), source };
        match ledger.read::<u32>(META, b"format").map_err(damaged)? {
            Some(FORMAT) => Ok(ledger),
            Some(found) => Err(OpenLedgerError::Format { dir: dir.to_owned(), found, known: FORMAT }),
            None => Err(failed("it has no format".to_owned())),
        }
    }

    fn read<T: BorshDeserialize>(&self, family: &'static str, key: &[u8]) -> Result<Option<T>, LedgerError> {
        let damaged = LedgerError::Damaged { what: family };
        let handle = self.db.cf_handle(family).ok_or_else(|| damaged.clone())?;
        let bytes = self.db.get_pinned_cf(handle, key).map_err(database)?;
        bytes.map(|bytes| T::try_from_slice(&bytes).map_err(|_| damaged.clone())).transpose()
    }

    fn record(&self, key: &Key) -> Result<Option<Record>, LedgerError> {
        self.read(RECORDS, &key.to_bytes())
    }

    fn stored_by(&self, node: NodeId) -> Result<Option<Stored>, LedgerError> {
        let tip: Tip = self.read(META, b"tip")?.ok_or(LedgerError::Damaged { what: META })?;
        let provider = self.record(&Key::Provider(node))?;
        let Some(Record::Provider(provider)) = provider else { return Ok(None) };
        let damaged = || LedgerError::Damaged { what: RECORDS };
        let handle = self.db.cf_handle(RECORDS).ok_or_else(damaged)?;
        let (first, last) = (Key::Held(node, [0; 16]).to_bytes(), Key::Held(node, [u8::MAX; 16]).to_bytes());
        let mut slots = Vec::new();
        for entry in self.db.iterator_cf(handle, IteratorMode::From(&first, Direction::Forward)) {
            let (key, value) = entry.map_err(database)?;
            if *key > *last {
                break;
            }
            let Ok(Record::Held(held)) = Record::try_from_slice(&value) else { return Err(damaged()) };
            if held.left.is_some() {
                continue;
            }
            let commitment = self.record(&Key::Commitment(held.commitment))?;
            let Some(Record::Commitment(made)) = commitment else { return Err(damaged()) };
            let slot = *made.slots.get(usize::from(held.index)).ok_or_else(damaged)?;
            let (index, column_len) = (held.index, made.column_len);
            slots.push(StoredSlot { commitment: made.id, index, end: made.end, column_len, slot });
        }
        Ok(Some(Stored { height: tip.height, provider, slots }))
    }
}
