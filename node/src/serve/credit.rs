//! How much room the columns take that nobody pays for yet, account by account.
//!
//! An account may fill a holder with temporary columns up to its credit: what its balance backs (ARCHITECTURE 3).
//! Counted
//! from the first byte promised until the ledger commits the column or it is given up. Kept in memory: what was
//! temporary before a restart is bounded by its time limit alone.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ostrakon_proto::{
    id::{AccountId, Amount},
    wire::put::UploadId,
};

use crate::store::PlaceKey;

/// Millionths in one obol, which `credit_bytes` is for.
const MICRO: u128 = 1_000_000;

/// Bytes of credit that a balance gives.
pub fn limit(balance: Amount, credit_bytes: u64) -> u64 {
    let bytes = u128::from(balance.0) * u128::from(credit_bytes) / MICRO;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The account's credit does not cover it: wait for commits, get money, or store less at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{wanted} bytes more are over the account's credit here: columns not committed yet use {used} of {limit} bytes"
)]
pub struct NoCredit {
    /// Bytes asked for.
    pub wanted: u64,
    /// Bytes in use.
    pub used: u64,
    /// Bytes there are.
    pub limit: u64,
}

/// What takes room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    Upload(UploadId),
    Place(PlaceKey),
}

/// The claims of all accounts.
#[derive(Debug, Default)]
pub struct Credit {
    claims: Mutex<Claims>,
}

#[derive(Debug, Default)]
struct Claims {
    all: BTreeMap<Claim, (AccountId, u64)>,
    used: BTreeMap<AccountId, u64>,
}

impl Credit {
    /// Claims `bytes` for an upload; one that is begun again is counted once.
    ///
    /// # Errors
    /// [`NoCredit`] when the account would then claim more than `limit`.
    pub fn reserve(&self, account: AccountId, upload: UploadId, bytes: u64, limit: u64) -> Result<(), NoCredit> {
        let mut claims = self.claims();
        let before = claims.remove(&Claim::Upload(upload));
        let used = claims.used.get(&account).copied().unwrap_or(0);
        if used.saturating_add(bytes) > limit {
            before.into_iter().for_each(|(account, bytes)| claims.add(Claim::Upload(upload), account, bytes));
            return Err(NoCredit { wanted: bytes, used, limit });
        }
        claims.add(Claim::Upload(upload), account, bytes);
        Ok(())
    }

    /// The upload became a column of `bytes`, which is temporary for now.
    pub fn stored(&self, upload: &UploadId, place: PlaceKey, bytes: u64) {
        let mut claims = self.claims();
        if let Some((account, _)) = claims.remove(&Claim::Upload(*upload)) {
            claims.remove(&Claim::Place(place));
            claims.add(Claim::Place(place), account, bytes);
        }
    }

    /// The upload was given up.
    pub fn release(&self, upload: &UploadId) {
        self.claims().remove(&Claim::Upload(*upload));
    }

    /// The place is paid for, or gone.
    pub fn settle(&self, place: &PlaceKey) {
        self.claims().remove(&Claim::Place(*place));
    }

    fn claims(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claims {
    fn add(&mut self, claim: Claim, account: AccountId, bytes: u64) {
        self.all.insert(claim, (account, bytes));
        let used = self.used.entry(account).or_default();
        *used = used.saturating_add(bytes);
    }

    fn remove(&mut self, claim: &Claim) -> Option<(AccountId, u64)> {
        let (account, bytes) = self.all.remove(claim)?;
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
    fn claims_count_until_settled() {
        let (account, other) = (AccountId::new([1; 32]), AccountId::new([2; 32]));
        let upload = |byte| UploadId([byte; 16]);
        let place = PlaceKey { column: ColumnId::new([3; 32]), object: ObjectId::new([4; 32]), extent: 0, index: 1 };
        let credit = Credit::default();
        assert_eq!(credit.reserve(account, upload(1), 60, 100), Ok(()));
        assert_eq!(credit.reserve(account, upload(1), 60, 100), Ok(()), "begun again");
        assert_eq!(credit.reserve(account, upload(2), 41, 100), Err(NoCredit { wanted: 41, used: 60, limit: 100 }));
        assert_eq!(credit.reserve(other, upload(3), 100, 100), Ok(()));
        credit.stored(&upload(1), place, 10);
        assert_eq!(credit.reserve(account, upload(2), 90, 100), Ok(()));
        assert_eq!(credit.reserve(account, upload(2), 91, 100), Err(NoCredit { wanted: 91, used: 10, limit: 100 }));
        assert_eq!(credit.reserve(account, upload(4), 1, 100), Err(NoCredit { wanted: 1, used: 100, limit: 100 }));
        credit.release(&upload(2));
        credit.settle(&place);
        credit.settle(&place);
        assert_eq!(credit.reserve(account, upload(4), 100, 100), Ok(()));
        credit.release(&upload(4));
        credit.release(&upload(3));
        assert!(credit.claims().all.is_empty() && credit.claims().used.is_empty());
    }
}
