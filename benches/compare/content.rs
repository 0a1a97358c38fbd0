//! Bytes on disk: fresh random ones to add, the comparison of what comes back, and how much room things take.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
    path::Path,
};

use anyhow::{Context, Result, ensure};

/// Bytes that are made or compared at a time.
const STEP: usize = 1 << 20;
/// Bytes of each file of a directory.
pub(crate) const SMALL_FILE: u64 = 4096;

/// Random bytes, each time new ones: some systems store known content only once.
fn random() -> Result<blake3::OutputReader> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).context("the system gives no randomness")?;
    Ok(blake3::Hasher::new_keyed(&seed).finalize_xof())
}

/// Makes a file of `size` random bytes, which are on disk when this returns.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn make_file(path: &Path, size: u64) -> Result<()> {
    let write = || -> Result<()> {
        let (mut file, mut random, mut buffer) = (File::create(path)?, random()?, vec![0; STEP]);
        let mut left = size;
        while left > 0 {
            let step = usize::try_from(left).unwrap_or(STEP).min(STEP);
            random.fill(&mut buffer[..step]);
            file.write_all(&buffer[..step])?;
            left = left.saturating_sub(u64::try_from(step)?);
        }
        Ok(file.sync_all()?)
    };
    write().with_context(|| format!("cannot make {}", path.display()))
}

/// Makes a directory of so many small files.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn make_directory(path: &Path, files: u32) -> Result<()> {
    let mut random = random()?;
    let mut write = || -> io::Result<()> {
        fs::create_dir(path)?;
        for number in 0..files {
            let mut bytes = vec![0; usize::try_from(SMALL_FILE).unwrap_or(STEP)];
            random.fill(&mut bytes);
            fs::write(path.join(format!("file-{number:06}")), bytes)?;
        }
        Ok(())
    };
    write().with_context(|| format!("cannot make {}", path.display()))
}

/// Fails unless both files have the same bytes.
///
/// # Errors
/// When they have not.
pub(crate) fn expect_same_file(expect: &Path, got: &Path) -> Result<()> {
    let open = |path: &Path| File::open(path).with_context(|| format!("cannot read {}", path.display()));
    expect_same(&mut open(expect)?, &mut open(got)?).with_context(|| format!("compared: {}", got.display()))
}

/// Fails unless these are the bytes of the file from `start` on.
///
/// # Errors
/// When they are not.
pub(crate) fn expect_same_range(expect: &Path, start: u64, got: &[u8]) -> Result<()> {
    let mut file = File::open(expect).with_context(|| format!("cannot read {}", expect.display()))?;
    io::Seek::seek(&mut file, io::SeekFrom::Start(start))?;
    expect_same(&mut file.take(u64::try_from(got.len())?), &mut &*got)
}

fn expect_same(expect: &mut dyn Read, got: &mut dyn Read) -> Result<()> {
    let (mut expect_bytes, mut got_bytes) = (Vec::new(), Vec::new());
    loop {
        let step = u64::try_from(STEP)?;
        expect_bytes.clear();
        got_bytes.clear();
        expect.take(step).read_to_end(&mut expect_bytes)?;
        got.take(step).read_to_end(&mut got_bytes)?;
        ensure!(expect_bytes == got_bytes, "WRONG BYTES: what was fetched is not what was added");
        if expect_bytes.is_empty() {
            return Ok(());
        }
    }
}

/// Fails unless `got`, or the one directory in it, has the same files. Some systems fetch a directory as the one named,
/// others into it.
///
/// # Errors
/// When they differ.
pub(crate) fn expect_same_directory(expect: &Path, got: &Path) -> Result<()> {
    let (names, mut got, mut got_names) = (names(expect)?, got.to_owned(), names(got)?);
    if let (1, Some(only)) = (got_names.len(), got_names.first().cloned())
        && got.join(&only).is_dir()
    {
        got.push(only);
        got_names = self::names(&got)?;
    }
    ensure!(names == got_names, "WRONG FILES: {} were added, {} fetched", names.len(), got_names.len());
    names.iter().try_for_each(|name| expect_same_file(&expect.join(name), &got.join(name)))
}

fn names(dir: &Path) -> Result<BTreeSet<OsString>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    entries.map(|entry| Ok(entry?.file_name())).collect()
}

/// The bytes of the disk blocks that everything under `path` has, as `du` counts them.
///
/// # Errors
/// When something cannot be looked at.
pub(crate) fn allocated_bytes(path: &Path) -> Result<u64> {
    let metadata = match fs::symlink_metadata(path) {
        // Daemons delete files of theirs at any time.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        metadata => metadata.with_context(|| format!("cannot look at {}", path.display()))?,
    };
    let mut sum = metadata.blocks() * 512;
    if metadata.is_dir() {
        for entry in fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))? {
            sum += allocated_bytes(&entry?.path())?;
        }
    }
    Ok(sum)
}

/// Fails unless the disk under `path` has this much room.
///
/// # Errors
/// When it has not.
pub(crate) fn expect_room(path: &Path, bytes: u64) -> Result<()> {
    let disk = rustix::fs::statvfs(path).with_context(|| format!("cannot look at the disk of {}", path.display()))?;
    let free = disk.f_bavail * disk.f_frsize;
    let mib = |bytes: u64| bytes >> 20;
    let (wanted, free, dir) = (mib(bytes), mib(free), path.display());
    ensure!(
        free >= wanted,
        "needs {wanted} MiB in {dir}, where {free} are free: choose another --dir, or less --sizes"
    );
    Ok(())
}

/// Writes out everything that is still to be written, so that no operation pays for the one before it.
pub(crate) fn settle_disk() {
    rustix::fs::sync();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_new_every_time_and_compared_to_the_end() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| dir.path().join(name);
        let size = u64::try_from(STEP).expect("fits") + 10;
        for name in ["a", "b"] {
            make_file(&path(name), size).expect("writes");
        }
        fs::copy(path("a"), path("copy")).expect("copies");
        expect_same_file(&path("a"), &path("copy")).expect("the same");
        expect_same_file(&path("a"), &path("b")).expect_err("each is random");
        File::options().write(true).open(path("copy")).and_then(|file| file.set_len(size - 1)).expect("cuts");
        expect_same_file(&path("a"), &path("copy")).expect_err("one is shorter");
        let bytes = fs::read(path("a")).expect("reads");
        expect_same_range(&path("a"), 100, &bytes[100..300]).expect("the same");
        expect_same_range(&path("a"), 101, &bytes[100..300]).expect_err("not there");
        assert!(allocated_bytes(dir.path()).expect("looks") >= 3 * size);
    }

    #[test]
    fn directories_are_the_same_there_or_one_below() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (added, below) = (dir.path().join("added"), dir.path().join("got/added"));
        make_directory(&added, 3).expect("writes");
        fs::create_dir_all(&below).expect("makes");
        for name in names(&added).expect("reads") {
            fs::copy(added.join(&name), below.join(&name)).expect("copies");
        }
        expect_same_directory(&added, &below).expect("the same");
        expect_same_directory(&added, &dir.path().join("got")).expect("the same, one below");
        fs::remove_file(below.join("file-000001")).expect("removes");
        expect_same_directory(&added, &below).expect_err("one is missing");
    }
}
