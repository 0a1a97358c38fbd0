//! Removes a tree of any depth, whatever its modes, and nothing through a symlink.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use rustix::{
    fs::{AtFlags, Dir, Mode, OFlags, chmod, fchmod, openat, unlinkat},
    io::Errno,
};

use super::cursor::Cursor;

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

/// Makes a directory that may not be entered or written to one that may.
pub(super) fn allow(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(parent, name, flags, Mode::empty())?;
    // Of a descriptor that only names it, the mode can be changed by its path alone. If that fails, entering reports
    // it.
    let _as_it_was = chmod(format!("/proc/self/fd/{}", directory.as_raw_fd()), Mode::RWXU);
    Ok(())
}

/// Removes all but directories from where the cursor is; returns their names.
fn empty(cursor: &Cursor) -> io::Result<Vec<Vec<u8>>> {
    // As above: if it fails, removing reports it.
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
