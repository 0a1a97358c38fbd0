//! Writes a pack's index in one pass: entries in, pages out, and no more in memory than one page of each level.
//!
//! An index is announced before it is written, and an entry may have to be left out after that. So a page ends where it
//! would end with all entries in it: what is left out makes its page shorter and moves no other, and the index is never
//! longer than with all of them (the paths of fewer entries, front-coded, are never longer together).

use super::{
    Entry, PackError, PackPath, PageRef,
    page::EntryBytes,
    path::{common, compare},
};
use crate::{codec, limits};

/// Bytes of a page before its first item: variant and count.
const HEAD: usize = 1 + 4;
/// Bytes of an item beside its path's rest and its value.
const ITEM: usize = 2 + 4;

/// Writes an index.
#[derive(Clone, Debug)]
pub struct PackWriter {
    levels: Vec<Level>,
    /// Where the next page will be.
    next: u64,
    /// Bytes of all closed pages, had nothing been left out.
    planned: u64,
    entries: u64,
    /// The last path that was announced.
    last: Vec<u8>,
    pages: Vec<u8>,
}

/// A written index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackIndex {
    /// The last pages, after those taken before.
    pub pages: Vec<u8>,
    /// Where the root is.
    pub root: PageRef,
    /// How many entries there are.
    pub entries: u64,
    /// How many bytes the whole index would have with nothing left out; it never has more.
    pub planned: u64,
}

/// The open page of one level.
#[derive(Clone, Debug)]
struct Level {
    is_leaf: bool,
    count: u32,
    bytes: Vec<u8>,
    /// The last path that is in the page.
    previous: Vec<u8>,
    /// As if nothing had been left out: first and last path, and bytes.
    first: Option<PackPath>,
    planned_previous: Vec<u8>,
    planned: usize,
}

impl PackWriter {
    /// A writer of the index that follows `content` bytes of contents.
    pub fn new(content: u64) -> Self {
        let (levels, last, pages) = (vec![Level::new(true)], Vec::new(), Vec::new());
        Self { levels, next: content, planned: 0, entries: 0, last, pages }
    }

    /// Adds the next entry.
    ///
    /// # Errors
    /// [`PackError`] when it cannot be, or does not follow the one before.
    pub fn push(&mut self, entry: &Entry) -> Result<(), PackError> {
        self.check(entry)?;
        self.entries += 1;
        self.put(0, &entry.path, Value::of(entry, Inclusion::Included));
        Ok(())
    }

    /// Leaves out the next entry, which was announced.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn leave_out(&mut self, entry: &Entry) -> Result<(), PackError> {
        self.check(entry)?;
        self.put(0, &entry.path, Value::of(entry, Inclusion::LeftOut));
        Ok(())
    }

    /// The pages that were finished since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pages)
    }

    /// Finishes every page.
    pub fn finish(mut self) -> PackIndex {
        let mut level = 0;
        while level + 1 < self.levels.len() {
            self.close(level);
            level += 1;
        }
        let mut root = self.levels.pop().expect("a writer starts with one level");
        self.planned += count(root.planned);
        if root.count == 0 {
            // Nothing is left: an empty leaf represents all levels.
            root = Level::new(true);
        }
        let root = self.write(&root);
        PackIndex { pages: self.pages, root, entries: self.entries, planned: self.planned }
    }

    fn check(&mut self, entry: &Entry) -> Result<(), PackError> {
        entry.check()?;
        if !self.last.is_empty() && compare(&self.last, entry.path.as_bytes()).is_ge() {
            return Err(PackError::Order(entry.path.clone()));
        }
        if self.entries == limits::PACK_ENTRIES {
            return Err(PackError::Count { want: limits::PACK_ENTRIES });
        }
        self.last.clear();
        self.last.extend_from_slice(entry.path.as_bytes());
        Ok(())
    }

    /// Puts a path on the open page of a level, or on a new one.
    fn put(&mut self, level: usize, path: &PackPath, value: Value) {
        if self.levels[level].is_full(path, &value) {
            self.close(level);
        }
        self.levels[level].put(path, value);
    }

    /// Ends the open page of a level, and names it in the level above.
    fn close(&mut self, level: usize) {
        if self.levels.len() == level + 1 {
            self.levels.push(Level::new(false));
        }
        let is_leaf = self.levels[level].is_leaf;
        let mut page = std::mem::replace(&mut self.levels[level], Level::new(is_leaf));
        self.planned += count(page.planned);
        let first = page.first.take().expect("no page is closed that nothing was put on");
        let length = codec::encode(&PageRef { offset: 0, length: 0 }).len();
        let value = match page.count {
            0 => Value { bytes: None, length },
            _ => Value { bytes: Some(codec::encode(&self.write(&page))), length },
        };
        self.put(level + 1, &first, value);
    }

    fn write(&mut self, page: &Level) -> PageRef {
        let before = self.pages.len();
        self.pages.push(u8::from(!page.is_leaf));
        self.pages.extend_from_slice(&page.count.to_le_bytes());
        self.pages.extend_from_slice(&page.bytes);
        let length = u32::try_from(self.pages.len() - before).expect("a page is at most 64 KiB");
        let offset = self.next;
        self.next += u64::from(length);
        PageRef { offset, length }
    }
}

/// Whether an entry is in the index.
#[derive(Clone, Copy)]
enum Inclusion {
    Included,
    LeftOut,
}

/// The value of a path; without bytes it is left out, and counts in the planned length only.
struct Value {
    bytes: Option<Vec<u8>>,
    length: usize,
}

impl Value {
    fn of(entry: &Entry, inclusion: Inclusion) -> Self {
        let bytes = codec::encode(&EntryBytes { stamp: entry.stamp, kind: entry.kind.clone() });
        let length = bytes.len();
        Self { bytes: matches!(inclusion, Inclusion::Included).then_some(bytes), length }
    }
}

impl Level {
    fn new(is_leaf: bool) -> Self {
        let (bytes, previous, planned_previous) = Default::default();
        Self { is_leaf, count: 0, bytes, previous, first: None, planned_previous, planned: HEAD }
    }

    /// Whether the path does not fit on the page.
    fn is_full(&self, path: &PackPath, value: &Value) -> bool {
        self.first.is_some() && self.planned + self.cost(path, value) > limits::PACK_PAGE
    }

    fn cost(&self, path: &PackPath, value: &Value) -> usize {
        ITEM + path.as_bytes().len() - common(&self.planned_previous, path.as_bytes()) + value.length
    }

    fn put(&mut self, path: &PackPath, value: Value) {
        self.planned += self.cost(path, &value);
        self.first.get_or_insert_with(|| path.clone());
        self.planned_previous.clear();
        self.planned_previous.extend_from_slice(path.as_bytes());
        let Some(bytes) = value.bytes else { return };
        let shared = common(&self.previous, path.as_bytes());
        let rest = &path.as_bytes()[shared..];
        let length = |bytes: usize| u32::try_from(bytes).expect("a path is at most 32,000 bytes");
        self.bytes.extend_from_slice(&u16::try_from(shared).expect("a path is at most 32,000 bytes").to_le_bytes());
        self.bytes.extend_from_slice(&length(rest.len()).to_le_bytes());
        self.bytes.extend_from_slice(rest);
        self.bytes.extend_from_slice(&bytes);
        self.count += 1;
        self.previous.clear();
        self.previous.extend_from_slice(path.as_bytes());
    }
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("a page is at most 64 KiB")
}
