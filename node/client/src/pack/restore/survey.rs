//! What exists before a directory is written: files of an earlier attempt that are whole, and what is in the way.

use std::{fs::File, io, path::PathBuf};

use ostrakon_proto::pack::{Entry, FileContent, Kind};
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, openat, statat},
    io::Errno,
};

use super::{WriteError, failing_at, write::below};
use crate::{
    get::{
        part_file::hash_range,
        save::{Destination, Occupant},
    },
    pack::{
        cursor::Cursor,
        staged::{Staged, Work},
    },
};

/// Looks at one entry after the other.
pub(super) struct Survey {
    work: Work,
    /// Where an earlier attempt has left files.
    staged: Option<Cursor>,
    /// What is merged into.
    target: Option<Cursor>,
    /// Bytes of each path that name the directory itself.
    pub(super) base: usize,
}

impl Survey {
    pub(super) fn new(staged: &Staged, to: &Destination) -> io::Result<Self> {
        let is_merged = matches!(to.occupant, Occupant::Directory { .. });
        Ok(Self {
            work: staged.work.clone(),
            staged: staged.is_resumed.then(|| staged.cursor()).transpose()?,
            target: is_merged.then(|| staged.parent()).transpose()?,
            base: 0,
        })
    }

    /// Of each file, whether it is there whole. Entries come in the order of their paths.
    pub(super) fn look(&mut self, entries: &[Entry]) -> Result<Vec<bool>, WriteError> {
        let work = self.work.clone();
        let mut written = work.start();
        let mut have = Vec::new();
        for entry in entries {
            if work.is_cancelled() {
                return Err(WriteError::Cancelled);
            }
            let path = below(entry, self.base);
            if let Some(target) = &mut self.target {
                check_free(target, path, entry)?;
            }
            if let Kind::File(content) = &entry.kind {
                let is_whole = match &mut self.staged {
                    Some(staged) => is_whole(staged, path, content).map_err(failing_at(path))?,
                    None => false,
                };
                *written += if is_whole { content.size } else { 0 };
                have.push(is_whole);
            }
        }
        Ok(have)
    }
}

/// Fails where there is a directory and none is to be, or the other way round.
fn check_free(target: &mut Cursor, path: &[u8], entry: &Entry) -> Result<(), WriteError> {
    let (directory, name) = split(path);
    let stat = match target.go_to(directory).map(|()| statat(target.here(), name, AtFlags::SYMLINK_NOFOLLOW)) {
        // What it lies in is not there, either.
        Err(_) | Ok(Err(Errno::NOENT)) => return Ok(()),
        Ok(stat) => stat.map_err(|error| failing_at(path)(error.into()))?,
    };
    let conflict = |found, needed| Err(WriteError::Conflict(failing_path(path), found, needed));
    match (&entry.kind, FileType::from_raw_mode(stat.st_mode)) {
        (Kind::Directory, FileType::Directory) => Ok(()),
        (Kind::Directory, FileType::Symlink) => conflict("a symlink", "a directory"),
        (Kind::Directory, _) => conflict("a file", "a directory"),
        (Kind::File(_), FileType::Directory) => conflict("a directory", "a file"),
        (Kind::Symlink { .. }, FileType::Directory) => conflict("a directory", "a symlink"),
        (Kind::File(_) | Kind::Symlink { .. }, _) => Ok(()),
    }
}

fn is_whole(staged: &mut Cursor, path: &[u8], content: &FileContent) -> io::Result<bool> {
    let (directory, name) = split(path);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = staged.go_to(directory).map(|()| openat(staged.here(), name, flags, Mode::empty()));
    let Ok(Ok(file)) = opened else { return Ok(false) };
    let file = File::from(file);
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() != content.size {
        return Ok(false);
    }
    let mut hasher = blake3::Hasher::new();
    Ok(hash_range(&file, &mut hasher, 0..content.size)? && *hasher.finalize().as_bytes() == content.hash)
}

/// What a path lies in, and its last component.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

fn failing_path(path: &[u8]) -> PathBuf {
    PathBuf::from(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path))
}
