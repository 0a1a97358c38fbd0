//! A get's file before it is whole: the bytes so far, and a list of checkpoints that says how far they can be trusted.
//!
//! Both lie beside the destination under a name that follows from it, the object and the range, so that the same get
//! finds them again. A checkpoint is `u64 LE length ‖ BLAKE3 of so many bytes`, appended once they are written. Who
//! resumes hashes the file and continues behind the last checkpoint that holds: whatever a crash left, lost or tore,
//! only right bytes are kept. Nothing is synced before the end, and nothing needs to be.
//!
//! Not here: which bytes are right; they are proven before they come.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Write},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use ostrakon_proto::id::ObjectId;

use super::path::Overwrite;

/// Less than this is not worth keeping for another attempt.
const KEEP_MIN: u64 = 16 * 1024 * 1024;
/// Bytes of a checkpoint.
const CHECKPOINT: usize = 8 + 32;
/// Bytes hashed at a time.
const STEP: usize = 1024 * 1024;

/// What a get writes.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) object: ObjectId,
    /// Which bytes of it.
    pub(super) range: Range<u64>,
    /// The file that they are to be.
    pub(super) to: PathBuf,
}

/// A file that is not whole yet. Dropping it keeps what is worth keeping.
#[derive(Debug)]
pub(super) struct Partial {
    file: Arc<File>,
    path: PathBuf,
    checkpoints: File,
    checkpoints_path: PathBuf,
    done: u64,
    hasher: blake3::Hasher,
    is_placed: bool,
}

impl Partial {
    /// The file that an earlier attempt left, as far as it can be trusted, or a new one. Holds it for this process.
    pub(super) fn open(wanted: &Wanted) -> io::Result<Self> {
        let path = partial_path(wanted)?;
        let checkpoints_path = path.with_extension("part.checkpoints");
        let open = |path: &Path| File::options().read(true).write(true).create(true).truncate(false).open(path);
        let (file, checkpoints) = (open(&path)?, open(&checkpoints_path)?);
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                io::Error::new(io::ErrorKind::ResourceBusy, "another get of the same object is writing it")
            }
            TryLockError::Error(error) => error,
        })?;
        let (file, hasher) = (Arc::new(file), blake3::Hasher::new());
        let mut partial = Self { file, path, checkpoints, checkpoints_path, done: 0, hasher, is_placed: false };
        partial.trust(wanted.range.end - wanted.range.start)?;
        check_room(&partial.file, wanted.range.end - wanted.range.start - partial.done)?;
        Ok(partial)
    }

    /// Bytes that are there.
    pub(super) fn done(&self) -> u64 {
        self.done
    }

    /// Where bytes are written, by position.
    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// The next bytes were written.
    pub(super) fn note(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.done += u64::try_from(bytes.len()).expect("a length fits 64 bits");
        let mut checkpoint = [0; CHECKPOINT];
        checkpoint[..8].copy_from_slice(&self.done.to_le_bytes());
        checkpoint[8..].copy_from_slice(self.hasher.finalize().as_bytes());
        self.checkpoints.write_all(&checkpoint)
    }

    /// BLAKE3 of what is there.
    pub(super) fn hash(&self) -> [u8; 32] {
        self.hasher.finalize().into()
    }

    /// Makes the file durable, and gives it its name.
    pub(super) fn place(mut self, to: &Path, overwrite: Overwrite) -> io::Result<()> {
        self.file.sync_all()?;
        match overwrite {
            Overwrite::Replace => fs::rename(&self.path, to)?,
            // A link, unlike a rename, fails when the name was taken meanwhile.
            Overwrite::Refuse => match fs::hard_link(&self.path, to) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists && to.symlink_metadata().is_err() => {
                    fs::rename(&self.path, to)?;
                }
                linked => linked?,
            },
        }
        self.is_placed = true;
        File::open(directory_of(to))?.sync_all()
    }

    /// The bytes are not what they should be: no attempt is to begin from them.
    pub(super) fn discard(mut self) {
        self.done = 0;
    }

    /// Finds the last checkpoint that holds, and forgets what comes after it.
    fn trust(&mut self, total: u64) -> io::Result<()> {
        let mut list = Vec::new();
        self.checkpoints.read_to_end(&mut list)?;
        let (mut hasher, mut read, mut kept) = (blake3::Hasher::new(), 0, 0);
        for checkpoint in list.chunks_exact(CHECKPOINT) {
            let (length, hash) = checkpoint.split_at(8);
            let length = u64::from_le_bytes(length.try_into().expect("8 bytes"));
            if length <= read || length > total || !self.hash_up_to(&mut hasher, read..length)? {
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

    /// Hashes a range of the file; whether the file has it.
    fn hash_up_to(&self, hasher: &mut blake3::Hasher, range: Range<u64>) -> io::Result<bool> {
        let (mut buffer, mut at) = (vec![0; STEP], range.start);
        while at < range.end {
            let want = usize::try_from(range.end - at).map_or(STEP, |rest| rest.min(STEP));
            match self.file.read_exact_at(&mut buffer[..want], at) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                read => read?,
            }
            hasher.update(&buffer[..want]);
            at += u64::try_from(want).expect("at most a step");
        }
        Ok(true)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.is_placed || self.done < KEEP_MIN {
            // Gone already when it took its place; otherwise nobody could do anything about a failure here.
            let _gone = fs::remove_file(&self.path);
            let _gone = fs::remove_file(&self.checkpoints_path);
        }
    }
}

/// Said before a long transfer, not at its end. A filesystem that does not know its room is believed to have it.
fn check_room(file: &File, need: u64) -> io::Result<()> {
    let Ok(room) = rustix::fs::fstatvfs(file) else { return Ok(()) };
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    if free == 0 || free >= need {
        return Ok(());
    }
    let reason = format!("{need} bytes are still to be written, and the disk has space for {free}");
    Err(io::Error::new(io::ErrorKind::StorageFull, reason))
}

/// Beside the destination, under a name of fixed length: the destination's own may be as long as names can be.
fn partial_path(wanted: &Wanted) -> io::Result<PathBuf> {
    let Wanted { object, range, to } = wanted;
    let name = to.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(object.bytes()).update(&range.start.to_le_bytes()).update(&range.end.to_le_bytes());
    hasher.update(name.as_encoded_bytes());
    Ok(to.with_file_name(format!(".ostrakon-{}.part", &hasher.finalize().to_hex()[..16])))
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOTAL: u64 = 40 * 1024 * 1024;

    fn wanted(directory: &Path) -> Wanted {
        Wanted { object: ObjectId::new([1; 32]), range: 0..TOTAL, to: directory.join("out") }
    }

    fn piece(byte: u8) -> Vec<u8> {
        vec![byte; 10 * 1024 * 1024]
    }

    fn write(partial: &mut Partial, bytes: &[u8]) {
        partial.file().write_all_at(bytes, partial.done()).expect("written");
        partial.note(bytes).expect("noted");
    }

    /// An attempt that got three pieces and ended.
    fn attempt(directory: &Path) -> PathBuf {
        let mut partial = Partial::open(&wanted(directory)).expect("opened");
        assert_eq!(partial.done(), 0);
        (1..=3).for_each(|byte| write(&mut partial, &piece(byte)));
        partial.path.clone()
    }

    #[test]
    fn continues_behind_the_last_checkpoint_that_holds() {
        let check = |damage: &dyn Fn(&Path), expect: u64| {
            let directory = tempfile::tempdir().expect("a directory");
            damage(&attempt(directory.path()));
            let partial = Partial::open(&wanted(directory.path())).expect("opened");
            assert_eq!(partial.done(), expect);
            let whole: Vec<u8> = (1..=3).flat_map(piece).collect();
            let kept = &whole[..usize::try_from(expect).expect("small")];
            assert_eq!(partial.hash(), *blake3::hash(kept).as_bytes());
            assert_eq!(partial.file.metadata().expect("there").len(), expect, "what follows is cut off");
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
    }

    #[test]
    fn two_do_not_write_one_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let _first = Partial::open(&wanted(directory.path())).expect("opened");
        let error = Partial::open(&wanted(directory.path())).expect_err("held").to_string();
        assert!(error.contains("another get"), "{error}");
    }

    #[test]
    fn little_or_discarded_is_not_kept() {
        let directory = tempfile::tempdir().expect("a directory");
        let count = || fs::read_dir(directory.path()).expect("readable").count();
        let mut partial = Partial::open(&wanted(directory.path())).expect("opened");
        write(&mut partial, &piece(1));
        drop(partial);
        assert_eq!(count(), 0);
        attempt(directory.path());
        assert_eq!(count(), 2);
        Partial::open(&wanted(directory.path())).expect("opened").discard();
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
            let mut partial = Partial::open(&wanted(directory.path())).expect("opened");
            write(&mut partial, b"new");
            let placed = partial.place(&to, overwrite);
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
    fn the_longest_names_have_room() {
        let directory = tempfile::tempdir().expect("a directory");
        let wanted = Wanted { to: directory.path().join("x".repeat(255)), ..wanted(directory.path()) };
        Partial::open(&wanted).expect("opened").place(&wanted.to, Overwrite::Refuse).expect("placed");
    }
}
