//! A page of a pack's index, and where it is.
//!
//! Paths are front-coded: each says how many bytes it shares with the one before it in the page, and the rest. So a
//! page is decoded entry by entry; expanded as a whole a page of deep paths would be a thousand times its size.

use std::vec;

use borsh::{BorshDeserialize, BorshSerialize};

use super::{
    Entry, Kind, PackError, PackPath, Stamp,
    path::{common, compare},
};
use crate::{codec, limits};

/// Where a page is in the pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PageRef {
    /// Its first byte.
    pub offset: u64,
    /// Its bytes.
    pub length: u32,
}

/// A decoded page.
#[derive(Clone, Debug)]
pub enum Page {
    /// Entries.
    Leaf(Entries),
    /// More pages.
    Branch(Children),
}

/// A page below a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// After all paths of the pages before it, and not after the first of its own.
    pub first: PackPath,
    /// Where it is.
    pub page: PageRef,
}

/// The entries of a leaf, in order; ends after an error.
#[derive(Clone, Debug)]
pub struct Entries(Items<EntryBytes>);

/// The children of a branch, in order; ends after an error.
#[derive(Clone, Debug)]
pub struct Children(Items<PageRef>);

/// A page as it is stored.
#[derive(BorshSerialize, BorshDeserialize)]
pub(super) enum PageBytes {
    Leaf(Vec<Item<EntryBytes>>),
    Branch(Vec<Item<PageRef>>),
}

/// One front-coded path and its value.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub(super) struct Item<T> {
    pub(super) shared: u16,
    pub(super) rest: Vec<u8>,
    pub(super) value: T,
}

/// An entry without its path.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub(super) struct EntryBytes {
    pub(super) stamp: Stamp,
    pub(super) kind: Kind,
}

/// The items of one page, whose paths are put together one by one.
#[derive(Clone, Debug)]
struct Items<T> {
    left: vec::IntoIter<Item<T>>,
    previous: Vec<u8>,
}

impl PageRef {
    /// The byte after its last.
    pub fn end(self) -> Option<u64> {
        self.offset.checked_add(u64::from(self.length))
    }

    pub(super) fn is_sized(self) -> bool {
        usize::try_from(self.length).is_ok_and(|length| (1..=limits::PACK_PAGE).contains(&length))
    }
}

impl Page {
    /// The page of these bytes. Its items are checked as they are read.
    ///
    /// # Errors
    /// [`PackError::Page`] when they are not a page.
    pub fn decode(bytes: &[u8]) -> Result<Self, PackError> {
        match codec::decode(bytes, limits::PACK_PAGE).map_err(|_| PackError::Page)? {
            PageBytes::Leaf(items) => Ok(Self::Leaf(Entries(Items::new(items)))),
            PageBytes::Branch(items) => Ok(Self::Branch(Children(Items::new(items)))),
        }
    }
}

impl<T> Items<T> {
    fn new(items: Vec<Item<T>>) -> Self {
        Self { left: items.into_iter(), previous: Vec::new() }
    }

    fn stop(&mut self, error: PackError) -> PackError {
        self.left = Vec::new().into_iter();
        error
    }

    fn next(&mut self) -> Option<Result<(PackPath, T), PackError>> {
        let item = self.left.next()?;
        Some(self.path(&item).map(|path| (path, item.value)).map_err(|error| self.stop(error)))
    }

    fn path(&mut self, item: &Item<T>) -> Result<PackPath, PackError> {
        let shared = self.previous.get(..usize::from(item.shared)).ok_or(PackError::Page)?;
        let path = PackPath::new([shared, &item.rest].concat())?;
        // What is shared is said to be shared: a page has one encoding.
        if common(path.as_bytes(), &self.previous) != usize::from(item.shared) {
            return Err(PackError::Page);
        }
        if !self.previous.is_empty() && compare(&self.previous, path.as_bytes()).is_ge() {
            return Err(PackError::Order(path));
        }
        self.previous.clear();
        self.previous.extend_from_slice(path.as_bytes());
        Ok(path)
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, PackError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = |(path, EntryBytes { stamp, kind })| {
            let entry = Entry { path, stamp, kind };
            entry.check().map(|()| entry)
        };
        Some(self.0.next()?.and_then(entry).map_err(|error| self.0.stop(error)))
    }
}

impl Iterator for Children {
    type Item = Result<Child, PackError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.map(|(first, page)| Child { first, page }))
    }
}
