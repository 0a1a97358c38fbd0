//! Accounts that were read or written of late: a transaction's sender is looked at when it is submitted, when it is
//! pooled and when it is applied, and the database takes longer for each look than the rules for the transaction.
//!
//! In come accounts, each with the number of commits after which it was so; out they go to views of the same or a later
//! commit. Bounded: what was not used for the longest time is forgotten.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hashlink::LruCache;
use ostrakon_proto::{
    id::AccountId,
    ledger::state::{Account, Changes, Key, Record},
};

/// Accounts remembered: about 16 MiB.
const REMEMBERED: usize = 131_072;

/// After how many commits of this process something is so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u64);

/// The newest known state of some accounts; `None` is of one that is not there.
#[derive(Debug, Default)]
pub(super) struct Recent {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    version: Version,
    /// Whether the database is at this version, or on its way to the next.
    writing: bool,
    /// Each as it is since a version.
    accounts: LruCache<AccountId, (Version, Option<Account>)>,
}

impl Default for State {
    fn default() -> Self {
        Self { version: Version::default(), writing: false, accounts: LruCache::new(REMEMBERED) }
    }
}

impl Recent {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version that the database is at; nothing while it is on its way to the next.
    pub(super) fn version(&self) -> Option<Version> {
        let state = self.state();
        (!state.writing).then_some(state.version)
    }

    /// What `make` sees of the database, with the version that it sees: nothing when that changed meanwhile.
    pub(super) fn pinned<T>(&self, make: impl FnOnce() -> T) -> (T, Option<Version>) {
        let before = self.version();
        let made = make();
        (made, before.filter(|version| self.version() == Some(*version)))
    }

    /// The account as of `version`, when it is known. An inner `None` says that it is known not to be there.
    #[expect(clippy::option_option, reason = "whether something is known, and whether it is there, are two questions")]
    pub(super) fn get(&self, version: Version, id: &AccountId) -> Option<Option<Account>> {
        let mut state = self.state();
        let (since, account) = *state.accounts.get(id)?;
        (since <= version).then_some(account)
    }

    /// Remembers what was read at `version`, unless there are later ones.
    pub(super) fn read(&self, version: Version, id: AccountId, account: Option<Account>) {
        let mut state = self.state();
        if state.version == version {
            state.accounts.insert(id, (version, account));
        }
    }

    /// The database is being written to. When that fails, it stays so, and nothing that is here is given out again.
    pub(super) fn begin(&self) {
        self.state().writing = true;
    }

    /// It has what `changes` says.
    pub(super) fn finish(&self, changes: &Changes) {
        let mut state = self.state();
        state.version.0 += 1;
        state.writing = false;
        let version = state.version;
        for (key, record) in &changes.records {
            let Key::Account(id) = key else { continue };
            let account = match record {
                Some(Record::Account(account)) => Some(*account),
                _ => None,
            };
            state.accounts.insert(*id, (version, account));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ostrakon_proto::id::Amount;

    use super::*;
    use crate::world::genesis;

    fn id(number: usize) -> AccountId {
        AccountId::new(*blake3::hash(&number.to_le_bytes()).as_bytes())
    }

    fn account(balance: u64) -> Option<Account> {
        Some(Account { balance: Amount(balance), nonce: 0 })
    }

    fn changes(id: AccountId, account: Option<Account>) -> Changes {
        let records = BTreeMap::from([(Key::Account(id), account.map(Record::Account))]);
        Changes { records, ..genesis(4).changes() }
    }

    #[test]
    fn a_view_sees_its_own_version_or_nothing() {
        let recent = Recent::default();
        let before = recent.version().expect("nothing is written");
        recent.read(before, id(1), account(1));
        recent.read(before, id(2), None);
        assert_eq!((recent.get(before, &id(1)), recent.get(before, &id(2))), (Some(account(1)), Some(None)));
        recent.begin();
        assert_eq!(recent.version(), None);
        assert_eq!(recent.get(before, &id(1)), Some(account(1)), "a view of before is as good as it was");
        recent.finish(&changes(id(1), account(5)));
        let after = recent.version().expect("it is written");
        assert_eq!(recent.get(before, &id(1)), None, "what was before is no longer known");
        assert_eq!((recent.get(after, &id(1)), recent.get(after, &id(2))), (Some(account(5)), Some(None)));
        recent.read(before, id(1), account(1));
        assert_eq!(recent.get(after, &id(1)), Some(account(5)), "an old view does not bring back the past");
        recent.begin();
        recent.finish(&changes(id(1), None));
        assert_eq!(recent.get(recent.version().expect("it is written"), &id(1)), Some(None));
    }

    #[test]
    fn what_was_seen_while_it_was_written_has_no_version() {
        let recent = Recent::default();
        assert_eq!(recent.pinned(|| 7), (7, recent.version()));
        assert_eq!(recent.pinned(|| recent.begin()).1, None);
        assert_eq!(recent.pinned(|| recent.finish(&changes(id(1), None))).1, None);
        let twice = || {
            recent.begin();
            recent.finish(&changes(id(1), None));
        };
        assert_eq!(recent.pinned(twice).1, None);
    }

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let recent = Recent::default();
        let version = recent.version().expect("nothing is written");
        for number in 0..2 * REMEMBERED {
            recent.read(version, id(number), account(1));
            assert_eq!(recent.get(version, &id(0)), Some(account(1)), "used all the time");
        }
        assert_eq!(recent.get(version, &id(1)), None, "forgotten");
        assert_eq!(recent.state().accounts.len(), REMEMBERED);
    }
}
