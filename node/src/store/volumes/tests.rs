//! Several volumes are one store, and each of them fails alone.

use std::{fs, path::Path};

use ostrakon_proto::id::Epoch;

use super::{super::samples::Sample, *};

const NODE: NodeId = NodeId::new([1; 32]);
const CONFIG: DiskConfig = DiskConfig { reserve_bytes: Some(0), pack_bytes: 2 << 20, uploads: 16, held_bytes: 8 << 20 };

/// All volumes have the same space free, so that reservations alone decide which is used next.
fn open(dir: &Path) -> Volumes {
    let store = Volumes::open(dir, &NODE, CONFIG, &Around::default()).expect("the list is readable");
    store.disks().for_each(|disk| disk.set_free(1 << 30));
    store
}

/// A node with the volumes `store` and `second`, which `samples` are stored on, some on each.
fn two_volumes(samples: &[Sample]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let mut list = VolumeList::of_node(dir.path(), NODE).expect("made");
    list.append(dir.path(), Path::new("second"), NODE).expect("added");
    let store = open(dir.path());
    // All are open at the same time: the space that one has reserved, the next does not find.
    samples.iter().for_each(|sample| sample.send(&store).expect("there is space"));
    samples.iter().for_each(|sample| sample.finish(&store).expect("stored"));
    assert!(store.status().iter().all(|volume| volume.columns > 0), "{:?}", store.status());
    dir
}

fn samples() -> Vec<Sample> {
    (0..6).map(|seed| Sample::new(seed, 4096 << (2 * seed))).collect()
}

/// The samples that are on this volume.
fn stored_on<'a>(store: &Volumes, volume: usize, samples: &'a [Sample]) -> Vec<&'a Sample> {
    let disk = store.volumes[volume].opened().expect("open");
    samples.iter().filter(|sample| disk.column(&sample.place.column).expect("readable").is_some()).collect()
}

fn states(store: &Volumes) -> Vec<VolumeState> {
    store.status().iter().map(|volume| volume.state).collect()
}

/// The disk of a volume is not mounted; what [`mount`] undoes.
fn unmount(dir: &Path, name: &str) {
    fs::rename(dir.join(name), dir.join("unmounted")).expect("renamed");
    fs::create_dir(dir.join(name)).expect("the mount point");
}

fn mount(dir: &Path, name: &str) {
    fs::remove_dir(dir.join(name)).expect("nothing was written under the mount point");
    fs::rename(dir.join("unmounted"), dir.join(name)).expect("renamed");
}

#[test]
fn several_volumes_are_one_store() {
    let samples = samples();
    let dir = two_volumes(&samples);
    let store = open(dir.path());
    samples.iter().for_each(|sample| sample.assert_stored(&store));
    let (usage, all) = (store.usage(), u64::try_from(samples.len()).expect("few"));
    assert_eq!((usage.columns, usage.used_bytes), (all, samples.iter().map(|sample| sample.place.column_len).sum()));

    let mut keys: Vec<PlaceKey> = samples.iter().map(|sample| sample.place.key()).collect();
    keys.sort();
    let (mut listed, mut after) = (Vec::new(), None);
    while let Some(stored) = store.places(after, 1).expect("readable").pop() {
        after = Some(stored.place.key());
        listed.extend(after);
    }
    assert_eq!(listed, keys);

    samples[0].finish(&store).expect("stored already");
    for sample in &samples {
        store.set_state(&sample.place.key(), PlaceState::Committed).expect("known");
        sample.purge(&store).expect("purged");
        sample.assert_absent(&store);
        let unknown = store.set_state(&sample.place.key(), PlaceState::Committed);
        assert!(matches!(unknown, Err(StoreError::NotFound { .. })));
    }
    assert!(!store.compact());
    let unknown = Sample::new(9, 64);
    assert!(matches!(unknown.finish(&store), Err(StoreError::UnknownUpload)));
    assert_eq!(store.usage().columns, 0);
}

#[test]
fn a_volume_that_is_missing_is_missed_and_the_other_serves() {
    let samples = samples();
    let dir = two_volumes(&samples);
    let dir = dir.path();
    let (kept, lost) = {
        let store = open(dir);
        (stored_on(&store, 0, &samples), stored_on(&store, 1, &samples))
    };
    unmount(dir, "second");
    let store = open(dir);
    assert_eq!(states(&store), [VolumeState::Open, VolumeState::Missing]);
    assert!(store.status()[1].problem.as_ref().is_some_and(|problem| problem.contains("mount it")));
    kept.iter().for_each(|sample| sample.assert_stored(&store));
    for sample in &lost {
        let (id, object) = (&sample.place.column, &sample.place.object);
        assert!(matches!(store.column(id), Err(StoreError::Unavailable)), "nobody may take it for deleted");
        assert!(matches!(store.read(id, 0, 16_384), Err(StoreError::Unavailable)));
        assert!(matches!(store.manifest(object), Err(StoreError::Unavailable)));
    }
    let new = Sample::new(9, 4096);
    new.put(&store).expect("stored on the other");
    // A client stores one of the lost columns again.
    lost[0].put(&store).expect("stored on the other");
    lost[0].assert_stored(&store);
    drop(store);
    mount(dir, "second");

    let store = open(dir);
    samples.iter().chain([&new]).for_each(|sample| sample.assert_stored(&store));
    let key = lost[0].place.key();
    let places = store.places(None, usize::MAX).expect("readable");
    assert_eq!(places.iter().filter(|stored| stored.place.key() == key).count(), 1, "on both volumes, listed once");
    store.set_state(&key, PlaceState::Trash { since: Epoch(1) }).expect("known");
    assert!(store.purge(&key, PlaceState::Trash { since: Epoch(1) }).expect("purged"));
    lost[0].assert_absent(&store);
}

#[test]
fn without_a_volume_nothing_is_taken_and_nothing_is_written() {
    let samples = samples();
    let dir = two_volumes(&samples);
    let dir = dir.path();
    VolumeList::remove(dir, open(dir).status()[1].id).expect("removed");
    unmount(dir, "store");
    let store = open(dir);
    assert!(matches!(samples[0].put(&store), Err(StoreError::NoVolume)));
    assert!(matches!(store.column(&samples[0].place.column), Err(StoreError::Unavailable)));
    assert_eq!(store.usage(), Usage::default());
    drop(store);
    mount(dir, "store");
    assert_eq!(states(&open(dir)), [VolumeState::Open]);
}

#[test]
fn until_a_volume_is_open_nobody_takes_what_is_on_it_for_missing() {
    let samples = samples();
    let dir = two_volumes(&samples);
    let store = Volumes::unopened(dir.path(), &NODE, CONFIG, &Around::default()).expect("the list is readable");
    assert_eq!(states(&store), [VolumeState::Opening; 2]);
    let check = |store: &Volumes, sample: &Sample| {
        let (id, object) = (&sample.place.column, &sample.place.object);
        assert!(matches!(store.column(id), Err(StoreError::Opening)));
        assert!(matches!(store.read(id, 0, 16_384), Err(StoreError::Opening)));
        assert!(matches!(store.manifest(object), Err(StoreError::Opening)));
        assert!(matches!(store.set_state(&sample.place.key(), PlaceState::Committed), Err(StoreError::Opening)));
        assert!(matches!(store.purge(&sample.place.key(), PlaceState::Committed), Err(StoreError::Opening)));
        assert!(matches!(store.scrub_column(id), Err(StoreError::Opening)));
    };
    samples.iter().for_each(|sample| check(&store, sample));
    assert!(matches!(store.places(None, 1), Err(StoreError::Opening)));
    assert!(matches!(Sample::new(9, 64).put(&store), Err(StoreError::Opening)));
    assert_eq!((store.is_opening(), store.usage()), (true, Usage::default()));

    // One of them takes longer than the other, which serves what it has.
    let [first, second] = &store.volumes[..] else { panic!("{store:?}") };
    first.disk.set(store.open_one(first)).expect("was not open");
    let kept = stored_on(&store, 0, &samples);
    kept.iter().for_each(|sample| sample.read(&store, 16_384).expect("readable"));
    let others = samples.iter().filter(|sample| kept.iter().all(|kept| kept.place != sample.place));
    others.for_each(|sample| check(&store, sample));
    assert_eq!(states(&store), [VolumeState::Open, VolumeState::Opening]);
    assert!(second.disk.get().is_none());
    store.open_all();
    samples.iter().for_each(|sample| sample.assert_stored(&store));
    assert!(!store.is_opening());
}

#[test]
fn a_volume_whose_disk_fails_fails_alone() {
    let samples = samples();
    let dir = two_volumes(&samples);
    let store = open(dir.path());
    let first = store.volumes[0].opened().expect("open");
    first.set_free(2 << 30);
    first.fail_syncs();
    assert!(Sample::new(20, 4096).put(&store).is_err(), "it has the most free space");
    assert_eq!(states(&store), [VolumeState::ReadOnly, VolumeState::Open]);
    Sample::new(21, 4096).put(&store).expect("stored on the other");
    samples.iter().for_each(|sample| sample.read(&store, 16_384).expect("readable"));
    assert_eq!(store.usage().free_bytes, 1 << 30, "what cannot be written is not free");
}

/// A node with two volumes that moves what is on the one with this sample to the other; that one, and the other.
fn draining(dir: &Path, sample: &Sample) -> (usize, usize) {
    let store = open(dir);
    let has = |volume: &usize| store.volumes[*volume].opened().expect("open").column(&sample.place.column);
    let from = (0..2).find(|volume| has(volume).expect("readable").is_some()).expect("stored");
    let ids: Vec<VolumeId> = store.status().iter().map(|volume| volume.id).collect();
    drop(store);
    VolumeList::drain(dir, ids[from], true).expect("the other takes columns");
    let both = VolumeList::drain(dir, ids[1 - from], true);
    assert!(matches!(both, Err(VolumeListError::OnlyOne { .. })), "{both:?}");
    (from, 1 - from)
}

#[test]
fn a_volume_is_drained_and_nothing_is_lost_or_changed() {
    let samples = samples();
    let dir = two_volumes(&samples);
    let dir = dir.path();
    let (from, _) = draining(dir, &samples[5]);
    let store = open(dir);
    assert_eq!((states(&store)[from], store.status()[from].free_bytes), (VolumeState::Draining, 0));
    for (sample, since) in samples.iter().zip(0..) {
        let state = if since < 3 { PlaceState::Committed } else { PlaceState::Trash { since: Epoch(since) } };
        store.set_state(&sample.place.key(), state).expect("known");
    }
    let (places, columns) = (store.places(None, usize::MAX).expect("readable"), store.status()[from].columns);
    Sample::new(20, 4096).put(&store).expect("stored on the other");
    assert_eq!(store.status()[from].columns, columns);
    Sample::new(20, 4096).purge(&store).expect("purged");

    while store.compact() {}
    let drained = &store.status()[from];
    assert_eq!((drained.columns, drained.used_bytes), (0, 0));
    assert!(drained.problem.as_ref().is_some_and(|next| next.contains("volume remove")), "{drained:?}");
    assert_eq!(store.places(None, usize::MAX).expect("readable"), places);
    drop(store);
    VolumeList::remove(dir, open(dir).status()[from].id).expect("removed");
    let store = open(dir);
    samples.iter().for_each(|sample| sample.assert_stored(&store));
}

#[test]
fn what_fits_nowhere_or_is_damaged_stays_on_the_volume() {
    let samples = samples();
    let dir = two_volumes(&samples);
    let dir = dir.path();
    let (from, to) = draining(dir, &samples[5]);
    let store = open(dir);
    let (first, last) = (store.volumes[to].opened().expect("open"), store.volumes[from].opened().expect("open"));
    let columns = store.status()[from].columns;
    first.set_free(0);
    assert!(!store.compact(), "there is no sense in trying more");
    assert_eq!(store.status()[from].columns, columns);

    first.set_free(1 << 30);
    let damaged = samples[5].place;
    let file = last.file_of(&damaged.column);
    let bytes = fs::read(&file).expect("readable");
    fs::write(&file, [&bytes[..8192], &[!bytes[8192]], &bytes[8193..]].concat()).expect("written");
    while store.compact() {}
    assert_eq!(store.status()[from].columns, 1);
    assert!(store.column(&damaged.column).expect("readable").is_some_and(|column| column.damaged));
    samples[..5].iter().for_each(|sample| sample.assert_stored(&store));
    fs::write(&file, bytes).expect("written");
    store.scrub_column(&damaged.column).expect("whole again");
    while store.compact() {}
    samples.iter().for_each(|sample| sample.assert_stored(&store));
    assert_eq!(store.status()[from].columns, 0);
}
