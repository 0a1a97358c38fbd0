//! Receipts: what a provider signs once it has stored and synced a whole column, and the manifest that lists it
//! (ARCHITECTURE 5.4; SPEC, "Ledger").
//!
//! A receipt binds all that a repair will need, so that none of it is one party's word: every column of the extent, the
//! code and the length. And it binds price and time, so that no provider is held to others, or for longer, than it
//! signed.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    codec,
    id::{AccountId, Amount, ColumnId, Epoch, ObjectId},
    ledger::{
        state::{Commitment, CommitmentId},
        tx::Commit,
    },
    params::{Code, Params},
    placement::Draw,
};

/// What the provider of a column signs, for [`crate::sign::Purpose::Receipt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Receipt {
    /// The account that will pay.
    pub account: AccountId,
    /// The object whose manifest lists the columns.
    pub object: ObjectId,
    /// Number of the extent.
    pub extent: u32,
    /// Index of the column that is stored.
    pub index: u8,
    /// The draw that chose the provider.
    pub draw: Draw,
    /// The hash over the ids of all n columns: [`columns_hash`].
    pub columns: [u8; 32],
    /// The code.
    pub code: Code,
    /// Bytes of each column.
    pub column_len: u64,
    /// Price of a GiB for one epoch: what the provider asks in the roster of the draw.
    pub ask: Amount,
    /// First epoch that the provider does not promise.
    pub until: Epoch,
}

/// The hash over the ids of an extent's n columns, in order.
pub fn columns_hash(columns: impl IntoIterator<Item = ColumnId>) -> [u8; 32] {
    let columns: Vec<ColumnId> = columns.into_iter().collect();
    *blake3::hash(&codec::encode(&columns)).as_bytes()
}

impl Commit {
    /// What each holder signs, where this account pays: but for the index of its column and what it asks.
    pub fn receipt(&self, account: AccountId) -> Receipt {
        let Self { object, extent, draw, code, column_len, until, ref slots, .. } = *self;
        let columns = columns_hash(slots.iter().map(|slot| slot.column));
        Receipt { account, object, extent, index: 0, draw, columns, code, column_len, ask: Amount::ZERO, until }
    }
}

impl Commitment {
    /// What each provider signs that takes one of the columns over by this draw: but for its index and what it asks.
    pub fn receipt(&self, draw: Draw) -> Receipt {
        let Self { id, code, column_len, until, ref slots, .. } = *self;
        let CommitmentId { object, extent, owner: account } = id;
        let columns = columns_hash(slots.iter().map(|slot| slot.column));
        Receipt { account, object, extent, index: 0, draw, columns, code, column_len, ask: Amount::ZERO, until }
    }
}

impl Params {
    /// Until when a receipt of this draw promises a term of so many epochs: long enough for a commit in the last epoch
    /// in which the draw is valid.
    pub fn receipt_end(&self, draw: Draw, epochs: u64) -> Epoch {
        draw.epoch.after(self.draw_epochs.saturating_sub(1)).after(epochs)
    }
}
