//! Columns in memory, for the simulator and for tests, with faults on command.
//!
//! It gives the same guarantees and errors as [`super::Disk`]; the model test compares the two. What it stores is lost
//! with the process. Not here: when a fault happens; the simulator decides that.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use ostrakon_net::lock;
use ostrakon_proto::{
    id::{ColumnId, ObjectId},
    tree::{self, Outboard, TreeBuilder, prove_range},
    wire::put::{Taken, UploadId},
};

use super::{
    ColumnInfo, Columns, PLACES, Place, PlaceKey, PlaceState, ProvenRange, StoreError, StoredPlace, Usage,
    upload::{CompleteUpload, Reservation, UploadBody, UploadLimits, Uploads},
};

/// Uploads open at a time, and bytes they hold: as on disk.
const BOUNDS: UploadLimits = UploadLimits { open: 256, held_bytes: 64 << 20 };

/// Whether reads work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reads {
    /// They do.
    #[default]
    Work,
    /// The disk fails each of them.
    Fail,
}

/// Columns in memory.
#[derive(Debug)]
pub struct Memory {
    contents: Mutex<Contents>,
    uploads: Uploads<Buffer>,
    promised: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Contents {
    columns: BTreeMap<ColumnId, Column>,
    places: BTreeMap<PlaceKey, StoredPlace>,
    manifests: BTreeMap<ObjectId, Shared>,
    used: u64,
    capacity: u64,
    reads: Reads,
}

#[derive(Debug)]
struct Column {
    bytes: Bytes,
    outboard: Outboard,
    damaged: bool,
}

/// A manifest, and the number of places that use it.
#[derive(Debug)]
struct Shared {
    manifest: Bytes,
    places: usize,
}

/// An upload's bytes, with space reserved for them.
struct Buffer {
    bytes: Vec<u8>,
    _promise: Reservation,
}

impl UploadBody for Buffer {
    fn append(&mut self, bytes: &[u8], _spare: u64) -> Result<(), StoreError> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The simulator's memory does not count: only chunks that arrived out of order do.
    fn held(&self) -> u64 {
        0
    }
}

impl Memory {
    /// An empty store with space for this many bytes of columns.
    pub fn new(capacity: u64) -> Self {
        let contents = Contents { capacity, ..Contents::default() };
        Self { contents: Mutex::new(contents), uploads: Uploads::new(BOUNDS), promised: Arc::default() }
    }

    /// Fault: the disk is now this large; less than it holds makes it full, and loses nothing.
    pub fn set_capacity(&self, bytes: u64) {
        lock(&self.contents).capacity = bytes;
    }

    /// Fault: whether reads work.
    pub fn set_reads(&self, reads: Reads) {
        lock(&self.contents).reads = reads;
    }

    /// Fault: flips a bit in the middle of a stored column; tells whether there was one.
    pub fn corrupt(&self, id: &ColumnId) -> bool {
        let mut contents = lock(&self.contents);
        let Some(column) = contents.columns.get_mut(id) else { return false };
        let mut bytes = column.bytes.to_vec();
        let middle = bytes.len() / 2;
        let Some(byte) = bytes.get_mut(middle) else { return false };
        *byte ^= 1;
        column.bytes = bytes.into();
        true
    }

    /// Fault: everything stored is gone, and every upload.
    pub fn lose_everything(&self) {
        self.uploads.clear();
        let mut contents = lock(&self.contents);
        *contents = Contents { capacity: contents.capacity, reads: contents.reads, ..Contents::default() };
    }

    /// Fault: the node crashed and restarted; finished uploads are still there, and nothing else.
    pub fn restart(&self) {
        self.uploads.clear();
    }
}

impl Contents {
    fn places_of(&self, id: &ColumnId) -> impl Iterator<Item = &StoredPlace> {
        let first = PlaceKey { column: *id, object: ObjectId::new([0; 32]), extent: 0, index: 0 };
        let column = *id;
        self.places.range(first..).map(|(_, place)| place).take_while(move |stored| stored.place.column == column)
    }

    fn has_good(&self, id: &ColumnId) -> bool {
        self.columns.get(id).is_some_and(|column| !column.damaged)
    }

    /// Stores a column, replacing a damaged one if there is one.
    fn put(&mut self, id: ColumnId, column: Column) {
        self.used += column.len();
        self.used -= self.columns.insert(id, column).map_or(0, |damaged| damaged.len());
    }

    /// Renews a place; whether it exists.
    fn renew(&mut self, place: &Place) -> bool {
        let Some(stored) = self.places.get_mut(&place.key()) else { return false };
        *stored = stored.renewed(place.expires);
        true
    }

    /// Stores a new place.
    fn add(&mut self, place: Place, manifest: Bytes) {
        self.places.insert(place.key(), StoredPlace::new(place));
        self.manifests.entry(place.object).or_insert(Shared { manifest, places: 0 }).places += 1;
    }

    /// Whether the place is gone.
    fn forget(&mut self, key: &PlaceKey, state: PlaceState) -> bool {
        let Some(stored) = self.places.get(key) else { return true };
        if stored.state != state {
            return false;
        }
        self.places.remove(key);
        if self.places_of(&key.column).next().is_none() {
            self.used -= self.columns.remove(&key.column).map_or(0, |column| column.len());
        }
        let shared = self.manifests.get_mut(&key.object).expect("every place has its manifest");
        shared.places -= 1;
        if shared.places == 0 {
            self.manifests.remove(&key.object);
        }
        true
    }
}

impl Column {
    fn len(&self) -> u64 {
        u64::try_from(self.bytes.len()).expect("fits")
    }
}

impl Columns for Memory {
    fn begin(&self, upload: UploadId, reserve: u64) -> Result<Taken, StoreError> {
        self.uploads.begin(upload, reserve, || {
            let contents = lock(&self.contents);
            let taken = contents.used + self.promised.load(Ordering::Relaxed);
            let free = contents.capacity.saturating_sub(taken);
            if reserve > free {
                return Err(StoreError::Full { wanted: reserve, free });
            }
            let mut promise = Reservation::of(&self.promised);
            promise.set(reserve);
            Ok(Buffer { bytes: Vec::new(), _promise: promise })
        })
    }

    fn write(&self, upload: UploadId, offset: u64, bytes: Bytes) -> Result<u64, StoreError> {
        self.uploads.write(upload, offset, bytes)
    }

    fn finish(&self, upload: UploadId, place: Place, manifest: Bytes) -> Result<(), StoreError> {
        if !place.is_listed_by(&manifest) {
            self.uploads.abort(upload);
            return Err(StoreError::WrongManifest { object: place.object });
        }
        let mut contents = lock(&self.contents);
        if contents.has_good(&place.column) && contents.renew(&place) {
            self.uploads.abort(upload);
            return Ok(());
        }
        let CompleteUpload { body, outboard } = self.uploads.finish(upload, &place)?;
        if !contents.has_good(&place.column) {
            contents.put(place.column, Column { bytes: body.bytes.into(), outboard, damaged: false });
        }
        if !contents.renew(&place) {
            contents.add(place, manifest);
        }
        Ok(())
    }

    fn abort(&self, upload: UploadId) {
        self.uploads.abort(upload);
    }

    fn column(&self, id: &ColumnId) -> Result<Option<ColumnInfo>, StoreError> {
        let contents = lock(&self.contents);
        let info = |column: &Column| ColumnInfo {
            column_len: column.len(),
            tokens: contents.places_of(id).take(PLACES).map(|stored| stored.place.token).collect(),
            damaged: column.damaged,
        };
        Ok(contents.columns.get(id).map(info))
    }

    fn read(&self, id: &ColumnId, start: u64, length: u32) -> Result<ProvenRange, StoreError> {
        let contents = lock(&self.contents);
        if contents.reads == Reads::Fail {
            let source = Arc::new(io::Error::other("injected fault"));
            return Err(StoreError::Io { path: "memory".into(), source });
        }
        let column = contents.columns.get(id).ok_or(StoreError::NotFound { column: *id })?;
        if column.damaged {
            return Err(StoreError::Corrupt { column: *id, reason: "found by scrubbing" });
        }
        let siblings = prove_range(&column.outboard, tree::Range { start, length })?;
        let end = column.len().min(start + u64::from(length));
        let [start, end] = [start, end].map(|at| usize::try_from(at).expect("within memory"));
        Ok(ProvenRange { bytes: column.bytes.slice(start..end), siblings })
    }

    fn manifest(&self, object: &ObjectId) -> Result<Option<Bytes>, StoreError> {
        Ok(lock(&self.contents).manifests.get(object).map(|shared| shared.manifest.clone()))
    }

    fn places(&self, after: Option<PlaceKey>, limit: usize) -> Result<Vec<StoredPlace>, StoreError> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        Ok(lock(&self.contents).places.range((from, Unbounded)).take(limit).map(|(_, stored)| *stored).collect())
    }

    fn set_state(&self, place: &PlaceKey, state: PlaceState) -> Result<(), StoreError> {
        let mut contents = lock(&self.contents);
        let stored = contents.places.get_mut(place).ok_or(StoreError::NotFound { column: place.column })?;
        stored.state = state;
        Ok(())
    }

    fn purge(&self, place: &PlaceKey, state: PlaceState) -> Result<bool, StoreError> {
        Ok(lock(&self.contents).forget(place, state))
    }

    fn compact(&self) -> bool {
        false
    }

    fn scrub_column(&self, id: &ColumnId) -> Result<(), StoreError> {
        let mut contents = lock(&self.contents);
        let column = contents.columns.get_mut(id).ok_or(StoreError::NotFound { column: *id })?;
        let mut tree = TreeBuilder::new();
        tree.update(&column.bytes);
        if tree.finish().0 != *id {
            column.damaged = true;
            return Err(StoreError::Corrupt { column: *id, reason: "its hash does not match" });
        }
        column.damaged = false;
        Ok(())
    }

    fn usage(&self) -> Usage {
        let contents = lock(&self.contents);
        let in_state = |wanted: fn(&PlaceState) -> bool| {
            contents.places.values().filter(move |stored| wanted(&stored.state)).map(|stored| stored.place.disk_bytes())
        };
        let (used, promised) = (contents.used, self.promised.load(Ordering::Relaxed));
        let temporary = in_state(|state| matches!(state, PlaceState::Temporary { .. }));
        let uploads = self.uploads.reserved_bytes();
        Usage {
            columns: u64::try_from(contents.columns.len()).expect("fits"),
            used_bytes: used,
            temporary_bytes: temporary.sum::<u64>() + uploads,
            upload_bytes: uploads,
            trash_bytes: in_state(|state| matches!(state, PlaceState::Trash { .. })).sum(),
            promised_bytes: promised,
            free_bytes: contents.capacity.saturating_sub(used + promised),
            disk_bytes: contents.capacity,
            packs: 0,
            repeated_bytes: self.uploads.repeated_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::samples::{LENGTHS, Sample};

    fn store() -> Memory {
        Memory::new(1 << 30)
    }

    #[test]
    fn stores_reads_and_purges() {
        let store = store();
        let samples: Vec<_> = LENGTHS.iter().zip(0..).map(|(length, seed)| Sample::new(seed, *length)).collect();
        samples.iter().for_each(|sample| sample.put(&store).expect("stored"));
        samples.iter().for_each(|sample| sample.assert_stored(&store));
        samples.iter().for_each(|sample| sample.purge(&store).expect("purged"));
        samples.iter().for_each(|sample| sample.assert_absent(&store));
        assert_eq!(store.usage(), Usage { free_bytes: 1 << 30, disk_bytes: 1 << 30, ..Usage::default() });
    }

    #[test]
    fn faults_do_what_they_say() {
        let (store, sample) = (store(), Sample::new(1, 20_000));
        sample.put(&store).expect("stored");
        store.set_reads(Reads::Fail);
        assert!(matches!(store.read(&sample.place.column, 0, 16_384), Err(StoreError::Io { .. })));
        store.set_reads(Reads::Work);
        store.set_capacity(10_000);
        assert!(matches!(Sample::new(2, 64).put(&store), Err(StoreError::Full { free: 0, .. })));
        sample.assert_stored(&store);
        store.set_capacity(1 << 30);
        assert!(store.corrupt(&sample.place.column));
        assert!(matches!(store.scrub_column(&sample.place.column), Err(StoreError::Corrupt { .. })));
        assert!(matches!(sample.finish(&store), Err(StoreError::UnknownUpload)));
        sample.put(&store).expect("healed");
        let other = Sample::new(3, 1 << 20);
        other.send(&store).expect("room");
        store.restart();
        assert!(matches!(other.finish(&store), Err(StoreError::UnknownUpload)));
        sample.assert_stored(&store);
        store.lose_everything();
        sample.assert_absent(&store);
        assert!(!store.corrupt(&sample.place.column));
        assert_eq!(store.places(None, 9).expect("none"), []);
    }
}
