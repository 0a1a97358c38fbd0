//! The index of transactions that touch an account, over the blocks that are not pruned.
//!
//! In come blocks, with the batch that stores or deletes them; out come positions, the newest first.
//!
//! ```text
//! touches  account | height | list: 0 applied, 1 charged | index (big-endian)  -> nothing
//! ```

use ostrakon_proto::{
    id::{AccountId, Height},
    ledger::tx::{Block, TxList},
    light::{TxPlace, activity::accounts_of},
};
use rocksdb::{Direction, IteratorMode, ReadOptions, WriteBatch};

use super::{Rocks, TOUCHES, database, in_order};
use crate::chain::store::LedgerError;

type TouchKey = [u8; 45];

fn key(account: &AccountId, place: TxPlace) -> TouchKey {
    let mut key = [0; 45];
    key[..32].copy_from_slice(account.bytes());
    key[32..40].copy_from_slice(&place.height.0.to_be_bytes());
    key[40] = u8::from(place.is_charged());
    key[41..].copy_from_slice(&place.index.to_be_bytes());
    key
}

fn place_of(key: &[u8]) -> Option<TxPlace> {
    let (height, index) = key.get(32..)?.split_first_chunk::<8>()?;
    let (list, index) = index.split_first()?;
    let list = if *list == 0 { TxList::Applied } else { TxList::Charged };
    let index = u32::from_be_bytes(index.try_into().ok()?);
    Some(TxPlace { height: Height(u64::from_be_bytes(*height)), list, index })
}

/// The keys of all accounts that the block's transactions touch.
fn keys_of(block: &Block) -> impl Iterator<Item = TouchKey> {
    block.places().flat_map(|(place, tx)| accounts_of(tx, place.list).map(move |account| key(&account, place)))
}

impl Rocks {
    pub(super) fn stage_touches(&self, batch: &mut WriteBatch, block: &Block) {
        in_order(keys_of(block)).iter().for_each(|key| batch.put_cf(self.family(TOUCHES), key, []));
    }

    pub(super) fn forget_touches(&self, batch: &mut WriteBatch, block: &Block) {
        keys_of(block).for_each(|key| batch.delete_cf(self.family(TOUCHES), key));
    }

    /// The positions before `before`, the newest first.
    pub(super) fn touches(
        &self,
        account: &AccountId,
        before: TxPlace,
        limit: usize,
    ) -> Result<Vec<TxPlace>, LedgerError> {
        let (first, end) = (key(account, TxPlace::start_of(Height(0))), key(account, before));
        let mut within = ReadOptions::default();
        within.set_iterate_lower_bound(first);
        within.set_iterate_upper_bound(end);
        let mode = IteratorMode::From(&end, Direction::Reverse);
        let entries = self.db.iterator_cf_opt(self.family(TOUCHES), within, mode);
        let place = |entry: Result<(Box<[u8]>, _), rocksdb::Error>| {
            let (key, _) = entry.map_err(database)?;
            place_of(&key).ok_or(LedgerError::Damaged { what: TOUCHES })
        };
        entries.take(limit).map(place).collect()
    }
}
