//! The disk space of the ledger: what it may use, what it does use, and what of it others must leave free.
//!
//! In come the paths of everything that belongs to the ledger (state, blocks, snapshots, logs) and a budget; out come
//! the bytes in use, by which old blocks are deleted, and the bytes not used yet, which columns on the same disk leave
//! free. Not here: deleting blocks ([`crate::chain::rocks`]).

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Bytes of a block in a file's metadata.
const BLOCK: u64 = 512;

/// The budget of a ledger, and what is used of it.
#[derive(Debug, Default)]
pub struct LedgerRoom {
    paths: Vec<PathBuf>,
    budget_bytes: u64,
    used: AtomicU64,
}

impl LedgerRoom {
    /// The room of what is at these paths, which need not exist yet; the first is the ledger itself. A budget of 0 is
    /// no bound.
    pub fn new(paths: Vec<PathBuf>, budget_bytes: u64) -> Self {
        let room = Self { paths, budget_bytes, used: AtomicU64::new(0) };
        room.measure();
        room
    }

    /// The budget in bytes; 0 is no bound.
    pub fn budget(&self) -> u64 {
        self.budget_bytes
    }

    /// Measures what is in use now.
    pub fn measure(&self) -> u64 {
        let mut counted = BTreeSet::new();
        let used = self.paths.iter().map(|path| bytes_of(path, &mut counted)).sum();
        self.used.store(used, Ordering::Relaxed);
        used
    }

    /// Bytes of the budget that the ledger did not use when it was measured last.
    pub fn unused(&self) -> u64 {
        self.budget_bytes.saturating_sub(self.used.load(Ordering::Relaxed))
    }

    /// Whether the ledger is on this file system.
    pub fn is_on(&self, device: u64) -> bool {
        let nearest = self.paths.first().and_then(|path| path.ancestors().find_map(|path| fs::metadata(path).ok()));
        nearest.is_some_and(|found| found.dev() == device)
    }
}

/// Bytes of disk of a file, or of everything in a directory; a file with several names counts once. What cannot be read
/// has just been deleted.
fn bytes_of(path: &Path, counted: &mut BTreeSet<u64>) -> u64 {
    let Ok(found) = fs::symlink_metadata(path) else { return 0 };
    if found.is_dir() {
        let entries = fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
        return entries.map(|entry| bytes_of(&entry.path(), counted)).sum();
    }
    let is_new = found.nlink() == 1 || counted.insert(found.ino());
    if is_new { found.blocks() * BLOCK } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_ledger_uses_is_counted_once_and_the_rest_of_its_budget_is_left_free() {
        let dir = tempfile::tempdir().expect("a directory");
        let (chain, log) = (dir.path().join("chain"), dir.path().join("log"));
        let room = LedgerRoom::new(vec![chain.clone(), log.clone()], 1 << 20);
        assert_eq!((room.measure(), room.unused()), (0, 1 << 20), "nothing is there yet");
        fs::create_dir_all(chain.join("snapshots/5")).expect("made");
        fs::write(chain.join("1.sst"), vec![1; 64 << 10]).expect("written");
        fs::hard_link(chain.join("1.sst"), chain.join("snapshots/5/1.sst")).expect("linked");
        fs::write(&log, vec![1; 32 << 10]).expect("written");
        let used = room.measure();
        assert!((96 << 10..200 << 10).contains(&used), "{used}");
        assert_eq!(room.unused(), (1 << 20) - used);
        fs::write(chain.join("2.sst"), vec![1; 2 << 20]).expect("written");
        assert_eq!((room.measure() > room.budget(), room.unused()), (true, 0));
        let device = fs::metadata(dir.path()).expect("there").dev();
        assert!(room.is_on(device) && !room.is_on(device + 1));
        assert_eq!(LedgerRoom::default().unused(), 0, "without a bound nothing is set aside");
    }
}
