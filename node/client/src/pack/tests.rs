//! Whole directories through a network of fake nodes: what goes in comes out, and what should not come in does not.

use std::{
    ffi::OsStr,
    fs,
    future::IntoFuture,
    os::{
        fd::AsFd,
        unix::{ffi::OsStrExt, fs::MetadataExt, fs::PermissionsExt, fs::symlink},
    },
    path::Path,
    time::Duration,
};

use ostrakon_net::{Workers, lock, sim::SimConfig};
use ostrakon_proto::{link::Link, manifest::Content, pack::PackPath, params::Code};
use rustix::fs::{CWD, Mode, OFlags, Timespec, Timestamps, mkdirat, mknodat, open, openat, utimensat};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use super::*;
use crate::{
    Add, Added, AddedSource, Client, Error, ErrorKind, Event, Fetched, GetError, Journals, Overwrite,
    fake::{World, account},
    keystore::DataKey,
};

mod hostile;

const CODE: Code = Code { k: 4, n: 9 };

/// An add of what is at this path.
fn adding(client: &Client, at: &Path) -> Add<'static> {
    client.add(at).code(CODE).epochs(10)
}

/// How many entries were stored, and what was not.
fn outcome(source: AddedSource) -> (u64, Vec<Skipped>) {
    let AddedSource::Directory { entries, skipped, .. } = source else { panic!("not a directory") };
    (entries, skipped)
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn path(text: impl AsRef<[u8]>) -> PackPath {
    PackPath::new(text.as_ref()).expect("a path")
}

fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn set_time(at: &Path, seconds: i64, nanos: u32) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, at, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).expect("set");
}

fn set_mode(at: &Path, mode: u32) {
    fs::set_permissions(at, fs::Permissions::from_mode(mode)).expect("set");
}

/// All there is to see of a tree, read in another way than ours: path, mode, time, and content or target.
fn look(at: &Path) -> Vec<String> {
    let (mut seen, mut open) = (Vec::new(), vec![at.to_owned()]);
    while let Some(path) = open.pop() {
        let metadata = path.symlink_metadata().expect("there");
        let content = if metadata.is_dir() {
            open.extend(fs::read_dir(&path).expect("readable").map(|entry| entry.expect("an entry").path()));
            "directory".to_owned()
        } else if metadata.is_symlink() {
            format!("{:?}", fs::read_link(&path).expect("readable"))
        } else {
            blake3::hash(&fs::read(&path).expect("readable")).to_string()
        };
        let (mode, seconds, nanos) = (metadata.mode(), metadata.mtime(), metadata.mtime_nsec());
        let name = path.strip_prefix(at).expect("below");
        seen.push(format!("{name:?} {mode:o} {seconds}.{nanos} {content}"));
    }
    seen.sort();
    seen
}

fn nothing_else_in(directory: &TempDir, names: &[&str]) {
    let mut found: Vec<String> = fs::read_dir(directory.path())
        .expect("readable")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    assert_eq!(found, names);
}

/// A directory of everything that names, kinds, modes and times can be.
fn nasty(at: &Path) {
    fs::create_dir_all(at.join("empty directory")).expect("made");
    fs::create_dir_all(at.join("a/b/c")).expect("made");
    fs::create_dir_all(at.join("locked/inside")).expect("made");
    let names: [&[u8]; 12] = [
        b"new\nline",
        b"invalid \xff\xfe utf-8",
        "e\u{301} decomposed".as_bytes(),
        "\u{e9} composed".as_bytes(),
        b" leading and trailing ",
        b"-rf",
        b"a.b",
        b"a\x01",
        b"...",
        b"quote'\"\\",
        "\u{202e}gnp.exe".as_bytes(),
        &[b'x'; 255],
    ];
    for (number, name) in (0..).zip(names) {
        fs::write(at.join(OsStr::from_bytes(name)), bytes(number * 13, 1)).expect("written");
    }
    fs::write(at.join("empty"), "").expect("written");
    fs::write(at.join("a/b/c/deep"), "deep").expect("written");
    fs::write(at.join("locked/inside/file"), "inside").expect("written");
    // Larger than a row, which is about a megabyte.
    fs::write(at.join("large"), bytes(3_000_001, 2)).expect("written");
    fs::hard_link(at.join("large"), at.join("large too")).expect("linked");
    let links = [("loop", "loop"), ("to nowhere", "no/such"), ("up", ".."), ("out", "/etc/passwd"), ("a/in", "b/c")];
    links.iter().for_each(|(name, target)| symlink(target, at.join(name)).expect("linked"));
    set_time(&at.join("out"), 1, 999_999_999);
    set_time(&at.join("large"), 1_234_567_890, 123_456_789);
    set_time(&at.join("empty"), -5, 1);
    for (name, mode) in [("empty", 0), ("large", 0o777), ("locked/inside", 0o500), ("locked", 0o500), ("a", 0o1777)] {
        set_mode(&at.join(name), mode);
    }
    set_time(&at.join("a/b"), 17, 5);
    set_time(&at.join("locked"), 18, 6);
    set_time(at, 19, 7);
}

async fn add(client: &Client, at: &Path) -> Added {
    adding(client, at).await.expect("added")
}

async fn restore(client: &Client, link: &Link, to: &Path) -> Fetched {
    client.get(link).save(to).await.expect("saved")
}

async fn names(reader: &PackReader, directory: Option<&PackPath>, listing: Listing) -> Vec<String> {
    let (mut entries, mut names) = (reader.list(directory, listing).await.expect("listed"), Vec::new());
    while let Some(entry) = entries.next().await.expect("an entry") {
        names.push(entry.path.to_string());
    }
    names
}

#[tokio::test(start_paused = true)]
async fn everything_that_can_be_in_a_directory_comes_back() {
    let (world, source, target) = (World::new(14), directory(), directory());
    let client = world.client();
    nasty(&source.path().join("tree"));
    for public in [false, true] {
        let mut add = adding(&client, &source.path().join("tree"));
        add.options.public = public;
        let added = add.await.expect("added");
        assert_eq!(outcome(added.source.clone()), (28, vec![]));
        let to = target.path().join(if public { "public" } else { "private" });
        let restored = restore(&client, &added.link, &to).await;
        assert_eq!((restored.entries, restored.bits_dropped, restored.blake3), (Some(28), 0, None));
        assert_eq!(look(&to), look(&source.path().join("tree")));
        assert_eq!(
            walk(&to, &[]).expect("listed").fingerprint(),
            walk(&source.path().join("tree"), &[]).expect("listed").fingerprint()
        );
    }
    nothing_else_in(&target, &["private", "public"]);
    // What is given may be a symlink to the directory; what is in it may not.
    symlink("tree", source.path().join("link")).expect("linked");
    assert_eq!(outcome(add(&client, &source.path().join("link")).await.source).0, 28);
    let nothing = adding(&client, &source.path().join("none")).await;
    assert_eq!(nothing.expect_err("is not there").kind(), ErrorKind::Usage);
}

#[tokio::test(start_paused = true)]
async fn one_worker_is_enough() {
    // All answers come together, so that a task that has one waits for the worker.
    let quick = SimConfig { latency: Duration::ZERO..=Duration::ZERO, ..SimConfig::default() };
    let (world, source, target) = (World::with(14, quick, 7), directory(), directory());
    for number in 0..20_000u64 {
        let at = source.path().join(format!("{:03}", number % 100));
        fs::create_dir_all(&at).expect("made");
        fs::write(at.join(format!("{number}")), bytes(600, number)).expect("written");
    }
    // Rows, pages of the index and files that are written: all of them ask for the same worker.
    let client = Client { workers: Workers::pool(1), ..world.client() };
    let link = add(&client, source.path()).await.link;
    restore(&client, &link, &target.path().join("to")).await;
    assert_eq!(look(&target.path().join("to")), look(source.path()));
}

#[tokio::test(start_paused = true)]
async fn an_add_of_a_directory_resumes_where_it_stopped() {
    let (world, source, target) = (World::new(14), directory(), directory());
    let client = world.client();
    let at = source.path().join("tree");
    nasty(&at);
    fs::write(at.join("zz larger"), bytes(30 << 20, 5)).expect("written");
    let (chain, key) = (client.chain().rules().chain, Some(DataKey::new([9; 32])));
    let journals = Journals::new(target.path().join("adds"), chain, account().public(), key);
    let resumable = || adding(&client, &at).journals(journals.clone());
    let (mut runs, mut before) = (0, 0);
    let added = loop {
        let limit = Duration::from_millis(200 + 100 * runs);
        match tokio::time::timeout(limit, resumable().into_future()).await {
            Ok(added) => break added.expect("added"),
            Err(_) => runs += 1,
        }
        let Some(Ok(unfinished)) = journals.list().expect("listed").pop() else { continue };
        assert_eq!(unfinished.name, "tree");
        before = before.max(unfinished.read_bytes);
    };
    assert!(runs > 1 && before > 0 && added.traffic.resumed, "{runs} runs, {before} bytes");
    assert!(added.traffic.sent_bytes < added.stored_bytes, "{:?}", added.traffic);
    assert_eq!((outcome(added.source.clone()), added.earlier.len()), ((29, vec![]), 0));
    let to = target.path().join("to");
    restore(&client, &added.link, &to).await;
    assert_eq!(look(&to), look(&at));
    // A client that is killed before the link is safe, and finds the directory changed, gets both.
    fs::write(at.join("another"), "one").expect("written");
    let link = added.link.clone();
    added.killed();
    let new = resumable().await.expect("added");
    assert_eq!((outcome(new.source.clone()).0, new.earlier.len()), (30, 1));
    assert_eq!(new.earlier[0].link, link);
    drop(new);
    assert!(journals.list().expect("listed").is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_excluded_is_left_out_without_a_word() {
    let (world, source) = (World::new(14), directory());
    let client = world.client();
    for name in ["a.log", "keep", "sub/b.log", "sub/target/x", "sub/keep.txt", "target/y"] {
        let at = source.path().join(name);
        fs::create_dir_all(at.parent().expect("in the directory")).expect("made");
        fs::write(at, name).expect("written");
    }
    let added = adding(&client, source.path()).exclude(["*.log", "sub/target/", "*/keep.*"]).await.expect("added");
    assert_eq!(outcome(added.source.clone()), (4, vec![]));
    let reader = client.open_pack(&added.link).await.expect("opened");
    assert_eq!(names(&reader, None, Listing::Everything).await, ["keep", "sub", "target", "target/y"]);
    let wrong = adding(&client, source.path()).exclude(["a[b"]).await.expect_err("refused");
    assert_eq!(wrong.kind(), ErrorKind::Usage);
}

#[tokio::test(start_paused = true)]
async fn an_empty_directory_comes_back() {
    let (world, source, target) = (World::new(14), directory(), directory());
    let client = world.client();
    let added = add(&client, source.path()).await;
    assert_eq!((outcome(added.source.clone()).0, added.size), (0, 5 + 58));
    restore(&client, &added.link, &target.path().join("to")).await;
    assert_eq!(look(&target.path().join("to")), look(source.path()));
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_levels_come_back() {
    let (world, source, target) = (World::new(14), directory(), directory());
    let client = world.client();
    let mut at = open(source.path(), OFlags::DIRECTORY, Mode::empty()).expect("opened");
    for level in 0..10_000 {
        mkdirat(&at, "d", Mode::RWXU).expect("made");
        symlink_at(&at, level);
        at = openat(&at, "d", OFlags::DIRECTORY, Mode::empty()).expect("opened");
    }
    drop(at);
    let before = walk(source.path(), &[]).expect("listed");
    assert_eq!((before.entries(), before.skipped.len()), (10_100, 0));
    let added = add(&client, source.path()).await;
    let to = target.path().join("to");
    restore(&client, &added.link, &to).await;
    assert_eq!(walk(&to, &[]).expect("listed").fingerprint(), before.fingerprint());
    let reader = client.open_pack(&added.link).await.expect("opened");
    let deep = path(["d"; 9_999].join("/"));
    assert_eq!(names(&reader, Some(&deep), Listing::Everything).await.len(), 1);
    // A directory of this depth is not what tempfile removes.
    for (parent, name) in [(source.path(), "d"), (target.path(), "to")] {
        let parent = open(parent, OFlags::DIRECTORY, Mode::empty()).expect("opened");
        remove::remove(parent.as_fd(), name.as_bytes()).expect("removed");
    }
}

fn symlink_at(directory: impl AsFd, level: u32) {
    if level.is_multiple_of(100) {
        rustix::fs::symlinkat("..", directory, "up").expect("linked");
    }
}

#[tokio::test(start_paused = true)]
async fn one_file_of_many_is_read_alone() {
    let (world, source, target) = (World::new(14), directory(), directory());
    let client = world.client();
    for number in 0..10_000u64 {
        let at = source.path().join(format!("{:02}", number % 100));
        fs::create_dir_all(&at).expect("made");
        fs::write(at.join(format!("file {number:05}")), bytes(4_096, number)).expect("written");
    }
    let added = add(&client, source.path()).await;
    assert_eq!(outcome(added.source.clone()).0, 10_100);
    // The index and what the code adds to the last row.
    let user = 10_000 * 4_096;
    assert!(added.stored_bytes * 100 / (user * 9 / 4) < 104, "{} stored", added.stored_bytes);
    for number in [0, 4_217, 9_999u64] {
        let at = path(format!("{:02}/file {number:05}", number % 100));
        world.take_reads();
        let mut out = Vec::new();
        let fetched = client.get(&added.link).path(&at).write_to(&mut out).await.expect("read");
        assert!(out == bytes(4_096, number));
        let read: usize = world.take_reads().iter().sum();
        assert_eq!(u64::try_from(read), Ok(fetched.fetched_bytes));
        assert!(read < 1 << 20, "{read} bytes for one file");
        let reader = client.open_pack(&added.link).await.expect("opened");
        let middle = reader.get(&at).range(1_000..1_010).bytes().await.expect("read");
        assert_eq!(middle, bytes(4_096, number)[1_000..1_010]);
        let top = names(&reader, None, Listing::Children).await;
        assert_eq!((top.len(), top[42].as_str()), (100, "42"));
        let inside = names(&reader, Some(&path("42")), Listing::Everything).await;
        assert_eq!((inside.len(), inside[1].as_str()), (100, "42/file 00142"));
    }
    assert_eq!(restore(&client, &added.link, &target.path().join("to")).await.size, user);
    assert_eq!(look(&target.path().join("to")), look(source.path()));
    let reader = client.open_pack(&added.link).await.expect("opened");
    let part = reader.get(&path("42")).save(target.path().join("42")).await.expect("saved");
    assert_eq!((part.entries, part.size), (Some(100), 100 * 4_096));
    assert!(part.fetched_bytes < 3 << 20, "{} bytes for a hundredth", part.fetched_bytes);
    assert_eq!(look(&target.path().join("42")), look(&source.path().join("42")));
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_wrongly_is_named() {
    let (world, source, target) = (World::new(14), directory(), directory());
    let client = world.client();
    nasty(source.path());
    let link = add(&client, source.path()).await.link;
    let reader = client.open_pack(&link).await.expect("opened");
    let check = async |at: &str, kind: ErrorKind, says: &str| {
        let error = reader.get(&path(at)).bytes().await.expect_err("is no file");
        assert_eq!(error.kind(), kind, "{at}: {error}");
        assert!(error.to_string().contains(says), "{at}: {error}");
    };
    check("a/b/c/none", ErrorKind::NotFound, "a/b/c exists").await;
    check("a/none/x/y/z", ErrorKind::NotFound, "there is no a/none/x/y/z in the directory; a exists").await;
    check("zzz", ErrorKind::NotFound, "there is no zzz in the directory").await;
    check("a/b/c/deep/er/still", ErrorKind::Usage, "a/b/c/deep is not a directory").await;
    check("a/in/deep", ErrorKind::Usage, "a/in is not a directory").await;
    check("a/b", ErrorKind::Usage, "a/b is a directory").await;
    check("out", ErrorKind::Usage, "symlink to /etc/passwd").await;
    let past = reader.get(&path("a/b/c/deep")).range(5..6).bytes().await;
    assert_eq!(past.expect_err("past the end").kind(), ErrorKind::Usage);

    let error = client.get(&link).bytes().await.expect_err("is no file");
    assert!(matches!(error.get_ref().downcast_ref(), Some(GetError::IsDirectory(_))), "{error}");
    let file = client.add_bytes("file").code(CODE).await.expect("added").link;
    let error = client.open_pack(&file).await.expect_err("is no directory");
    assert_eq!((error.kind(), error.to_string().contains("not a directory")), (ErrorKind::Usage, true));

    let to = target.path().join("one");
    let one = reader.get(&path("large")).save(&to).await.expect("saved");
    assert_eq!((one.entries, one.blake3), (None, Some(blake3::hash(&bytes(3_000_001, 2)).into())));
    assert_eq!(look(&to), look(&source.path().join("large")));
    let to = target.path().join("link");
    client.get(&link).path("out").save(&to).await.expect("saved");
    assert_eq!(look(&to), look(&source.path().join("out")));
    nothing_else_in(&target, &["link", "one"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_deleted_that_was_not_written() {
    let (world, source, target) = (World::new(14), directory(), directory());
    let client = world.client();
    let at = |name: &str| source.path().join(name);
    fs::create_dir_all(at("both/new")).expect("made");
    for name in ["new", "both/file", "both/new/file"] {
        fs::write(at(name), name).expect("written");
    }
    symlink("new", at("link")).expect("linked");
    let link = add(&client, source.path()).await.link;
    let to = target.path().join("to");
    let save = async |overwrite| client.get(&link).overwrite(overwrite).save(&to).await;
    let fails = |error: Error, expect: fn(&GetError) -> bool| {
        assert!(error.get_ref().downcast_ref().is_some_and(expect), "{error}");
        assert_eq!(error.kind(), ErrorKind::Usage);
    };
    // An empty directory is filled, and stays the one that it is.
    fs::create_dir(&to).expect("made");
    let inode = fs::metadata(&to).expect("there").ino();
    save(Overwrite::Refuse).await.expect("filled");
    assert_eq!(fs::metadata(&to).expect("there").ino(), inode);
    let but_top = |seen: Vec<String>| seen[1..].to_vec();
    assert_eq!(but_top(look(&to)), but_top(look(source.path())));
    // One with something in it is merged into, when asked for.
    fails(save(Overwrite::Refuse).await.expect_err("not empty"), |error| matches!(error, GetError::NotEmpty(_)));
    fs::write(to.join("both/file"), "old").expect("written");
    fs::write(to.join("both/mine"), "mine").expect("written");
    fs::remove_dir_all(to.join("both/new")).expect("removed");
    fs::remove_file(to.join("link")).expect("removed");
    fs::write(to.join("link"), "a file").expect("written");
    save(Overwrite::Replace).await.expect("merged");
    assert_eq!(fs::read(to.join("both/mine")).expect("kept"), b"mine");
    fs::remove_file(to.join("both/mine")).expect("removed");
    set_time(&to.join("both"), 1, 0);
    set_time(&at("both"), 1, 0);
    assert_eq!(but_top(look(&to)), but_top(look(source.path())));
    // Something of another kind is in the way: nothing is fetched, nothing is changed.
    fs::remove_file(to.join("new")).expect("removed");
    fs::create_dir(to.join("new")).expect("made");
    fs::write(to.join("both/file"), "old").expect("written");
    fails(save(Overwrite::Replace).await.expect_err("in the way"), |error| matches!(error, GetError::Conflict { .. }));
    fs::remove_dir(to.join("new")).expect("removed");
    fs::remove_dir_all(to.join("both/new")).expect("removed");
    symlink("/tmp", to.join("both/new")).expect("linked");
    fails(save(Overwrite::Replace).await.expect_err("in the way"), |error| matches!(error, GetError::Conflict { .. }));
    assert_eq!(fs::read(to.join("both/file")).expect("kept"), b"old");
    assert_eq!(fs::read_dir(&to).expect("readable").count(), 2);
    // A file or a symlink is not replaced by a directory, whatever is asked for.
    fs::write(target.path().join("file"), "a file").expect("written");
    for overwrite in [Overwrite::Refuse, Overwrite::Replace] {
        let get = client.get(&link).overwrite(overwrite).save(target.path().join("file"));
        fails(get.await.expect_err("a file"), |error| matches!(error, GetError::Exists(_) | GetError::Conflict { .. }));
    }
    let get = client.get(&link).path("new").overwrite(Overwrite::Replace).save(&to);
    fails(get.await.expect_err("a directory"), |error| matches!(error, GetError::IsADirectory(_)));
    let get = client.get(&link).save(target.path().join("no/such/place"));
    fails(get.await.expect_err("no directory to be in"), |error| matches!(error, GetError::NotADirectory(_)));
    nothing_else_in(&target, &["file", "to"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_excluded_is_left_out() {
    let (world, source, target) = (World::new(14), directory(), directory());
    let client = world.client();
    fs::create_dir_all(source.path().join("a/cache")).expect("made");
    for name in ["keep", "drop.tmp", "a/cache/x", "a/keep", "a/drop.tmp", "a/once"] {
        fs::write(source.path().join(name), bytes(100, 3)).expect("written");
    }
    let link = add(&client, source.path()).await.link;
    let globs = ["*.tmp", "cache", "a/once"];
    let saved = client.get(&link).exclude(globs).save(target.path().join("to")).await.expect("saved");
    assert_eq!((saved.entries, saved.size), (Some(3), 200));
    let seen: Vec<String> = look(&target.path().join("to")).iter().map(|line| line[..8].to_owned()).collect();
    assert_eq!(seen.len(), 4, "{seen:?}");
    let error = client.get(&link).exclude(["["]).save(target.path().join("x")).await.expect_err("malformed");
    assert_eq!(error.kind(), ErrorKind::Usage);
}

#[tokio::test(start_paused = true)]
async fn a_directory_resumes_with_the_files_that_are_whole() {
    let (world, source, target) = (World::new(14), directory(), directory());
    let client = world.client();
    nasty(source.path());
    for number in 0..20 {
        fs::write(source.path().join(format!("many {number}")), bytes(2 << 20, number)).expect("written");
    }
    let link = add(&client, source.path()).await.link;
    let to = target.path().join("to");
    let (mut limit, mut kept) = (Duration::from_millis(200), false);
    let saved = loop {
        match tokio::time::timeout(limit, client.get(&link).save(&to)).await {
            Ok(saved) => break saved.expect("saved"),
            Err(_) => limit += Duration::from_millis(100),
        }
        let left = fs::read_dir(target.path()).expect("readable").count();
        assert!(left <= 1 && !to.exists(), "one hidden directory at most");
        kept |= left == 1;
    };
    assert!(kept && saved.resumed >= 16 << 20, "{} bytes", saved.resumed);
    assert!(saved.fetched_bytes < saved.size, "{} of {}", saved.fetched_bytes, saved.size);
    assert_eq!(look(&to), look(source.path()));
    nothing_else_in(&target, &["to"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_cancelled_leaves_nothing_behind() {
    let (world, source, target) = (World::new(14), directory(), directory());
    let client = world.client();
    for number in 0..2_000u64 {
        fs::write(source.path().join(format!("{number}")), bytes(4_096, number)).expect("written");
    }
    let link = add(&client, source.path()).await.link;
    let to = target.path().join("to");
    let seen = std::sync::Arc::new(std::sync::Mutex::new(0));
    for milliseconds in [1, 50, 100, 150, 200, 300] {
        let sees = std::sync::Arc::clone(&seen);
        let parts = target.path().to_owned();
        let work = client.get(&link).on_event(move |event| {
            if let Event::Progress { .. } = event {
                *lock(&sees) += fs::read_dir(&parts).expect("readable").count();
            }
        });
        let work = work.save(&to);
        let ended = tokio::time::timeout(Duration::from_millis(milliseconds), work).await;
        if ended.is_err() {
            nothing_else_in(&target, &[]);
        }
    }
    assert!(*lock(&seen) > 0, "some of it was in progress");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_stored_is_named_and_the_rest_is_stored() {
    let (world, source, target) = (World::new(14), directory(), directory());
    let client = world.client();
    fs::create_dir_all(source.path().join("a")).expect("made");
    fs::write(source.path().join("a/file"), "file").expect("written");
    mknodat(CWD, source.path().join("a/fifo"), rustix::fs::FileType::Fifo, Mode::RUSR, 0).expect("made");
    let _socket = std::os::unix::net::UnixListener::bind(source.path().join("socket")).expect("bound");
    fs::write(source.path().join("set-id"), "x").expect("written");
    set_mode(&source.path().join("set-id"), 0o6755);
    let added = add(&client, source.path()).await;
    let skipped: Vec<_> = added.skipped().iter().map(|skipped| skipped.path.to_string_lossy().into_owned()).collect();
    assert_eq!(skipped, ["a/fifo", "socket"]);
    assert!(added.skipped()[0].reason.contains("a fifo"), "{:?}", added.skipped());
    let restored = restore(&client, &added.link, &target.path().join("to")).await;
    assert_eq!((restored.entries, restored.bits_dropped), (Some(3), 1));
    assert_eq!(fs::metadata(target.path().join("to/set-id")).expect("there").mode() & 0o7777, 0o755);
}

#[tokio::test(start_paused = true)]
async fn what_changes_meanwhile_is_left_out_and_nothing_else() {
    let (world, source, target) = (World::new(14), directory(), directory());
    let client = world.client();
    let at = |name: &str| source.path().join(name);
    let changing = ["grown", "shrunk", "gone", "fifo", "touched", "other", "in/gone with it"];
    fs::create_dir_all(at("in")).expect("made");
    for (seed, name) in (0..).zip(changing.iter().chain(&["kept 1", "kept 2", "zz kept"])) {
        fs::write(at(name), bytes(100_000, seed)).expect("written");
        set_time(&at(name), 1_000, 0);
    }
    let walked = walk(source.path(), &[]).expect("listed");
    let (size, fingerprint) = (walked.size(), walked.fingerprint());
    fs::OpenOptions::new()
        .append(true)
        .open(at("grown"))
        .and_then(|mut file| std::io::Write::write_all(&mut file, b"x"))
        .expect("grown");
    fs::OpenOptions::new().write(true).open(at("shrunk")).and_then(|file| file.set_len(5)).expect("shrunk");
    fs::remove_file(at("gone")).expect("removed");
    fs::remove_file(at("fifo")).expect("removed");
    mknodat(CWD, at("fifo"), rustix::fs::FileType::Fifo, Mode::RUSR, 0).expect("made");
    set_time(&at("touched"), 1_000, 1);
    fs::remove_file(at("other")).expect("removed");
    symlink("kept 1", at("other")).expect("linked");
    fs::rename(at("in"), at("moved")).expect("moved");
    assert_ne!(walk(source.path(), &[]).expect("listed").fingerprint(), fingerprint);
    let mut stream = PackSource::new(walked);
    let packed = client.add_reader(&mut stream).code(CODE).size(size).content(Content::Pack);
    let added = packed.await.expect("as long as announced");
    let (entries, skipped) = outcome(stream.into_outcome());
    let mut expect: Vec<_> = changing.map(PathBuf::from).to_vec();
    expect.sort();
    assert_eq!(skipped.iter().map(|skipped| skipped.path.clone()).collect::<Vec<_>>(), expect);
    let told =
        |skipped: &Skipped| skipped.reason.contains("changed while") || skipped.reason.contains("cannot be read");
    assert!(skipped.iter().all(told), "{skipped:?}");
    assert_eq!(entries, 4);
    let to = target.path().join("to");
    let restored = restore(&client, &added.link, &to).await;
    assert_eq!(restored.size, 300_000);
    for name in ["kept 1", "kept 2", "zz kept"] {
        assert_eq!(look(&to.join(name)), look(&at(name)));
    }
    assert_eq!(fs::read_dir(&to).expect("readable").count(), 4);
}

#[tokio::test]
async fn a_file_that_changes_under_the_reader_is_left_out() {
    let source = directory();
    let at = source.path().join("large");
    for (number, change) in [
        |at: &Path| drop(fs::File::options().write(true).open(at).and_then(|file| file.set_len(3_000_000))),
        |at: &Path| fs::write(at, bytes(20_000_000, 2)).expect("written"),
        |at: &Path| fs::remove_file(at).expect("removed"),
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(&at, bytes(20_000_000, 1)).expect("written");
        set_time(&at, 1_000, 0);
        let walked = walk(source.path(), &[]).expect("listed");
        let size = walked.size();
        let mut stream = PackSource::new(walked);
        let mut first = [0; 100];
        stream.read_exact(&mut first).await.expect("read");
        change(&at);
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.expect("read");
        assert_eq!(u64::try_from(100 + rest.len()), Ok(size));
        let (entries, skipped) = outcome(stream.into_outcome());
        // A file that is only removed can be read to its end: nothing of it changed.
        let expect = if number == 2 { (1, 0) } else { (0, 1) };
        assert_eq!((entries, skipped.len()), expect, "{skipped:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn directories_can_be_handled_by_spawned_tasks() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let (world, source, target) = (World::new(14), directory(), directory());
    let client = world.client();
    let link = is_send(adding(&client, source.path()).into_future()).await.expect("added").link;
    let reader = is_send(client.open_pack(&link)).await.expect("opened");
    let to = target.path().join("to");
    is_send(client.get(&link).save(&to)).await.expect("saved");
    is_send(reader.entry(&path("a"))).await.expect_err("is empty");
}
