//! A cache of the newest nodes of the state tree: each block reads again most of what the last ones wrote, and reading
//! a node from the database takes longer than the tree's work on it.
//!
//! A node never changes under its key, which has the version that wrote it; at each path in the tree the newest one is
//! cached. Bounded: the least recently used paths are evicted.

use std::sync::Mutex;

use hashlink::LruCache;
use ostrakon_net::lock;
use ostrakon_proto::ledger::tree::{Patch, key_parts};

/// Nodes cached, those above some 200,000 records: about 30 MiB, and never more than 80.
const REMEMBERED: usize = 65_536;

/// A node, and the version that wrote it.
#[derive(Debug)]
struct Written {
    version: u64,
    node: Vec<u8>,
}

/// Cached nodes by their paths.
#[derive(Debug)]
pub(super) struct RecentNodes {
    places: Mutex<LruCache<Box<[u8]>, Written>>,
}

impl Default for RecentNodes {
    fn default() -> Self {
        Self { places: Mutex::new(LruCache::new(REMEMBERED)) }
    }
}

impl RecentNodes {
    /// The node under this key, from the cache or from `read`.
    pub(super) fn get(&self, key: &[u8], read: impl FnOnce() -> Option<Vec<u8>>) -> Option<Vec<u8>> {
        let (version, place) = key_parts(key)?;
        if let Some(known) = lock(&self.places).get(place).filter(|known| known.version == version) {
            return Some(known.node.clone());
        }
        let node = read()?;
        put(&mut lock(&self.places), version, place, &node);
        Some(node)
    }

    /// The patch is in the database.
    pub(super) fn written(&self, patch: &Patch) {
        let mut places = lock(&self.places);
        for (key, node) in &patch.nodes {
            let (version, place) = key_parts(key).expect("the tree's keys have two parts");
            put(&mut places, version, place, node);
        }
    }
}

fn put(places: &mut LruCache<Box<[u8]>, Written>, version: u64, place: &[u8], node: &[u8]) {
    match places.get_mut(place) {
        // Reading an old state does not evict the newest nodes.
        Some(known) if known.version > version => {}
        Some(known) => {
            known.version = version;
            known.node.clear();
            known.node.extend_from_slice(node);
        }
        None => _ = places.insert(place.into(), Written { version, node: node.to_vec() }),
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
}
