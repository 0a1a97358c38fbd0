//! The next nonce of an account: one task, of one process, signs at a time.
//!
//! Clients of one profile take turns by a lock on a small file, which also says which nonce is next where transactions
//! wait that the ledger does not have yet. It is a hint and expires: what waits may be lost. A client that shares no
//! profile with another of the same account learns from refusals which nonces are taken.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ostrakon_net::awake;
use ostrakon_proto::id::AccountId;
use tokio::{
    sync::{Mutex, MutexGuard},
    task::spawn_blocking,
};

/// For how long a nonce is remembered: transactions are in a block by then, or lost.
const FRESH: Duration = Duration::from_secs(30);
/// How long another process may hold its turn; after that it is ignored.
const TURN_WAIT: Duration = Duration::from_secs(20);

/// The next nonces, by account.
#[derive(Debug, Default)]
pub(crate) struct Nonces {
    file: Option<PathBuf>,
    known: Mutex<BTreeMap<AccountId, u64>>,
}

/// The right to sign.
pub(super) struct Turn<'a> {
    known: MutexGuard<'a, BTreeMap<AccountId, u64>>,
    file: Option<File>,
}

impl Nonces {
    /// Shared by all that use this file.
    pub(crate) fn new(file: Option<PathBuf>) -> Self {
        Self { file, known: Mutex::default() }
    }

    /// Waits for the others; the turn ends with the value.
    pub(super) async fn turn(&self) -> Turn<'_> {
        let known = self.known.lock().await;
        let Some(path) = self.file.clone() else { return Turn { known, file: None } };
        let locked = awake::timeout(TURN_WAIT, spawn_blocking(move || lock(&path))).await;
        let file = match locked {
            Ok(Ok(Ok(file))) => Some(file),
            failed => {
                tracing::warn!(
                    ?failed,
                    "cannot lock the profile's nonce file: transactions of other processes may take the same nonce"
                );
                None
            }
        };
        Turn { known, file }
    }

    /// What was remembered of this account was wrong.
    pub(super) async fn forget(&self, account: &AccountId) {
        self.turn().await.forget(account);
    }
}

impl Turn<'_> {
    /// The nonce after those that wait, as far as anyone remembers.
    pub(super) fn next(&mut self, account: &AccountId) -> Option<u64> {
        let known = self.known.get(account).copied();
        let Some(file) = &mut self.file else { return known };
        // The file has one account's: what this process knows of another is as good as ever.
        read(file).and_then(|(of, next)| if of == *account { Some(next) } else { known })
    }

    /// All nonces before this one are taken.
    pub(super) fn set(&mut self, account: &AccountId, next: u64) {
        self.known.insert(*account, next);
        self.write(&format!("{account} {next} {}\n", unix_seconds()));
    }

    pub(super) fn forget(&mut self, account: &AccountId) {
        self.known.remove(account);
        self.write("");
    }

    fn write(&mut self, text: &str) {
        let Some(file) = &mut self.file else { return };
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
        if let Err(error) = written {
            tracing::debug!(%error, "cannot save the next nonce");
        }
    }
}

fn lock(path: &Path) -> std::io::Result<File> {
    let file = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.lock()?;
    Ok(file)
}

/// The account that signed last, and its next nonce; `None` when that was long ago.
fn read(file: &mut File) -> Option<(AccountId, u64)> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(1024).read_to_string(&mut text).ok()?;
    let mut words = text.split_whitespace();
    let account = words.next()?.parse().ok()?;
    let (next, since): (u64, u64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (unix_seconds().abs_diff(since) < FRESH.as_secs()).then_some((account, next))
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn processes_of_a_profile_share_nonces() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("nonces");
        let [one, other] = [Nonces::new(Some(file.clone())), Nonces::new(Some(file.clone()))];
        let account = AccountId::new([7; 32]);
        let mut turn = one.turn().await;
        assert_eq!(turn.next(&account), None);
        turn.set(&account, 63);
        let waiting = tokio::time::timeout(Duration::from_millis(50), other.turn()).await;
        assert!(waiting.is_err(), "one at a time");
        drop(turn);
        let mut turn = other.turn().await;
        assert_eq!((turn.next(&account), turn.next(&AccountId::new([8; 32]))), (Some(63), None));
        turn.set(&AccountId::new([8; 32]), 5);
        assert_eq!((turn.next(&account), turn.next(&AccountId::new([8; 32]))), (None, Some(5)));
        drop(turn);
        assert_eq!(one.turn().await.next(&account), Some(63), "it is known to who signed with it");
        let mut turn = other.turn().await;
        turn.forget(&account);
        drop(turn);
        assert_eq!(one.turn().await.next(&account), None);
        std::fs::write(&file, format!("{account} 63 1\n")).expect("written");
        assert_eq!(one.turn().await.next(&account), None, "long ago");
    }
}
