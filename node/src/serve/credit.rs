//! The space that columns use before they are paid for, account by account.
//!
//! An account may fill a holder with temporary columns up to its credit, which its balance backs (ARCHITECTURE 3).
//! Charged from the opening of the upload until the ledger commits the column or it is dropped. In memory only: what
//! was temporary before a restart is bounded by its time limit alone.

use std::{collections::BTreeMap, sync::Mutex};

use ostrakon_net::lock;
use ostrakon_proto::{
    id::{AccountId, Amount},
    wire::put::UploadId,
};

use crate::store::PlaceKey;

/// Micro-obols in one obol, which `credit_bytes` is for.
const MICRO: u128 = 1_000_000;

/// Bytes of credit that a balance gives.
pub fn limit(balance: Amount, credit_bytes: u64) -> u64 {
    let bytes = u128::from(balance.0) * u128::from(credit_bytes) / MICRO;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The account's credit does not cover an upload: wait for commits, fund the account, or store less at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{wanted} more bytes exceed the account's credit on this node: uncommitted columns use {used} of {limit} bytes; \
     fund the account, or store less at a time"
)]
pub struct InsufficientCredit {
    /// Bytes asked for.
    pub wanted: u64,
    /// Bytes in use.
    pub used: u64,
    /// Bytes of credit.
    pub limit: u64,
}

/// What is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Charge {
    Upload(UploadId),
    Place(PlaceKey),
}

/// The charges of all accounts.
#[derive(Debug, Default)]
pub struct Credit {
    charges: Mutex<Charges>,
}

#[derive(Debug, Default)]
struct Charges {
    all: BTreeMap<Charge, (AccountId, u64)>,
    used: BTreeMap<AccountId, u64>,
}

impl Credit {
    /// Charges `bytes` for an upload; one that is opened again is charged once.
    ///
    /// # Errors
    /// [`InsufficientCredit`] when the account would then charge more than `limit`.
    pub fn reserve(
        &self,
        account: AccountId,
        upload: UploadId,
        bytes: u64,
        limit: u64,
    ) -> Result<(), InsufficientCredit> {
        let mut charges = lock(&self.charges);
        let before = charges.remove(&Charge::Upload(upload));
        let used = charges.used.get(&account).copied().unwrap_or(0);
        if used.saturating_add(bytes) > limit {
            before.into_iter().for_each(|(account, bytes)| charges.add(Charge::Upload(upload), account, bytes));
            return Err(InsufficientCredit { wanted: bytes, used, limit });
        }
        charges.add(Charge::Upload(upload), account, bytes);
        Ok(())
    }

    /// The upload became a temporary column of `bytes`.
    pub fn stored(&self, upload: &UploadId, place: PlaceKey, bytes: u64) {
        let mut charges = lock(&self.charges);
        if let Some((account, _)) = charges.remove(&Charge::Upload(*upload)) {
            charges.remove(&Charge::Place(place));
            charges.add(Charge::Place(place), account, bytes);
        }
    }

    /// The upload was dropped.
    pub fn release(&self, upload: &UploadId) {
        lock(&self.charges).remove(&Charge::Upload(*upload));
    }

    /// The place is paid for, or deleted.
    pub fn settle(&self, place: &PlaceKey) {
        lock(&self.charges).remove(&Charge::Place(*place));
    }
}

impl Charges {
    fn add(&mut self, charge: Charge, account: AccountId, bytes: u64) {
        self.all.insert(charge, (account, bytes));
        let used = self.used.entry(account).or_default();
        *used = used.saturating_add(bytes);
    }

    fn remove(&mut self, charge: &Charge) -> Option<(AccountId, u64)> {
        let (account, bytes) = self.all.remove(charge)?;
        if let Some(used) = self.used.get_mut(&account) {
            *used = used.saturating_sub(bytes);
            if *used == 0 {
                self.used.remove(&account);
            }
        }
        Some((account, bytes))
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::id::{ColumnId, ObjectId};

    use super::*;

    #[test]
    fn a_balance_gives_credit() {
        let check = |balance, per_obol, expect| assert_eq!(limit(Amount(balance), per_obol), expect);
        check(0, 1 << 40, 0);
        check(1_000_000, 1 << 40, 1 << 40);
        check(500_000, 1 << 30, 1 << 29);
        check(u64::MAX, u64::MAX, u64::MAX);
    }

    #[test]
    fn charges_count_until_settled() {
        let (account, other) = (AccountId::new([1; 32]), AccountId::new([2; 32]));
        let upload = |byte| UploadId([byte; 16]);
        let place = PlaceKey { column: ColumnId::new([3; 32]), object: ObjectId::new([4; 32]), extent: 0, index: 1 };
        let credit = Credit::default();
        assert_eq!(credit.reserve(account, upload(1), 60, 100), Ok(()));
        assert_eq!(credit.reserve(account, upload(1), 60, 100), Ok(()), "opened again");
        assert_eq!(
            credit.reserve(account, upload(2), 41, 100),
            Err(InsufficientCredit { wanted: 41, used: 60, limit: 100 })
        );
        assert_eq!(credit.reserve(other, upload(3), 100, 100), Ok(()));
        credit.stored(&upload(1), place, 10);
        assert_eq!(credit.reserve(account, upload(2), 90, 100), Ok(()));
        assert_eq!(
            credit.reserve(account, upload(2), 91, 100),
            Err(InsufficientCredit { wanted: 91, used: 10, limit: 100 })
        );
        assert_eq!(
            credit.reserve(account, upload(4), 1, 100),
            Err(InsufficientCredit { wanted: 1, used: 100, limit: 100 })
        );
        credit.release(&upload(2));
        credit.settle(&place);
        credit.settle(&place);
        assert_eq!(credit.reserve(account, upload(4), 100, 100), Ok(()));
        credit.release(&upload(4));
        credit.release(&upload(3));
        assert!(lock(&credit.charges).all.is_empty() && lock(&credit.charges).used.is_empty());
    }
}
