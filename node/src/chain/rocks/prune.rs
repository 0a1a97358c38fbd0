//! Pruning of old blocks: their effects are in the state, and a node that needs them restores a snapshot instead.
//!
//! What stays forever are the nodes of the history, by which any block is proven, and the handovers from one validator
//! set to the next, by which a light client follows the chain from genesis.

use ostrakon_proto::{codec, id::Height, ledger::tx::DecidedBlock};
use rocksdb::WriteBatch;

use super::{BLOCKS, FIRST, META, Rocks, TXS};
use crate::chain::store::LedgerError;

/// Blocks deleted in one batch.
const STEP: u64 = 256;

impl Rocks {
    /// The oldest block that is not pruned.
    pub(super) fn first(&self) -> Result<Height, LedgerError> {
        Ok(self.read(META, FIRST)?.unwrap_or(Height(1)))
    }

    /// Deletes some of the blocks below `horizon`; whether some are left.
    pub(super) fn prune(&self, horizon: Height) -> Result<bool, LedgerError> {
        let first = self.first()?;
        let end = Height(first.0.saturating_add(STEP)).min(horizon);
        if first >= end {
            return Ok(false);
        }
        let mut batch = WriteBatch::default();
        for height in first.0..end.0 {
            let key = height.to_be_bytes();
            // A block may be missing after a crash.
            let Some(DecidedBlock { block, .. }) = self.read(BLOCKS, &key)? else { continue };
            batch.delete_cf(self.family(BLOCKS), key);
            block.places().for_each(|(_, tx)| batch.delete_cf(self.family(TXS), tx.id().bytes()));
            self.forget_touches(&mut batch, &block);
        }
        batch.put_cf(self.family(META), FIRST, codec::encode(&end));
        // Not synced: what a power cut undoes is deleted again.
        self.db.write(batch).map_err(super::database)?;
        Ok(end < horizon)
    }
}
