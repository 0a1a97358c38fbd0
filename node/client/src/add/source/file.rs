//! A plain file, read by position: rows are handed out as places in it, and read by whoever encodes them.
//!
//! That all rows are of one version is known at the end: the file is then still the one that was opened, and the system
//! says that nothing was written to it.

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
    super::journal::{Fingerprint, Origin, fingerprint},
    Content, PlainRow, SourceError, Wanted, after,
};

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
    pub(crate) fn open(origin: &Origin, code: Code, sealed: bool) -> Result<Self, SourceError> {
        let layout = Layout::new(origin.size(), code, sealed)?;
        let file = Arc::new(File::open(&origin.path)?);
        let next = Some(RowId { extent: 0, row: 0 });
        let source = Self { file, path: origin.path.clone(), began_as: origin.fingerprint, layout, next };
        source.check_unchanged()?;
        Ok(source)
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    pub(crate) fn is_done(&self) -> bool {
        self.next.is_none()
    }

    /// The next row; `None` after the last.
    pub(crate) fn next_row(&mut self, wanted: Wanted<'_>) -> Option<PlainRow> {
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

    /// The file at the path is the one that was opened, as it was then.
    pub(crate) fn check_unchanged(&self) -> Result<(), SourceError> {
        let changed = |what| Err(SourceError::Changed { path: self.path.clone(), what });
        match fs::metadata(&self.path) {
            Err(error) if error.kind() == IoKind::NotFound => return changed("is gone"),
            Err(error) => return Err(error.into()),
            Ok(there) if fingerprint(&there) != self.began_as => return changed("is not as it was"),
            Ok(_) => {}
        }
        match fingerprint(&self.file.metadata()?) == self.began_as {
            true => Ok(()),
            false => changed("was replaced"),
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
