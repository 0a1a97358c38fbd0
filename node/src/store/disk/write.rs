//! Storing, changing and deleting places, in the order of steps that makes an acknowledgement durable.
//!
//! Bytes first, durably; then the index, durably; then the answer. Deleting goes the other way round: the index first,
//! then the blocks. Every operation here holds the lock of its column and object, and gives blocks back without it:
//! that may take long, and others wait for the lock.

use bytes::Bytes;
use ostrakon_net::lock;
use ostrakon_proto::wire::put::UploadId;

use super::super::{Place, PlaceKey, PlaceState, StoreError, StoredPlace, upload::CompleteUpload};
use super::{
    Disk,
    files::{self, FILE_MIN, Staged},
    index::{Batch, ColumnRecord, Durability, Location, Piece, PlaceRecord},
    record::{Header, RecordKind},
};

/// A place that is being stored.
#[derive(Clone)]
struct Arrival {
    /// The place after.
    stored: StoredPlace,
    /// Its record before, if there was one.
    known: Option<PlaceRecord>,
    manifest: Bytes,
    /// Whether the index lacks the manifest.
    is_first_of_object: bool,
}

impl Arrival {
    fn key(&self) -> PlaceKey {
        self.stored.place.key()
    }

    fn header(&self, kind: RecordKind) -> Header {
        Header { kind, place: self.stored.place }
    }

    fn put(&self, batch: &mut Batch, note: Option<Piece>) {
        batch.put_place(&self.key(), &PlaceRecord::new(&self.stored, note));
        if self.is_first_of_object {
            batch.put_manifest(&self.stored.place.object, &self.manifest);
        }
    }
}

impl Disk {
    /// Stores what an upload brought, in a place.
    pub(super) fn store(&self, upload: UploadId, place: Place, manifest: Bytes) -> Result<(), StoreError> {
        if !place.is_listed_by(&manifest) {
            return Err(StoreError::WrongManifest { object: place.object });
        }
        self.volume.writable()?;
        let key = place.key();
        let _lock = self.column_locks.take(&key.column, &key.object);
        let column = self.index.column(&key.column)?;
        let known = self.index.place(&key)?;
        let stored = known.map_or(StoredPlace::new(place), |known| known.stored(&key).renewed(place.expires));
        let is_first_of_object = !self.index.has_manifest(&key.object)?;
        let arrival = Arrival { stored, known, manifest, is_first_of_object };
        match (column.filter(|column| !column.damaged), known) {
            (Some(_), Some(known)) => self.renew(arrival, known),
            (Some(_), None) => {
                // A receipt is only for a client that has the bytes.
                self.uploads.finish(upload, &place)?;
                self.add_note(arrival)
            }
            (None, _) => self.add_column(arrival, self.uploads.finish(upload, &place)?, column),
        }
    }

    /// Stores a column that is missing or damaged.
    fn add_column(
        &self,
        arrival: Arrival,
        whole: CompleteUpload<Staged>,
        damaged: Option<ColumnRecord>,
    ) -> Result<(), StoreError> {
        let place = arrival.stored.place;
        let header = arrival.header(RecordKind::Column);
        let note = arrival.known.and_then(|known| known.note);
        let record = move |location| ColumnRecord { column_len: place.column_len, location, damaged: false };
        let mut arriving = Batch::default();
        arrival.put(&mut arriving, note);
        let CompleteUpload { body, outboard } = whole;
        if place.column_len >= FILE_MIN {
            body.into_file(&header, &outboard, &arrival.manifest)?;
            arriving.put_column(&place.column, &record(Location::File));
            self.index.commit(arriving, Durability::Synced)?;
        } else {
            let bytes = body.into_record(&header, &outboard, &arrival.manifest)?;
            let arrival = arrival.clone();
            let change = move |batch: &mut Batch, piece| {
                batch.put_column(&place.column, &record(Location::Pack(piece)));
                arrival.put(batch, note);
            };
            self.packs.append(bytes, Box::new(change))?;
        }
        self.recount(&arrival);
        match damaged.map(|damaged| damaged.location) {
            Some(Location::Pack(piece)) => self.packs.free(&piece),
            Some(Location::File) => {}
            None => self.count_column(place.column_len),
        }
        Ok(())
    }

    /// Stores a known place again. Without a note a later `expires` would be lost with the index.
    fn renew(&self, arrival: Arrival, known: PlaceRecord) -> Result<(), StoreError> {
        let before = known.stored(&arrival.key());
        if arrival.stored == before {
            return Ok(());
        }
        if arrival.stored.place.expires > before.place.expires {
            return self.add_note(arrival);
        }
        let mut batch = Batch::default();
        arrival.put(&mut batch, known.note);
        self.index.commit(batch, Durability::Synced)?;
        self.recount(&arrival);
        Ok(())
    }

    /// Stores another place of a stored column, or renews one.
    fn add_note(&self, arrival: Arrival) -> Result<(), StoreError> {
        let header = arrival.header(RecordKind::Note);
        let mut record = header.encode().to_vec();
        record.extend_from_slice(&arrival.manifest);
        record.resize(usize::try_from(header.pack_len()).expect("bounded by the limit of manifests"), 0);
        let arriving = arrival.clone();
        self.packs.append(record, Box::new(move |batch, piece| arriving.put(batch, Some(piece))))?;
        self.recount(&arrival);
        if let Some(old) = arrival.known.and_then(|known| known.note) {
            self.packs.free(&old);
        }
        Ok(())
    }

    /// Changes a place's state. Not synced: the ledger determines it again.
    pub(super) fn change_state(&self, key: &PlaceKey, state: PlaceState) -> Result<(), StoreError> {
        let _lock = self.column_locks.take(&key.column, &key.object);
        let record = self.index.place(key)?.ok_or(StoreError::NotFound { column: key.column })?;
        self.put_state((key, record), StoredPlace { state, ..record.stored(key) }, Durability::Unsynced)
    }

    /// Gives a place that was stored here for another volume, and not renewed since, the state that it had there.
    pub(in crate::store) fn adopt(&self, place: &Place, state: PlaceState) -> Result<(), StoreError> {
        let key = place.key();
        let _lock = self.column_locks.take(&key.column, &key.object);
        let record = self.index.place(&key)?.ok_or(StoreError::NotFound { column: key.column })?;
        let before = record.stored(&key);
        if before != StoredPlace::new(*place) {
            return Ok(());
        }
        self.put_state((&key, record), StoredPlace { state, ..before }, Durability::Synced)
    }

    /// Records a place's state, and counts it; with the lock of its column.
    fn put_state(
        &self,
        (key, record): (&PlaceKey, PlaceRecord),
        after: StoredPlace,
        durability: Durability,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.put_place(key, &PlaceRecord::new(&after, record.note));
        self.index.commit(batch, durability)?;
        let mut usage = lock(&self.usage);
        usage.count_out(&record.stored(key));
        usage.count_in(&after);
        Ok(())
    }

    /// Deletes a place that is in this state, and what nothing else needs; whether it is gone.
    pub(super) fn forget(&self, key: &PlaceKey, state: PlaceState) -> Result<bool, StoreError> {
        let lock_of_column = self.column_locks.take(&key.column, &key.object);
        let Some(place) = self.index.place(key)? else { return Ok(true) };
        if place.state != state {
            return Ok(false);
        }
        let places: Vec<_> = self.index.places_of(&key.column).take(2).collect::<Result<_, _>>()?;
        let is_last_of_column = places.len() == 1;
        let column = self.index.column(&key.column)?.filter(|_| is_last_of_column);
        let mut batch = Batch::default();
        batch.delete_place(key);
        if column.is_some() {
            batch.delete_column(&key.column);
        }
        if self.index.places_of_object(&key.object)? == 1 {
            batch.delete_manifest(&key.object);
        }
        self.index.commit(batch, Durability::Synced)?;
        self.uncount(&place.stored(key), column);
        let location = column.map(|column| column.location);
        // Its name may be another upload's as soon as the lock is released.
        let file = (location == Some(Location::File)).then(|| files::put_aside(&self.volume, &key.column)).flatten();
        drop(lock_of_column);
        if let Some(piece) = place.note {
            self.packs.free(&piece);
        }
        if let Some(Location::Pack(piece)) = location {
            self.packs.free(&piece);
        }
        file.iter().for_each(|file| files::remove(file));
        Ok(true)
    }

    /// Counts a place that was stored.
    fn recount(&self, arrival: &Arrival) {
        let mut usage = lock(&self.usage);
        if let Some(known) = &arrival.known {
            usage.count_out(&known.stored(&arrival.key()));
        }
        usage.count_in(&arrival.stored);
    }

    fn count_column(&self, column_len: u64) {
        let mut usage = lock(&self.usage);
        usage.columns += 1;
        usage.used_bytes += column_len;
    }

    fn uncount(&self, place: &StoredPlace, column: Option<ColumnRecord>) {
        let mut usage = lock(&self.usage);
        usage.count_out(place);
        if let Some(column) = column {
            usage.columns -= 1;
            usage.used_bytes -= column.column_len;
        }
    }
}
