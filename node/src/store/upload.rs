//! Uploads under way: chunks come in any order, bytes leave in order, hashed as they pass.
//!
//! In come an upload's chunks; out go the bytes in order to a [`Body`], which keeps them, and at the end the column's
//! name and outboard. Everything a stranger can grow here is bounded: open uploads, chunks that wait for the one before
//! them, and bytes held in memory over all uploads. No clock: what was longest untouched gives way.
//!
//! Not here: where a body lies, and what becomes of it when it is whole.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use ostrakon_proto::{
    id::ColumnId,
    limits,
    tree::{Outboard, TreeBuilder},
    wire::put::UploadId,
};

use super::{Place, StoreError};

/// Chunks that may wait for the one before them: twice what a client has under way.
const EARLY_CHUNKS: usize = 8;
/// Bytes that may wait, and how far ahead they may lie.
const EARLY_BYTES: usize = EARLY_CHUNKS * limits::CHUNK;

/// What is allowed of all uploads together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Uploads open at once.
    pub(super) open: usize,
    /// Bytes they hold in memory.
    pub(super) held_bytes: u64,
}

/// Where an upload's bytes are kept until it is whole.
pub(super) trait Body: Send {
    /// Takes the next bytes in order; `spare` more bytes may be held in memory.
    fn append(&mut self, bytes: &[u8], spare: u64) -> Result<(), StoreError>;
    /// Bytes that it holds in memory.
    fn held(&self) -> u64;
}

/// An upload that is whole, hashed, and found to be the column of a place.
pub(super) struct Whole<B> {
    /// The column's bytes.
    pub(super) body: B,
    /// Their tree.
    pub(super) outboard: Outboard,
}

/// The open uploads.
pub(super) struct Uploads<B> {
    table: Mutex<Table<B>>,
    held: Arc<AtomicU64>,
    bounds: Bounds,
}

struct Table<B> {
    open: BTreeMap<UploadId, Entry<B>>,
    /// Counts touches: the order in which uploads give way.
    touches: u64,
}

struct Entry<B> {
    touched: u64,
    /// Empty once the upload was taken out or broke.
    slot: Slot<B>,
}

type Slot<B> = Arc<Mutex<Option<Upload<B>>>>;

impl<B> std::fmt::Debug for Uploads<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uploads").field("held", &self.held).field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

impl<B: Body> Uploads<B> {
    /// No uploads, under these bounds.
    pub(super) fn new(bounds: Bounds) -> Self {
        let table = Mutex::new(Table { open: BTreeMap::new(), touches: 0 });
        Self { table, held: Arc::default(), bounds }
    }

    /// The next byte that the upload wants; it is begun with a body from `make` when it is not open.
    pub(super) fn begin(
        &self,
        id: UploadId,
        reserve: u64,
        make: impl FnOnce() -> Result<B, StoreError>,
    ) -> Result<u64, StoreError> {
        if reserve > limits::COLUMN {
            return Err(StoreError::TooLong { length: reserve, reserve: limits::COLUMN });
        }
        if let Ok(slot) = self.touch(&id)
            && let Some(upload) = lock(&slot).as_ref()
        {
            return Ok(upload.assembly.next);
        }
        let upload = Upload { assembly: Assembly::new(reserve), body: make()?, held: Share::of(&self.held) };
        let evicted = self.insert(id, upload);
        drop(evicted);
        Ok(0)
    }

    /// Takes bytes of an upload in; an upload whose body fails is forgotten.
    pub(super) fn write(&self, id: UploadId, offset: u64, bytes: Bytes) -> Result<u64, StoreError> {
        let slot = self.touch(&id)?;
        let mut slot = lock(&slot);
        let upload = slot.as_mut().ok_or(StoreError::UnknownUpload)?;
        let spare = self.bounds.held_bytes.saturating_sub(self.held.load(Ordering::Relaxed));
        let ready = upload.assembly.accept(offset, bytes, spare)?;
        let kept = ready.iter().try_for_each(|bytes| upload.body.append(bytes, spare));
        upload.held.set(upload.assembly.held() + upload.body.held());
        let next = upload.assembly.next;
        if let Err(failed) = kept {
            *slot = None;
            drop(self.remove(&id));
            return Err(failed);
        }
        Ok(next)
    }

    /// Takes an upload out, which is to be the column of `place`.
    pub(super) fn finish(&self, id: UploadId, place: &Place) -> Result<Whole<B>, StoreError> {
        let slot = self.remove(&id).ok_or(StoreError::UnknownUpload)?;
        let Upload { assembly, body, .. } = lock(&slot).take().ok_or(StoreError::UnknownUpload)?;
        let found_len = assembly.next;
        let (found, outboard) = assembly.tree.finish();
        if found != place.column || found_len != place.column_len {
            return Err(mismatch(place, found, found_len));
        }
        Ok(Whole { body, outboard })
    }

    /// Forgets an upload.
    pub(super) fn abort(&self, id: UploadId) {
        drop(self.remove(&id));
    }

    /// Forgets all of them, as a restart does.
    pub(super) fn clear(&self) {
        let open = std::mem::take(&mut lock(&self.table).open);
        drop(open);
    }

    fn touch(&self, id: &UploadId) -> Result<Slot<B>, StoreError> {
        let mut table = lock(&self.table);
        table.touches += 1;
        let touched = table.touches;
        let entry = table.open.get_mut(id).ok_or(StoreError::UnknownUpload)?;
        entry.touched = touched;
        Ok(Arc::clone(&entry.slot))
    }

    /// Puts an upload in; gives back the one that had to give way, to be dropped outside the lock.
    fn insert(&self, id: UploadId, upload: Upload<B>) -> Option<Entry<B>> {
        let mut table = lock(&self.table);
        let evicted = if table.open.len() >= self.bounds.open { table.oldest() } else { None };
        table.touches += 1;
        let entry = Entry { touched: table.touches, slot: Arc::new(Mutex::new(Some(upload))) };
        let replaced = table.open.insert(id, entry);
        replaced.or(evicted)
    }

    fn remove(&self, id: &UploadId) -> Option<Slot<B>> {
        lock(&self.table).open.remove(id).map(|entry| entry.slot)
    }
}

impl<B> Table<B> {
    /// Takes out the upload longest untouched.
    fn oldest(&mut self) -> Option<Entry<B>> {
        let id = *self.open.iter().min_by_key(|(_, entry)| entry.touched)?.0;
        self.open.remove(&id)
    }
}

fn mismatch(place: &Place, found: ColumnId, found_len: u64) -> StoreError {
    StoreError::Mismatch { column: place.column, column_len: place.column_len, found, found_len }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}

struct Upload<B> {
    assembly: Assembly,
    body: B,
    held: Share,
}

/// One upload's part of a total over all uploads; gives it back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    total: Arc<AtomicU64>,
    mine: u64,
}

impl Share {
    /// No part yet of this total.
    pub(super) fn of(total: &Arc<AtomicU64>) -> Self {
        Self { total: Arc::clone(total), mine: 0 }
    }

    /// Makes the part this large.
    pub(super) fn set(&mut self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
        self.total.fetch_sub(self.mine, Ordering::Relaxed);
        self.mine = bytes;
    }

    /// Gives this much of it back.
    pub(super) fn spend(&mut self, bytes: u64) {
        self.set(self.mine.saturating_sub(bytes));
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Puts one upload's chunks in order and hashes them.
struct Assembly {
    next: u64,
    reserve: u64,
    tree: TreeBuilder,
    /// What came before its turn, by offset.
    early: BTreeMap<u64, Bytes>,
}

impl Assembly {
    fn new(reserve: u64) -> Self {
        Self { next: 0, reserve, tree: TreeBuilder::new(), early: BTreeMap::new() }
    }

    /// Takes bytes in; gives back those whose turn it now is, in order.
    fn accept(&mut self, offset: u64, bytes: Bytes, spare: u64) -> Result<Vec<Bytes>, StoreError> {
        let length = offset.saturating_add(length_of(&bytes));
        if length > self.reserve {
            return Err(StoreError::TooLong { length, reserve: self.reserve });
        }
        if offset > self.next {
            self.keep_early(offset, bytes, spare)?;
            return Ok(Vec::new());
        }
        let mut ready: Vec<Bytes> = self.pass(offset, bytes).into_iter().collect();
        while let Some(entry) = self.early.first_entry().filter(|entry| *entry.key() <= self.next) {
            let (offset, bytes) = entry.remove_entry();
            ready.extend(self.pass(offset, bytes));
        }
        Ok(ready)
    }

    /// Hashes the part that is new of bytes that begin at or before the next one wanted.
    fn pass(&mut self, offset: u64, mut bytes: Bytes) -> Option<Bytes> {
        let known = self.next - offset;
        if known >= length_of(&bytes) {
            return None;
        }
        let fresh = bytes.split_off(usize::try_from(known).expect("less than the length of the bytes"));
        self.tree.update(&fresh);
        self.next += length_of(&fresh);
        Some(fresh)
    }

    fn keep_early(&mut self, offset: u64, bytes: Bytes, spare: u64) -> Result<(), StoreError> {
        let length = length_of(&bytes);
        if self.early.get(&offset).is_some_and(|kept| kept.len() >= bytes.len()) {
            return Ok(());
        }
        let window = u64::try_from(EARLY_BYTES).expect("fits");
        let far = offset + length > self.next.saturating_add(window) || self.held() + length > window;
        if far || length > spare || self.early.len() >= EARLY_CHUNKS {
            return Err(StoreError::TooEarly { offset, next: self.next });
        }
        self.early.insert(offset, bytes);
        Ok(())
    }

    fn held(&self) -> u64 {
        self.early.values().map(length_of).sum()
    }
}

fn length_of(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).expect("fits")
}
