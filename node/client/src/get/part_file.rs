//! A get's file before it is whole: the bytes so far, and a list of checkpoints that says how far they can be trusted.
//!
//! A checkpoint is `u64 LE length ‖ BLAKE3 of so many bytes`, appended once they are written. The next attempt hashes
//! the file and continues after the last checkpoint that holds: whatever a crash left, lost or tore, only right bytes
//! are kept. Nothing is synced before the end, and nothing needs to be. Where both lie and how they are found again is
//! in [`super::staging`].

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read, Write},
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use ostrakon_proto::pack::Stamp;
use rustix::fs::{AtFlags, FileType, Mode, fchmod, unlinkat};

use super::{
    Overwrite,
    staging::{StagingDirectory, StagingId, check_space},
};
use crate::pack::{FILE_BITS, stamp_file};

/// Less than this is not worth keeping for another attempt.
pub(crate) const KEEP_MIN: u64 = 16 * 1024 * 1024;
/// Bytes of a checkpoint.
const CHECKPOINT: usize = 8 + 32;
/// Bytes hashed at a time.
const BUFFER: usize = 1024 * 1024;
/// The mode of new files where none is known, before the umask.
const USUAL_MODE: u32 = 0o666;

/// A file that is not whole yet. Dropping it keeps what is worth keeping.
#[derive(Debug)]
pub(super) struct PartFile {
    directory: StagingDirectory,
    name: Vec<u8>,
    file: Arc<File>,
    checkpoints: File,
    done: u64,
    hasher: blake3::Hasher,
    is_placed: bool,
}

impl PartFile {
    /// The file that an earlier attempt left, as far as it can be trusted, or a new one, for so many bytes. `number` is
    /// random.
    pub(super) fn open(directory: StagingDirectory, id: &StagingId, total: u64, number: u64) -> io::Result<Self> {
        let mut found = None;
        for name in directory.left(id)? {
            match (take_up(&directory, &name)?, &found) {
                (Some((file, checkpoints)), None) => found = Some((name, file, checkpoints)),
                // Two attempts began, and both are over: one is enough.
                (Some(_), Some(_)) => remove(&directory, &name),
                (None, _) => {}
            }
        }
        let (name, file, checkpoints) = match found {
            Some(found) => found,
            None => {
                let name = id.name(number);
                let file = directory.create(&name)?;
                let checkpoints = directory.create(&checkpoints_of(&name))?;
                (name, file, checkpoints)
            }
        };
        let (file, hasher) = (Arc::new(file), blake3::Hasher::new());
        let mut part = Self { directory, name, file, checkpoints, done: 0, hasher, is_placed: false };
        part.trust(total)?;
        check_space(&part.file, total - part.done)?;
        Ok(part)
    }

    /// Bytes that are there, and their hash.
    pub(super) fn done(&self) -> (u64, blake3::Hasher) {
        (self.done, self.hasher.clone())
    }

    /// Where bytes are written, by position.
    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// So many bytes are written, and this is their hash.
    pub(super) fn note(&mut self, done: u64, hasher: &blake3::Hasher) -> io::Result<()> {
        self.done = done;
        let mut checkpoint = [0; CHECKPOINT];
        checkpoint[..8].copy_from_slice(&done.to_le_bytes());
        checkpoint[8..].copy_from_slice(hasher.finalize().as_bytes());
        self.checkpoints.write_all(&checkpoint)
    }

    /// Sets mode and time, makes the file durable, and gives it its name.
    pub(super) fn place(mut self, to: &OsString, overwrite: Overwrite, stamp: Option<Stamp>) -> io::Result<()> {
        match stamp {
            Some(stamp) => stamp_file(&self.file, stamp, FILE_BITS)?,
            None => fchmod(&self.file, Mode::from_raw_mode(USUAL_MODE & !umask()))?,
        }
        self.file.sync_all()?;
        self.directory.place(&self.name, to, overwrite)?;
        self.is_placed = true;
        Ok(unlinkat(&self.directory, &checkpoints_of(&self.name)[..], AtFlags::empty())?)
    }

    /// The bytes are not what they should be: no attempt is to start from them.
    pub(super) fn discard(mut self) {
        self.done = 0;
    }

    /// Finds the last checkpoint that holds, and cuts off what comes after it.
    fn trust(&mut self, total: u64) -> io::Result<()> {
        let mut list = Vec::new();
        self.checkpoints.read_to_end(&mut list)?;
        let (mut hasher, mut read, mut kept) = (blake3::Hasher::new(), 0, 0);
        for checkpoint in list.chunks_exact(CHECKPOINT) {
            let (length, hash) = checkpoint.split_at(8);
            let length = u64::from_le_bytes(length.try_into().expect("8 bytes"));
            if length <= read || length > total || !hash_range(&self.file, &mut hasher, read..length)? {
                break;
            }
            read = length;
            if hasher.finalize().as_bytes() != hash {
                break;
            }
            (self.done, self.hasher, kept) = (length, hasher.clone(), kept + CHECKPOINT);
        }
        self.checkpoints.set_len(u64::try_from(kept).expect("a length fits 64 bits"))?;
        io::Seek::seek(&mut self.checkpoints, io::SeekFrom::End(0))?;
        self.file.set_len(self.done)
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.is_placed && self.done < KEEP_MIN {
            remove(&self.directory, &self.name);
        }
    }
}

/// Hashes a range of a file; whether the file has it.
pub(crate) fn hash_range(file: &File, hasher: &mut blake3::Hasher, range: Range<u64>) -> io::Result<bool> {
    let (mut buffer, mut at) = (vec![0; BUFFER], range.start);
    while at < range.end {
        let want = usize::try_from(range.end - at).map_or(BUFFER, |rest| rest.min(BUFFER));
        match file.read_exact_at(&mut buffer[..want], at) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        hasher.update(&buffer[..want]);
        at += u64::try_from(want).expect("at most a buffer");
    }
    Ok(true)
}

fn take_up(directory: &StagingDirectory, name: &[u8]) -> io::Result<Option<(File, File)>> {
    let Some(file) = directory.take_up(name, FileType::RegularFile)? else { return Ok(None) };
    let list = checkpoints_of(name);
    let checkpoints = match directory.take_up(&list, FileType::RegularFile)? {
        Some(checkpoints) => Some(checkpoints),
        // An attempt ended before it had made them, or somebody else did.
        None => directory.create(&list).ok(),
    };
    Ok(checkpoints.map(|checkpoints| (file, checkpoints)))
}

/// Nobody could do anything about a failure here.
fn remove(directory: &StagingDirectory, name: &[u8]) {
    let _gone = unlinkat(directory, name, AtFlags::empty());
    let _gone = unlinkat(directory, &checkpoints_of(name)[..], AtFlags::empty());
}

fn checkpoints_of(name: &[u8]) -> Vec<u8> {
    [name, b".checkpoints"].concat()
}

/// Which bits of a mode new files do not get.
fn umask() -> u32 {
    let status = fs::read_to_string(Path::new("/proc/self/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    mask.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok()).unwrap_or(0o022)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, path::PathBuf};

    use ostrakon_proto::id::ObjectId;

    use super::*;

    const TOTAL: u64 = 40 * 1024 * 1024;

    fn open(directory: &Path) -> io::Result<PartFile> {
        open_as(directory, "out", 7)
    }

    fn open_as(directory: &Path, name: &str, number: u64) -> io::Result<PartFile> {
        let id = StagingId::new(ObjectId::new([1; 32]), None, &(0..TOTAL), &directory.join(name));
        PartFile::open(StagingDirectory::open(directory)?, &id, TOTAL, number)
    }

    fn piece(byte: u8) -> Vec<u8> {
        vec![byte; 10 * 1024 * 1024]
    }

    fn write(part: &mut PartFile, bytes: &[u8]) {
        part.file().write_all_at(bytes, part.done).expect("written");
        part.hasher.update(bytes);
        let (done, hasher) = part.done();
        part.note(done + u64::try_from(bytes.len()).expect("small"), &hasher).expect("noted");
    }

    /// An attempt that got three pieces and ended.
    fn attempt(directory: &Path) -> PathBuf {
        let mut part = open(directory).expect("opened");
        assert_eq!(part.done, 0);
        (1..=3).for_each(|byte| write(&mut part, &piece(byte)));
        directory.join(String::from_utf8(part.name.clone()).expect("text"))
    }

    #[test]
    fn resumes_after_the_last_checkpoint_that_holds() {
        let check = |damage: &dyn Fn(&Path), expect: u64| {
            let directory = tempfile::tempdir().expect("a directory");
            damage(&attempt(directory.path()));
            let part = open_as(directory.path(), "out", 8).expect("opened");
            assert_eq!(part.done, expect);
            let whole: Vec<u8> = (1..=3).flat_map(piece).collect();
            let kept = &whole[..usize::try_from(expect).expect("small")];
            assert_eq!(part.hasher.finalize(), blake3::hash(kept));
            assert_eq!(part.file.metadata().expect("there").len(), expect, "what follows is cut off");
        };
        let (one, checkpoints) = (10 * 1024 * 1024, |path: &Path| path.with_extension("part.checkpoints"));
        let open = |path: &Path| File::options().write(true).open(path).expect("there");
        check(&|_| {}, 3 * one);
        check(&|path| open(path).set_len(3 * one - 1).expect("cut"), 2 * one);
        check(&|path| open(path).write_all_at(&[9], one).expect("corrupted"), one);
        check(&|path| open(path).write_all_at(&[9], 3 * one).expect("more than noted"), 3 * one);
        check(&|path| open(&checkpoints(path)).set_len(2 * 40 + 39).expect("torn"), 2 * one);
        check(&|path| open(&checkpoints(path)).write_all_at(&[9; 8], 40).expect("corrupted"), one);
        check(&|path| fs::remove_file(checkpoints(path)).expect("removed"), 0);
        check(&|path| fs::remove_file(path).expect("removed"), 0);
        // Others could have written these.
        check(&|path| fs::hard_link(path, path.with_extension("other")).expect("linked"), 0);
        check(&|path| fs::set_permissions(path, fs::Permissions::from_mode(0o660)).expect("set"), 0);
        let moved = |path: &Path| {
            fs::rename(path, path.with_extension("other")).expect("moved");
            std::os::unix::fs::symlink(path.with_extension("other"), path).expect("linked");
        };
        check(&moved, 0);
    }

    #[test]
    fn two_do_not_write_one_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let _first = open(directory.path()).expect("opened");
        let error = open_as(directory.path(), "out", 8).expect_err("held").to_string();
        assert!(error.contains("another process"), "{error}");
    }

    #[test]
    fn little_or_discarded_is_not_kept() {
        let directory = tempfile::tempdir().expect("a directory");
        let count = || fs::read_dir(directory.path()).expect("readable").count();
        let mut part = open(directory.path()).expect("opened");
        write(&mut part, &piece(1));
        drop(part);
        assert_eq!(count(), 0);
        attempt(directory.path());
        assert_eq!(count(), 2);
        open(directory.path()).expect("opened").discard();
        assert_eq!(count(), 0);
    }

    #[test]
    fn takes_its_place_whole_and_leaves_nothing_behind() {
        let check = |exists: bool, overwrite, expect: Option<&str>| {
            let directory = tempfile::tempdir().expect("a directory");
            let to = directory.path().join("out");
            if exists {
                fs::write(&to, "old").expect("written");
            }
            let mut part = open(directory.path()).expect("opened");
            write(&mut part, b"new");
            let placed = part.place(&"out".into(), overwrite, None);
            assert_eq!(placed.is_ok(), expect == Some("new"), "{exists} {overwrite:?}");
            assert_eq!(fs::read_to_string(&to).ok().as_deref(), expect);
            assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 1);
        };
        check(false, Overwrite::Refuse, Some("new"));
        check(false, Overwrite::Replace, Some("new"));
        check(true, Overwrite::Replace, Some("new"));
        check(true, Overwrite::Refuse, Some("old"));
    }

    #[test]
    fn files_get_the_mode_and_time_that_they_had_or_the_usual_mode() {
        let directory = tempfile::tempdir().expect("a directory");
        let stamp = Stamp { mode: 0o640, seconds: 1_000, nanos: 0 };
        open_as(directory.path(), "old", 1)
            .expect("opened")
            .place(&"old".into(), Overwrite::Refuse, Some(stamp))
            .expect("placed");
        open_as(directory.path(), "new", 2)
            .expect("opened")
            .place(&"new".into(), Overwrite::Refuse, None)
            .expect("placed");
        fs::write(directory.path().join("usual"), "").expect("written");
        let mode = |name: &str| fs::metadata(directory.path().join(name)).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode("old"), mode("new")), (0o640, mode("usual")));
    }

    #[test]
    fn the_longest_names_have_room() {
        let directory = tempfile::tempdir().expect("a directory");
        let name = "x".repeat(255);
        open_as(directory.path(), &name, 1)
            .expect("opened")
            .place(&name.into(), Overwrite::Refuse, None)
            .expect("placed");
    }
}
