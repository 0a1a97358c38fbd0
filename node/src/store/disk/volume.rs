//! The directory and the disk under it: one process at a time, a reserve of free space, no writes after a failed sync,
//! and none once another disk is in its place.
//!
//! In come files to preallocate, sync and punch holes into; out come errors that name the file. Not here: what the
//! files contain.

use std::{
    fs::{self, File},
    io,
    ops::Range,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use rustix::{
    fs::{FallocateFlags, FlockOperation, StatVfs, fallocate, flock, fstatvfs},
    io::Errno,
};

use tokio::time::Instant;

use super::super::{StoreError, upload::Reservation};
use super::{Around, OpenError};
use crate::{
    ledger_room::LedgerRoom,
    metrics::{StoreMetrics, Synced},
};

/// The largest default reserve: enough for logs and files that others write.
const RESERVE_MAX: u64 = 10 << 30;
/// The default reserve is one part in this many of the disk, 5 %, if that is less.
const RESERVE_PART: u64 = 20;
/// The most that is preallocated in one step, so that a stream of unknown length does not use a whole extent's space.
const STEP: u64 = 16 << 20;

/// A locked directory.
#[derive(Debug)]
pub(super) struct Volume {
    root: PathBuf,
    /// Locked until the process ends, however it ends.
    lock: File,
    /// The file system that the directory was on when it was opened.
    device: u64,
    reserve_bytes: Option<u64>,
    /// The room of the ledger, if that is on this disk: columns leave free what is unused of it.
    room: Option<Arc<LedgerRoom>>,
    promised: Arc<AtomicU64>,
    poisoned: AtomicBool,
    incoming: AtomicU64,
    pub(super) metrics: StoreMetrics,
    #[cfg(test)]
    pub(super) faults: Faults,
}

/// What tests do to a disk.
#[cfg(test)]
#[derive(Debug)]
pub(super) struct Faults {
    /// Syncs that still succeed.
    pub(super) syncs: AtomicU64,
    /// Bytes that are free, whatever the disk says.
    pub(super) free: std::sync::Mutex<Option<u64>>,
}

impl Volume {
    /// Locks the directory, creates what is missing in it, and removes unfinished uploads.
    pub(super) fn open(root: &Path, reserve_bytes: Option<u64>, around: Around) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { path: root.to_owned(), source };
        fs::create_dir_all(root).map_err(io)?;
        let root = root.canonicalize().map_err(io)?;
        let lock = File::options().create(true).truncate(false).write(true).open(root.join("lock")).map_err(io)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            Errno::WOULDBLOCK => OpenError::InUse { dir: root.clone() },
            error => io(error.into()),
        })?;
        let device = fs::metadata(&root).map_err(io)?.dev();
        let Around { metrics, room } = around;
        let volume = Self {
            root,
            lock,
            device,
            reserve_bytes,
            room: room.is_on(device).then_some(room),
            promised: Arc::default(),
            poisoned: AtomicBool::new(false),
            incoming: AtomicU64::new(0),
            metrics,
            #[cfg(test)]
            faults: Faults { syncs: AtomicU64::new(u64::MAX), free: std::sync::Mutex::new(None) },
        };
        volume.lay_out().map_err(io)?;
        volume.sync_dir(&volume.root)?;
        volume.sync_dir(&volume.path("columns"))?;
        if let Some(parent) = volume.root.parent() {
            volume.sync_dir(parent)?;
        }
        Ok(volume)
    }

    fn lay_out(&self) -> io::Result<()> {
        remove_dir(&self.path("incoming"))?;
        ["incoming", "columns", "packs"].into_iter().try_for_each(|dir| fs::create_dir_all(self.path(dir)))?;
        (0..=u8::MAX).try_for_each(|byte| fs::create_dir_all(self.path("columns").join(format!("{byte:02x}"))))
    }

    /// The path of `name` in the directory.
    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }

    /// A unique path for an unfinished file.
    pub(super) fn incoming_path(&self) -> PathBuf {
        self.path("incoming").join(self.incoming.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Bytes free for columns, including those that are reserved for uploads.
    pub(super) fn free(&self) -> u64 {
        self.size_and_free().1
    }

    /// Bytes of the disk, and those of them that are free for columns.
    pub(super) fn size_and_free(&self) -> (u64, u64) {
        let Ok(disk) = fstatvfs(&self.lock) else { return (0, 0) };
        let available = disk.f_bavail.saturating_mul(disk.f_frsize);
        let of_ledger = self.room.as_ref().map_or(0, |room| room.unused());
        let reserve = self.reserve_bytes.unwrap_or_else(|| default_reserve(&disk)).saturating_add(of_ledger);
        let free = available.saturating_sub(reserve);
        #[cfg(test)]
        let free = ostrakon_net::lock(&self.faults.free).unwrap_or(free);
        (disk.f_blocks.saturating_mul(disk.f_frsize), free)
    }

    /// Bytes reserved for uploads and not yet used.
    pub(super) fn promised(&self) -> u64 {
        self.promised.load(Ordering::Relaxed)
    }

    /// Reserves this many bytes for an upload.
    pub(super) fn promise(&self, bytes: u64) -> Result<Reservation, StoreError> {
        let mut share = Reservation::of(&self.promised);
        share.set(bytes);
        let free = self.free();
        match self.promised() > free {
            true => Err(StoreError::Full { wanted: bytes, free: free.saturating_sub(self.promised() - bytes) }),
            false => Ok(share),
        }
    }

    /// Makes sure that the file has blocks for a range, and some more up to `limit` while there is space; returns the
    /// end of its blocks.
    pub(super) fn preallocate(
        &self,
        file: &File,
        path: &Path,
        missing: Range<u64>,
        limit: u64,
    ) -> Result<u64, StoreError> {
        if missing.is_empty() {
            return Ok(missing.start);
        }
        let wanted = missing.end - missing.start;
        let step = wanted.next_multiple_of(STEP).min(limit.saturating_sub(missing.start)).max(wanted);
        let length = if self.free() > step { step } else { wanted };
        match fallocate(file, FallocateFlags::empty(), missing.start, length) {
            // Without preallocation the file system is only slower.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(missing.start + length),
            Err(error) => Err(self.failed(path, length, error.into())),
        }
    }

    /// Releases the blocks of a part of a file; where the file system cannot, a later rewrite of the file does.
    pub(super) fn punch(&self, file: &File, offset: u64, length: u64) -> io::Result<()> {
        match fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, length) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a file's bytes durable.
    pub(super) fn sync(&self, file: &File, path: &Path) -> Result<(), StoreError> {
        self.writable()?;
        let begun = Instant::now();
        let synced = file.sync_data();
        self.metrics.synced(Synced::Data, begun.elapsed());
        self.trust(path, synced)
    }

    /// Makes a directory's names durable.
    pub(super) fn sync_dir(&self, path: &Path) -> Result<(), StoreError> {
        self.writable()?;
        let begun = Instant::now();
        let synced = File::open(path).and_then(|dir| dir.sync_all());
        self.metrics.synced(Synced::Directory, begun.elapsed());
        self.trust(path, synced)
    }

    /// After a failed sync the kernel may have dropped the dirty pages, so that another one that succeeds proves
    /// nothing.
    fn trust(&self, path: &Path, synced: io::Result<()>) -> Result<(), StoreError> {
        #[cfg(test)]
        let synced = match self.faults.syncs.load(Ordering::Relaxed) {
            0 => Err(Errno::IO.into()),
            left => {
                self.faults.syncs.store(left - 1, Ordering::Relaxed);
                synced
            }
        };
        synced.map_err(|error| {
            self.poison();
            self.failed(path, 0, error)
        })
    }

    /// No more writes until the process is restarted.
    pub(super) fn poison(&self) {
        if !self.poisoned.swap(true, Ordering::Relaxed) {
            tracing::error!(
                volume = %self.root.display(),
                "a write to this volume failed, so it is read-only now: repair the disk and restart the node"
            );
        }
    }

    /// Whether writes are still allowed.
    pub(super) fn writable(&self) -> Result<(), StoreError> {
        if self.poisoned.load(Ordering::Relaxed) { Err(StoreError::Poisoned) } else { self.in_place() }
    }

    /// Fails when the disk was unmounted: paths below the directory are then on another disk, under the mount point.
    pub(super) fn in_place(&self) -> Result<(), StoreError> {
        match fs::metadata(&self.root) {
            Ok(found) if found.dev() != self.device => Err(StoreError::Gone { path: self.root.clone() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::Gone { path: self.root.clone() }),
            // Where it cannot be told, the write itself will.
            _ => Ok(()),
        }
    }

    /// The error of a write to this file. A disk that fails or was made read-only gets no more writes.
    pub(super) fn failed(&self, path: &Path, wanted: u64, source: io::Error) -> StoreError {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                return StoreError::Full { wanted, free: self.free() };
            }
            io::ErrorKind::ReadOnlyFilesystem => self.poison(),
            _ if source.raw_os_error() == Some(Errno::IO.raw_os_error()) => self.poison(),
            _ => {}
        }
        failed(path, source)
    }
}

/// Removes a directory that may be missing.
pub(super) fn remove_dir(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The error of an operation on this file.
pub(super) fn failed(path: &Path, source: io::Error) -> StoreError {
    StoreError::Io { path: path.to_owned(), source: Arc::new(source) }
}

fn default_reserve(disk: &StatVfs) -> u64 {
    (disk.f_blocks.saturating_mul(disk.f_frsize) / RESERVE_PART).min(RESERVE_MAX)
}

/// The first offset at or after `from` that is not in a hole; `None` when there is none.
pub(super) fn next_data(file: impl AsFd, from: u64) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(from)) {
        Ok(offset) => Ok(Some(offset)),
        Err(Errno::NXIO) => Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some(from)),
        Err(error) => Err(error.into()),
    }
}
