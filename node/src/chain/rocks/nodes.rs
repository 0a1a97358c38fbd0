//! A cache of the newest nodes of the state tree: each block reads again most of what the last ones wrote, and reading
//! a node from the database takes longer than the tree's work on it.
//!
//! A node never changes under its key, which has the version that wrote it; at each path in the tree the newest one is
//! cached. Bounded in bytes: the least recently used paths are evicted.

use std::sync::Mutex;

use hashlink::LruCache;
use ostrakon_net::lock;
use ostrakon_proto::ledger::tree::{Patch, key_parts};

/// Bytes of memory: the nodes above a million records fit.
const CACHE_BYTES: usize = 128 * 1024 * 1024;
/// What a node takes beside its path and itself: its version, list and index, and what the allocator rounds up.
const OVERHEAD: usize = 128;

/// A node, and the version that wrote it.
#[derive(Debug)]
struct Written {
    version: u64,
    node: Box<[u8]>,
}

/// Cached nodes by their paths.
#[derive(Debug)]
pub(super) struct RecentNodes {
    cached: Mutex<Cached>,
}

#[derive(Debug)]
struct Cached {
    places: LruCache<Box<[u8]>, Written>,
    /// What they take, and may take.
    bytes: usize,
    most: usize,
}

impl Default for RecentNodes {
    fn default() -> Self {
        Self::of_bytes(CACHE_BYTES)
    }
}

impl RecentNodes {
    fn of_bytes(most: usize) -> Self {
        Self { cached: Mutex::new(Cached { places: LruCache::new_unbounded(), bytes: 0, most }) }
    }

    /// The node under this key, from the cache or from `read`.
    pub(super) fn get(&self, key: &[u8], read: impl FnOnce() -> Option<Vec<u8>>) -> Option<Vec<u8>> {
        let (version, place) = key_parts(key)?;
        if let Some(known) = lock(&self.cached).places.get(place).filter(|known| known.version == version) {
            return Some(known.node.to_vec());
        }
        let node = read()?;
        lock(&self.cached).put(version, place, &node);
        Some(node)
    }

    /// The patch is in the database.
    pub(super) fn written(&self, patch: &Patch) {
        let mut cached = lock(&self.cached);
        for (key, node) in &patch.nodes {
            let (version, place) = key_parts(key).expect("the tree's keys have two parts");
            cached.put(version, place, node);
        }
    }
}

impl Cached {
    fn put(&mut self, version: u64, place: &[u8], node: &[u8]) {
        match self.places.get_mut(place) {
            // Reading an old state does not evict the newest nodes.
            Some(known) if known.version > version => {}
            Some(known) => {
                self.bytes = self.bytes - known.node.len() + node.len();
                *known = Written { version, node: node.into() };
            }
            None => {
                self.bytes += place.len() + node.len() + OVERHEAD;
                self.places.insert(place.into(), Written { version, node: node.into() });
            }
        }
        while self.bytes > self.most
            && let Some((place, oldest)) = self.places.remove_lru()
        {
            self.bytes -= place.len() + oldest.node.len() + OVERHEAD;
        }
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::ledger::tree::{MemoryNodes, update};

    use super::*;

    /// The keys and nodes of two versions in which one record changes.
    fn versions() -> [Patch; 2] {
        let mut nodes = MemoryNodes::default();
        [(None, 1), (Some(1), 2)].map(|(parent, version)| {
            let patch = update(&nodes, parent, version, [(b"key", Some(version.to_be_bytes()))]).expect("all is there");
            nodes.apply(&patch);
            patch
        })
    }

    #[test]
    fn a_key_gives_its_own_version_and_the_newest_is_remembered() {
        let recent = RecentNodes::default();
        let [first, second] = versions();
        let [(old_key, old), (new_key, new)] = [&first.nodes[0], &second.nodes[0]];
        assert_ne!((old_key, old), (new_key, new));
        let unread = || panic!("it is known");
        assert_eq!(recent.get(old_key, || None), None, "what the database has not, is not");
        assert_eq!(recent.get(old_key, || Some(old.clone())).as_ref(), Some(old));
        assert_eq!(recent.get(old_key, unread).as_ref(), Some(old));
        recent.written(&second);
        assert_eq!(recent.get(new_key, unread).as_ref(), Some(new));
        assert_eq!(recent.get(old_key, || Some(old.clone())).as_ref(), Some(old), "from the database");
        assert_eq!(recent.get(new_key, unread).as_ref(), Some(new), "still the newest");
        assert_eq!(recent.get(b"short", unread), None, "no key of the tree");
    }

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let recent = RecentNodes::of_bytes(10 * (901 + OVERHEAD));
        let key = |place: u8| [&1_u64.to_be_bytes()[..], &[place]].concat();
        for place in 0..=u8::MAX {
            assert!(recent.get(&key(place), || Some(vec![place; 900])).is_some());
            assert!(recent.get(&key(0), || panic!("used all the time")).is_some());
        }
        assert_eq!(recent.get(&key(1), || None), None, "evicted");
        let cached = lock(&recent.cached);
        assert_eq!((cached.places.len(), cached.bytes), (10, cached.most));
    }
}
