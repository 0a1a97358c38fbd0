//! What accounts had stored here and never paid for. Pure.
//!
//! A holder stores on credit: the balance of an account shows that it could pay, not that it will. One that lets its
//! columns expire has that much less credit here, for as long again as they were kept, or until it pays for as much. So
//! an add that failed costs an honest client nothing but a part of its credit, and who never pays is soon refused.

use std::collections::BTreeMap;

use ostrakon_proto::id::{AccountId, Epoch};

/// The most accounts that are remembered.
const ACCOUNTS: usize = 4096;

/// What each account left unpaid.
#[derive(Debug, Default)]
pub(super) struct Unpaid {
    accounts: BTreeMap<AccountId, Debt>,
}

/// What one account left unpaid.
#[derive(Clone, Copy, Debug)]
struct Debt {
    bytes: u64,
    /// The epoch at whose end it is forgotten.
    until: Epoch,
}

impl Unpaid {
    /// Bytes that the account left unpaid.
    pub(super) fn bytes(&self, account: &AccountId) -> u64 {
        self.accounts.get(account).map_or(0, |debt| debt.bytes)
    }

    /// The account's column of so many bytes expired; that is remembered until the end of `until`.
    pub(super) fn note(&mut self, account: AccountId, bytes: u64, until: Epoch) {
        let debt = self.accounts.entry(account).or_insert(Debt { bytes: 0, until });
        *debt = Debt { bytes: debt.bytes.saturating_add(bytes), until: debt.until.max(until) };
        if self.accounts.len() > ACCOUNTS {
            let least = self.accounts.iter().min_by_key(|(_, debt)| debt.bytes).map(|(account, _)| *account);
            least.map(|account| self.accounts.remove(&account));
        }
    }

    /// The account paid for so many bytes.
    pub(super) fn paid(&mut self, account: &AccountId, bytes: u64) {
        let Some(debt) = self.accounts.get_mut(account) else { return };
        debt.bytes = debt.bytes.saturating_sub(bytes);
        if debt.bytes == 0 {
            self.accounts.remove(account);
        }
    }

    /// Forgets what ended before `now`.
    pub(super) fn forget(&mut self, now: Epoch) {
        self.accounts.retain(|_, debt| debt.until >= now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debt_grows_is_paid_and_is_forgotten() {
        let (one, other) = (AccountId::new([1; 32]), AccountId::new([2; 32]));
        let mut unpaid = Unpaid::default();
        unpaid.note(one, 10, Epoch(5));
        unpaid.note(one, 5, Epoch(7));
        unpaid.note(other, 1, Epoch(6));
        assert_eq!((unpaid.bytes(&one), unpaid.bytes(&other)), (15, 1));
        unpaid.paid(&one, 4);
        unpaid.paid(&other, 9);
        assert_eq!((unpaid.bytes(&one), unpaid.accounts.len()), (11, 1));
        unpaid.forget(Epoch(7));
        assert_eq!(unpaid.bytes(&one), 11);
        unpaid.forget(Epoch(8));
        assert_eq!(unpaid.bytes(&one), 0);
    }

    #[test]
    fn the_smallest_debts_are_forgotten_when_there_are_too_many() {
        let mut unpaid = Unpaid::default();
        let account = |number: usize| AccountId::new(*blake3::hash(&number.to_le_bytes()).as_bytes());
        unpaid.note(account(0), 1_000, Epoch(1));
        (1..=ACCOUNTS).for_each(|number| unpaid.note(account(number), 1, Epoch(1)));
        assert_eq!((unpaid.accounts.len(), unpaid.bytes(&account(0))), (ACCOUNTS, 1_000));
    }
}
