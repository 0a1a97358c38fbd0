//! Packs: group commit, holes, deletion, rewriting, and readers in the midst of it.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::{
    super::super::{Columns, StoreError, samples::Sample},
    CONFIG, Disk, DiskConfig, copy, files_below, open,
};

fn blocks(dir: &Path) -> u64 {
    files_below(&dir.join("packs")).iter().map(|path| fs::metadata(path).expect("there").blocks() * 512).sum()
}

fn samples(seeds: std::ops::Range<u8>, length: usize) -> Vec<Sample> {
    seeds.map(|seed| Sample::new(seed, length)).collect()
}

/// A store with these samples in it.
fn filled(dir: &Path, samples: &[Sample]) -> Disk {
    let store = open(dir);
    samples.iter().for_each(|sample| sample.put(&store).expect("stored"));
    store
}

#[test]
fn purging_gives_blocks_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let samples = samples(0..4, 400_000);
    let store = filled(dir.path(), &samples);
    let full = blocks(dir.path());
    samples[1..3].iter().for_each(|sample| sample.purge(&store).expect("purged"));
    let holed = blocks(dir.path());
    assert!(holed + 780_000 <= full, "{holed} of {full} bytes are still there");
    samples[0].assert_stored(&store);
    samples[3].assert_stored(&store);
}

#[test]
fn empty_packs_are_deleted_and_sparse_ones_rewritten() {
    let dir = tempfile::tempdir().expect("a directory");
    let samples = samples(0..100, 60_000);
    let store = filled(dir.path(), &samples);
    samples[0].in_object(1).put(&store).expect("a note in the last pack");
    let packs = files_below(&dir.path().join("packs")).len();
    assert!(packs >= 3, "{packs} packs");
    // All but the very first: its pack becomes sparse.
    samples[1..].iter().for_each(|sample| sample.purge(&store).expect("purged"));
    while store.compact() {}
    assert_eq!(files_below(&dir.path().join("packs")).len(), 1, "what is left moved to the active pack");
    samples[0].assert_stored(&store);
    samples[0].in_object(1).assert_stored(&store);
    drop(store);
    fs::remove_dir_all(dir.path().join("index")).expect("removed");
    let store = open(dir.path());
    samples[0].assert_stored(&store);
    samples[0].in_object(1).assert_stored(&store);
    assert_eq!(store.usage().columns, 1);
}

#[test]
fn sparse_packs_are_rewritten_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let samples = samples(0..100, 60_000);
    let store = filled(dir.path(), &samples);
    // One late in the first pack, and the very last.
    let (kept, gone): (Vec<_>, Vec<_>) = (0..100).partition(|number| [30, 99].contains(number));
    gone.into_iter().for_each(|number: usize| samples[number].purge(&store).expect("purged"));
    drop(store);
    let store = open(dir.path());
    while store.compact() {}
    kept.into_iter().for_each(|number| samples[number].assert_stored(&store));
    assert_eq!(files_below(&dir.path().join("packs")).len(), 1, "the first pack is gone, though no more was deleted");
}

#[test]
fn packs_are_appended_to_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let samples = samples(0..20, 10_000);
    for sample in &samples {
        let store = open(dir.path());
        sample.put(&store).expect("stored");
    }
    assert_eq!(files_below(&dir.path().join("packs")).len(), 1);
    let store = open(dir.path());
    samples.iter().for_each(|sample| sample.assert_stored(&store));
}

#[test]
fn concurrent_writers_share_groups_and_all_is_stored() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    thread::scope(|scope| {
        for writer in 0..8 {
            let store = &store;
            // Each column by two writers: one stores it, the other finds it stored.
            let mine = samples(0..64, 5_000).into_iter().filter(move |sample| sample.place.index / 16 == writer / 2);
            scope.spawn(move || {
                for sample in mine.map(|sample| sample.in_object(u32::from(writer))) {
                    sample.put(store).expect("stored");
                }
            });
        }
    });
    assert_eq!(store.usage().columns, 64);
    drop(store);
    let store = open(dir.path());
    samples(0..64, 5_000).iter().for_each(|sample| {
        let writer = u32::from(sample.place.index / 16 * 2);
        sample.in_object(writer).assert_stored(&store);
        sample.in_object(writer + 1).assert_stored(&store);
    });
}

#[test]
fn readers_never_see_another_column_while_packs_move() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let kept = samples(0..2, 100_000);
    let churned: Vec<_> = samples(2..40, 100_000);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for reader in 0..2 {
            let (store, kept, churned, over) = (&store, &kept[reader], &churned, &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    for sample in churned.iter().chain([kept]) {
                        // `read` panics when a range that was answered does not verify.
                        let read = sample.read(store, 16_384);
                        assert!(matches!(read, Ok(()) | Err(StoreError::NotFound { .. })), "{read:?}");
                    }
                }
            });
        }
        for _ in 0..3 {
            kept.iter().for_each(|sample| sample.put(&store).expect("stored"));
            churned.iter().for_each(|sample| sample.put(&store).expect("stored"));
            churned.iter().for_each(|sample| sample.purge(&store).expect("purged"));
            while store.compact() {}
        }
        over.store(true, Ordering::Relaxed);
    });
    kept.iter().for_each(|sample| sample.assert_stored(&store));
}

/// Who leads a group and panics takes nobody along: those who wait have an answer, and the next ones a leader.
#[test]
fn a_leader_that_panics_hands_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let samples = samples(0..8, 5_000);
    samples[0].put(&store).expect("stored");
    for round in 0..3 {
        thread::scope(|scope| {
            let packs = &store.packs;
            let broken = scope.spawn(|| packs.append(vec![0; 4096], Box::new(|_, _| panic!("injected"))));
            let others: Vec<_> =
                samples[1..].iter().map(|sample| scope.spawn(|| sample.in_object(round).put(&store))).collect();
            assert!(!matches!(broken.join(), Ok(Ok(_))), "the broken change is no success");
            for other in others {
                // Some were in its group, or led it.
                match other.join() {
                    Ok(Ok(()) | Err(StoreError::Interrupted)) | Err(_) => {}
                    Ok(Err(error)) => panic!("{error}"),
                }
            }
        });
        samples.iter().for_each(|sample| sample.in_object(round).put(&store).expect("stored"));
        samples.iter().for_each(|sample| sample.in_object(round).assert_stored(&store));
    }
    drop(store);
    let store = open(dir.path());
    samples.iter().for_each(|sample| sample.in_object(2).assert_stored(&store));
}

/// Moving records is done in steps, and a crash between any two of them loses and doubles nothing.
#[test]
fn compaction_survives_a_crash_after_each_step() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Disk::open(dir.path(), DiskConfig { pack_bytes: 100 << 20, ..CONFIG }).expect("opens");
    let samples: Vec<_> = (0..130).map(|seed| Sample::new(seed, 1_000_000)).collect();
    samples.iter().for_each(|sample| sample.put(&store).expect("stored"));
    // The first pack has 104 of them. Nine in it are left: more than a step moves.
    let kept: Vec<&Sample> = samples.iter().take(104).step_by(12).chain(&samples[104..]).collect();
    let gone = samples.iter().filter(|sample| !kept.iter().any(|kept| kept.place == sample.place));
    gone.for_each(|sample| sample.purge(&store).expect("purged"));
    let mut steps = 0;
    loop {
        let more = store.compact();
        steps += 1;
        let copy = copy(dir.path());
        let crashed = Disk::open(copy.path(), DiskConfig { pack_bytes: 100 << 20, ..CONFIG }).expect("opens");
        kept.iter().for_each(|sample| sample.assert_stored(&crashed));
        assert_eq!(crashed.usage().columns, store.usage().columns);
        if !more {
            break;
        }
    }
    assert!(steps >= 2, "{steps} steps");
    assert_eq!(files_below(&dir.path().join("packs")).len(), 1);
    kept.iter().for_each(|sample| sample.assert_stored(&store));
}
