//! The store on a real directory: [`model`] against the memory implementation, [`crash`] against lost power,
//! [`faults`] against bad input and bad disks, [`packs`] for what many small columns share.

mod crash;
mod faults;
mod model;
mod packs;

use std::path::{Path, PathBuf};

use ostrakon_proto::id::ColumnId;

use super::{Disk, DiskConfig, OpenError};

/// Small packs, so that tests see many; nothing kept free, so that they run on a full disk.
const CONFIG: DiskConfig = DiskConfig { reserve_bytes: Some(0), pack_bytes: 2 << 20, uploads: 16, held_bytes: 8 << 20 };

impl Disk {
    /// So many bytes are free, whatever the disk says.
    pub(in crate::store) fn set_free(&self, bytes: u64) {
        *ostrakon_net::lock(&self.volume.faults.free) = Some(bytes);
    }

    /// Fault: every sync fails from now on.
    pub(in crate::store) fn fail_syncs(&self) {
        self.volume.faults.syncs.store(0, std::sync::atomic::Ordering::Relaxed);
    }

    /// The file of a large column.
    pub(in crate::store) fn file_of(&self, column: &ColumnId) -> PathBuf {
        super::files::path_of(&self.volume, column)
    }
}

fn open(dir: &Path) -> Disk {
    try_open(dir).expect("the store opens")
}

fn try_open(dir: &Path) -> Result<Disk, OpenError> {
    Disk::open(dir, CONFIG)
}

/// A copy of the whole store as it lies on disk now.
fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().expect("a directory");
    copy_into(from, to.path());
    to
}

fn copy_into(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("readable") {
        let (from, to) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).expect("readable");
        match from.is_dir() {
            true => copy_into(&from, &to),
            false => drop(std::fs::copy(from, to).expect("copied")),
        }
    }
}

/// All files below a directory, in order.
fn files_below(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).expect("readable") {
        let path = entry.expect("readable").path();
        match path.is_dir() {
            true => files.extend(files_below(&path)),
            false => files.push(path),
        }
    }
    files.sort();
    files
}
