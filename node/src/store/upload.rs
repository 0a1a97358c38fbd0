//! Uploads in progress: chunks arrive in any order, bytes leave in order, hashed on the way.
//!
//! In come an upload's chunks; out go the bytes in order to a [`UploadBody`], which keeps them, and at the end the
//! column's name and outboard. Everything a stranger can grow here is bounded: open uploads, chunks that wait for the
//! one before them, and bytes held in memory over all uploads. No clock: the least recently used upload is evicted.
//!
//! Not here: where a body is stored, and what happens to it when it is complete.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use ostrakon_net::lock;
use ostrakon_proto::{
    id::ColumnId,
    limits,
    tree::{Outboard, TreeBuilder},
    wire::put::{Taken, UploadId},
};

use super::{Place, StoreError, length_of};

/// Chunks that may wait for the one before them: twice what a client has in flight.
const EARLY_CHUNKS: usize = 8;
/// [`limits::CHUNK`], for lengths of columns.
const CHUNK: u64 = 256 * 1024;
/// Bytes that may wait, and how far ahead of the next one they may be.
const EARLY_BYTES: usize = EARLY_CHUNKS * limits::CHUNK;

/// Limits of all uploads together.
#[derive(Clone, Copy, Debug)]
pub(super) struct UploadLimits {
    /// Uploads open at a time.
    pub(super) open: usize,
    /// Bytes they hold in memory.
    pub(super) held_bytes: u64,
}

/// Where an upload's bytes are stored until it is complete.
pub(super) trait UploadBody: Send {
    /// Appends the next bytes; `spare` more bytes may be held in memory.
    fn append(&mut self, bytes: &[u8], spare: u64) -> Result<(), StoreError>;
    /// Bytes that it holds in memory.
    fn held(&self) -> u64;
}

/// An upload that is complete and matches the column of a place.
pub(super) struct CompleteUpload<B> {
    /// The column's bytes.
    pub(super) body: B,
    /// Their tree.
    pub(super) outboard: Outboard,
}

/// The open uploads.
pub(super) struct Uploads<B> {
    table: Mutex<Table<B>>,
    held: Arc<AtomicU64>,
    reserved: Arc<AtomicU64>,
    repeated: AtomicU64,
    bounds: UploadLimits,
}

struct Table<B> {
    open: BTreeMap<UploadId, OpenUpload<B>>,
    /// Counts touches: the order in which uploads are evicted.
    touches: u64,
}

struct OpenUpload<B> {
    touched: u64,
    /// Empty once the upload was removed or failed.
    slot: Slot<B>,
}

type Slot<B> = Arc<Mutex<Option<Upload<B>>>>;

impl<B> std::fmt::Debug for Uploads<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uploads").field("held", &self.held).field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

impl<B: UploadBody> Uploads<B> {
    /// No uploads, under these limits.
    pub(super) fn new(bounds: UploadLimits) -> Self {
        let table = Mutex::new(Table { open: BTreeMap::new(), touches: 0 });
        Self { table, held: Arc::default(), reserved: Arc::default(), repeated: AtomicU64::new(0), bounds }
    }

    /// Bytes that were received more than once.
    pub(super) fn repeated_bytes(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }

    /// Bytes that all open uploads may have together.
    pub(super) fn reserved_bytes(&self) -> u64 {
        self.reserved.load(Ordering::Relaxed)
    }

    /// What was received of the upload already; opens it with a body from `make` if it is not open.
    pub(super) fn begin(
        &self,
        id: UploadId,
        reserve: u64,
        make: impl FnOnce() -> Result<B, StoreError>,
    ) -> Result<Taken, StoreError> {
        if reserve > limits::COLUMN {
            return Err(StoreError::TooLong { length: reserve, reserve: limits::COLUMN });
        }
        if let Ok(slot) = self.touch(&id)
            && let Some(upload) = lock(&slot).as_ref()
        {
            return Ok(upload.assembly.taken());
        }
        let (body, held, mut reserved) = (make()?, Reservation::of(&self.held), Reservation::of(&self.reserved));
        reserved.set(reserve);
        let upload = Upload { assembly: Assembly::new(reserve), body, held, _reserved: reserved };
        let evicted = self.insert(id, upload);
        drop(evicted);
        Ok(Taken::default())
    }

    /// Whether it is open.
    pub(super) fn has(&self, id: &UploadId) -> bool {
        lock(&self.table).open.contains_key(id)
    }

    /// Adds bytes to an upload; an upload whose body fails is dropped.
    pub(super) fn write(&self, id: UploadId, offset: u64, bytes: Bytes) -> Result<u64, StoreError> {
        let slot = self.touch(&id)?;
        let mut slot = lock(&slot);
        let upload = slot.as_mut().ok_or(StoreError::UnknownUpload)?;
        let spare = self.bounds.held_bytes.saturating_sub(self.held.load(Ordering::Relaxed));
        let (had, came) = (upload.assembly.total(), length_of(&bytes));
        let ready = upload.assembly.accept(offset, bytes, spare)?;
        self.repeated.fetch_add((had + came).saturating_sub(upload.assembly.total()), Ordering::Relaxed);
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

    /// Removes an upload, which must be the column of `place`.
    pub(super) fn finish(&self, id: UploadId, place: &Place) -> Result<CompleteUpload<B>, StoreError> {
        let slot = self.remove(&id).ok_or(StoreError::UnknownUpload)?;
        let Upload { assembly, body, .. } = lock(&slot).take().ok_or(StoreError::UnknownUpload)?;
        let found_len = assembly.next;
        let (found, outboard) = assembly.tree.finish();
        if found != place.column || found_len != place.column_len {
            return Err(mismatch(place, found, found_len));
        }
        Ok(CompleteUpload { body, outboard })
    }

    /// Drops an upload.
    pub(super) fn abort(&self, id: UploadId) {
        drop(self.remove(&id));
    }

    /// Drops all of them, as a restart does.
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

    /// Adds an upload; returns the one that was evicted, to be dropped outside the lock.
    fn insert(&self, id: UploadId, upload: Upload<B>) -> Option<OpenUpload<B>> {
        let mut table = lock(&self.table);
        let evicted = if table.open.len() >= self.bounds.open { table.oldest() } else { None };
        table.touches += 1;
        let entry = OpenUpload { touched: table.touches, slot: Arc::new(Mutex::new(Some(upload))) };
        let replaced = table.open.insert(id, entry);
        replaced.or(evicted)
    }

    fn remove(&self, id: &UploadId) -> Option<Slot<B>> {
        lock(&self.table).open.remove(id).map(|entry| entry.slot)
    }
}

impl<B> Table<B> {
    /// Removes the least recently used upload.
    fn oldest(&mut self) -> Option<OpenUpload<B>> {
        let id = *self.open.iter().min_by_key(|(_, entry)| entry.touched)?.0;
        self.open.remove(&id)
    }
}

fn mismatch(place: &Place, found: ColumnId, found_len: u64) -> StoreError {
    StoreError::Mismatch { column: place.column, column_len: place.column_len, found, found_len }
}

struct Upload<B> {
    assembly: Assembly,
    body: B,
    held: Reservation,
    _reserved: Reservation,
}

/// One upload's part of a total over all uploads; released when dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    total: Arc<AtomicU64>,
    mine: u64,
}

impl Reservation {
    /// An empty part of this total.
    pub(super) fn of(total: &Arc<AtomicU64>) -> Self {
        Self { total: Arc::clone(total), mine: 0 }
    }

    /// Sets the size of the part.
    pub(super) fn set(&mut self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
        self.total.fetch_sub(self.mine, Ordering::Relaxed);
        self.mine = bytes;
    }

    /// Releases this much of it.
    pub(super) fn spend(&mut self, bytes: u64) {
        self.set(self.mine.saturating_sub(bytes));
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Puts one upload's chunks in order and hashes them.
struct Assembly {
    next: u64,
    reserve: u64,
    tree: TreeBuilder,
    /// Chunks that arrived early, by offset.
    early: BTreeMap<u64, Bytes>,
}

impl Assembly {
    fn new(reserve: u64) -> Self {
        Self { next: 0, reserve, tree: TreeBuilder::new(), early: BTreeMap::new() }
    }

    /// Adds bytes; returns those that are next in order now.
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

    /// Hashes the new part of bytes that start at or before the next one expected.
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
        self.early.values().map(|bytes| length_of(bytes)).sum()
    }

    /// Bytes received, in order or early.
    fn total(&self) -> u64 {
        self.next + self.held()
    }

    /// What a client that resumes must know: whole chunks only, and the last one that the reserve allows.
    fn taken(&self) -> Taken {
        let whole = |offset: u64| {
            let want = CHUNK.min(self.reserve.saturating_sub(offset));
            want > 0 && self.early.get(&offset).is_some_and(|bytes| length_of(bytes) >= want)
        };
        let early = (1..8u8).filter(|ahead| whole(self.next + u64::from(*ahead) * CHUNK));
        Taken { next: self.next, early: early.fold(0, |bits, ahead| bits | 1 << ahead) }
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::{id::Epoch, limits::CHUNK, manifest::Manifest};
    use proptest::prelude::*;

    use super::*;
    use crate::store::samples::hash;

    #[derive(Default)]
    struct Plain(Vec<u8>);

    impl UploadBody for Plain {
        fn append(&mut self, bytes: &[u8], _spare: u64) -> Result<(), StoreError> {
            if bytes == b"fail" {
                return Err(StoreError::Poisoned);
            }
            self.0.extend_from_slice(bytes);
            Ok(())
        }

        fn held(&self) -> u64 {
            u64::try_from(self.0.len()).expect("fits")
        }
    }

    const ID: UploadId = UploadId([1; 16]);

    fn uploads(open: usize, held_bytes: u64) -> Uploads<Plain> {
        Uploads::new(UploadLimits { open, held_bytes })
    }

    fn begin(uploads: &Uploads<Plain>, id: UploadId, reserve: u64) -> u64 {
        uploads.begin(id, reserve, || Ok(Plain::default())).expect("begun").next
    }

    fn place(bytes: &[u8]) -> Place {
        let (object, column_len) = (Manifest::object_id(b""), u64::try_from(bytes.len()).expect("fits"));
        let column = hash(bytes);
        Place { object, extent: 0, index: 0, column, column_len, manifest_len: 0, token: None, expires: Epoch(0) }
    }

    /// The number's chunk of the test column.
    fn chunk(number: usize) -> Bytes {
        vec![u8::try_from(number).expect("small"); CHUNK].into()
    }

    fn at(number: usize) -> u64 {
        u64::try_from(number * CHUNK).expect("fits")
    }

    #[test]
    fn chunks_come_in_any_order_within_the_window() {
        let uploads = uploads(4, 64 << 20);
        begin(&uploads, ID, at(12));
        let check = |number: usize, next: usize| {
            assert_eq!(uploads.write(ID, at(number), chunk(number)).expect("taken"), at(next), "chunk {number}");
        };
        check(3, 0);
        check(1, 0);
        check(1, 0);
        check(0, 2);
        check(0, 2);
        check(2, 4);
        assert_eq!(begin(&uploads, ID, at(12)), at(4), "it resumes");
        check(11, 4);
        let far = uploads.write(ID, at(12) - 1, chunk(0).slice(..1));
        assert_eq!(far.expect("inside the window"), at(4));
        (5..10).for_each(|number| check(number, 4));
        check(4, 10);
        check(10, 12);
        let all: Vec<u8> = (0..12).flat_map(chunk).collect();
        let whole = uploads.finish(ID, &place(&all)).unwrap_or_else(|error| panic!("{error}"));
        assert!(whole.body.0 == all);
        assert_eq!(uploads.held.load(Ordering::Relaxed), 0);
        assert_eq!(uploads.repeated_bytes(), 2 * at(1) + 1, "chunks 0 and 1, and the last byte, came twice");
    }

    #[test]
    fn one_that_resumes_learns_what_is_here_already() {
        let uploads = uploads(4, 64 << 20);
        let taken = || uploads.begin(ID, at(5) + 100, || Ok(Plain::default())).expect("begun");
        assert_eq!(taken(), Taken::default());
        for number in [2, 4] {
            uploads.write(ID, at(number), chunk(number)).expect("taken");
        }
        uploads.write(ID, at(3), chunk(3).slice(..9)).expect("taken");
        uploads.write(ID, at(5), chunk(5).slice(..100)).expect("taken");
        assert_eq!(taken(), Taken { next: 0, early: 0b11_0100 }, "half a chunk does not count, a short last one does");
        uploads.write(ID, 0, chunk(0)).expect("taken");
        assert_eq!(taken(), Taken { next: at(1), early: 0b1_1010 });
        assert_eq!(uploads.repeated_bytes(), 0);
    }

    #[test]
    fn what_is_too_early_or_too_long_is_refused_and_harms_nothing() {
        let uploads = uploads(4, 64 << 20);
        begin(&uploads, ID, at(20));
        let early = |offset, bytes: Bytes| {
            let refused = uploads.write(ID, offset, bytes);
            assert!(matches!(refused, Err(StoreError::TooEarly { next: 0, .. })), "{offset}");
        };
        early(at(8), chunk(8));
        for byte in 1..=8 {
            uploads.write(ID, byte, chunk(0).slice(..1)).expect("taken");
        }
        early(9, chunk(0).slice(..1));
        for offset in [at(19) + 1, u64::MAX - 10] {
            assert!(matches!(uploads.write(ID, offset, chunk(0)), Err(StoreError::TooLong { .. })));
        }
        assert_eq!(uploads.write(ID, 0, chunk(0)).expect("taken"), at(1));
        let none = uploads.write(UploadId([2; 16]), 0, chunk(0));
        assert!(matches!(none, Err(StoreError::UnknownUpload)));
    }

    #[test]
    fn memory_held_for_early_chunks_is_bounded_over_all() {
        let uploads = uploads(100, at(3));
        for number in 0..6 {
            let id = UploadId([number; 16]);
            begin(&uploads, id, at(4));
            let early = uploads.write(id, at(1), chunk(1));
            assert_eq!(early.is_ok(), number < 3, "upload {number}");
        }
        let last = UploadId([5; 16]);
        assert_eq!(uploads.write(last, 0, chunk(0)).expect("in order is always taken"), at(1));
        uploads.clear();
        assert_eq!(uploads.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_longest_untouched_gives_way() {
        let uploads = uploads(2, 64 << 20);
        let [first, second, third] = [1, 2, 3].map(|byte| UploadId([byte; 16]));
        begin(&uploads, first, 64);
        begin(&uploads, second, 64);
        uploads.write(first, 0, chunk(0).slice(..1)).expect("taken");
        begin(&uploads, third, 64);
        assert!(matches!(uploads.write(second, 0, chunk(0).slice(..1)), Err(StoreError::UnknownUpload)));
        assert_eq!(begin(&uploads, first, 64), 1);
    }

    #[test]
    fn an_upload_whose_body_fails_is_forgotten() {
        let uploads = uploads(2, 64 << 20);
        begin(&uploads, ID, 64);
        assert!(matches!(uploads.write(ID, 0, Bytes::from_static(b"fail")), Err(StoreError::Poisoned)));
        assert!(matches!(uploads.write(ID, 0, Bytes::from_static(b"more")), Err(StoreError::UnknownUpload)));
        let broken = uploads.begin(ID, 64, || Err(StoreError::Poisoned));
        assert!(matches!(broken, Err(StoreError::Poisoned)));
        assert_eq!(begin(&uploads, ID, 64), 0);
    }

    proptest! {
        #[test]
        fn any_pieces_in_any_order_give_the_column(
            length in 1..2000usize,
            pieces in prop::collection::vec((0..2000usize, 1..600usize), 0..60),
        ) {
            let all: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).expect("small")).collect();
            let uploads = uploads(1, 64 << 20);
            begin(&uploads, ID, place(&all).column_len);
            let write = |start: usize, end: usize| {
                uploads.write(ID, u64::try_from(start).expect("fits"), Bytes::copy_from_slice(&all[start..end]))
            };
            for (start, piece) in pieces {
                let start = start.min(length - 1);
                match write(start, length.min(start + piece)) {
                    Ok(_) | Err(StoreError::TooEarly { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            let next = usize::try_from(begin(&uploads, ID, 0)).expect("fits");
            write(next.min(length), length).expect("the rest");
            let whole = uploads.finish(ID, &place(&all)).unwrap_or_else(|error| panic!("{error}"));
            prop_assert_eq!(whole.body.0, all);
        }
    }
}
