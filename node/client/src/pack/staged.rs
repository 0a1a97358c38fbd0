//! A directory that is not whole yet: under a hidden name, until it takes its own or is merged into one that exists.
//!
//! Whatever fails, or is cancelled, leaves the destination as it was, and what is worth keeping for the next attempt.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::fd::AsFd,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use ostrakon_net::lock;
use ostrakon_proto::pack::Stamp;
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, fchmod, fsync, mkdirat, renameat, statat},
    io::Errno,
};

use super::{
    attributes::{DIRECTORY_BITS, stamp, stamp_file},
    cursor::Cursor,
    remove::{allow, remove},
    restore::{WriteError, failing_at},
};
use crate::{
    Overwrite,
    get::{
        part_file::KEEP_MIN,
        staging::{StagingDirectory, StagingId},
    },
};

/// A hidden directory.
#[derive(Debug)]
pub(super) struct Staged {
    parent: StagingDirectory,
    name: Vec<u8>,
    /// Open, and held for this process.
    root: File,
    /// Whether an earlier attempt left it.
    pub(super) is_resumed: bool,
    pub(super) work: Work,
    is_over: bool,
}

/// The work of another thread on it, which stops when the directory is dropped.
#[derive(Clone, Debug, Default)]
pub(super) struct Work(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Bytes that are in it; held by the thread at work.
    written: Mutex<u64>,
    is_cancelled: AtomicBool,
}

impl Work {
    /// Held while working on it: bytes that are in it.
    pub(super) fn start(&self) -> MutexGuard<'_, u64> {
        lock(&self.0.written)
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.0.is_cancelled.load(Ordering::Acquire)
    }
}

impl Staged {
    /// What an earlier attempt left in `parent`, or a new one; `number` is random.
    pub(super) fn open(parent: StagingDirectory, id: &StagingId, number: u64) -> io::Result<Self> {
        let mut found = None;
        for name in parent.left(id)? {
            match (parent.take_up(&name, FileType::Directory)?, &found) {
                (Some(root), None) => found = Some((name, root)),
                (Some(_), Some(_)) => remove(parent.as_fd(), &name)?,
                (None, _) => {}
            }
        }
        let is_resumed = found.is_some();
        let (name, root) = match found {
            Some(found) => found,
            None => {
                let name = id.name(number);
                mkdirat(&parent, &name[..], Mode::RWXU)?;
                let taken = || io::Error::other("the directory that was just created has been replaced");
                let root = parent.take_up(&name, FileType::Directory)?.ok_or_else(taken)?;
                (name, root)
            }
        };
        fchmod(&root, Mode::RWXU)?;
        Ok(Self { parent, name, root, is_resumed, work: Work::default(), is_over: false })
    }

    /// A cursor at its top.
    pub(super) fn cursor(&self) -> io::Result<Cursor> {
        Cursor::new(self.root.try_clone()?.into())
    }

    /// A cursor at the top of the directory that it lies in.
    pub(super) fn parent(&self) -> io::Result<Cursor> {
        Cursor::new(self.parent.as_fd().try_clone_to_owned()?)
    }

    /// Gives it its name and stamp.
    pub(super) fn place(&mut self, to: &OsStr, top: Stamp) -> io::Result<()> {
        stamp_file(&self.root, top, DIRECTORY_BITS)?;
        fsync(&self.root)?;
        self.parent.place(&self.name, to, Overwrite::Refuse)?;
        self.is_over = true;
        Ok(())
    }

    /// Moves all that is in it into the directory that it lies in, file by file. What is there under other names stays.
    pub(super) fn merge(&mut self) -> Result<(), WriteError> {
        let (mut from, mut to) = (self.cursor().map_err(failing_at(b""))?, self.parent().map_err(failing_at(b""))?);
        let mut path = Vec::new();
        merge_trees(&mut from, &mut to, &mut path).map_err(failing_at(&path))?;
        self.is_over = true;
        let removed =
            fsync(&self.parent).map_err(io::Error::from).and_then(|()| remove(self.parent.as_fd(), &self.name));
        removed.map_err(failing_at(b""))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        self.work.0.is_cancelled.store(true, Ordering::Release);
        let written = *self.work.start();
        if !self.is_over && written < KEEP_MIN {
            // Nobody could do anything about a failure here.
            let _gone = remove(self.parent.as_fd(), &self.name);
        }
    }
}

/// Moves files and symlinks of `from` over those of `to`, and creates directories that are not there. `path` says where
/// it is.
fn merge_trees(from: &mut Cursor, to: &mut Cursor, path: &mut Vec<u8>) -> io::Result<()> {
    // Of each directory on the way: those in it that are left, and the stamp of one that was created.
    let mut levels = vec![(move_files(from, to, path)?, None)];
    while let Some((directories, _)) = levels.last_mut() {
        let Some(name) = directories.pop() else {
            let (_, created) = levels.pop().expect("the loop found it");
            if !levels.is_empty() {
                from.leave()?;
                let left = to.leave()?;
                created.map_or(Ok(()), |stamp| stamp_file(&left, stamp, DIRECTORY_BITS))?;
                path.truncate(path.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
            }
            continue;
        };
        path.extend(if path.is_empty() { &b""[..] } else { b"/" });
        path.extend_from_slice(&name);
        let stamp = stamp(&statat(from.here(), &name[..], AtFlags::SYMLINK_NOFOLLOW)?);
        allow(from.here(), &name)?;
        let created = match mkdirat(to.here(), &name[..], Mode::RWXU) {
            Err(Errno::EXIST) => None,
            made => made.map(|()| Some(stamp))?,
        };
        from.enter(&name)?;
        to.enter(&name)?;
        levels.push((move_files(from, to, path)?, created));
    }
    Ok(())
}

/// Moves all but directories; returns the names of those.
fn move_files(from: &Cursor, to: &Cursor, path: &mut Vec<u8>) -> io::Result<Vec<Vec<u8>>> {
    let mut directories = Vec::new();
    for entry in Dir::read_from(from.here())? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name == b"." || name == b".." {
            continue;
        }
        let stat = statat(from.here(), &name[..], AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            directories.push(name);
            continue;
        }
        renameat(from.here(), &name[..], to.here(), &name[..]).inspect_err(|_| {
            path.extend(if path.is_empty() { &b""[..] } else { b"/" });
            path.extend_from_slice(&name);
        })?;
    }
    Ok(directories)
}
