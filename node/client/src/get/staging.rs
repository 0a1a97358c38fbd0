//! What is not whole yet lies beside its destination, or in it, under a hidden name.
//!
//! The name has a number that follows from what is fetched, so that the next attempt finds it, and one that is random,
//! so that nobody can be there first. Everything is created exclusively and nothing is opened through a symlink; what
//! an earlier attempt left is taken up only when it is the user's own and nobody else can have written to it.

use std::{
    ffi::OsStr,
    fs::{File, TryLockError},
    io,
    ops::Range,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use ostrakon_proto::{id::ObjectId, pack::PackPath};
use rustix::{
    fs::{
        AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, fstat, fsync, open, openat, renameat, renameat_with, statat,
    },
    io::Errno,
    process::geteuid,
};

use super::Overwrite;

const PREFIX: &str = ".ostrakon-";
const SUFFIX: &str = ".part";

/// An open directory in which something is staged.
#[derive(Debug)]
pub(crate) struct StagingDirectory(OwnedFd);

/// What is fetched to where: equal for two attempts at the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StagingId(String);

impl StagingId {
    pub(crate) fn new(object: ObjectId, path: Option<&PackPath>, range: &Range<u64>, to: &Path) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(object.bytes()).update(&range.start.to_le_bytes()).update(&range.end.to_le_bytes());
        for bytes in [path.map_or(&b""[..], PackPath::as_bytes), to.file_name().unwrap_or_default().as_bytes()] {
            hasher.update(&u64::try_from(bytes.len()).expect("a length fits 64 bits").to_le_bytes()).update(bytes);
        }
        Self(hasher.finalize().to_hex()[..16].to_owned())
    }

    /// A name that nobody can know before: `number` is random.
    pub(crate) fn name(&self, number: u64) -> Vec<u8> {
        format!("{PREFIX}{}-{number:016x}{SUFFIX}", self.0).into_bytes()
    }
}

/// Whether a name is that of something staged.
pub(crate) fn is_staged(name: &[u8]) -> bool {
    name.starts_with(PREFIX.as_bytes()) && name.ends_with(SUFFIX.as_bytes())
}

impl StagingDirectory {
    /// The directory at this path.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        Ok(Self(open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?))
    }

    /// Names of what earlier attempts have left.
    pub(crate) fn left(&self, id: &StagingId) -> io::Result<Vec<Vec<u8>>> {
        let start = format!("{PREFIX}{}-", id.0);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name.starts_with(start.as_bytes()) && is_staged(&name) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// What an earlier attempt left under this name, if it can be trusted; held for this process.
    ///
    /// # Errors
    /// [`io::ErrorKind::ResourceBusy`] when another process holds it.
    pub(crate) fn take_up(&self, name: &[u8], kind: FileType) -> io::Result<Option<File>> {
        let flags = match kind {
            FileType::Directory => OFlags::RDONLY | OFlags::DIRECTORY,
            _ => OFlags::RDWR | OFlags::NONBLOCK,
        };
        let opened = openat(&self.0, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
        let Some(file) = opened.ok().map(File::from).filter(|file| is_own(file, kind)) else { return Ok(None) };
        hold(&file)?;
        Ok(Some(file))
    }

    /// A new file that is the user's alone; held for this process.
    pub(crate) fn create(&self, name: &[u8]) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(openat(&self.0, name, flags, Mode::RUSR | Mode::WUSR)?);
        hold(&file)?;
        Ok(file)
    }

    /// Gives what is staged its name, in one step and permanently.
    pub(crate) fn place(&self, name: &[u8], to: &OsStr, overwrite: Overwrite) -> io::Result<()> {
        match overwrite {
            Overwrite::Replace => renameat(&self.0, name, &self.0, to.as_bytes())?,
            Overwrite::Refuse => match renameat_with(&self.0, name, &self.0, to.as_bytes(), RenameFlags::NOREPLACE) {
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    match statat(&self.0, to.as_bytes(), AtFlags::SYMLINK_NOFOLLOW) {
                        Err(Errno::NOENT) => renameat(&self.0, name, &self.0, to.as_bytes())?,
                        there => return Err(there.err().unwrap_or(Errno::EXIST).into()),
                    }
                }
                renamed => renamed?,
            },
        }
        Ok(fsync(&self.0)?)
    }
}

impl AsFd for StagingDirectory {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether it is the user's own, of this kind, and nobody else can open it or has another name for it.
fn is_own(file: &File, kind: FileType) -> bool {
    fstat(file).is_ok_and(|stat| {
        let has_one_name = kind == FileType::Directory || stat.st_nlink == 1;
        let is_private = stat.st_mode & 0o077 == 0 && stat.st_uid == geteuid().as_raw();
        FileType::from_raw_mode(stat.st_mode) == kind && has_one_name && is_private
    })
}

fn hold(file: &File) -> io::Result<()> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => {
            io::Error::new(io::ErrorKind::ResourceBusy, "another process is fetching the same object to it")
        }
        TryLockError::Error(error) => error,
    })
}

/// Reported before a long transfer, not at its end. A filesystem that does not report its free space is trusted.
pub(crate) fn check_space(on: impl AsFd, need: u64) -> io::Result<()> {
    let Ok(space) = rustix::fs::fstatvfs(on) else { return Ok(()) };
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    if free == 0 || free >= need {
        return Ok(());
    }
    let reason = format!("{need} bytes are still to be written, and the disk has {free} bytes free");
    Err(io::Error::new(io::ErrorKind::StorageFull, reason))
}
