//! Bad input, a full disk, a failing disk, damaged columns, and a second process.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use ostrakon_proto::{
    id::{ColumnId, Epoch},
    limits::{self, CHUNK},
};

use super::{
    super::super::{
        Columns, Place, PlaceState, StoreError,
        samples::{LENGTHS, Sample},
    },
    super::{Around, files, index::Location, packs, record},
    CONFIG, Disk, DiskConfig, OpenError, open, try_open,
};
use crate::ledger_room::LedgerRoom;

impl Disk {
    /// Flips a bit in the middle of a stored column; tells whether there was one.
    pub(super) fn damage(&self, id: &ColumnId) -> bool {
        let Some(stored) = self.index.column(id).expect("index works") else { return false };
        let (path, data) = match stored.location {
            Location::File => (files::path_of(&self.volume, id), record::FILE_DATA),
            Location::Pack(piece) => (packs::path_of(&self.volume, piece.pack), piece.offset + record::PACK_DATA),
        };
        let (file, middle) = (File::options().read(true).write(true).open(path).expect("there"), stored.column_len / 2);
        let mut byte = [0];
        file.read_exact_at(&mut byte, data + middle).expect("there");
        file.write_all_at(&[byte[0] ^ 1], data + middle).expect("writable");
        true
    }
}

#[test]
fn every_length_is_stored_read_in_every_range_and_purged() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let samples: Vec<_> = LENGTHS.iter().zip(0..).map(|(length, seed)| Sample::new(seed, *length)).collect();
    for sample in &samples {
        sample.put(&store).expect("stored");
        (0..5).for_each(|power| sample.read(&store, 16_384 << power).expect("readable"));
        sample.assert_stored(&store);
        sample.finish(&store).expect("once more");
    }
    let used: u64 = samples.iter().map(|sample| sample.place.column_len).sum();
    let on_disk: u64 = samples.iter().map(|sample| sample.place.disk_bytes()).sum();
    let usage = store.usage();
    assert_eq!((usage.columns, usage.used_bytes, usage.promised_bytes), (8, used, 0));
    assert_eq!((usage.temporary_bytes, usage.upload_bytes), (on_disk, 0), "manifests and hashes count, too");
    for sample in &samples {
        sample.purge(&store).expect("purged");
        sample.assert_absent(&store);
        sample.purge(&store).expect("nothing to do");
    }
    assert_eq!((store.usage().used_bytes, store.usage().temporary_bytes), (0, 0));
    assert!(super::files_below(&dir.path().join("columns")).is_empty());
}

#[test]
fn ranges_that_are_no_subtree_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let sample = Sample::new(1, CHUNK + 64);
    sample.put(&store).expect("stored");
    for (start, length) in [(0, 0), (0, 1024), (1, 16_384), (16_384, 32_768), (0, 524_288), (524_288, 262_144)] {
        let refused = store.read(&sample.place.column, start, length);
        assert!(matches!(refused, Err(StoreError::Range(_))), "{start} {length}");
    }
}

#[test]
fn a_mismatch_keeps_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    for length in LENGTHS {
        let sample = Sample::new(3, length);
        let other = Sample::new(4, length).place.column;
        let longer = sample.place.column_len + 64;
        for place in [Place { column: other, ..sample.place }, Place { column_len: longer, ..sample.place }] {
            sample.send(&store).expect("room");
            let refused = store.finish(sample.upload(), place, sample.manifest.clone());
            assert!(matches!(refused, Err(StoreError::Mismatch { .. })), "{refused:?}");
            let again = store.write(sample.upload(), 0, sample.bytes.slice(..64));
            assert!(matches!(again, Err(StoreError::UnknownUpload)));
        }
        sample.send(&store).expect("room");
        let refused = store.finish(sample.upload(), sample.place, Bytes::from_static(b"another manifest"));
        assert!(matches!(refused, Err(StoreError::WrongManifest { .. })));
        assert!(matches!(sample.finish(&store), Err(StoreError::UnknownUpload)));
        sample.assert_absent(&store);
    }
    assert!(super::files_below(&dir.path().join("columns")).is_empty());
    assert!(super::files_below(&dir.path().join("incoming")).is_empty());
    assert_eq!(store.usage().promised_bytes, 0);
}

#[test]
fn one_column_in_several_places_goes_with_the_last() {
    let dir = tempfile::tempdir().expect("a directory");
    for length in [4096, 1 << 20] {
        let store = open(dir.path());
        let first = Sample::new(5, length);
        let others = [first.in_object(1), first.in_object(2)];
        first.put(&store).expect("stored");
        let stranger = others[0].finish(&store);
        assert!(matches!(stranger, Err(StoreError::UnknownUpload)), "only who has the bytes gets a receipt");
        others.iter().for_each(|other| other.put(&store).expect("stored"));
        assert_eq!(store.usage().columns, 1);
        first.purge(&store).expect("purged");
        assert_eq!(store.manifest(&first.place.object).expect("index works"), None);
        drop(store);
        let store = open(dir.path());
        others.iter().for_each(|other| other.assert_stored(&store));
        others.iter().for_each(|other| other.purge(&store).expect("purged"));
        first.assert_absent(&store);
    }
}

#[test]
fn storing_again_lengthens_and_revives() {
    let dir = tempfile::tempdir().expect("a directory");
    let sample = Sample::new(6, 4096);
    let key = sample.place.key();
    let check = |state, expires, expect: (u64, PlaceState)| {
        let store = open(dir.path());
        store.set_state(&key, state).expect("known");
        sample.expiring(expires).finish(&store).expect("known");
        let stored = store.places(None, 1).expect("index works")[0];
        assert_eq!((stored.place.expires.0, stored.state), expect);
    };
    sample.put(&open(dir.path())).expect("stored");
    let (trash, until) =
        (PlaceState::Trash { since: Epoch(9) }, |epoch| PlaceState::Temporary { expires: Epoch(epoch) });
    check(until(10), 9, (10, until(10)));
    check(until(10), 12, (12, until(12)));
    check(trash, 5, (12, until(12)));
    check(trash, 20, (20, until(20)));
    check(PlaceState::Committed, 30, (30, PlaceState::Committed));
    fs::remove_dir_all(dir.path().join("index")).expect("removed");
    let rebuilt = open(dir.path());
    sample.expiring(30).assert_stored(&rebuilt);
    assert_eq!(rebuilt.places(None, 9).expect("index works").len(), 1);
}

#[test]
fn what_was_stored_again_is_not_purged() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, sample) = (open(dir.path()), Sample::new(1, 4096));
    let (key, trash) = (sample.place.key(), PlaceState::Trash { since: Epoch(9) });
    sample.put(&store).expect("stored");
    store.set_state(&key, trash).expect("known");
    sample.finish(&store).expect("revived");
    assert!(!store.purge(&key, trash).expect("index works"), "it has a new receipt");
    sample.assert_stored(&store);
    assert!(store.purge(&key, PlaceState::Temporary { expires: sample.place.expires }).expect("index works"));
    sample.assert_absent(&store);
}

#[test]
fn what_is_being_sent_is_temporary() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, sample) = (open(dir.path()), Sample::new(1, 4096));
    let unpaid = || (store.usage().temporary_bytes, store.usage().upload_bytes);
    store.begin(sample.upload(), 1 << 20).expect("room");
    assert_eq!(unpaid(), (1 << 20, 1 << 20), "all that it may have");
    store.abort(sample.upload());
    assert_eq!(unpaid(), (0, 0));
    sample.put(&store).expect("stored");
    assert_eq!(unpaid(), (sample.place.disk_bytes(), 0));
    store.set_state(&sample.place.key(), PlaceState::Committed).expect("known");
    assert_eq!(unpaid(), (0, 0));
}

#[test]
fn a_full_disk_refuses_and_serves() {
    let dir = tempfile::tempdir().expect("a directory");
    let (small, large) = (Sample::new(1, 4096), Sample::new(2, 1 << 20));
    small.put(&open(dir.path())).expect("stored");
    let store = Disk::open(dir.path(), DiskConfig { reserve_bytes: Some(u64::MAX), ..CONFIG }).expect("opens");
    for sample in [&large, &Sample::new(3, 64)] {
        assert!(matches!(sample.put(&store), Err(StoreError::Full { .. })));
    }
    small.assert_stored(&store);
    assert_eq!(store.usage().free_bytes, 0);
    small.purge(&store).expect("purged");
}

#[test]
fn columns_leave_the_ledger_its_room() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = |budget| {
        let room = Arc::new(LedgerRoom::new(vec![dir.path().join("chain")], budget));
        Disk::open_beside(&dir.path().join("store"), CONFIG, Around { room, ..Around::default() }).expect("opens")
    };
    assert!(open(1 << 20).usage().free_bytes > 0);
    let store = open(u64::MAX);
    assert_eq!(store.usage().free_bytes, 0);
    assert!(matches!(Sample::new(1, 4096).put(&store), Err(StoreError::Full { .. })));
}

#[test]
fn room_is_promised_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    *store.volume.faults.free.lock().expect("not poisoned") = Some(64 << 20);
    let begin = |seed| {
        let sample = Sample::new(seed, 64);
        store.begin(sample.upload(), 40 << 20).map(|_| sample.upload())
    };
    let first = begin(1).expect("there is room");
    assert!(matches!(begin(2), Err(StoreError::Full { .. })));
    store.abort(first);
    assert_eq!(store.usage().promised_bytes, 0);
    begin(2).expect("there is room again");
    assert!(matches!(store.begin(first, limits::COLUMN + 1), Err(StoreError::TooLong { .. })));
}

#[test]
fn any_failed_sync_is_no_acknowledgement_and_poisons_until_restart() {
    // A pack: made, then filled. A file: filled, then named.
    for (length, syncs) in [(4096, 2), (1 << 20, 2)] {
        let dir = tempfile::tempdir().expect("a directory");
        let [first, second, stored] = [1, 2, 3].map(|seed| Sample::new(seed, length));
        for left in 0..syncs {
            let store = open(dir.path());
            store.volume.faults.syncs.store(left, Ordering::Relaxed);
            assert!(matches!(first.put(&store), Err(StoreError::Io { .. })), "{left} of {syncs} syncs");
            store.volume.faults.syncs.store(u64::MAX, Ordering::Relaxed);
            assert!(matches!(first.put(&store), Err(StoreError::Poisoned)));
            assert!(matches!(
                store.set_state(&first.place.key(), PlaceState::Committed),
                Err(StoreError::NotFound { .. })
            ));
            first.assert_absent(&store);
            drop(store);
            // What was whole all the same is taken in at the start, and must not be in the way.
            let store = open(dir.path());
            first.purge(&store).expect("purged");
            drop(store);
            ["columns", "packs"].iter().for_each(|part| fs::remove_dir_all(dir.path().join(part)).expect("removed"));
        }
        let store = open(dir.path());
        store.volume.faults.syncs.store(syncs, Ordering::Relaxed);
        stored.put(&store).expect("these are all the syncs there are");
        store.volume.faults.syncs.store(0, Ordering::Relaxed);
        assert!(matches!(second.put(&store), Err(StoreError::Io { .. })));
        assert!(matches!(stored.purge(&store), Err(StoreError::Poisoned)));
        stored.assert_stored(&store);
        drop(store);
        let store = open(dir.path());
        stored.assert_stored(&store);
        second.put(&store).expect("the disk is well again");
        second.assert_stored(&store);
    }
}

#[test]
fn scrubbing_finds_damage_and_a_good_upload_heals_it() {
    let dir = tempfile::tempdir().expect("a directory");
    for length in [4096, 1 << 20] {
        let store = open(dir.path());
        let sample = Sample::new(7, length);
        sample.put(&store).expect("stored");
        store.scrub_column(&sample.place.column).expect("undamaged");
        assert!(store.damage(&sample.place.column));
        assert!(matches!(store.scrub_column(&sample.place.column), Err(StoreError::Corrupt { .. })));
        assert!(matches!(store.read(&sample.place.column, 0, 16_384), Err(StoreError::Corrupt { .. })));
        assert!(store.column(&sample.place.column).expect("index works").is_some_and(|info| info.damaged));
        assert!(matches!(sample.finish(&store), Err(StoreError::UnknownUpload)), "what is damaged is not acknowledged");
        sample.put(&store).expect("healed");
        sample.assert_stored(&store);
        assert_eq!(store.usage().columns, 1);
        sample.purge(&store).expect("purged");
    }
}

#[test]
fn what_is_missing_cut_or_foreign_is_corrupt() {
    type Harm = fn(&File);
    let harms: [Harm; 3] = [
        |file| file.write_all_at(&[0; record::HEADER], 0).expect("writable"),
        |file| file.write_all_at(&[1], 20).expect("writable"),
        |file| file.set_len(8192).expect("writable"),
    ];
    let dir = tempfile::tempdir().expect("a directory");
    let (store, sample) = (open(dir.path()), Sample::new(8, 1 << 20));
    for harm in harms {
        sample.put(&store).expect("stored");
        let path = files::path_of(&store.volume, &sample.place.column);
        harm(&File::options().write(true).open(&path).expect("there"));
        let read = store.read(&sample.place.column, 0, 262_144);
        assert!(matches!(read, Err(StoreError::Corrupt { .. })), "{read:?}");
        fs::remove_file(&path).expect("removed");
        assert!(matches!(store.read(&sample.place.column, 0, 16_384), Err(StoreError::Corrupt { .. })));
        sample.purge(&store).expect("purged all the same");
    }
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = open(dir.path());
    let second = try_open(dir.path());
    assert!(matches!(second, Err(OpenError::InUse { .. })), "{second:?}");
    drop(first);
    try_open(dir.path()).expect("free again");
}

#[test]
fn uploads_in_memory_move_to_disk_when_memory_is_short() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Disk::open(dir.path(), DiskConfig { held_bytes: 300_000, ..CONFIG }).expect("opens");
    let samples: Vec<_> = (0..10).map(|seed| Sample::new(seed, 200_000)).collect();
    samples.iter().for_each(|sample| sample.send(&store).expect("room"));
    assert!(super::files_below(&dir.path().join("incoming")).len() >= 8);
    samples.iter().for_each(|sample| sample.finish(&store).expect("stored"));
    samples.iter().for_each(|sample| sample.assert_stored(&store));
    assert!(super::files_below(&dir.path().join("columns")).is_empty(), "they are small all the same");
}
