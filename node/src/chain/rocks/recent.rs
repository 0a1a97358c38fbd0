//! A cache of accounts that were read or written recently: a transaction's sender is read when it is submitted, pooled
//! and applied, and each read of the database takes longer than the rules take for the transaction.
//!
//! In come accounts, each with the version (number of commits) from which on it holds; out they go to views of the same
//! or a later version. Bounded: the least recently used are evicted.

use std::sync::Mutex;

use hashlink::LruCache;
use ostrakon_net::lock;
use ostrakon_proto::{
    id::AccountId,
    ledger::state::{Account, Changes, Key, Record},
};

/// Accounts cached: about 120 MiB, once there are so many.
const REMEMBERED: usize = 1 << 20;

/// A number of commits of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u64);

/// The newest state of some accounts; `None` for one that does not exist.
#[derive(Debug, Default)]
pub(super) struct RecentAccounts {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    version: Version,
    /// Whether a commit to the next version is in progress.
    writing: bool,
    /// Each with the version since which it holds.
    accounts: LruCache<AccountId, (Version, Option<Account>)>,
}

impl Default for State {
    fn default() -> Self {
        Self { version: Version::default(), writing: false, accounts: LruCache::new(REMEMBERED) }
    }
}

impl RecentAccounts {
    /// The version of the database; `None` while a commit is in progress.
    pub(super) fn version(&self) -> Option<Version> {
        let state = lock(&self.state);
        (!state.writing).then_some(state.version)
    }

    /// The result of `make`, with the version of the database that it saw; `None` if that changed while it ran.
    pub(super) fn pinned<T>(&self, make: impl FnOnce() -> T) -> (T, Option<Version>) {
        let before = self.version();
        let made = make();
        (made, before.filter(|version| self.version() == Some(*version)))
    }

    /// The account as of `version`, if it is cached. An inner `None` is an account that does not exist.
    #[expect(clippy::option_option, reason = "whether something is known, and whether it is there, are two questions")]
    pub(super) fn get(&self, version: Version, id: &AccountId) -> Option<Option<Account>> {
        let mut state = lock(&self.state);
        let (since, account) = *state.accounts.get(id)?;
        (since <= version).then_some(account)
    }

    /// Caches what was read at `version`, unless there are later ones.
    pub(super) fn read(&self, version: Version, id: AccountId, account: Option<Account>) {
        let mut state = lock(&self.state);
        if state.version == version {
            state.accounts.insert(id, (version, account));
        }
    }

    /// A commit starts. If it fails, the cache stays unused from then on.
    pub(super) fn begin(&self) {
        lock(&self.state).writing = true;
    }

    /// The commit of `changes` is done.
    pub(super) fn finish(&self, changes: &Changes) {
        let mut state = lock(&self.state);
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
        Some(Account { balance: Amount(balance), ..Account::default() })
    }

    fn changes(id: AccountId, account: Option<Account>) -> Changes {
        let records = BTreeMap::from([(Key::Account(id), account.map(Record::Account))]);
        Changes { records, ..genesis(4).changes() }
    }

    #[test]
    fn a_view_sees_its_own_version_or_nothing() {
        let recent = RecentAccounts::default();
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
        let recent = RecentAccounts::default();
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
        let recent = RecentAccounts::default();
        let version = recent.version().expect("nothing is written");
        for number in 0..2 * REMEMBERED {
            recent.read(version, id(number), account(1));
            assert_eq!(recent.get(version, &id(0)), Some(account(1)), "used all the time");
        }
        assert_eq!(recent.get(version, &id(1)), None, "forgotten");
        assert_eq!(lock(&recent.state).accounts.len(), REMEMBERED);
    }
}
