//! Why a get failed: each variant tells the caller what to do differently.

use std::{
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use ostrakon_proto::{
    id::ObjectId,
    pack::{PathError, escape},
    row::RowError,
};

use super::{open::OpenError, rows::NotEnoughColumns};
use crate::ErrorKind;

/// Why nothing, or not all, was read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GetError {
    /// The object cannot be found or opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Too few holders respond. They may come back, or repair may replace them.
    #[error(transparent)]
    NotEnoughColumns(#[from] NotEnoughColumns),
    /// The columns are those that the manifest lists, and do not decode to what the key sealed: it was added so.
    #[error("object {object} was inconsistent when it was added, do not use it: {error}")]
    Inconsistent {
        /// The object.
        object: ObjectId,
        /// What is wrong.
        error: RowError,
    },
    /// A public object's content does not have the hash in its manifest: it was added so.
    #[error("the content of object {0} does not match the hash in its manifest: do not use it")]
    WrongHash(ObjectId),
    /// The mode and time that are stored behind a file's bytes are impossible: it was added so.
    #[error(
        "object {0} was added with an invalid mode or time, and cannot be saved as a file: read its bytes with \
         `ostrakon cat`"
    )]
    InvalidStamp(ObjectId),
    /// The object is a directory, and a file was asked for.
    #[error("object {0} is a directory: save it as a whole, or name a file in it")]
    IsDirectory(ObjectId),
    /// The object is a file, and a directory was asked for.
    #[error("object {0} is a file, not a directory: leave out the path after its link")]
    IsFile(ObjectId),
    /// The path cannot be that of anything in a directory.
    #[error("invalid path in a directory: {0}")]
    Path(#[from] PathError),
    /// A glob of what is to be left out cannot be parsed.
    #[error(transparent)]
    Glob(#[from] globset::Error),
    /// The range starts at the end or after it.
    #[error("the range starts at byte {start}, but there are only {size} bytes")]
    Range {
        /// Where the range starts, from 0.
        start: u64,
        /// Bytes of the file.
        size: u64,
    },
    /// A range of bytes was asked for, of a directory.
    #[error("object {0} is a directory, and only a file has a range of bytes: name a file in it")]
    RangeOfDirectory(ObjectId),
    /// There is something at the destination, and it may not be overwritten.
    #[error("{} already exists: choose another destination, or allow overwriting", shown(.0))]
    Exists(PathBuf),
    /// The destination is a directory with something in it.
    #[error(
        "{} is a directory that is not empty: choose another destination, or allow overwriting files in it",
        shown(.0)
    )]
    NotEmpty(PathBuf),
    /// The destination, or what it lies in, is not a directory and has to be one.
    #[error("{} is not a directory, or does not exist: create it, or choose another destination", shown(.0))]
    NotADirectory(PathBuf),
    /// The destination of a file is a directory.
    #[error("{} is a directory: name a file in it", shown(.0))]
    IsADirectory(PathBuf),
    /// A directory is merged into another, where something of another kind has the same name.
    #[error(
        "{} exists and is {found}, where {needed} is to be written: move it away, or choose another destination",
        shown(.path)
    )]
    Conflict {
        /// What is in the way.
        path: PathBuf,
        /// What it is, with its article.
        found: &'static str,
        /// What it has to be, with its article.
        needed: &'static str,
    },
    /// The bytes could not be written.
    #[error("cannot write {}: {error}", .to.as_deref().map_or_else(|| "to the output".to_owned(), shown))]
    Write {
        /// The file; `None` for a writer of the caller's.
        to: Option<PathBuf>,
        /// The system's reason.
        #[source]
        error: io::Error,
    },
}

impl GetError {
    /// What it means for the caller.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Open(error) => error.kind(),
            Self::NotEnoughColumns(_) => ErrorKind::Network,
            Self::Inconsistent { .. } | Self::WrongHash(_) | Self::InvalidStamp(_) => ErrorKind::Integrity,
            Self::Write { .. } => ErrorKind::Other,
            Self::IsDirectory(_)
            | Self::IsFile(_)
            | Self::Path(_)
            | Self::Glob(_)
            | Self::Range { .. }
            | Self::RangeOfDirectory(_)
            | Self::Exists(_)
            | Self::NotEmpty(_)
            | Self::NotADirectory(_)
            | Self::IsADirectory(_)
            | Self::Conflict { .. } => ErrorKind::Usage,
        }
    }

    /// The caller's writer failed.
    pub(crate) fn output(error: io::Error) -> Self {
        Self::Write { to: None, error }
    }

    /// Writing `to` failed.
    pub(crate) fn write(to: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AlreadyExists => Self::Exists(to.to_owned()),
            io::ErrorKind::DirectoryNotEmpty => Self::NotEmpty(to.to_owned()),
            _ => Self::Write { to: Some(to.to_owned()), error },
        }
    }

    /// The same, where a writer is known to be this file.
    pub(crate) fn at(self, to: &Path) -> Self {
        match self {
            Self::Write { to: None, error } => Self::write(to, error),
            other => other,
        }
    }
}

/// A path as text that is safe on a terminal.
fn shown(path: &Path) -> String {
    escape(path.as_os_str().as_bytes())
}
