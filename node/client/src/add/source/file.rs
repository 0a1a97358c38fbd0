//! A plain file, read by position: rows are handed out as places in it, and read where they are encoded. Where its mode
//! and time are stored, they follow its bytes.
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
    manifest,
    pack::Stamp,
    params::Code,
};

use super::{
    super::{
        input::{FileInput, Origin, fingerprint},
        journal::Fingerprint,
    },
    Change, Content, PlainRow, RowFilter, SourceError, after,
};

const FIRST: RowId = RowId { extent: 0, row: 0 };

/// A file's bytes and then its stamp, read at any position.
#[derive(Debug)]
pub(crate) struct FilePlaintext {
    file: File,
    /// Bytes that the file had at first.
    size: u64,
    stamp: Option<Stamp>,
    holes: u64,
}

/// A file, cut into rows.
#[derive(Debug)]
pub(crate) struct FileSource {
    plain: Arc<FilePlaintext>,
    path: PathBuf,
    began_as: Fingerprint,
    layout: Layout,
    next: Option<RowId>,
    /// Whether the file has more bytes than it had at first, and those are the same.
    pub(crate) grew: bool,
}

impl FileSource {
    /// The source of an object: the version of the file that `origin` is.
    pub(super) fn new(input: FileInput, origin: Origin, code: Code, sealed: bool) -> Result<Self, SourceError> {
        let FileInput { file, stamp, holes } = input;
        let Origin { path, fingerprint: began_as, .. } = origin;
        let (size, trailer) = (began_as.size(), stamp.map_or(0, |_| manifest::Content::StampedFile.trailer()));
        let layout = Layout::new(size.saturating_add(trailer), code, sealed)?;
        let plain = Arc::new(FilePlaintext { file, size, stamp, holes });
        Ok(Self { plain, path, began_as, layout, next: Some(FIRST), grew: false })
    }

    /// The same from its first row on.
    pub(crate) fn again(&self) -> Self {
        let Self { path, began_as, layout, .. } = self;
        let (plain, path) = (Arc::clone(&self.plain), path.clone());
        Self { plain, path, began_as: *began_as, layout: *layout, next: Some(FIRST), grew: false }
    }

    /// Bytes of the file.
    pub(super) fn size(&self) -> u64 {
        self.plain.size
    }

    /// Bytes of it that are holes.
    pub(super) fn holes(&self) -> u64 {
        self.plain.holes
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
            true => Content::At { plain: Arc::clone(&self.plain), start: shape.plain.start },
            false => Content::PassedOver,
        };
        let (ends_extent, next) = after(&self.layout, row, &shape);
        self.next = next;
        let done = shape.plain.end.min(self.size());
        Some(PlainRow { row, layout: self.layout, content, done, ends_extent })
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

impl FilePlaintext {
    /// Fills `out` with what is there from `start` on.
    pub(crate) fn read_at(&self, out: &mut [u8], start: u64) -> Result<(), SourceError> {
        let left = usize::try_from(self.size.saturating_sub(start)).unwrap_or(usize::MAX);
        let (of_file, of_stamp) = out.split_at_mut(left.min(out.len()));
        match self.file.read_exact_at(of_file, start) {
            Err(error) if error.kind() == IoKind::UnexpectedEof => return Err(self.shorter()),
            read => read?,
        }
        if let Some(stamp) = self.stamp.filter(|_| !of_stamp.is_empty()) {
            let skip = usize::try_from(start.saturating_sub(self.size)).expect("a layout ends with the stamp");
            of_stamp.copy_from_slice(&stamp.encode()[skip..][..of_stamp.len()]);
        }
        Ok(())
    }

    fn shorter(&self) -> SourceError {
        let read: io::Result<u64> = self.file.metadata().map(|metadata| metadata.len());
        read.map_or_else(SourceError::from, |read| SourceError::Length { announced: self.size, read })
    }
}
