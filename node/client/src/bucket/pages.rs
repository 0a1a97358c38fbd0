//! The pages of an index that are in memory: the last ones ready for use, and more of them as they are stored.

use std::sync::Arc;

use bytes::Bytes;
use hashlink::LruCache;
use ostrakon_proto::{bucket::IndexPage, id::ObjectId};

/// Pages that are ready: of 64 KiB, decoded about 200 KiB each.
const READY: usize = 256;
/// Bytes of pages that are not: those of a bucket of about 700,000 keys.
const STORED: usize = 64 * 1024 * 1024;

/// Which page: its object, and where in that it begins.
pub(super) type PageName = (ObjectId, u64);

/// Pages that were read or written last.
pub(super) struct Pages {
    ready: LruCache<PageName, Arc<IndexPage>>,
    stored: LruCache<PageName, Bytes>,
    /// Bytes of those that are stored.
    bytes: usize,
}

impl Pages {
    pub(super) fn new() -> Self {
        Self { ready: LruCache::new(READY), stored: LruCache::new_unbounded(), bytes: 0 }
    }

    pub(super) fn ready(&mut self, name: &PageName) -> Option<Arc<IndexPage>> {
        self.ready.get(name).map(Arc::clone)
    }

    pub(super) fn set_ready(&mut self, name: PageName, page: Arc<IndexPage>) {
        self.ready.insert(name, page);
    }

    pub(super) fn stored(&mut self, name: &PageName) -> Option<Bytes> {
        self.stored.get(name).cloned()
    }

    pub(super) fn set_stored(&mut self, name: PageName, page: Bytes) {
        self.bytes += page.len();
        if let Some(before) = self.stored.insert(name, page) {
            self.bytes -= before.len();
        }
        while self.bytes > STORED
            && let Some((_, oldest)) = self.stored.remove_lru()
        {
            self.bytes -= oldest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_bytes_are_stored_than_there_may_be() {
        let (mut pages, object) = (Pages::new(), ObjectId::new([1; 32]));
        let page = |len| Bytes::from(vec![0; len]);
        for at in 0..200 {
            pages.set_stored((object, at), page(STORED / 100));
            assert!(pages.stored(&(object, 0)).is_some(), "the one that is used");
        }
        assert_eq!((pages.stored.len(), pages.bytes), (100, STORED / 100 * 100));
        pages.set_stored((object, 0), page(1));
        assert_eq!(pages.bytes, STORED / 100 * 99 + 1);
    }
}
