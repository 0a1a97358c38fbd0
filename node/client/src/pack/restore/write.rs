//! Writes entries to disk, in order, below a directory that nobody else can enter.
//!
//! Directories and files come first, every one made again and none through a symlink; symlinks when all files are
//! there; modes and times of directories last, from the deepest up, so that one without write permission can be filled.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::PathBuf,
};

use bytes::Bytes;
use ostrakon_proto::pack::{Entry, FileContent, Kind, PackPath, Stamp};
use rustix::fs::{
    AtFlags, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, fchmod, futimens, mkdirat, openat, symlinkat, syncfs,
    utimensat,
};

use super::{
    super::{
        cursor::Cursor,
        place::{Gate, Part, Placing},
        tree::{Tree, Visit, What},
    },
    WriteError,
};

/// The bits that are restored: none that make a program run as somebody else.
const FILE_BITS: u16 = 0o777;
const DIRECTORY_BITS: u16 = 0o1777;
const SET_ID_BITS: u16 = 0o6000;

/// One thing to write.
#[derive(Debug)]
pub(super) enum Op {
    /// An entry. Those of a file's content follow.
    Entry(Box<Entry>),
    /// The next bytes of the last file.
    Bytes(Bytes),
}

/// What was written, so far or in all.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) entries: u64,
    pub(super) size: u64,
    pub(super) hash: Option<[u8; 32]>,
    pub(super) bits_dropped: u64,
}

impl Written {
    pub(super) fn place(self, placing: &Placing) -> Result<Self, WriteError> {
        placing.place().map_err(|error| WriteError::Io(PathBuf::new(), error))?;
        Ok(self)
    }
}

/// Writes one tree, file or symlink.
pub(super) struct Writer {
    gate: Gate,
    root: Root,
    /// Bytes of each path that name the destination itself.
    base: usize,
    file: Option<Open>,
    /// Directories and symlinks, in the order of their paths.
    later: Tree,
    written: Written,
}

/// What the destination becomes.
enum Root {
    Directory {
        cursor: Cursor,
        top: Stamp,
    },
    /// A file or a symlink of this name in this directory.
    Single {
        parent: OwnedFd,
        name: Vec<u8>,
    },
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
    /// A writer below `part`, of all entries, or of `base` and what is in it.
    pub(super) fn new(part: &Part, base: Option<&Entry>, top: Stamp) -> io::Result<Self> {
        let (parent, name) = (part.parent()?, part.name().to_vec());
        let root = match base {
            Some(Entry { kind: Kind::File(_) | Kind::Symlink { .. }, .. }) => Root::Single { parent, name },
            directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                mkdirat(&parent, &name[..], Mode::RWXU)?;
                let cursor = Cursor::new(openat(&parent, &name[..], flags, Mode::empty())?)?;
                Root::Directory { cursor, top: directory.map_or(top, |entry| entry.stamp) }
            }
        };
        let base = base.map_or(0, |entry| entry.path.as_bytes().len());
        let (file, later, written) = Default::default();
        Ok(Self { gate: part.gate(), root, base, file, later, written })
    }

    /// Writes these; ends early when nobody wants them any more.
    pub(super) fn write(&mut self, ops: Vec<Op>) -> Result<(), WriteError> {
        let gate = self.gate.clone();
        let _working = gate.enter();
        for op in ops {
            if !gate.is_open() {
                return Err(WriteError::Stopped);
            }
            match op {
                Op::Entry(entry) => self.entry(*entry)?,
                Op::Bytes(bytes) => self.bytes(&bytes)?,
            }
        }
        Ok(())
    }

    /// Symlinks, then modes and times of directories; then all of it on disk.
    pub(super) fn finish(mut self) -> Result<Written, WriteError> {
        let gate = self.gate.clone();
        let _working = gate.enter();
        let Root::Directory { cursor, top } = &mut self.root else { return Ok(self.written) };
        cursor.go_to(b"").map_err(failing_at(b""))?;
        let mut links = Visit::default();
        // A directory's stamp waits until the walk has left it.
        let mut open: Vec<Stamp> = Vec::new();
        while let Some(node) = links.next(&self.later) {
            if !gate.is_open() {
                return Err(WriteError::Stopped);
            }
            let failed = failing_at(links.path());
            let depth = links.directory().split(|byte| *byte == b'/').filter(|name| !name.is_empty()).count();
            while open.len() > depth {
                leave(cursor, open.pop()).map_err(&failed)?;
            }
            match node.what {
                What::Symlink { .. } => {
                    let (name, target) = (links.name(), links.target(&self.later, node));
                    link(cursor, name, target, node.stamp).map_err(&failed)?;
                }
                What::Directory | What::File { .. } => {
                    cursor.enter(links.name()).map_err(&failed)?;
                    open.push(node.stamp);
                }
            }
        }
        let failed = failing_at(b"");
        while let Some(stamp) = open.pop() {
            leave(cursor, Some(stamp)).map_err(&failed)?;
        }
        set(cursor.here(), *top, DIRECTORY_BITS).map_err(&failed)?;
        // One sync of all is a hundred times as quick as one of each.
        syncfs(cursor.here()).map_err(|error| failed(error.into()))?;
        self.written.bits_dropped += u64::from(top.mode & SET_ID_BITS != 0);
        Ok(self.written)
    }

    fn entry(&mut self, entry: Entry) -> Result<(), WriteError> {
        self.written.entries += 1;
        self.written.bits_dropped += u64::from(entry.stamp.mode & SET_ID_BITS != 0);
        let below = entry.path.as_bytes().get(self.base..).unwrap_or_default();
        let below = below.strip_prefix(b"/").unwrap_or(below).to_vec();
        let failed = failing_at(&below);
        let depth = below.iter().filter(|byte| **byte == b'/').count();
        let name = entry.path.name().to_vec();
        match entry.kind {
            Kind::File(content) => {
                let file = self.create(&below).map_err(&failed)?;
                let (path, stamp, hasher) = (entry.path, entry.stamp, blake3::Hasher::new());
                self.file = Some(Open { file, path, stamp, content, left: content.size, hasher });
                self.end_file().map_err(|error| error.or(&failed))?;
            }
            Kind::Directory => {
                self.cursor(&below)
                    .and_then(|cursor| Ok(mkdirat(cursor.here(), &name[..], Mode::RWXU)?))
                    .map_err(&failed)?;
                self.later.push(depth, &name, (entry.stamp, What::Directory), b"");
            }
            Kind::Symlink { target } => match &self.root {
                Root::Single { parent, name } => link_at(parent, name, &target, entry.stamp).map_err(&failed)?,
                Root::Directory { .. } => {
                    let len = u16::try_from(target.len()).expect("a target is at most 4 KiB");
                    self.later.push(depth, &name, (entry.stamp, What::Symlink { target: len }), &target);
                }
            },
        }
        Ok(())
    }

    /// The directory that this path lies in.
    fn cursor(&mut self, path: &[u8]) -> io::Result<&mut Cursor> {
        let Root::Directory { cursor, .. } = &mut self.root else {
            return Err(io::Error::other("a single file has no entries"));
        };
        let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        cursor.go_to(&path[..end])?;
        Ok(cursor)
    }

    fn create(&mut self, path: &[u8]) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = match &self.root {
            Root::Single { parent, name } => openat(parent, &name[..], flags, mode)?,
            Root::Directory { .. } => {
                let start = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
                openat(self.cursor(path)?.here(), &path[start..], flags, mode)?
            }
        };
        Ok(file.into())
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
        set(&open.file, open.stamp, FILE_BITS).map_err(Ending::Io)?;
        self.written.size += open.content.size;
        if let Root::Single { .. } = &self.root {
            open.file.sync_all().map_err(Ending::Io)?;
            self.written.hash = Some(hash);
        }
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

fn failing_at(path: &[u8]) -> impl Fn(io::Error) -> WriteError + use<> {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let path = PathBuf::from(OsStr::from_bytes(path));
    move |error| WriteError::Io(path.clone(), error)
}

/// Leaves a directory, and gives it its mode and time: from above, since it may not let us out again.
fn leave(cursor: &mut Cursor, stamp: Option<Stamp>) -> io::Result<()> {
    let left = cursor.leave()?;
    stamp.map_or(Ok(()), |stamp| set(&left, stamp, DIRECTORY_BITS))
}

fn set(file: impl AsFd, stamp: Stamp, bits: u16) -> io::Result<()> {
    fchmod(&file, Mode::from_raw_mode(u32::from(stamp.mode & bits)))?;
    Ok(futimens(&file, &times(stamp))?)
}

fn times(stamp: Stamp) -> Timestamps {
    let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let last_modification = Timespec { tv_sec: stamp.seconds, tv_nsec: stamp.nanos.into() };
    Timestamps { last_access, last_modification }
}

fn link(cursor: &Cursor, name: &[u8], target: &[u8], stamp: Stamp) -> io::Result<()> {
    link_at(cursor.here(), name, target, stamp)
}

fn link_at(directory: impl AsFd, name: &[u8], target: &[u8], stamp: Stamp) -> io::Result<()> {
    symlinkat(target, &directory, name)?;
    Ok(utimensat(&directory, name, &times(stamp), AtFlags::SYMLINK_NOFOLLOW)?)
}
