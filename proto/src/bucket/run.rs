//! Writes a run in one pass: entries in, pages out, and no more in memory than one leaf and the branches above it.

use std::collections::BTreeSet;

use super::{
    Blob, BucketError, IndexEntry, IndexRef, Place,
    page::{branch, leaf},
};
use crate::{codec, limits};

/// Bytes of a page that an entry takes beside its place's rest and its value: what it shares, and two lengths.
const ITEM: usize = 2 + 4 + 1;
/// Bytes of an object of the network in a page's table.
const BLOB: usize = 48;

/// Writes a run.
#[derive(Debug)]
pub struct RunWriter {
    /// Where in the object its first page is.
    start: u64,
    /// Bytes of the pages that are written.
    written: u64,
    entries: u64,
    open: Vec<IndexEntry>,
    /// What the open leaf takes so far.
    taken: Taken,
    /// The pages of each level that no branch has yet, the leaves first.
    levels: Vec<Vec<(Place, IndexRef, Vec<u8>)>>,
}

/// What a leaf takes.
#[derive(Debug, Default)]
struct Taken {
    /// Bytes of its page, without what its places share.
    bytes: usize,
    /// Bytes of its places, spelled out.
    spelled: usize,
    /// Objects of the network in its table.
    blobs: BTreeSet<Blob>,
}

/// What an entry takes of a leaf, beside its objects in the leaf's table.
#[derive(Clone, Copy, Debug)]
struct EntrySize {
    /// Bytes of its item, without what its place shares.
    bytes: usize,
    /// Bytes of its place.
    spelled: usize,
}

/// A run whose pages are all written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenRun {
    /// The page that leads to all others, the last.
    pub root: IndexRef,
    /// How many entries it has.
    pub entries: u64,
    /// Bytes of its pages.
    pub bytes: u64,
}

impl RunWriter {
    /// A run whose first page begins at this byte of its object.
    pub fn new(start: u64) -> Self {
        let (written, entries, open, taken, levels) = Default::default();
        Self { start, written, entries, open, taken, levels }
    }

    /// Writes an entry, which comes after all before it, and what is full of it to `out`.
    ///
    /// # Errors
    /// [`BucketError::TooLarge`], and [`BucketError::Order`] when it does not come after those before it.
    pub fn push(&mut self, entry: IndexEntry, out: &mut Vec<u8>) -> Result<(), BucketError> {
        let size = EntrySize::of(&entry)?;
        let newest = self.open.last().map(|last| &last.place);
        if newest.is_some_and(|last| *last >= entry.place) {
            return Err(BucketError::Order);
        }
        if !self.open.is_empty() && !self.taken.fits(&entry, size) {
            self.close_leaf(out);
        }
        self.taken.add(&entry, size);
        self.entries += 1;
        self.open.push(entry);
        Ok(())
    }

    /// Writes what is left to `out`. `None` when there was no entry.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Option<WrittenRun> {
        if !self.open.is_empty() {
            self.close_leaf(out);
        }
        let mut level = 0;
        loop {
            let pages = self.levels.get(level)?;
            let is_top = self.levels.len() == level + 1;
            match pages.as_slice() {
                [(_, root, _)] if is_top => {
                    return Some(WrittenRun { root: *root, entries: self.entries, bytes: self.written });
                }
                [] => {}
                _ => self.close_branch(level, out),
            }
            level += 1;
        }
    }

    fn close_leaf(&mut self, out: &mut Vec<u8>) {
        let entries = std::mem::take(&mut self.open);
        self.taken = Taken::default();
        let first = entries.first().expect("a leaf has entries").place.clone();
        let (bytes, filter) = leaf(entries);
        self.add(0, (first, bytes, filter), out);
    }

    fn close_branch(&mut self, level: usize, out: &mut Vec<u8>) {
        let children = std::mem::take(&mut self.levels[level]);
        let bytes = branch(&children);
        let first = children.into_iter().next().expect("a branch has pages").0;
        self.add(level + 1, (first, bytes, Vec::new()), out);
    }

    fn add(&mut self, level: usize, (first, bytes, filter): (Place, Vec<u8>, Vec<u8>), out: &mut Vec<u8>) {
        let length = u32::try_from(bytes.len()).expect("a page is at most a few MiB");
        let page = IndexRef { offset: self.start + self.written, length };
        self.written += u64::from(length);
        out.extend(bytes);
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        let size = |(first, _, filter): &(Place, IndexRef, Vec<u8>)| first.as_bytes().len() + filter.len() + 22;
        let child = (first, page, filter);
        let full = self.levels[level].iter().map(size).sum::<usize>() + size(&child) > limits::BUCKET_PAGE;
        // A branch of one page would lead nowhere.
        if full && self.levels[level].len() > 1 {
            self.close_branch(level, out);
        }
        self.levels[level].push(child);
    }
}

impl Taken {
    fn fits(&self, entry: &IndexEntry, size: EntrySize) -> bool {
        let new = blobs(entry).filter(|blob| !self.blobs.contains(*blob)).count();
        let bytes = self.bytes + size.bytes + new * BLOB;
        bytes <= limits::BUCKET_PAGE && self.spelled + size.spelled <= limits::BUCKET_SPELLED
    }

    fn add(&mut self, entry: &IndexEntry, size: EntrySize) {
        let new = blobs(entry).filter(|blob| self.blobs.insert(**blob)).count();
        self.bytes += size.bytes + new * BLOB;
        self.spelled += size.spelled;
    }
}

impl EntrySize {
    /// Fails where the entry alone is larger than a page may be.
    fn of(entry: &IndexEntry) -> Result<Self, BucketError> {
        let (spelled, max) = (entry.place.as_bytes().len(), limits::BUCKET_RECORD);
        let value = entry.value.as_ref().map_or(0, |value| codec::encode(value).len());
        let len = spelled + value;
        if len > max {
            return Err(BucketError::TooLarge { len, max });
        }
        // In a page a piece has a number of two bytes in the place of its object's name, which is in the table.
        Ok(Self { bytes: ITEM + len - blobs(entry).count() * (BLOB - 2), spelled })
    }
}

fn blobs(entry: &IndexEntry) -> impl Iterator<Item = &Blob> {
    entry.value.iter().flat_map(|value| value.pieces()).map(|piece| &piece.blob)
}
