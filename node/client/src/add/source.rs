//! Where an add's plaintext comes from: row after row, of a length that is known at first, or found out.
//!
//! A file is read by position, in whatever thread encodes the row ([`file`]); a stream is read here, in order
//! ([`stream`]). Rows that are not wanted any more are passed over: a file's are not read, a stream's are read and
//! dropped.

use std::{io, path::PathBuf, sync::Arc};

use bytes::Bytes;
use ostrakon_proto::{
    layout::{Layout, LayoutError, RowId, RowLayout},
    params::Code,
    row::RowError,
};

use super::{
    AddedSource,
    input::{Opened, Plaintext},
};

mod file;
mod stream;

pub(crate) use file::{FilePlaintext, FileSource};
pub(crate) use stream::StreamSource;

/// Why the plaintext could not be read as announced.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("cannot read the source: {0}")]
    Read(#[from] io::Error),
    #[error("the source changed while it was read: it had {announced} bytes, and then {}", found(.announced, .read))]
    Length { announced: u64, read: u64 },
    #[error("{path} changed while it was read: it {what}", path = path.display())]
    Changed { path: PathBuf, what: &'static str },
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Row(#[from] RowError),
}

fn found(announced: &u64, read: &u64) -> String {
    if read > announced { "more".to_owned() } else { read.to_string() }
}

/// One row's plaintext.
#[derive(Debug)]
pub(crate) struct PlainRow {
    pub(crate) row: RowId,
    /// A layout that has the row: the object's, or that of the longest while its end is unknown.
    pub(crate) layout: Layout,
    pub(crate) content: Content,
    /// Bytes of the source up to here.
    pub(crate) done: u64,
    /// Whether no more rows of this extent follow.
    pub(crate) ends_extent: bool,
}

/// The bytes of a row, or where they are.
#[derive(Debug)]
pub(crate) enum Content {
    /// Here.
    Bytes(Bytes),
    /// In the file, from there on.
    At { plain: Arc<FilePlaintext>, start: u64 },
    /// Not wanted.
    PassedOver,
}

/// Whether a row's bytes are wanted.
pub(crate) type RowFilter<'a> = &'a (dyn Fn(RowId, &RowLayout) -> bool + Sync);

/// What is added.
pub(crate) enum Source<'a> {
    File(FileSource),
    Stream(StreamSource<'a>),
}

/// How a source is at the end of an add, compared with its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    None,
    /// It has more bytes than it had. Those that it had may be the same.
    Grew,
}

impl<'a> Source<'a> {
    /// The source of an object of this code.
    pub(super) async fn new(opened: Opened<'a>, code: Code, sealed: bool) -> Result<Self, SourceError> {
        Ok(match opened.bytes {
            Plaintext::File(file, origin) => Self::File(FileSource::new(file, origin, code, sealed)?),
            Plaintext::Stream(reader) => Self::Stream(StreamSource::new(reader, opened.size, code, sealed).await?),
        })
    }

    /// The object's layout, or that of the longest while its end is unknown.
    pub(crate) fn layout(&self) -> Layout {
        match self {
            Self::File(file) => file.layout(),
            Self::Stream(stream) => stream.layout(),
        }
    }

    /// Bytes of the source, where they are known.
    pub(crate) fn size(&self) -> Option<u64> {
        match self {
            Self::File(file) => Some(file.size()),
            Self::Stream(stream) => stream.size(),
        }
    }

    /// Bytes that are certain to come: all, or what was read so far.
    pub(crate) fn least(&self) -> u64 {
        match self {
            Self::File(file) => file.size(),
            Self::Stream(stream) => stream.least(),
        }
    }

    /// Whether every row was handed out.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::File(file) => file.is_done(),
            Self::Stream(stream) => stream.is_done(),
        }
    }

    /// The next row; `None` after the last.
    pub(crate) async fn next_row(&mut self, wanted: RowFilter<'_>) -> Result<Option<PlainRow>, SourceError> {
        match self {
            Self::File(file) => Ok(file.next_row(wanted)),
            Self::Stream(stream) => stream.next_row(wanted).await,
        }
    }

    /// Passes over the rest of an extent; gives the bytes of the object up to there.
    pub(crate) async fn pass_over_extent(&mut self) -> Result<u64, SourceError> {
        while let Some(row) = self.next_row(&|_, _| false).await? {
            if row.ends_extent {
                return Ok(row.done);
            }
        }
        Ok(self.layout().size())
    }

    /// Whether what was read is one version of the source; an error when it cannot be.
    pub(crate) fn change(&self) -> Result<Change, SourceError> {
        match self {
            Self::File(file) => file.change(),
            // It had no more bytes than were announced, and no fewer; a directory leaves out what changed in it.
            Self::Stream(_) => Ok(Change::None),
        }
    }

    /// What of it is in the object.
    pub(crate) fn into_outcome(self) -> AddedSource {
        match self {
            Self::File(file) => AddedSource::File { grew: file.grew, holes: file.holes() },
            Self::Stream(stream) => stream.into_outcome(),
        }
    }
}

/// What follows a row: whether its extent ends, and the next row.
fn after(layout: &Layout, row: RowId, shape: &RowLayout) -> (bool, Option<RowId>) {
    let extent = layout.extent(row.extent).expect("the row's extent");
    let ends_extent = row.row + 1 == extent.rows;
    let next = match (shape.last, ends_extent) {
        (true, _) => None,
        (false, true) => Some(RowId { extent: row.extent + 1, row: 0 }),
        (false, false) => Some(RowId { row: row.row + 1, ..row }),
    };
    (ends_extent, next)
}
