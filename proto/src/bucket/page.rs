//! Pages of a run: leaves with entries, and branches with the pages below.
//!
//! Places are front-coded: each says how many bytes it shares with the one before it in the page, and the rest. Objects
//! of the network that many entries of a leaf refer to stand once, in the page's table.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};

use super::{Blob, BucketError, IndexEntry, Place, Value, bloom};
use crate::{codec, limits};

/// Where a page is in the object that has its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct IndexRef {
    /// Its first byte.
    pub offset: u64,
    /// Its bytes.
    pub length: u32,
}

/// A decoded page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexPage {
    /// Entries.
    Leaf(LeafPage),
    /// More pages.
    Branch(BranchPage),
}

/// Entries, in order of their places, each place once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafPage(Vec<IndexEntry>);

/// The pages below, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchPage(Vec<IndexChild>);

/// A page below a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexChild {
    /// The first place in it.
    pub first: Place,
    /// Where it is.
    pub page: IndexRef,
    /// Of a leaf: which places it surely does not have.
    filter: Vec<u8>,
}

/// A page as it is stored.
#[derive(BorshSerialize, BorshDeserialize)]
enum PageBytes {
    Leaf { blobs: Vec<Blob>, items: Vec<Item<Option<Value<u16>>>> },
    Branch { items: Vec<Item<(IndexRef, Vec<u8>)>> },
}

/// One front-coded place and its value.
#[derive(BorshSerialize, BorshDeserialize)]
struct Item<T> {
    shared: u16,
    rest: Vec<u8>,
    value: T,
}

impl IndexRef {
    /// The byte after its last.
    pub fn end(self) -> Option<u64> {
        self.offset.checked_add(u64::from(self.length))
    }

    /// Fails unless a page that the page at `parent` names can be here: before it, and no longer than pages are.
    ///
    /// # Errors
    /// [`BucketError::Place`].
    pub fn check_below(self, parent: Self) -> Result<(), BucketError> {
        let is_sized = self.length > 0 && usize::try_from(self.length).is_ok_and(|len| len <= limits::BUCKET_PAGE_MAX);
        let is_before = self.end().is_some_and(|end| end <= parent.offset);
        if is_sized && is_before { Ok(()) } else { Err(BucketError::Place { offset: self.offset }) }
    }
}

impl IndexPage {
    /// The page of these bytes, in the object of the network that is `own`.
    ///
    /// # Errors
    /// [`BucketError::IndexPage`] when they are not a page, [`BucketError::Order`] when its places are not in order.
    pub fn decode(bytes: &[u8], own: Blob) -> Result<Self, BucketError> {
        match codec::decode(bytes, limits::BUCKET_PAGE_MAX).map_err(|_| BucketError::IndexPage)? {
            PageBytes::Leaf { blobs, items } => {
                let mut named = |index: u16| {
                    let blob = blobs.get(usize::from(index)).ok_or(BucketError::IndexPage)?;
                    Ok(blob.or_own(own))
                };
                let entry = |(place, value): (Place, Option<Value<u16>>)| {
                    let value = value.map(|value| value.renamed(&mut named)).transpose()?;
                    Ok(IndexEntry { place, value })
                };
                Ok(Self::Leaf(LeafPage(spelled(items)?.into_iter().map(entry).collect::<Result<_, _>>()?)))
            }
            PageBytes::Branch { items } => {
                let child = |(first, (page, filter))| IndexChild { first, page, filter };
                let children: Vec<IndexChild> = spelled(items)?.into_iter().map(child).collect();
                if children.is_empty() { Err(BucketError::IndexPage) } else { Ok(Self::Branch(BranchPage(children))) }
            }
        }
    }
}

impl LeafPage {
    /// Its entries, in order.
    pub fn entries(&self) -> &[IndexEntry] {
        &self.0
    }

    /// What it has at this place; `None` when it says nothing of it.
    pub fn find(&self, place: &Place) -> Option<&IndexEntry> {
        self.0.binary_search_by(|entry| entry.place.cmp(place)).ok().map(|at| &self.0[at])
    }

    /// Which entry is the first at this place or after it.
    pub fn seek(&self, place: &Place) -> usize {
        self.0.partition_point(|entry| entry.place < *place)
    }
}

impl BranchPage {
    /// The pages below, in order.
    pub fn children(&self) -> &[IndexChild] {
        &self.0
    }

    /// The page below that may have this place; `None` when none has.
    pub fn find(&self, place: &Place) -> Option<&IndexChild> {
        let at = self.0.partition_point(|child| child.first <= *place).checked_sub(1)?;
        Some(&self.0[at]).filter(|child| bloom::may_have(&child.filter, place))
    }

    /// Which of the pages below has the first entry at this place or after it, unless the page after it has.
    pub fn seek(&self, place: &Place) -> usize {
        self.0.partition_point(|child| child.first <= *place).saturating_sub(1)
    }
}

/// The bytes of a leaf with these entries, and its filter. Entries are in order.
pub(super) fn leaf(entries: Vec<IndexEntry>) -> (Vec<u8>, Vec<u8>) {
    let filter = bloom::filter(entries.iter().map(|entry| &entry.place));
    let (mut blobs, mut known) = (Vec::new(), BTreeMap::new());
    let mut index = |blob: Blob| {
        let at = *known.entry(blob).or_insert_with(|| {
            blobs.push(blob);
            blobs.len() - 1
        });
        u16::try_from(at)
    };
    let mut coder = FrontCoder::default();
    let item = |IndexEntry { place, value }: IndexEntry| {
        let value = value.map(|value| value.renamed(&mut index)).transpose();
        coder.item(&place, value.expect("a page of at most 1 MiB names fewer than 65,536 objects"))
    };
    let items = entries.into_iter().map(item).collect();
    (codec::encode(&PageBytes::Leaf { blobs, items }), filter)
}

/// The bytes of a branch with these pages below, each with its first place and its filter.
pub(super) fn branch(children: &[(Place, IndexRef, Vec<u8>)]) -> Vec<u8> {
    let mut coder = FrontCoder::default();
    let items = children.iter().map(|(first, page, filter)| coder.item(first, (*page, filter.clone()))).collect();
    codec::encode(&PageBytes::Branch { items })
}

#[derive(Default)]
struct FrontCoder {
    previous: Vec<u8>,
}

impl FrontCoder {
    fn item<T>(&mut self, place: &Place, value: T) -> Item<T> {
        let bytes = place.as_bytes();
        let shared = common(&self.previous, bytes);
        let item = Item { shared, rest: bytes[usize::from(shared)..].to_vec(), value };
        self.previous.clear();
        self.previous.extend_from_slice(bytes);
        item
    }
}

/// The places of front-coded items, if they are in order.
fn spelled<T>(items: Vec<Item<T>>) -> Result<Vec<(Place, T)>, BucketError> {
    let mut previous: Vec<u8> = Vec::new();
    // What is shared is not stored: a page must not become more than a few times its size.
    let mut spelled_bytes = 0;
    let spell = |Item { shared, rest, value }: Item<T>| {
        let start = previous.get(..usize::from(shared)).ok_or(BucketError::IndexPage)?;
        let bytes = [start, &rest].concat();
        spelled_bytes += bytes.len();
        // What is shared is said to be shared: a page has one encoding.
        if common(&previous, &bytes) != shared || spelled_bytes > limits::BUCKET_SPELLED {
            return Err(BucketError::IndexPage);
        }
        if !previous.is_empty() && previous >= bytes {
            return Err(BucketError::Order);
        }
        previous.clone_from(&bytes);
        Ok((Place::of_bytes(bytes), value))
    };
    items.into_iter().map(spell).collect()
}

/// How many bytes both begin with, as far as an item can say.
fn common(one: &[u8], other: &[u8]) -> u16 {
    let same = one.iter().zip(other).take(usize::from(u16::MAX)).take_while(|(one, other)| one == other);
    u16::try_from(same.count()).expect("no more than were taken")
}
