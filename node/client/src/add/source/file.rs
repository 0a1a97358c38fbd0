//! A plain file, read by position: rows are handed out as places in it, and read where they are encoded.
//!
//! Whether all rows are of one version is known at the end: the file at the path is then still the one that was opened,
//! and the system says that nothing was written to it, or only that it grew.

use std::{
    fs::{self, File},
    io::{self, ErrorKind as IoKind},
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::Arc,
};

use ostrakon_proto::{
    layout::{Layout, RowId},
    params::Code,
};

use super::{
    super::{
        input::{Origin, fingerprint},
        journal::Fingerprint,
    },
    Change, Content, PlainRow, RowFilter, SourceError, after,
};

const FIRST: RowId = RowId { extent: 0, row: 0 };

/// A file, cut into rows.
#[derive(Debug)]
pub(crate) struct FileSource {
    file: Arc<File>,
    path: PathBuf,
    began_as: Fingerprint,
    layout: Layout,
    next: Option<RowId>,
}

impl FileSource {
    /// The source of an object: the version of the file that `origin` is.
    pub(super) fn new(file: File, origin: Origin, code: Code, sealed: bool) -> Result<Self, SourceError> {
        let layout = Layout::new(origin.fingerprint.size(), code, sealed)?;
        let Origin { path, fingerprint: began_as, .. } = origin;
        Ok(Self { file: Arc::new(file), path, began_as, layout, next: Some(FIRST) })
    }

    /// The same from its first row on.
    pub(crate) fn again(&self) -> Self {
        let Self { path, began_as, layout, .. } = self;
        let (file, path) = (Arc::clone(&self.file), path.clone());
        Self { file, path, began_as: *began_as, layout: *layout, next: Some(FIRST) }
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    pub(crate) fn is_done(&self) -> bool {
        self.next.is_none()
    }

    /// The next row; `None` after the last.
    pub(crate) fn next_row(&mut self, wanted: RowFilter<'_>) -> Option<PlainRow> {
        let row = self.next?;
        let shape = self.layout.row(row).expect("a row of the layout");
        let content = match wanted(row, &shape) {
            true => Content::At { file: Arc::clone(&self.file), start: shape.plain.start },
            false => Content::PassedOver,
        };
        let (ends_extent, next) = after(&self.layout, row, &shape);
        self.next = next;
        Some(PlainRow { row, layout: self.layout, content, done: shape.plain.end, ends_extent })
    }

    /// Whether the file at the path is the one that was opened, as it was then.
    pub(super) fn change(&self) -> Result<Change, SourceError> {
        let changed = |what| Err(SourceError::Changed { path: self.path.clone(), what });
        let there = match fs::metadata(&self.path) {
            Err(error) if error.kind() == IoKind::NotFound => return changed("no longer exists"),
            there => fingerprint(&there?),
        };
        match (there, self.began_as) {
            (there, before) if there == before => Ok(Change::None),
            (
                Fingerprint::File { device, inode, size, .. },
                Fingerprint::File { device: on, inode: of, size: had, .. },
            ) => match (device, inode) == (on, of) {
                true if size > had => Ok(Change::Grew),
                true => changed("was written to"),
                false => changed("was replaced"),
            },
            _ => changed("was replaced"),
        }
    }
}

/// Fills `out` with the file's bytes from `start` on; `announced` is how many the file had.
pub(crate) fn read_at(file: &File, out: &mut [u8], start: u64, announced: u64) -> Result<(), SourceError> {
    match file.read_exact_at(out, start) {
        Err(error) if error.kind() == IoKind::UnexpectedEof => Err(shorter(file, announced)),
        read => read.map_err(SourceError::from),
    }
}

fn shorter(file: &File, announced: u64) -> SourceError {
    let read: io::Result<u64> = file.metadata().map(|metadata| metadata.len());
    read.map_or_else(SourceError::from, |read| SourceError::Length { announced, read })
}
