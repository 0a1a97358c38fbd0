//! Pruning of old blocks: their effects are in the state, and a node that needs them restores a snapshot instead.
//!
//! In comes what the ledger may use of its disk ([`crate::ledger_room`]), out go the oldest blocks while it uses more.
//! What stays forever are the nodes of the history, by which any block is proven, and the handovers from one validator
//! set to the next, by which a light client follows the chain from genesis.

use std::ops::Range;

use ostrakon_proto::{codec, id::Height, ledger::tx::DecidedBlock};
use rocksdb::{CompactOptions, WriteBatch};

use super::{BLOCKS, FIRST, META, Rocks, TOUCHES, TXS, database};
use crate::chain::store::LedgerError;

/// Blocks deleted in one batch.
const STEP: u64 = 256;
/// Bytes of blocks deleted at a time, before the database is made to give back their disk space: one part in this many
/// of the budget, and at least so many.
const FREED_PART: u64 = 16;
const FREED_MIN: u64 = 8 * 1024 * 1024;

impl Rocks {
    /// The oldest block that is not pruned.
    pub(super) fn first(&self) -> Result<Height, LedgerError> {
        Ok(self.read(META, FIRST)?.unwrap_or(Height(1)))
    }

    /// Deletes some of the blocks below `horizon` if the ledger uses too much of its room; whether there is more to do.
    ///
    /// That is more than three quarters: what the database rewrites is on disk twice for some time.
    pub(super) fn prune(&self, horizon: Height) -> Result<bool, LedgerError> {
        let (room, first) = (&self.pruning.room, self.first()?);
        let (budget, used) = (room.budget(), room.measure());
        let limit = budget - budget / 4;
        if budget == 0 || used <= limit || first >= horizon {
            return Ok(false);
        }
        let (mut next, mut freed) = (first, 0);
        while next < horizon && freed < (budget / FREED_PART).max(FREED_MIN) {
            let end = Height(next.0.saturating_add(STEP)).min(horizon);
            freed += self.delete_blocks(next..end)?;
            next = end;
        }
        self.give_back(next)?;
        Ok(next < horizon && room.measure() > limit)
    }

    /// Deletes these blocks; returns how many bytes they had.
    fn delete_blocks(&self, heights: Range<Height>) -> Result<u64, LedgerError> {
        let (mut batch, mut bytes) = (WriteBatch::default(), 0);
        for height in heights.start.0..heights.end.0 {
            let key = height.to_be_bytes();
            // A block may be missing after a crash.
            let Some(decided) = self.read::<DecidedBlock>(BLOCKS, &key)? else { continue };
            bytes += codec::encode(&decided).len();
            batch.delete_cf(self.family(BLOCKS), key);
            decided.block.places().for_each(|(_, tx)| batch.delete_cf(self.family(TXS), tx.id().bytes()));
            self.forget_touches(&mut batch, &decided.block);
        }
        batch.put_cf(self.family(META), FIRST, codec::encode(&heights.end));
        // Not synced: what a power cut undoes is deleted again.
        self.db.write(batch).map_err(database)?;
        Ok(u64::try_from(bytes).expect("fits"))
    }

    /// Makes the database give back the disk space of deleted blocks and their transactions. Nothing waits for this.
    fn give_back(&self, first: Height) -> Result<(), LedgerError> {
        let (blocks, first) = (self.family(BLOCKS), first.0.to_be_bytes());
        // Whole files first: they need not be rewritten.
        self.db.delete_file_in_range_cf(blocks, [0; 8], first).map_err(database)?;
        let mut beside_others = CompactOptions::default();
        beside_others.set_exclusive_manual_compaction(false);
        self.db.compact_range_cf_opt(blocks, None::<&[u8]>, Some(first), &beside_others);
        for family in [TXS, TOUCHES] {
            self.db.compact_range_cf_opt(self.family(family), None::<&[u8]>, None::<&[u8]>, &beside_others);
        }
        Ok(())
    }
}
