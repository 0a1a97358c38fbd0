//! Directories go in and come out as they were: many small files, and a tree with every name that gives trouble. One
//! file of many is read without fetching the rest.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, FileTimes, Permissions},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{
    cluster::{Outcome, is_long},
    content,
    scenarios::Stage,
};
use serde::Deserialize;

const FILE: usize = 4096;
/// What a file of 4 KiB may cost to read alone: the cells it lies in, and the pages that lead to it.
const ALONE: u64 = 1024 * 1024;

/// What `add DIR` prints.
#[derive(Debug, Deserialize)]
struct Added {
    link: String,
    size: u64,
    stored_bytes: u64,
    entries: u64,
}

/// What `get` prints.
#[derive(Debug, Deserialize)]
struct Got {
    fetched_bytes: u64,
}

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let count = if is_long() { 10_000 } else { 1_000 };
    let (many, odd) = (stage.cluster.files.join("many"), stage.cluster.files.join("odd"));
    for number in 0..count {
        let directory = many.join(format!("d{:02}", number % 100));
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(format!("f{number}")), content::random(number, FILE))?;
    }
    make_odd(&odd)?;

    let added = round_trip(stage, &many)?;
    let user = count * FILE as u64;
    ensure!(added.stored_bytes * 10 <= user * 33, "{} bytes stored for {user}", added.stored_bytes);
    let (path, one) = ("d07/f107", stage.cluster.files.join("one"));
    let link = format!("{}/{path}", added.link);
    let got = stage.cluster.run(&["get".as_ref(), link.as_ref(), "-o".as_ref(), one.as_os_str()])?;
    ensure!(fs::read(&one)? == fs::read(many.join(path))?, "WRONG BYTES from {got}");
    let fetched = got.json::<Got>()?.fetched_bytes;
    ensure!(fetched <= ALONE, "{fetched} bytes fetched for one file of {FILE}");
    let listed = stage.cluster.run(&["ls", &format!("{}/d07", added.link)])?;
    ensure!(said(&listed, "f107") && !said(&listed, "f108"), "unexpected list from {listed}");

    let odd_added = round_trip(stage, &odd)?;
    fs::remove_file(one)?;
    fs::remove_dir_all(many)?;
    fs::remove_dir_all(odd)?;
    Ok(format!(
        "{count} files of {FILE} bytes as {} bytes, one of them read with {fetched}; {} entries with odd names",
        added.size, odd_added.entries
    ))
}

fn said(outcome: &Outcome, text: &str) -> bool {
    String::from_utf8_lossy(&outcome.stdout).contains(text)
}

/// In, out, and compared.
fn round_trip(stage: &Stage, directory: &Path) -> Result<Added> {
    let back = stage.cluster.files.join("back");
    let added: Added = stage.cluster.run(&["add".as_ref(), directory.as_os_str()])?.json()?;
    let get = ["get".as_ref(), added.link.as_ref(), "-o".as_ref(), back.as_os_str()];
    stage.cluster.run(&get)?.expect_code(0)?;
    let (before, after) = (entries(directory)?, entries(&back)?);
    ensure!(before.len() == after.len(), "{} entries became {}", before.len(), after.len());
    for (path, entry) in before {
        let there = after.get(&path).with_context(|| format!("{} is missing", path.display()))?;
        ensure!(*there == entry, "{}: {entry:?} became {there:?}", path.display());
    }
    fs::remove_dir_all(back)?;
    Ok(added)
}

/// A copy of this workspace's node, and names and kinds that give trouble.
fn make_odd(to: &Path) -> Result<()> {
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../node"), to)?;
    for name in [&b"new\nline"[..], b"\xff\xfe", b"\xc3\xa9", b"e\xcc\x81", b" ", b"-o", b"a\\b", &[b'x'; 255]] {
        fs::write(to.join(OsStr::from_bytes(name)), name)?;
    }
    fs::create_dir(to.join("empty"))?;
    fs::write(to.join("nothing"), "")?;
    symlink("../nowhere", to.join("dangling"))?;
    symlink(".", to.join("loop"))?;
    let late = fs::File::create(to.join("times"))?;
    late.set_times(FileTimes::new().set_modified(UNIX_EPOCH + Duration::new(981_173_106, 789_000_001)))?;
    fs::set_permissions(to.join("nothing"), Permissions::from_mode(0o604))?;
    fs::set_permissions(to.join("empty"), Permissions::from_mode(0o511))?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name()))?,
            false => drop(fs::copy(entry.path(), to.join(entry.file_name()))?),
        }
    }
    Ok(())
}

/// Everything under a directory: mode, time of change in seconds and nanoseconds, and content or target.
type Entries = BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)>;

fn entries(root: &Path) -> Result<Entries> {
    let (mut found, mut waiting) = (Entries::new(), vec![root.to_owned()]);
    while let Some(path) = waiting.pop() {
        let meta = path.symlink_metadata()?;
        let content = match meta.file_type() {
            kind if kind.is_dir() => {
                for entry in fs::read_dir(&path)? {
                    waiting.push(entry?.path());
                }
                Vec::new()
            }
            kind if kind.is_symlink() => fs::read_link(&path)?.into_os_string().into_encoded_bytes(),
            _ => blake3::hash(&fs::read(&path)?).as_bytes().to_vec(),
        };
        let relative = path.strip_prefix(root)?.to_owned();
        // The directory itself is made again, under another name.
        if !relative.as_os_str().is_empty() {
            found.insert(relative, (meta.mode(), meta.mtime(), meta.mtime_nsec(), content));
        }
    }
    Ok(found)
}
