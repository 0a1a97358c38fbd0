//! Files that are objects of their own: their mode and time come back, and every byte that is read is one of the file.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use ostrakon_proto::{manifest::Content, pack::Stamp};
use tempfile::TempDir;

use super::*;
use crate::{AddedSource, Fetched, pack::stamp_file};

/// Plaintext bytes of a piece, and of a row, by `CODE`.
const PIECE: usize = 65_520;
const ROW: usize = 4 * 4 * PIECE;

struct Case {
    _world: World,
    client: Client,
    directory: TempDir,
    file: PathBuf,
}

impl Case {
    fn new() -> Self {
        let (world, directory) = (World::new(14), tempfile::tempdir().expect("a directory"));
        Self { client: world.client(), _world: world, file: directory.path().join("file"), directory }
    }

    /// Writes the file, with this mode and time.
    fn write(&self, data: &[u8], (mode, seconds, nanos): (u16, i64, u32)) {
        let _gone = fs::remove_file(&self.file);
        fs::write(&self.file, data).expect("written");
        let file = fs::File::open(&self.file).expect("open");
        stamp_file(&file, Stamp { mode, seconds, nanos }, 0o7777).expect("set");
    }

    fn adding(&self) -> Add<'static> {
        self.client.add(&self.file).code(CODE).epochs(10)
    }

    /// Saves the object, or a part of it, to a new file.
    async fn save(&self, get: crate::Get) -> Result<(PathBuf, Fetched), Error> {
        let to = self.directory.path().join("back");
        let _gone = fs::remove_file(&to);
        get.save(&to).await.map(|fetched| (to, fetched))
    }
}

fn stamp_of(path: &Path) -> (u32, i64, i64) {
    let metadata = fs::metadata(path).expect("there");
    (metadata.permissions().mode() & 0o7777, metadata.mtime(), metadata.mtime_nsec())
}

/// Every way of reading returns these bytes, and no other.
async fn reads_as(client: &Client, link: &Link, data: &[u8]) {
    let (all, last) = (u64::try_from(data.len()).expect("small"), data.len().saturating_sub(1));
    assert!(client.get(link).bytes().await.expect("read") == data);
    let (out, fetched) = get(client, link).await.expect("read");
    assert!(out == data);
    assert_eq!((fetched.size, fetched.blake3), (all, Some(blake3::hash(data).into())));
    let mut reader = client.get(link).reader().await.expect("opened");
    let mut read = Vec::new();
    reader.read_to_end(&mut read).await.expect("read");
    assert!(read == data && reader.size() == all);
    let streamed: Vec<_> = client.get(link).stream().collect().await;
    assert!(streamed.into_iter().flat_map(|bytes| bytes.expect("read")).eq(data.iter().copied()));
    assert!(client.get(link).last(20).bytes().await.expect("read") == data[data.len().saturating_sub(20)..]);
    let past = client.get(link).range(all..).bytes().await.expect_err("ends there");
    assert_eq!(past.kind(), ErrorKind::Usage);
    if !data.is_empty() {
        assert!(client.get(link).range(..1).bytes().await.expect("read") == data[..1]);
        let at = u64::try_from(last).expect("small");
        assert!(client.get(link).range(at..at + 9).bytes().await.expect("read") == data[last..]);
        reader.seek(std::io::SeekFrom::End(-1)).await.expect("there");
        read.clear();
        reader.read_to_end(&mut read).await.expect("read");
        assert!(read == data[last..]);
    }
}

#[tokio::test(start_paused = true)]
async fn mode_and_time_come_back_and_nothing_is_read_but_the_file() {
    let case = Case::new();
    let stamps = [(0o755, 1_000_000_000, 123_456_789), (0o600, -5, 999_999_999), (0o444, 1 << 33, 0)];
    // Nothing; less than a stamp, and more; where the stamp begins, lies across and ends at the end of a piece, of a
    // row; many rows.
    let around = |at: usize| [at - 15, at - 14, at - 13, at - 7, at - 1, at, at + 1];
    let sizes = [0, 1, 13, 14, 15, 100].into_iter().chain(around(PIECE)).chain(around(ROW));
    for (len, stamp) in sizes.chain([2 * ROW - 7, 9 << 20]).zip(stamps.into_iter().cycle()) {
        let data = bytes(len);
        case.write(&data, stamp);
        let size = u64::try_from(len).expect("small");
        assert_eq!(case.adding().quote().await.expect("possible").size, size);
        let (listen, told) = listener();
        let added = case.adding().on_event(listen).await.expect("added");
        let end = Event::Progress { done: size, total: Some(size) };
        assert_eq!(lock(&told).iter().rfind(|event| matches!(event, Event::Progress { .. })), Some(&end));
        assert_eq!((added.size, &added.source), (size, &AddedSource::File { grew: false, holes: 0 }));
        let (to, fetched) = case.save(case.client.get(&added.link)).await.expect("saved");
        assert!(fs::read(&to).expect("read") == data, "{len}");
        let (mode, seconds, nanos) = stamp;
        assert_eq!(stamp_of(&to), (mode.into(), seconds, nanos.into()), "{len}");
        assert_eq!((fetched.size, fetched.blake3), (size, Some(blake3::hash(&data).into())));
        reads_as(&case.client, &added.link, &data).await;
        let options = StatusOptions { probe: false };
        assert_eq!(case.client.status(&added.link, options).await.expect("listed").size, size);
        let bare = Link { key: None, ..added.link.clone() };
        assert_eq!(case.client.status(&bare, options).await.expect("listed").size, size + 14);
        let verified = case.client.verify(&added.link, &Events::none()).await.expect("read");
        assert_eq!((verified.size, verified.problem()), (size, None));
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_of_a_file_has_its_mode_and_time_too() {
    let (case, data) = (Case::new(), bytes(3 << 20));
    case.write(&data, (0o4640, 7, 8));
    let link = case.adding().await.expect("added").link;
    for (start, end) in [(0, 10), (10, 10), (1_000_000, 2_500_000), (3_000_000, 3 << 20), (0, 3 << 20)] {
        let (to, fetched) = case.save(case.client.get(&link).range(start..end)).await.expect("saved");
        let at = |at: u64| usize::try_from(at).expect("small");
        assert!(fs::read(&to).expect("read") == data[at(start)..at(end)], "{start}..{end}");
        assert_eq!((stamp_of(&to), fetched.size, fetched.bits_dropped), ((0o640, 7, 8), end - start, 1));
    }
}

/// A get that ended with a part of the bytes, and one that had all of them and not the stamp.
#[tokio::test(start_paused = true)]
async fn a_get_that_is_repeated_has_mode_and_time() {
    // The stamp is in a row of its own.
    let (case, data) = (Case::new(), bytes(40 * ROW));
    case.write(&data, (0o755, 7, 8));
    let link = case.adding().await.expect("added").link;
    let total = u64::try_from(data.len()).expect("small");
    for stop in [total / 2, total] {
        let told = Mutex::new(0);
        let listen = move |event| {
            if let Event::Progress { done, .. } = event {
                let before = std::mem::replace(&mut *lock(&told), done);
                assert!(before < stop, "stopped on purpose");
            }
        };
        let to = case.directory.path().join("back");
        let saving = case.client.get(&link).on_event(listen).save(to.clone());
        assert!(tokio::spawn(saving).await.expect_err("stopped").is_panic() && !to.exists());
    }
    let (to, fetched) = case.save(case.client.get(&link)).await.expect("saved");
    assert_eq!(fetched.resumed, total);
    assert!(fs::read(&to).expect("read") == data);
    assert_eq!((stamp_of(&to), fetched.blake3), ((0o755, 7, 8), Some(blake3::hash(&data).into())));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_asked_for_or_public_has_neither() {
    let (case, data) = (Case::new(), bytes(PIECE));
    case.write(&data, (0o751, 7, 8));
    let usual = case.directory.path().join("usual");
    fs::write(&usual, "").expect("written");
    let of_bytes = add(&case.client, &data).await;
    for adding in [case.adding().no_preserve(), case.adding().public()] {
        let added = adding.await.expect("added");
        assert_eq!(added.stored_bytes, of_bytes.stored_bytes);
        let (to, _) = case.save(case.client.get(&added.link)).await.expect("saved");
        let (mode, seconds, _) = stamp_of(&to);
        assert_eq!((mode, seconds > 7), (stamp_of(&usual).0, true));
        reads_as(&case.client, &added.link, &data).await;
        let bare = Link { key: None, ..added.link };
        let size = case.client.status(&bare, StatusOptions::default()).await.expect("listed").size;
        assert_eq!(size, added.size, "nothing else is stored");
    }
}

/// Objects that another program added: what it says of mode and time is not believed blindly.
#[tokio::test(start_paused = true)]
async fn an_impossible_mode_or_time_is_refused_and_the_bytes_are_not() {
    let case = Case::new();
    let stamp = Stamp { mode: 0o644, seconds: 0, nanos: 0 };
    let wild = Stamp { mode: 0o10644, ..stamp };
    let late = Stamp { nanos: 1_000_000_000, ..stamp };
    for (content, stamp) in [(&b"content"[..], wild.encode()), (b"", late.encode()), (b"", [255; 14])] {
        let stream = [content, &stamp].concat();
        let link = streaming(&case.client, &stream).content(Content::StampedFile).await.expect("added").link;
        let error = case.save(case.client.get(&link)).await.expect_err("refused");
        assert!(matches!(error.downcast_ref(), Some(GetError::InvalidStamp(object)) if *object == link.object));
        assert_eq!(error.kind(), ErrorKind::Integrity);
        assert_eq!(fs::read_dir(case.directory.path()).expect("readable").count(), 0, "nothing is left");
        reads_as(&case.client, &link, content).await;
    }
    let short = streaming(&case.client, b"too short").content(Content::StampedFile).await.expect("added");
    let error = case.save(case.client.get(&short.link)).await.expect_err("refused");
    assert!(matches!(error.downcast_ref(), Some(GetError::InvalidStamp(_))), "{error}");
    assert_eq!(case.client.status(&short.link, StatusOptions::default()).await.expect("listed").size, 0);
}

#[tokio::test(start_paused = true)]
async fn holes_are_counted() {
    let case = Case::new();
    let sparse = fs::File::create(&case.file).expect("created");
    sparse.set_len(8 << 20).expect("room");
    std::os::unix::fs::FileExt::write_all_at(&sparse, &bytes(100_000), 1 << 20).expect("written");
    sparse.sync_all().expect("on disk");
    let holes = (8 << 20) - 512 * sparse.metadata().expect("there").blocks();
    assert!(holes > 7 << 20, "the filesystem has no sparse files");
    let added = case.adding().await.expect("added");
    assert_eq!(added.source, AddedSource::File { grew: false, holes });
    reads_as(&case.client, &added.link, &fs::read(&case.file).expect("read")).await;
    fs::write(case.directory.path().join("full"), bytes(100_000)).expect("written");
    let tree = case.client.add(case.directory.path()).code(CODE).epochs(10).await.expect("added");
    assert_eq!(tree.source, AddedSource::Directory { entries: 2, skipped: Vec::new(), holes });
    let file = case.client.get(&tree.link).path("file").bytes().await.expect("read");
    assert!(file == fs::read(&case.file).expect("read"));
}
