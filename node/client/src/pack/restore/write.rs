//! Writes entries to disk, in order, below a directory that nobody else can enter.
//!
//! Directories and files come first, every one created exclusively and none through a symlink; symlinks when all files
//! are there; modes and times of directories last, from the deepest up, so that one without write permission can be
//! filled.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Write},
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

use bytes::Bytes;
use ostrakon_proto::pack::{Entry, FileContent, Kind, PackPath, Stamp};
use rustix::{
    fs::{AtFlags, Mode, OFlags, mkdirat, openat, syncfs, unlinkat},
    io::Errno,
};

use super::{WriteError, survey::split};
use crate::pack::{
    attributes::{DIRECTORY_BITS, FILE_BITS, SET_ID_BITS, create_symlink, stamp_file},
    cursor::Cursor,
    remove::allow,
    staged::{Staged, Work},
    tree::{Tree, Visit, What},
};

/// One thing to write.
#[derive(Debug)]
pub(super) enum Op {
    /// An entry. Those of a file's content follow.
    Entry(Box<Entry>),
    /// A file that an earlier attempt has left whole.
    Have(Box<Entry>),
    /// The next bytes of the last file.
    Bytes(Bytes),
}

/// What was written, so far or in all.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) entries: u64,
    pub(super) size: u64,
    /// Bytes of it that an earlier attempt wrote.
    pub(super) resumed: u64,
    pub(super) bits_dropped: u64,
}

/// Writes one tree.
pub(super) struct Writer {
    work: Work,
    cursor: Cursor,
    /// Whether an earlier attempt may have left some of it.
    is_resumed: bool,
    /// Bytes of each path that name the directory itself.
    base: usize,
    file: Option<Open>,
    /// Directories and symlinks, in the order of their paths.
    later: Tree,
    written: Written,
}

/// A file that is not whole yet.
struct Open {
    file: File,
    path: PackPath,
    stamp: Stamp,
    content: FileContent,
    left: u64,
    hasher: blake3::Hasher,
}

impl Writer {
    pub(super) fn new(staged: &Staged, base: usize) -> io::Result<Self> {
        let (work, cursor, is_resumed) = (staged.work.clone(), staged.cursor()?, staged.is_resumed);
        let (file, later, written) = Default::default();
        Ok(Self { work, cursor, is_resumed, base, file, later, written })
    }

    /// Writes these; ends early when the get was dropped.
    pub(super) fn write(&mut self, ops: Vec<Op>) -> Result<(), WriteError> {
        let work = self.work.clone();
        let mut written = work.start();
        for op in ops {
            if work.is_cancelled() {
                return Err(WriteError::Cancelled);
            }
            match op {
                Op::Entry(entry) => self.entry(*entry)?,
                Op::Have(entry) => self.have(&entry),
                Op::Bytes(bytes) => {
                    self.bytes(&bytes)?;
                    *written += u64::try_from(bytes.len()).expect("a row is at most 64 MiB");
                }
            }
        }
        Ok(())
    }

    /// Symlinks, then modes and times of directories except the top; then all of it on disk.
    pub(super) fn finish(mut self) -> Result<Written, WriteError> {
        let work = self.work.clone();
        let _working = work.start();
        self.cursor.go_to(b"").map_err(failing_at(b""))?;
        let mut links = Visit::default();
        // A directory's stamp waits until the walk has left it.
        let mut open: Vec<Stamp> = Vec::new();
        while let Some(node) = links.next(&self.later) {
            if work.is_cancelled() {
                return Err(WriteError::Cancelled);
            }
            let failed = failing_at(links.path());
            let depth = links.directory().split(|byte| *byte == b'/').filter(|name| !name.is_empty()).count();
            while open.len() > depth {
                leave(&mut self.cursor, open.pop()).map_err(&failed)?;
            }
            match node.what {
                What::Symlink { .. } => {
                    let (name, target) = (links.name(), links.target(&self.later, node));
                    self.make_way(name).map_err(&failed)?;
                    create_symlink(self.cursor.here(), name, target, node.stamp).map_err(&failed)?;
                }
                What::Directory | What::File { .. } => {
                    self.cursor.enter(links.name()).map_err(&failed)?;
                    open.push(node.stamp);
                }
            }
        }
        let failed = failing_at(b"");
        while let Some(stamp) = open.pop() {
            leave(&mut self.cursor, Some(stamp)).map_err(&failed)?;
        }
        // One sync of all is a hundred times as quick as one of each.
        syncfs(self.cursor.here()).map_err(|error| failed(error.into()))?;
        Ok(self.written)
    }

    fn count(&mut self, entry: &Entry) {
        self.written.entries += 1;
        self.written.bits_dropped += u64::from(entry.stamp.mode & SET_ID_BITS != 0);
    }

    fn have(&mut self, entry: &Entry) {
        self.count(entry);
        if let Kind::File(content) = &entry.kind {
            self.written.size += content.size;
            self.written.resumed += content.size;
        }
    }

    fn entry(&mut self, entry: Entry) -> Result<(), WriteError> {
        self.count(&entry);
        let path = below(&entry, self.base).to_vec();
        let (directory, name) = split(&path);
        let failed = failing_at(&path);
        let depth = path.iter().filter(|byte| **byte == b'/').count();
        match entry.kind {
            Kind::File(content) => {
                self.cursor.go_to(directory).and_then(|()| self.make_way(name)).map_err(&failed)?;
                let file = create(&self.cursor, name).map_err(&failed)?;
                let (path, stamp, hasher) = (entry.path, entry.stamp, blake3::Hasher::new());
                self.file = Some(Open { file, path, stamp, content, left: content.size, hasher });
                self.end_file().map_err(|error| error.or(&failed))?;
            }
            Kind::Directory => {
                self.cursor.go_to(directory).map_err(&failed)?;
                match mkdirat(self.cursor.here(), name, Mode::RWXU) {
                    Err(Errno::EXIST) if self.is_resumed => allow(self.cursor.here(), name).map_err(&failed)?,
                    made => made.map_err(|error| failed(error.into()))?,
                }
                self.later.push(depth, name, (entry.stamp, What::Directory), b"");
            }
            Kind::Symlink { target } => {
                let len = u16::try_from(target.len()).expect("a target is at most 4 KiB");
                self.later.push(depth, name, (entry.stamp, What::Symlink { target: len }), &target);
            }
        }
        Ok(())
    }

    /// Removes what an earlier attempt may have left under this name.
    fn make_way(&self, name: &[u8]) -> io::Result<()> {
        if !self.is_resumed {
            return Ok(());
        }
        match unlinkat(self.cursor.here(), name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            unlinked => Ok(unlinked?),
        }
    }

    fn bytes(&mut self, bytes: &Bytes) -> Result<(), WriteError> {
        let open = self.file.as_mut().expect("bytes follow the file that they are of");
        let failed = failing_at(open.path.as_bytes().get(self.base..).unwrap_or_default());
        open.file.write_all(bytes).map_err(&failed)?;
        open.hasher.update(bytes);
        open.left -= u64::try_from(bytes.len()).expect("a row is at most 64 MiB");
        self.end_file().map_err(|error| error.or(&failed))
    }

    /// A file that is whole is checked, and gets its mode and time.
    fn end_file(&mut self) -> Result<(), Ending> {
        let Some(open) = self.file.take_if(|open| open.left == 0) else { return Ok(()) };
        let hash: [u8; 32] = open.hasher.finalize().into();
        if hash != open.content.hash {
            return Err(Ending::Hash(open.path));
        }
        stamp_file(&open.file, open.stamp, FILE_BITS).map_err(Ending::Io)?;
        self.written.size += open.content.size;
        Ok(())
    }
}

/// Why a file does not end well.
enum Ending {
    Hash(PackPath),
    Io(io::Error),
}

impl Ending {
    fn or(self, failed: impl Fn(io::Error) -> WriteError) -> WriteError {
        match self {
            Self::Hash(path) => WriteError::Hash(path),
            Self::Io(error) => failed(error),
        }
    }
}

/// The error of an operation at this path, from the destination on.
pub(in crate::pack) fn failing_at(path: &[u8]) -> impl Fn(io::Error) -> WriteError + use<> {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let path = PathBuf::from(OsStr::from_bytes(path));
    move |error| WriteError::Io(path.clone(), error)
}

/// An entry's path from the directory that is written on.
pub(super) fn below(entry: &Entry, base: usize) -> &[u8] {
    let path = entry.path.as_bytes().get(base..).unwrap_or_default();
    path.strip_prefix(b"/").unwrap_or(path)
}

fn create(cursor: &Cursor, name: &[u8]) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(cursor.here(), name, flags, Mode::RUSR | Mode::WUSR)?.into())
}

/// Leaves a directory, and gives it its mode and time: from above, since it may not let us out again.
fn leave(cursor: &mut Cursor, stamp: Option<Stamp>) -> io::Result<()> {
    let left = cursor.leave()?;
    stamp.map_or(Ok(()), |stamp| stamp_file(&left, stamp, DIRECTORY_BITS))
}
