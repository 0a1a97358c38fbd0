//! Pruning of old blocks: their effects are in the state, and a node that needs them restores a snapshot instead.
//!
//! Storage proofs go first: they are the most of what blocks have, and convince nobody of anything once their epoch is
//! over. The block is proven without them, for its header has their root, and a node that has to execute it restores a
//! snapshot. Whole blocks go when the ledger uses more than it may of its disk ([`crate::ledger_room`]), the oldest
//! first. A ledger without such a bound keeps all, proofs too. What stays forever are the nodes of the history, by
//! which any block is proven, and the handovers from one validator set to the next, by which a light client follows the
//! chain from genesis.

use std::ops::Range;

use ostrakon_proto::{
    codec,
    id::{Epoch, Height},
    ledger::state::{Key, Record},
};
use rocksdb::{CompactOptions, WriteBatch};

use super::{BLOCKS, FIRST, META, PROOFS, PROVEN, Rocks, TOUCHES, TXS, database};
use crate::chain::store::{LedgerError, LedgerStore};

/// Blocks deleted in one batch.
const STEP: u64 = 256;
/// Epochs for which the proofs of a block are kept after its own.
const PROOF_EPOCHS: u64 = 2;
/// Bytes of blocks deleted at a time, before the database is made to give back their disk space: one part in this many
/// of the budget, and at least so many.
const FREED_PART: u64 = 16;
const FREED_MIN: u64 = 8 * 1024 * 1024;

impl Rocks {
    /// The oldest block that is not pruned.
    pub(super) fn first(&self) -> Result<Height, LedgerError> {
        Ok(self.read(META, FIRST)?.unwrap_or(Height(1)))
    }

    /// Drops the proofs of blocks below `horizon` that are old enough.
    pub(super) fn drop_proofs(&self, horizon: Height) -> Result<(), LedgerError> {
        let first = self.read(META, PROVEN)?.unwrap_or(Height(1)).max(self.first()?);
        let end = self.before_last_epochs().min(horizon);
        if self.pruning.room.budget() == 0 || first >= end {
            return Ok(());
        }
        let (proofs, mut batch) = (self.family(PROOFS), WriteBatch::default());
        batch.delete_range_cf(proofs, first.0.to_be_bytes(), end.0.to_be_bytes());
        batch.put_cf(self.family(META), PROVEN, codec::encode(&end));
        // Synced, before files are deleted.
        self.write(batch)?;
        self.free(PROOFS, end)
    }

    /// The first block of the last epochs whose proofs are kept beside those of the one in progress. A network that
    /// forgets an epoch sooner has the oldest that it knows.
    fn before_last_epochs(&self) -> Height {
        let view = self.view();
        let newest = view.tip().running.clock.epoch;
        let Some(oldest) = newest.0.checked_sub(PROOF_EPOCHS).map(Epoch) else { return Height(0) };
        let known = view.scan(&Key::Epoch(oldest), &Key::Epoch(newest), 1).pop();
        if let Some((_, Record::Epoch(record))) = known { record.first } else { Height(0) }
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
            let Some(decided) = self.block(Height(height))? else { continue };
            bytes += codec::encode(&decided).len();
            [BLOCKS, PROOFS].iter().for_each(|family| batch.delete_cf(self.family(family), key));
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
        self.free(BLOCKS, first)?;
        self.free(PROOFS, first)?;
        for family in [TXS, TOUCHES] {
            self.db.compact_range_cf_opt(self.family(family), None::<&[u8]>, None::<&[u8]>, &beside_others());
        }
        Ok(())
    }

    /// The same of one family by height.
    fn free(&self, family: &'static str, first: Height) -> Result<(), LedgerError> {
        // Both ends are included: a file that ends with the first one stays.
        let (family, last) = (self.family(family), first.0.saturating_sub(1).to_be_bytes());
        // Whole files first: they need not be rewritten.
        self.db.delete_file_in_range_cf(family, [0; 8], last).map_err(database)?;
        self.db.compact_range_cf_opt(family, None::<&[u8]>, Some(last), &beside_others());
        Ok(())
    }
}

fn beside_others() -> CompactOptions {
    let mut options = CompactOptions::default();
    options.set_exclusive_manual_compaction(false);
    options
}
