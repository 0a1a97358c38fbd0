//! Modes, times and holes on disk.
//!
//! Set-user-id and set-group-id bits are not restored: nobody should run a stranger's program as somebody else. Owners
//! are not kept.

use std::{ffi::OsStr, io, os::fd::AsFd};

use ostrakon_proto::pack::Stamp;
use rustix::fs::{
    AtFlags, Mode, SeekFrom, Stat, Timespec, Timestamps, UTIME_OMIT, fchmod, futimens, seek, symlinkat, unlinkat,
    utimensat,
};

use crate::{Overwrite, get::staging::StagingDirectory};

/// The bits that are restored.
pub(crate) const FILE_BITS: u16 = 0o777;
pub(crate) const DIRECTORY_BITS: u16 = 0o1777;
/// Bits that are not.
pub(crate) const SET_ID_BITS: u16 = 0o6000;
/// Bytes of a block, as the system counts them.
const BLOCK: u64 = 512;

/// Mode and time of what the system says this of.
pub(crate) fn stamp(stat: &Stat) -> Stamp {
    let mode = u16::try_from(stat.st_mode & 0o7777).expect("twelve bits");
    let nanos = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    Stamp { mode, seconds: stat.st_mtime, nanos }
}

/// How many bytes of a file, at its first byte now and afterwards, take no space on disk because it has holes.
pub(crate) fn holes(file: impl AsFd, stat: &Stat) -> u64 {
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let on_disk = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(BLOCK);
    if on_disk >= size {
        return 0;
    }
    // What is compressed takes less space too, and has none.
    let has_hole = seek(&file, SeekFrom::Hole(0)).is_ok_and(|at| at < size);
    let is_back = seek(&file, SeekFrom::Start(0)).is_ok();
    if has_hole && is_back { size - on_disk } else { 0 }
}

/// Gives a file or directory its time, and these bits of its mode.
pub(crate) fn stamp_file(file: impl AsFd, stamp: Stamp, bits: u16) -> io::Result<()> {
    fchmod(&file, Mode::from_raw_mode(u32::from(stamp.mode & bits)))?;
    Ok(futimens(&file, &times(stamp))?)
}

/// Creates a symlink, with its time.
pub(crate) fn create_symlink(directory: impl AsFd, name: &[u8], target: &[u8], stamp: Stamp) -> io::Result<()> {
    symlinkat(target, &directory, name)?;
    Ok(utimensat(&directory, name, &times(stamp), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Creates a symlink under a hidden name, and then gives it its own.
pub(crate) fn place_symlink(
    directory: &StagingDirectory,
    staged: &[u8],
    (target, stamp): (&[u8], Stamp),
    (to, overwrite): (&OsStr, Overwrite),
) -> io::Result<()> {
    create_symlink(directory, staged, target, stamp)?;
    directory.place(staged, to, overwrite).inspect_err(|_| {
        let _gone = unlinkat(directory, staged, AtFlags::empty());
    })
}

fn times(stamp: Stamp) -> Timestamps {
    let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let last_modification = Timespec { tv_sec: stamp.seconds, tv_nsec: stamp.nanos.into() };
    Timestamps { last_access, last_modification }
}
