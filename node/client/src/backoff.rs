//! Nodes that did not respond lately: they are asked last, and waited for less.
//!
//! Remembered for ten minutes, or until they respond; also between processes, in a small file of the profile with one
//! node and time a line. What is lost of it costs a few seconds of waiting, so that a file that cannot be read or
//! written is not an error.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Mutex,
};

use ostrakon_net::lock;
use ostrakon_proto::id::NodeId;

use crate::Clock;

/// For how long a node is remembered.
const EXPIRY_MS: u64 = 10 * 60 * 1000;
/// Nodes remembered at most; those that were silent longest ago go first.
const NODES_MAX: usize = 256;

/// The nodes, each with when it did not respond.
pub(crate) struct Backoff {
    file: Option<PathBuf>,
    clock: Clock,
    silent_ms: Mutex<BTreeMap<NodeId, u64>>,
}

impl Backoff {
    /// Those that are remembered in this file.
    pub(crate) fn new(file: Option<PathBuf>, clock: Clock) -> Self {
        let known = file.as_deref().map(read).unwrap_or_default();
        let backoff = Self { file, clock, silent_ms: Mutex::new(known) };
        backoff.prune(&mut lock(&backoff.silent_ms));
        backoff
    }

    /// The nodes that did not respond lately.
    pub(crate) fn silent(&self) -> Vec<NodeId> {
        lock(&self.silent_ms).keys().copied().collect()
    }

    /// Whether the node did not respond lately.
    pub(crate) fn is_unresponsive(&self, node: &NodeId) -> bool {
        lock(&self.silent_ms).contains_key(node)
    }

    /// The node did not respond.
    pub(crate) fn note_silent(&self, node: NodeId) {
        let now = (self.clock)();
        self.change(|silent| silent.insert(node, now).is_none());
    }

    /// The node responded.
    pub(crate) fn note_response(&self, node: &NodeId) {
        if self.is_unresponsive(node) {
            self.change(|silent| silent.remove(node).is_some());
        }
    }

    /// Changes what is remembered here and in the file, which other processes may have changed since it was read.
    fn change(&self, change: impl Fn(&mut BTreeMap<NodeId, u64>) -> bool) {
        let mut silent = lock(&self.silent_ms);
        change(&mut silent);
        self.prune(&mut silent);
        let Some(path) = &self.file else { return };
        let mut there = read(path);
        change(&mut there);
        self.prune(&mut there);
        if let Err(error) = write(path, &there) {
            tracing::debug!(%error, path = %path.display(), "cannot save the list of nodes that did not respond");
        }
    }

    fn prune(&self, silent: &mut BTreeMap<NodeId, u64>) {
        let now = (self.clock)();
        silent.retain(|_, since| *since <= now && now - *since < EXPIRY_MS);
        while silent.len() > NODES_MAX
            && let Some(oldest) = silent.iter().min_by_key(|(_, since)| **since).map(|(node, _)| *node)
        {
            silent.remove(&oldest);
        }
    }
}

fn read(path: &Path) -> BTreeMap<NodeId, u64> {
    let parse = |line: &str| {
        let (node, since) = line.split_once(' ')?;
        Some((node.parse().ok()?, since.parse().ok()?))
    };
    fs::read_to_string(path).unwrap_or_default().lines().take(4 * NODES_MAX).filter_map(parse).collect()
}

fn write(path: &Path, silent: &BTreeMap<NodeId, u64>) -> io::Result<()> {
    let text: String = silent.iter().map(|(node, since)| format!("{node} {since}\n")).collect();
    // Two processes may write at a time: each a file of its own, and either is good.
    let draft = path.with_extension(std::process::id().to_string());
    fs::write(&draft, text)?;
    fs::rename(&draft, path)
}

impl std::fmt::Debug for Backoff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backoff").field("silent_ms", &lock(&self.silent_ms)).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use super::*;

    #[test]
    fn silence_is_remembered_between_processes_and_expires() {
        let directory = tempfile::tempdir().expect("a directory");
        let (file, now) = (directory.path().join("backoff"), Arc::new(AtomicU64::new(1_000)));
        let open = || {
            let now = Arc::clone(&now);
            Backoff::new(Some(file.clone()), Arc::new(move || now.load(Ordering::Relaxed)))
        };
        let [one, two] = [NodeId::new([1; 32]), NodeId::new([2; 32])];
        let (first, other) = (open(), open());
        first.note_silent(one);
        other.note_silent(two);
        assert!(open().is_unresponsive(&one) && open().is_unresponsive(&two));
        first.note_response(&one);
        assert_eq!(open().silent(), [two]);
        now.fetch_add(EXPIRY_MS, Ordering::Relaxed);
        assert!(open().silent().is_empty());
        for number in 0..2 * u16::try_from(NODES_MAX).expect("small") {
            let mut id = [0; 32];
            id[..2].copy_from_slice(&number.to_le_bytes());
            first.note_silent(NodeId::new(id));
        }
        assert_eq!(open().silent().len(), NODES_MAX);
        fs::write(&file, b"what else\nostnode1 5\n\xff").expect("written");
        assert!(open().silent().is_empty());
    }
}
