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

mod adding;
mod hostile;
mod reading;
mod restoring;

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
