//! What is not whole yet lies beside its destination, and takes its place in one step.
//!
//! Whatever fails, or is cancelled, leaves nothing behind and the destination as it was. A directory that is replaced
//! is replaced as a whole, and removed.

use std::{
    ffi::OsString,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use ostrakon_net::lock;
use rustix::{
    fs::{
        AtFlags, Dir, Mode, OFlags, RenameFlags, chmod, fchmod, fsync, open, openat, renameat, renameat_with, statat,
        unlinkat,
    },
    io::Errno,
};

use super::cursor::Cursor;
use crate::Overwrite;

/// Bytes of the destination's name that are in the name beside it.
const NAME: usize = 200;

/// A name beside a destination. Whatever is there when it is dropped is removed.
#[derive(Debug)]
pub(super) struct Part {
    parent: OwnedFd,
    name: Vec<u8>,
    to: OsString,
    gate: Gate,
}

/// Lets work continue that another thread does, and stops it.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    busy: Mutex<()>,
    is_shut: AtomicBool,
}

impl Gate {
    /// The worker holds this.
    pub(super) fn enter(&self) -> MutexGuard<'_, ()> {
        lock(&self.0.busy)
    }

    /// Whether the work is still wanted.
    pub(super) fn is_open(&self) -> bool {
        !self.0.is_shut.load(Ordering::Acquire)
    }

    fn shut(&self) {
        self.0.is_shut.store(true, Ordering::Release);
    }
}

impl Part {
    /// A name beside `to` that nobody else uses: `number` is random.
    pub(super) fn new(to: &Path, number: u64) -> io::Result<Self> {
        let none = || io::Error::new(io::ErrorKind::InvalidInput, "it names no file or directory");
        let name = to.file_name().ok_or_else(none)?;
        let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let parent = open(parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let short = &name.as_bytes()[..name.len().min(NAME)];
        let part = [b".", short, format!(".{number:016x}.part").as_bytes()].concat();
        Ok(Self { parent, name: part, to: name.to_owned(), gate: Gate::default() })
    }

    pub(super) fn parent(&self) -> io::Result<OwnedFd> {
        self.parent.try_clone()
    }

    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    pub(super) fn gate(&self) -> Gate {
        self.gate.clone()
    }

    /// What is put in place when it is whole.
    pub(super) fn placing(&self, overwrite: Overwrite) -> io::Result<Placing> {
        Ok(Placing { parent: self.parent()?, name: self.name.clone(), to: self.to.clone(), overwrite })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.gate.shut();
        let _nobody_works = self.gate.enter();
        // Gone already when it took its place; otherwise nobody could do anything about a failure here.
        let _gone = remove(self.parent.as_fd(), &self.name);
    }
}

/// The last step.
#[derive(Debug)]
pub(super) struct Placing {
    parent: OwnedFd,
    name: Vec<u8>,
    to: OsString,
    overwrite: Overwrite,
}

impl Placing {
    /// Gives the destination's name to what is beside it.
    pub(super) fn place(&self) -> io::Result<()> {
        match self.overwrite {
            Overwrite::Refuse => self.take_free_name()?,
            Overwrite::Replace => match self.rename(RenameFlags::EXCHANGE) {
                Err(Errno::NOENT) => self.take_free_name()?,
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.replace_in_two_steps()?,
                exchanged => {
                    exchanged?;
                    self.remove_old(&self.name)?;
                }
            },
        }
        Ok(fsync(&self.parent)?)
    }

    fn rename(&self, flags: RenameFlags) -> Result<(), Errno> {
        renameat_with(&self.parent, &self.name[..], &self.parent, self.to.as_bytes(), flags)
    }

    fn take_free_name(&self) -> io::Result<()> {
        match self.rename(RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                match statat(&self.parent, self.to.as_bytes(), AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => {}
                    Ok(_) => return Err(Errno::EXIST.into()),
                    Err(error) => return Err(error.into()),
                }
                Ok(renameat(&self.parent, &self.name[..], &self.parent, self.to.as_bytes())?)
            }
            renamed => Ok(renamed?),
        }
    }

    /// Where names cannot be exchanged: the old one goes aside for a moment.
    fn replace_in_two_steps(&self) -> io::Result<()> {
        let aside = [&self.name[..], b".old"].concat();
        renameat(&self.parent, self.to.as_bytes(), &self.parent, &aside[..])?;
        let placed = renameat(&self.parent, &self.name[..], &self.parent, self.to.as_bytes());
        if let Err(error) = placed {
            renameat(&self.parent, &aside[..], &self.parent, self.to.as_bytes())?;
            return Err(error.into());
        }
        self.remove_old(&aside)
    }

    fn remove_old(&self, name: &[u8]) -> io::Result<()> {
        remove(self.parent.as_fd(), name).map_err(|error| {
            let rest = String::from_utf8_lossy(name);
            io::Error::new(
                error.kind(),
                format!("it is in place, but the old one, now {rest}, cannot be removed: {error}"),
            )
        })
    }
}

/// Removes a file, a symlink, or a directory of any depth; nothing is not an error.
pub(super) fn remove(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(Errno::NOENT) => return Ok(()),
        unlinked => return Ok(unlinked?),
    }
    allow(parent, name)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut cursor = Cursor::new(openat(parent, name, flags, Mode::empty())?)?;
    // Of each directory on the way: its name, and the directories in it.
    let mut levels = vec![(Vec::new(), empty(&cursor)?)];
    while let Some((_, directories)) = levels.last_mut() {
        match directories.pop() {
            Some(name) => {
                allow(cursor.here(), &name)?;
                cursor.enter(&name)?;
                levels.push((name, empty(&cursor)?));
            }
            None => {
                let (name, _) = levels.pop().expect("the loop found it");
                if !levels.is_empty() {
                    cursor.leave()?;
                    unlinkat(cursor.here(), &name[..], AtFlags::REMOVEDIR)?;
                }
            }
        }
    }
    Ok(unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

/// Makes a directory that may not be entered one that may.
fn allow(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(parent, name, flags, Mode::empty())?;
    // Of a descriptor that only names it, the mode can be changed by its path alone. It matters to few, and if it
    // fails, entering reports it.
    let _as_it_was = chmod(format!("/proc/self/fd/{}", directory.as_raw_fd()), Mode::RWXU);
    Ok(())
}

/// Removes all but directories from where the cursor is; gives their names.
fn empty(cursor: &Cursor) -> io::Result<Vec<Vec<u8>>> {
    // As with entering: removing says what failed.
    let _as_it_was = fchmod(cursor.here(), Mode::RWXU);
    let mut directories = Vec::new();
    for entry in Dir::read_from(cursor.here())? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name == b"." || name == b".." {
            continue;
        }
        match unlinkat(cursor.here(), &name[..], AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => directories.push(name),
            Err(Errno::NOENT) => {}
            unlinked => unlinked?,
        }
    }
    Ok(directories)
}
