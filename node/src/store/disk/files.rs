//! Columns of 1 MiB or more: one file each. And the bytes of any upload until it is whole.
//!
//! An upload starts in memory, laid out as a pack's record, and moves to a file in `incoming/` once it is too large for
//! a pack or memory is short. A complete column's file gets its outboard and manifest, its header last, one sync, its
//! name in `columns/`, and the sync of that directory: a file that has its name is complete.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use ostrakon_proto::{
    id::ColumnId,
    limits::CHUNK,
    tree::{Outboard, TreeBuilder},
};

use super::super::{
    StoreError, length_of,
    upload::{Reservation, UploadBody},
};
use super::{
    record::{FILE_DATA, HEADER, Header},
    volume::{Volume, failed},
};

/// Columns of this many bytes have a file of their own; smaller ones share packs.
pub(super) const FILE_MIN: u64 = 1 << 20;

/// An upload's bytes so far.
#[derive(Debug)]
pub(super) struct Staged {
    volume: Arc<Volume>,
    reserve: u64,
    promise: Reservation,
    place: Staging,
}

#[derive(Debug)]
enum Staging {
    /// Space for a header, then data: an unfinished pack record.
    Memory(Vec<u8>),
    File(Incoming),
}

/// A file in `incoming/`; deleted when dropped, unless it was renamed.
#[derive(Debug)]
struct Incoming {
    file: File,
    path: PathBuf,
    /// Bytes of data written, from [`FILE_DATA`] on.
    written: u64,
    /// The end of the file's preallocated blocks.
    allocated: u64,
    /// Bytes of data that are reserved.
    reserve: u64,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // Renamed already, or deleted at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

impl Staged {
    /// An empty upload, with `reserve` bytes of disk space reserved.
    pub(super) fn new(volume: &Arc<Volume>, reserve: u64) -> Result<Self, StoreError> {
        let promise = volume.promise(reserve)?;
        Ok(Self { volume: Arc::clone(volume), reserve, promise, place: Staging::Memory(vec![0; HEADER]) })
    }

    /// Makes it a column's file with its name, durably. The caller has verified the header.
    pub(super) fn into_file(self, header: &Header, outboard: &Outboard, manifest: &[u8]) -> Result<(), StoreError> {
        let Self { volume, place, .. } = self;
        let incoming = match place {
            Staging::File(incoming) => incoming,
            Staging::Memory(record) => {
                let mut incoming = Incoming::new(&volume, header.place.column_len)?;
                incoming.append(&volume, &record[HEADER..])?;
                incoming
            }
        };
        incoming.complete(&volume, header, outboard, manifest)
    }

    /// Makes it a pack's record, padded with zeros.
    pub(super) fn into_record(
        self,
        header: &Header,
        outboard: &Outboard,
        manifest: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        let mut record = match self.place {
            Staging::Memory(record) => record,
            Staging::File(incoming) => incoming.read_back()?,
        };
        record[..HEADER].copy_from_slice(&header.encode());
        record.extend_from_slice(outboard.as_bytes());
        record.extend_from_slice(manifest);
        record.resize(usize::try_from(header.pack_len()).expect("a small column's record"), 0);
        Ok(record)
    }
}

impl UploadBody for Staged {
    fn append(&mut self, bytes: &[u8], spare: u64) -> Result<(), StoreError> {
        self.volume.writable()?;
        if let Staging::Memory(record) = &mut self.place {
            let added = u64::try_from(bytes.len()).expect("fits");
            if length_of(record) + added < FILE_MIN && added <= spare {
                record.extend_from_slice(bytes);
                return Ok(());
            }
            let mut incoming = Incoming::new(&self.volume, self.reserve)?;
            incoming.append(&self.volume, &record[HEADER..])?;
            self.place = Staging::File(incoming);
        }
        if let Staging::File(incoming) = &mut self.place {
            let before = incoming.allocated;
            incoming.append(&self.volume, bytes)?;
            self.promise.spend(incoming.allocated - before);
        }
        Ok(())
    }

    fn held(&self) -> u64 {
        match &self.place {
            Staging::Memory(record) => length_of(record),
            Staging::File(_) => 0,
        }
    }
}

impl Incoming {
    fn new(volume: &Volume, reserve: u64) -> Result<Self, StoreError> {
        let path = volume.incoming_path();
        let opened = File::options().create_new(true).read(true).write(true).open(&path);
        let file = opened.map_err(|error| volume.failed(&path, 0, error))?;
        Ok(Self { file, path, written: 0, allocated: 0, reserve })
    }

    fn append(&mut self, volume: &Volume, bytes: &[u8]) -> Result<(), StoreError> {
        let start = FILE_DATA + self.written;
        let end = start + u64::try_from(bytes.len()).expect("fits");
        self.allocated = volume.preallocate(&self.file, &self.path, self.allocated..end, FILE_DATA + self.reserve)?;
        self.write(volume, start, bytes)?;
        self.written = end - FILE_DATA;
        Ok(())
    }

    fn write(&self, volume: &Volume, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let wanted = u64::try_from(bytes.len()).expect("fits");
        self.file.write_all_at(bytes, offset).map_err(|error| volume.failed(&self.path, wanted, error))?;
        volume.metrics.wrote(wanted);
        Ok(())
    }

    fn complete(
        self,
        volume: &Volume,
        header: &Header,
        outboard: &Outboard,
        manifest: &[u8],
    ) -> Result<(), StoreError> {
        let tail = [outboard.as_bytes(), manifest].concat();
        self.write(volume, FILE_DATA + self.written, &tail)?;
        self.write(volume, 0, &header.encode())?;
        self.file.set_len(header.file_len()).map_err(|error| volume.failed(&self.path, 0, error))?;
        volume.sync(&self.file, &self.path)?;
        let path = path_of(volume, &header.place.column);
        fs::rename(&self.path, &path).map_err(|error| volume.failed(&path, 0, error))?;
        volume.sync_dir(path.parent().expect("columns have a directory"))
    }

    /// The data behind space for a header: a small column that was written to a file because memory was short.
    fn read_back(self) -> Result<Vec<u8>, StoreError> {
        let length = usize::try_from(self.written).expect("a small column");
        let mut record = vec![0; HEADER + length];
        self.file.read_exact_at(&mut record[HEADER..], FILE_DATA).map_err(|error| failed(&self.path, error))?;
        Ok(record)
    }
}

/// The file of a column: `columns/<first byte of its hash>/<its CID>`.
pub(super) fn path_of(volume: &Volume, id: &ColumnId) -> PathBuf {
    volume.path("columns").join(format!("{:02x}", id.bytes()[0])).join(id.to_string())
}

/// Takes its name from the file of a deleted column; returns where it is until [`remove`], or the next start, deletes
/// it. A file that keeps its name is indexed again at the next start, as temporary.
pub(super) fn put_aside(volume: &Volume, id: &ColumnId) -> Option<PathBuf> {
    let (path, aside) = (path_of(volume, id), volume.incoming_path());
    let renamed = fs::rename(&path, &aside);
    let warn = |error: &io::Error| tracing::warn!(path = %path.display(), %error, "cannot remove a deleted column");
    renamed.inspect_err(warn).ok().map(|()| aside)
}

/// Deletes the file of a deleted column.
pub(super) fn remove(aside: &Path) {
    if let Err(error) = fs::remove_file(aside) {
        tracing::warn!(path = %aside.display(), %error, "cannot delete the file of a deleted column");
    }
}

/// Every column file that has its name; other files are ignored.
pub(super) fn named(volume: &Volume) -> io::Result<impl Iterator<Item = io::Result<(ColumnId, PathBuf)>>> {
    let dirs: Vec<_> = fs::read_dir(volume.path("columns"))?.collect::<Result<_, _>>()?;
    let entries = dirs.into_iter().filter(|dir| dir.path().is_dir()).flat_map(|dir| match fs::read_dir(dir.path()) {
        Ok(entries) => entries.collect(),
        Err(error) => vec![Err(error)],
    });
    Ok(entries.filter_map(|entry| match entry {
        Ok(entry) => id_of(&entry.path()).map(|id| Ok((id, entry.path()))),
        Err(error) => Some(Err(error)),
    }))
}

fn id_of(path: &Path) -> Option<ColumnId> {
    let id = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
    if id.is_none() {
        tracing::warn!(path = %path.display(), "not a column file; ignored");
    }
    id
}

/// The header and manifest of a column's file; `None` when they are of another column, or bytes are missing.
pub(super) fn inspect(path: &Path, id: &ColumnId) -> io::Result<Option<(Header, Vec<u8>)>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut bytes = [0; HEADER];
    if length < FILE_DATA {
        return Ok(None);
    }
    file.read_exact_at(&mut bytes, 0)?;
    let Some(header) = Header::decode(&bytes).filter(|header| header.place.column == *id) else {
        return Ok(None);
    };
    if length < header.file_len() {
        return Ok(None);
    }
    let mut manifest = vec![0; usize::try_from(header.place.manifest_len).expect("checked when decoded")];
    file.read_exact_at(&mut manifest, FILE_DATA + header.stored_len())?;
    Ok(Some((header, manifest)))
}

/// Rewrites a column's file in place and syncs it; whether its hash matches. The sync that was to make it durable may
/// have failed in an earlier run, and another one proves nothing about pages that are clean.
pub(super) fn refresh(volume: &Volume, path: &Path, header: &Header) -> Result<bool, StoreError> {
    let io = |error| failed(path, error);
    let file = File::options().read(true).write(true).open(path).map_err(io)?;
    let (data, length) = (FILE_DATA..FILE_DATA + header.place.column_len, header.file_len());
    let mut tree = TreeBuilder::new();
    let mut offset = 0;
    while offset < length {
        // The header's page alone, then the data alone: each piece is either data or not.
        let end = [FILE_DATA, data.end, length].into_iter().find(|end| offset < *end).unwrap_or(length);
        let mut bytes = vec![0; usize::try_from(end - offset).map_or(CHUNK, |left| left.min(CHUNK))];
        file.read_exact_at(&mut bytes, offset).map_err(io)?;
        file.write_all_at(&bytes, offset).map_err(io)?;
        if data.contains(&offset) {
            tree.update(&bytes);
        }
        offset += u64::try_from(bytes.len()).expect("fits");
    }
    volume.sync(&file, path)?;
    volume.sync_dir(path.parent().expect("columns have a directory"))?;
    Ok(tree.finish().0 == header.place.column)
}
