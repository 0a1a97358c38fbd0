//! The index of a bucket, as a reader walks it: against a plain map, and against bytes that nobody wrote.

use std::collections::BTreeMap;

use proptest::{collection, prelude::*};

use super::*;
use crate::{id::ObjectId, limits, sign::Keypair};

/// What an object of the network has.
type Bytes = Vec<u8>;

fn blob(number: u8) -> Blob {
    // Zeros are the batch itself.
    Blob { object: ObjectId::new([number; 32]), salt: [1; 16] }
}

fn object(number: u8, pieces: usize) -> Value {
    let piece = |at: usize| Piece {
        blob: blob(number.wrapping_add(u8::try_from(at % 250).expect("small"))),
        offset: 7,
        length: 4096,
        ends_part: pieces > 1,
    };
    let info = ObjectInfo {
        modified_ms: 1_700_000_000_000,
        etag: ETag::Whole([number; 16]),
        checksum: None,
        headers: vec![(ObjectHeader::ContentType, "text/plain".to_owned())],
        metadata: Vec::new(),
        tags: Vec::new(),
        root: None,
        pieces: (0..pieces).map(piece).collect(),
    };
    Value::Object(info)
}

fn entry(key: &[u8], value: Option<Value>) -> IndexEntry {
    IndexEntry { place: Place::object(key), value }
}

fn written(entries: impl IntoIterator<Item = IndexEntry>) -> (Bytes, Option<WrittenRun>) {
    let (mut writer, mut out) = (RunWriter::new(0), Vec::new());
    entries.into_iter().for_each(|entry| writer.push(entry, &mut out).expect("in order"));
    let run = writer.finish(&mut out);
    (out, run)
}

fn page(bytes: &[u8], at: IndexRef) -> IndexPage {
    let start = usize::try_from(at.offset).expect("small");
    IndexPage::decode(&bytes[start..start + at.length as usize], blob(255)).expect("a page")
}

/// What a run says of a place, as a reader finds it.
fn find(bytes: &[u8], root: IndexRef, place: &Place) -> Option<IndexEntry> {
    let mut at = root;
    loop {
        match page(bytes, at) {
            IndexPage::Leaf(leaf) => return leaf.find(place).cloned(),
            IndexPage::Branch(branch) => {
                let child = branch.find(place)?;
                child.page.check_below(at).expect("below");
                at = child.page;
            }
        }
    }
}

fn all(bytes: &[u8], at: IndexRef) -> Vec<IndexEntry> {
    match page(bytes, at) {
        IndexPage::Leaf(leaf) => leaf.entries().to_vec(),
        IndexPage::Branch(branch) => branch.children().iter().flat_map(|child| all(bytes, child.page)).collect(),
    }
}

#[test]
fn a_run_of_many_entries_is_found_page_by_page() {
    let entries: Vec<IndexEntry> = (0..20_000_u32)
        .map(|number| {
            entry(format!("photos/2026/{number:032}.jpg").as_bytes(), Some(object(number.to_le_bytes()[0], 1)))
        })
        .collect();
    let (bytes, run) = written(entries.clone());
    let run = run.expect("entries");
    assert_eq!((run.entries, run.bytes), (20_000, u64::try_from(bytes.len()).expect("small")));
    assert!(bytes.len() / 20_000 <= 150, "{} bytes for each entry", bytes.len() / 20_000);
    assert!(all(&bytes, run.root) == entries);
    for at in (0..20_000).step_by(997) {
        assert_eq!(find(&bytes, run.root, &entries[at].place).as_ref(), Some(&entries[at]));
    }
    assert_eq!(find(&bytes, run.root, &Place::object(b"photos/2026/x")), None);
    assert_eq!(find(&bytes, run.root, &Place::object(b"a")), None, "before the first");
}

#[test]
fn an_object_of_ten_thousand_parts_is_one_record() {
    let (bytes, run) = written([entry(b"a", None), entry(b"b", Some(object(1, 10_000))), entry(b"c", None)]);
    let root = run.expect("entries").root;
    assert_eq!(find(&bytes, root, &Place::object(b"b")), Some(entry(b"b", Some(object(1, 10_000)))));
    let Value::Object(info) = object(1, 3) else { unreachable!("it is one") };
    assert_eq!((info.size(), info.parts()), (3 * 4096, vec![4096; 3]));
    let Value::Object(mut info) = object(1, 1) else { unreachable!("it is one") };
    info.metadata = vec![("a".to_owned(), "x".repeat(limits::BUCKET_RECORD))];
    let huge = entry(b"a", Some(Value::Object(info)));
    let error = RunWriter::new(0).push(huge, &mut Vec::new()).expect_err("too large");
    assert!(matches!(error, BucketError::TooLarge { .. }), "{error}");
}

#[test]
fn an_empty_run_is_none_and_entries_come_in_order() {
    assert_eq!(written([]), (Vec::new(), None));
    let (mut writer, mut out) = (RunWriter::new(0), Vec::new());
    writer.push(entry(b"b", None), &mut out).expect("the first");
    for key in [b"a", b"b"] {
        assert_eq!(writer.push(entry(key, None), &mut out), Err(BucketError::Order));
    }
}

#[test]
fn places_sort_by_what_they_are_of() {
    let id = |byte: u8| [byte; 16];
    let places = [
        Place::object(b""),
        Place::object(b"a"),
        Place::object(b"a/"),
        Place::object(b"a//b"),
        Place::object("\u{10ffff}".as_bytes()),
        Place::upload(b"a", &id(1)),
        Place::upload(b"a", &id(255)),
        Place::upload(b"a\0", &id(1)),
        Place::upload(b"a\0b", &id(1)),
        Place::upload(b"a\x01", &id(0)),
        Place::upload(b"aa", &id(0)),
        Place::part(&id(1), 1),
        Place::part(&id(1), 256),
        Place::part(&id(2), 0),
        Place::blob(&ObjectId::new([1; 32])),
        Place::setting("cors"),
    ];
    assert!(places.is_sorted(), "{places:?}");
    for key in [&b"a"[..], b"a\0", b"a\0\0b", b""] {
        assert_eq!(Place::upload(key, &id(7)).upload_of(), Some((key.to_vec(), id(7))));
        assert_eq!(Place::object(key).object_key(), Some(key));
    }
    assert_eq!(Place::part(&id(3), 10_000).part_of(), Some((id(3), 10_000)));
    assert_eq!(Place::object(b"a\xff").after_prefix(), Some(Place::object(b"b")));
    assert!(places.iter().filter(|place| place.starts_with(&Place::uploads_to(b"a"))).count() == 2);
}

#[test]
fn a_head_ends_a_batch() {
    let run = |level| Run {
        blob: (level > 0).then(|| blob(level)),
        root: IndexRef { offset: 100, length: 50 },
        entries: 3,
        bytes: 60,
        level,
    };
    let head = BucketHead { sequence: 9, live: 5, runs: vec![run(0), run(0), run(1)] };
    let bytes = head.encode();
    assert_eq!(BucketHead::decode(&bytes), Ok(head.clone()));
    assert_eq!(
        BucketHead::decode(&[&[1, 2, 3], &bytes[..]].concat()),
        Ok(head.clone()),
        "what comes before does not matter"
    );
    let full = BucketHead { runs: vec![run(1); limits::BUCKET_RUNS], ..head.clone() };
    assert!(full.encode().len() <= BucketHead::MAX);
    assert_eq!(BucketHead::decode(&full.encode()), Ok(full));
    for wrong in [
        BucketHead { runs: vec![run(1), run(0)], ..head.clone() },
        BucketHead { runs: vec![Run { bytes: 10, ..run(0) }], ..head.clone() },
        BucketHead { runs: vec![Run { root: IndexRef { offset: 0, length: 50 }, ..run(0) }], ..head.clone() },
        BucketHead { runs: vec![run(0); limits::BUCKET_RUNS + 1], ..head },
    ] {
        assert_eq!(BucketHead::decode(&wrong.encode()), Err(BucketError::BucketHead));
    }
    for at in 0..bytes.len() {
        assert_eq!(BucketHead::decode(&bytes[at + 1..]), Err(BucketError::BucketHead));
    }
}

#[test]
fn eight_runs_of_a_level_become_one() {
    let head = |levels: &[u8]| BucketHead {
        sequence: 1,
        live: 0,
        runs: levels
            .iter()
            .map(|level| Run {
                blob: None,
                root: IndexRef { offset: 0, length: 9 },
                entries: 1,
                bytes: 9,
                level: *level,
            })
            .collect(),
    };
    assert_eq!(due(&head(&[])), None);
    assert_eq!(due(&head(&[0; 7])), None);
    assert_eq!(due(&head(&[0; 8])), Some(0..8));
    assert_eq!(due(&head(&[0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2])), Some(2..10));
    assert_eq!(due(&head(&[0, 1, 1, 2])), None);
}

#[test]
fn a_cell_tells_its_owner_alone() {
    let owner = Keypair::from_seed(&[1; 32]);
    let (photos, music) = (BucketSecret::derive(&owner, "photos"), BucketSecret::derive(&owner, "music"));
    assert_ne!((photos.cell(), photos.keypair().seed()), (music.cell(), music.keypair().seed()));
    let reference = Reference { blob: blob(7), size: 1 << 40 };
    let sealed = photos.seal(&reference, [9; 12]);
    assert!(sealed.len() <= limits::NAME_VALUE);
    assert_eq!(photos.open(&sealed), Ok(reference));
    assert_eq!(music.open(&sealed), Err(BucketError::Cell));
    assert!(!sealed.windows(32).any(|window| window == [7; 32]), "the object's name is sealed");
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert_eq!(photos.open(&changed), Err(BucketError::Cell));
        assert_eq!(photos.open(&sealed[..at]), Err(BucketError::Cell));
    }
    assert_ne!(photos.blob_key(&[1; 16]).bytes(), photos.blob_key(&[2; 16]).bytes());
    assert_eq!(format!("{photos:?}"), "BucketSecret(..)");
}

/// What is in a batch itself has the batch's name once it has one.
#[test]
fn a_batch_refers_to_itself() {
    let info = |blob| PartInfo {
        modified_ms: 1,
        md5: [0; 16],
        checksum: None,
        leaves: vec![[3; 32]],
        pieces: vec![Piece { blob, offset: 0, length: 5, ends_part: true }],
    };
    let place = Place::part(&[1; 16], 1);
    let (bytes, run) = written([IndexEntry { place: place.clone(), value: Some(Value::Part(info(Blob::OWN))) }]);
    let found = find(&bytes, run.expect("an entry").root, &place);
    assert_eq!(found.and_then(|entry| entry.value), Some(Value::Part(info(blob(255)))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Runs that are merged say what a map says to which they were applied, the oldest first.
    #[test]
    fn merged_runs_are_a_map(
        runs in collection::vec(collection::btree_map("[a-c]{0,4}", prop::option::of(0_u8..3), 0..40), 1..6),
        is_last: bool,
    ) {
        let mut expect: BTreeMap<Place, Option<Value>> = BTreeMap::new();
        for run in &runs {
            for (key, value) in run {
                let value = value.map(|number| object(number, usize::from(number)));
                expect.insert(Place::object(key.as_bytes()), value);
            }
        }
        let as_entries = |run: &BTreeMap<String, Option<u8>>| -> Vec<IndexEntry> {
            let entry = |(key, value): (&String, &Option<u8>)| {
                entry(key.as_bytes(), value.map(|number| object(number, usize::from(number))))
            };
            let (bytes, run) = written(run.iter().map(entry));
            run.map_or_else(Vec::new, |run| all(&bytes, run.root))
        };
        let newest_first: Vec<_> = runs.iter().rev().map(|run| as_entries(run).into_iter()).collect();
        let merged: Vec<IndexEntry> = Merge::new(newest_first, is_last).collect();
        let expect: Vec<IndexEntry> = expect
            .into_iter()
            .map(|(place, value)| IndexEntry { place, value })
            .filter(|entry| !is_last || entry.value.is_some())
            .collect();
        prop_assert_eq!(merged, expect);
    }

    /// Bytes that nobody wrote are refused, or are what they would be written as; nothing grows beyond bounds.
    #[test]
    fn hostile_pages_are_refused(mut bytes in collection::vec(any::<u8>(), 0..200), at in 0_usize..2_000, to: u8) {
        let _ = IndexPage::decode(&bytes, Blob::OWN);
        let _ = BucketHead::decode(&bytes);
        bytes = written((0..30_u8).map(|number| entry(&[number], Some(object(number, 2))))).0;
        let at = at % bytes.len();
        bytes[at] = to;
        if let Ok(IndexPage::Leaf(leaf)) = IndexPage::decode(&bytes, Blob::OWN) {
            prop_assert!(leaf.entries().is_sorted_by(|one, other| one.place < other.place));
        }
    }
}
