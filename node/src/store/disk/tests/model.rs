//! Random operations on disk and in memory: both must answer alike, and after every reopening and rebuilding too.

use std::{
    mem::{Discriminant, discriminant},
    path::Path,
};

use ostrakon_proto::id::Epoch;
use proptest::prelude::*;

use super::{
    super::super::{
        Columns, Memory, Place, PlaceState, StoreError, StoredPlace, Usage,
        samples::{LENGTHS, Sample},
    },
    Disk, open,
};

#[derive(Clone, Copy, Debug)]
enum Step {
    Put { sample: usize, expires: u64 },
    PutWrong { sample: usize },
    Finish { sample: usize },
    State { sample: usize, state: PlaceState },
    Purge { sample: usize },
    PurgeIn { sample: usize, state: PlaceState },
    Compact,
    Damage { sample: usize },
    Scrub { sample: usize },
    Reopen,
}

/// Columns that differ, columns in two objects, and objects of two columns.
fn samples() -> Vec<Sample> {
    let mut samples: Vec<_> = LENGTHS.iter().zip(0..).map(|(length, seed)| Sample::new(seed, *length)).collect();
    samples.push(samples[1].in_object(1));
    samples.push(samples[6].in_object(1));
    samples.push(samples[6].in_object(2));
    samples
}

fn step() -> impl Strategy<Value = Step> {
    let sample = 0..samples().len();
    let state = prop_oneof![
        (5..20u64).prop_map(|epoch| PlaceState::Temporary { expires: Epoch(epoch) }),
        Just(PlaceState::Committed),
        (5..20u64).prop_map(|epoch| PlaceState::Trash { since: Epoch(epoch) }),
    ];
    prop_oneof![
        6 => (sample.clone(), 5..20u64).prop_map(|(sample, expires)| Step::Put { sample, expires }),
        1 => sample.clone().prop_map(|sample| Step::PutWrong { sample }),
        1 => sample.clone().prop_map(|sample| Step::Finish { sample }),
        2 => (sample.clone(), state.clone()).prop_map(|(sample, state)| Step::State { sample, state }),
        1 => (sample.clone(), state).prop_map(|(sample, state)| Step::PurgeIn { sample, state }),
        1 => Just(Step::Compact),
        4 => sample.clone().prop_map(|sample| Step::Purge { sample }),
        1 => sample.clone().prop_map(|sample| Step::Damage { sample }),
        1 => sample.prop_map(|sample| Step::Scrub { sample }),
        1 => Just(Step::Reopen),
    ]
}

/// What is compared of an answer: success, or which error.
type Verdict = Result<(), Discriminant<StoreError>>;

fn apply(store: &dyn Columns, samples: &[Sample], step: Step) -> Verdict {
    let done = match step {
        Step::Put { sample, expires } => samples[sample].expiring(expires).put(store),
        Step::PutWrong { sample } => {
            let sent = &samples[sample];
            let claimed = Sample { place: samples[(sample + 1) % 8].place, ..sent.clone() };
            sent.send(store).and_then(|()| {
                let manifest = samples[(sample + 1) % 8].manifest.clone();
                store.finish(sent.upload(), claimed.place, manifest)
            })
        }
        Step::Finish { sample } => samples[sample].finish(store),
        Step::State { sample, state } => store.set_state(&samples[sample].place.key(), state),
        Step::Purge { sample } => samples[sample].purge(store),
        Step::Scrub { sample } => store.scrub_column(&samples[sample].place.column),
        // What is in another state stays, which the view shows.
        Step::PurgeIn { sample, state } => store.purge(&samples[sample].place.key(), state).map(drop),
        Step::Compact => {
            while store.compact() {}
            Ok(())
        }
        Step::Damage { .. } | Step::Reopen => Ok(()),
    };
    done.map_err(|error| discriminant(&error))
}

/// Everything that can be seen, but for what only a disk knows.
fn view(store: &dyn Columns, samples: &[Sample]) -> (Vec<StoredPlace>, Usage, Vec<Verdict>) {
    let seen = |sample: &Sample| {
        let Place { column, object, .. } = sample.place;
        let info = store.column(&column).map_err(|error| discriminant(&error))?;
        assert_eq!(info.is_none(), matches!(store.read(&column, 0, 16_384), Err(StoreError::NotFound { .. })));
        let manifest = store.manifest(&object).expect("index works");
        assert!(manifest.is_none_or(|manifest| manifest == sample.manifest));
        // Damage that was not scrubbed yet is the reader's to find: only whole columns are compared by reading.
        if info.is_some_and(|info| info.damaged) {
            return store.read(&column, 0, 16_384).map(drop).map_err(|error| discriminant(&error));
        }
        Ok(())
    };
    let verdicts = samples.iter().map(seen).collect();
    let usage = Usage { promised_bytes: 0, free_bytes: 0, disk_bytes: 0, packs: 0, repeated_bytes: 0, ..store.usage() };
    (store.places(None, usize::MAX).expect("index works"), usage, verdicts)
}

fn run(steps: &[Step], dir: &Path) -> (Disk, Memory) {
    let (samples, memory, mut disk) = (samples(), Memory::new(1 << 40), open(dir));
    for step in steps {
        match *step {
            Step::Reopen => {
                drop(disk);
                disk = open(dir);
                memory.restart();
            }
            Step::Damage { sample } => {
                let id = samples[sample].place.column;
                assert_eq!(disk.damage(&id), memory.corrupt(&id));
            }
            step => assert_eq!(apply(&disk, &samples, step), apply(&memory, &samples, step), "{step:?}"),
        }
        assert_eq!(view(&disk, &samples), view(&memory, &samples), "after {step:?}");
    }
    (disk, memory)
}

/// Places without what the index alone knows, and only those that are also on record beside a column.
fn on_record(store: &dyn Columns) -> Vec<Place> {
    store.places(None, usize::MAX).expect("index works").into_iter().map(|stored| stored.place).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn disk_and_memory_answer_alike(steps in prop::collection::vec(step(), 1..40)) {
        let dir = tempfile::tempdir().expect("a directory");
        let (disk, memory) = run(&steps, dir.path());
        prop_assert_eq!(on_record(&disk), on_record(&memory));
    }

    #[test]
    fn a_rebuilt_index_knows_every_place(steps in prop::collection::vec(step(), 1..40)) {
        let dir = tempfile::tempdir().expect("a directory");
        let whole = steps.iter().filter(|step| !matches!(step, Step::Damage { .. } | Step::Scrub { .. })).copied();
        let (disk, _) = run(&whole.collect::<Vec<_>>(), dir.path());
        let before = on_record(&disk);
        drop(disk);
        std::fs::remove_dir_all(dir.path().join("index")).expect("removed");
        let rebuilt = open(dir.path());
        let after = on_record(&rebuilt);
        for place in &before {
            prop_assert!(after.iter().any(|known| known.key() == place.key() && known.expires >= place.expires
                && known.token == place.token), "{:?} is lost", place);
        }
        for sample in samples().iter().filter(|sample| before.iter().any(|place| place.key() == sample.place.key())) {
            sample.read(&rebuilt, 16_384).expect("readable");
        }
    }
}
