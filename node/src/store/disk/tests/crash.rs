//! Power loss at any step, and losses of whole parts: what was acknowledged is there, and nothing torn is served.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
};

use super::{
    super::super::{
        Columns, PlaceState,
        samples::{LENGTHS, Sample},
    },
    super::{Around, record},
    copy, copy_into, files_below, open,
};

fn samples() -> Vec<Sample> {
    LENGTHS.iter().zip(0..).map(|(length, seed)| Sample::new(seed, *length)).collect()
}

fn small_and_large() -> [Sample; 2] {
    [Sample::new(40, 20_000), Sample::new(41, (1 << 20) + 64)]
}

/// A store that died now: its directory as it lies there, opened again.
fn died(dir: &Path) -> tempfile::TempDir {
    copy(dir)
}

#[test]
fn after_each_step_what_was_acknowledged_is_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let samples = samples();
    for (done, sample) in samples.iter().enumerate() {
        sample.send(&store).expect("room");
        let before = died(dir.path());
        sample.finish(&store).expect("stored");
        let after = died(dir.path());
        for (copy, acknowledged) in [(before, done), (after, done + 1)] {
            let store = open(copy.path());
            samples[..acknowledged].iter().for_each(|sample| sample.assert_stored(&store));
            samples[acknowledged..].iter().for_each(|sample| sample.assert_absent(&store));
            assert!(files_below(&copy.path().join("incoming")).is_empty());
            // And it continues to work.
            samples.iter().for_each(|sample| sample.put(&store).expect("stored"));
            samples.iter().for_each(|sample| sample.assert_stored(&store));
        }
    }
}

#[test]
fn a_lost_index_is_rebuilt() {
    type Loss = fn(&Path);
    let losses: [Loss; 6] = [
        |index| fs::remove_dir_all(index).expect("removed"),
        |index| fs::remove_file(index.join("CURRENT")).expect("removed"),
        |index| fs::write(index.join("CURRENT"), b"MANIFEST-999999\n").expect("written"),
        |index| each(index, "MANIFEST", |path| fs::write(path, [7; 512]).expect("written")),
        |index| each(index, ".sst", |path| fs::write(path, [7; 512]).expect("written")),
        |index| each(index, ".sst", |path| fs::remove_file(path).expect("removed")),
    ];
    let dir = tempfile::tempdir().expect("a directory");
    let mut samples = samples();
    samples.push(samples[0].in_object(1));
    samples.push(samples[6].in_object(1));
    let store = open(dir.path());
    samples.iter().for_each(|sample| sample.put(&store).expect("stored"));
    store.set_state(&samples[0].place.key(), PlaceState::Committed).expect("known");
    drop(store);
    // Once more, so that the index has tables, not only a log.
    let usage = open(dir.path()).usage();
    for (number, loss) in losses.into_iter().enumerate() {
        let copy = died(dir.path());
        loss(&copy.path().join("index"));
        let store = open(copy.path());
        samples.iter().for_each(|sample| sample.assert_stored(&store));
        let rebuilt = store.usage();
        assert_eq!((rebuilt.columns, rebuilt.used_bytes), (usage.columns, usage.used_bytes), "loss {number}");
        let temporary = |stored: &super::super::StoredPlace| matches!(stored.state, PlaceState::Temporary { .. });
        assert!(store.places(None, 99).expect("index works").iter().all(temporary), "until the ledger was asked");
        drop(store);
        let store = open(copy.path());
        assert_eq!(store.usage().columns, usage.columns, "and stays rebuilt");
    }
}

fn each(dir: &Path, name: &str, mut harm: impl FnMut(&Path)) {
    let found: Vec<_> = files_below(dir).into_iter().filter(|path| path.to_string_lossy().contains(name)).collect();
    assert!(!found.is_empty(), "the index has a {name}");
    found.iter().for_each(|path| harm(path));
}

#[test]
fn a_rebuild_that_was_cut_short_is_done_again() {
    let dir = tempfile::tempdir().expect("a directory");
    samples().iter().for_each(|sample| sample.put(&open(dir.path())).expect("stored"));
    // An index without its version is one that was not finished.
    fs::remove_dir_all(dir.path().join("index")).expect("removed");
    let volume =
        std::sync::Arc::new(super::super::volume::Volume::open(dir.path(), Some(0), Around::default()).expect("opens"));
    drop(super::super::index::Index::create(&volume).expect("created"));
    drop(volume);
    let store = open(dir.path());
    samples().iter().for_each(|sample| sample.assert_stored(&store));
}

#[test]
fn bytes_without_an_index_entry_are_taken_in_if_they_are_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    open(dir.path());
    let before = died(dir.path());
    let store = open(dir.path());
    small_and_large().iter().for_each(|sample| sample.put(&store).expect("stored"));
    // The crash came after the bytes were durable and before the index was.
    let whole = died(dir.path());
    fs::remove_dir_all(whole.path().join("index")).expect("removed");
    copy_into(&before.path().join("index"), &whole.path().join("index"));
    let torn = died(whole.path());
    let store = open(whole.path());
    small_and_large().iter().for_each(|sample| sample.assert_stored(&store));
    small_and_large().iter().for_each(|sample| sample.put(&store).expect("stored again"));
    // The same, but not all of the bytes came to the disk.
    for file in [files_below(&torn.path().join("packs")), files_below(&torn.path().join("columns"))].concat() {
        File::options().write(true).open(file).and_then(|file| file.write_all_at(&[0; 512], 8192)).expect("torn");
    }
    let store = open(torn.path());
    small_and_large().iter().for_each(|sample| sample.assert_absent(&store));
    small_and_large().iter().for_each(|sample| sample.put(&store).expect("stored again"));
    small_and_large().iter().for_each(|sample| sample.assert_stored(&store));
}

#[test]
fn torn_records_are_not_served_and_the_others_are() {
    type Tear = fn(&File, u64);
    let tears: [(Tear, &str); 4] = [
        (|file, at| file.write_all_at(&[0; record::HEADER], at).expect("torn"), "zeroed header"),
        (|file, at| file.write_all_at(&[0; 100], at + 60).expect("torn"), "torn header"),
        (|file, at| file.write_all_at(&[0xff; 1], at + 300).expect("torn"), "torn data"),
        (|file, at| file.set_len(at + 4096).expect("torn"), "cut file"),
    ];
    for (tear, what) in tears {
        let dir = tempfile::tempdir().expect("a directory");
        let store = open(dir.path());
        let [small, large] = small_and_large();
        let others = [Sample::new(1, 9_000), Sample::new(2, 1 << 20)];
        others.iter().for_each(|sample| sample.put(&store).expect("stored"));
        small.put(&store).expect("stored");
        large.put(&store).expect("stored");
        drop(store);
        let [pack] = files_below(&dir.path().join("packs")).try_into().expect("one pack");
        tear(&File::options().write(true).open(pack).expect("there"), 12_288);
        if what != "torn data" {
            let name = large.place.column.to_string();
            each(&dir.path().join("columns"), &name, |path| {
                tear(&File::options().write(true).open(path).expect("there"), 0);
            });
        }
        fs::remove_dir_all(dir.path().join("index")).expect("removed");
        let store = open(dir.path());
        others.iter().for_each(|sample| sample.assert_stored(&store));
        small.assert_absent(&store);
        if what != "torn data" {
            large.assert_absent(&store);
        }
        [small, large].iter().for_each(|sample| sample.put(&store).expect(what));
    }
}

#[test]
fn garbage_is_not_touched() {
    let dir = tempfile::tempdir().expect("a directory");
    let samples = samples();
    let store = open(dir.path());
    samples.iter().for_each(|sample| sample.put(&store).expect("stored"));
    drop(store);
    let stranger = Sample::new(99, 64).place.column.to_string();
    let garbage =
        ["columns/note.txt", "columns/00/notes", "packs/7.pack", "packs/x.pack", "packs/00000077.bak", "readme"];
    let named = format!("columns/00/{stranger}");
    for name in garbage.into_iter().chain([named.as_str()]) {
        fs::create_dir_all(dir.path().join("columns/00")).expect("made");
        fs::write(dir.path().join(name), [0xaa; 5000]).expect("written");
    }
    for lost in [false, true] {
        if lost {
            fs::remove_dir_all(dir.path().join("index")).expect("removed");
        }
        let store = open(dir.path());
        samples.iter().for_each(|sample| sample.assert_stored(&store));
        Sample::new(99, 64).assert_absent(&store);
        assert_eq!(store.usage().columns, 8);
    }
    assert!(garbage.iter().all(|name| dir.path().join(name).exists()));
}

#[test]
fn a_purge_that_was_cut_short_leaves_nothing_broken() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    small_and_large().iter().for_each(|sample| sample.put(&store).expect("stored"));
    let before = died(dir.path());
    small_and_large().iter().for_each(|sample| sample.purge(&store).expect("purged"));
    drop(store);
    // The index forgot them; their bytes are still there.
    for part in ["columns", "packs"] {
        fs::remove_dir_all(dir.path().join(part)).expect("removed");
        copy_into(&before.path().join(part), &dir.path().join(part));
    }
    let store = open(dir.path());
    for sample in small_and_large() {
        sample.read(&store, 16_384).expect("taken in again, as temporary: retention purges it again");
        sample.purge(&store).expect("purged");
        sample.assert_absent(&store);
    }
}
