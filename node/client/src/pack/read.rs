//! A pack that is open for reading: its index page by page, and its files each alone.
//!
//! Of the index only what a question needs is fetched, rounded to what a fetch costs anyway, and a little of it is
//! kept. A file read whole is checked against its own hash, on top of what every column is checked against.

use std::{collections::VecDeque, ops::Range, sync::Mutex};

use bytes::{Bytes, BytesMut};
use ostrakon_net::lock;
use ostrakon_proto::{
    id::ObjectId,
    limits,
    link::Link,
    manifest::Content,
    pack::{Entry, FileContent, Footer, Kind, PackError, PackPath, Page, PageRef, Stamp, escape},
};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::list::{Listing, PackEntries, Scope};
use crate::{
    Client, ErrorKind, Event, Events, FailedColumn, Fetched, GetError, UsedColumn,
    get::{self, Ahead, open::Opened},
};

/// Bytes of the pack's end that are read first: the footer and, of a small pack, all of its index.
const TAIL: u64 = 32 * 1024;
/// Parts of the index that are kept.
const SPANS: usize = 6;

/// Why nothing was read out of a pack.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackReadError {
    /// The object cannot be read, or its content cannot be written.
    #[error(transparent)]
    Get(#[from] GetError),
    /// The object says that it is a directory, and is none.
    #[error("directory {object} is broken, and was so from the beginning: {error}")]
    Broken {
        /// The object.
        object: ObjectId,
        /// What is wrong.
        error: PackError,
    },
    /// There is nothing at this path.
    #[error("no such path: {path}; {}", nearest_text(.nearest.as_ref()))]
    NoSuchPath {
        /// The path.
        path: PackPath,
        /// Its nearest ancestor that is there; the directory itself when there is none.
        nearest: Option<PackPath>,
    },
    /// A part of the path is no directory.
    #[error("{0} is no directory")]
    NotADirectory(PackPath),
    /// A file was asked for, and this is a directory.
    #[error("{0} is a directory: name a file in it, or get it whole")]
    IsADirectory(PackPath),
    /// A file was asked for, and this is a symlink.
    #[error("{path} is a symlink to {}, which is not followed: give that path", escape(.target))]
    IsASymlink {
        /// The path.
        path: PackPath,
        /// Where it points to.
        target: Vec<u8>,
    },
    /// A file is not what the index says: the one who added it made it so.
    #[error("the content of {0} has not the hash that the directory lists: do not use it")]
    WrongHash(PackPath),
}

fn nearest_text(nearest: Option<&PackPath>) -> String {
    nearest.map_or_else(|| "nothing of it is there".to_owned(), |path| format!("{path} is there"))
}

impl PackReadError {
    /// What it means for the caller.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Get(error) => error.kind(),
            Self::Broken { .. } | Self::WrongHash(_) => ErrorKind::Integrity,
            Self::NoSuchPath { .. } => ErrorKind::NotFound,
            Self::NotADirectory(_) | Self::IsADirectory(_) | Self::IsASymlink { .. } => ErrorKind::Usage,
        }
    }
}

/// A pack, open for reading.
#[derive(Debug)]
pub struct PackReader {
    pub(super) client: Client,
    pub(super) opened: Opened,
    pub(super) footer: Footer,
    spans: Spans,
}

/// Parts of the object that were read and may be asked for again, the newest last.
#[derive(Debug, Default)]
struct Spans(Mutex<VecDeque<(u64, Bytes)>>);

impl Client {
    /// Opens a directory for reading.
    ///
    /// # Errors
    /// [`PackReadError`] when the object cannot be read, or is no directory.
    pub async fn open_pack(&self, link: &Link) -> Result<PackReader, PackReadError> {
        let opened = self.open(link).await.map_err(GetError::from)?;
        opened.check_content(Some(Content::Pack))?;
        let (object, size, spans) = (opened.object, opened.layout.size(), Spans::default());
        let broken = |error| PackReadError::Broken { object, error };
        let footer = u64::try_from(Footer::LEN).expect("a few bytes");
        let start = size.checked_sub(footer).ok_or_else(|| broken(PackError::Footer))?;
        spans.bytes(&opened, size.saturating_sub(TAIL)..size, 0).await?;
        let bytes = spans.bytes(&opened, start..size, 0).await?;
        let footer = Footer::decode(&bytes, size).map_err(broken)?;
        Ok(PackReader { client: self.clone(), opened, footer, spans })
    }
}

impl PackReader {
    /// The object.
    pub fn object(&self) -> ObjectId {
        self.opened.object
    }

    /// How many entries it has.
    pub fn entries(&self) -> u64 {
        self.footer.entries
    }

    /// Mode and time of the directory itself.
    pub fn top(&self) -> Stamp {
        self.footer.top
    }

    /// Bytes of columns that were received for it since it was opened.
    pub fn fetched_bytes(&self) -> u64 {
        self.opened.fetched_bytes()
    }

    /// Columns that were read from.
    pub fn columns_used(&self) -> Vec<UsedColumn> {
        get::used(&self.opened)
    }

    /// Holders that failed on the way.
    pub fn columns_failed(&self) -> Vec<FailedColumn> {
        get::failed(&self.opened)
    }

    /// What is at this path.
    ///
    /// # Errors
    /// [`PackReadError::NoSuchPath`] names the nearest ancestor that is there.
    pub async fn entry(&self, path: &PackPath) -> Result<Entry, PackReadError> {
        match self.find(path).await? {
            Some(entry) => Ok(entry),
            None => Err(self.no_such(path).await?),
        }
    }

    /// The entries in a directory of the pack, or in the pack itself, in the order of their paths.
    ///
    /// # Errors
    /// [`PackReadError`] when it is not there, or no directory.
    pub async fn list(&self, directory: Option<&PackPath>, listing: Listing) -> Result<PackEntries<'_>, PackReadError> {
        let Some(path) = directory else { return Ok(PackEntries::new(self, Scope::Whole(listing))) };
        match self.entry(path).await?.kind {
            Kind::Directory => Ok(PackEntries::new(self, Scope::In(path.clone(), listing))),
            Kind::File(_) | Kind::Symlink { .. } => Err(PackReadError::NotADirectory(path.clone())),
        }
    }

    /// Reads the file at this path, or a range of it, into `sink`, which is flushed at the end.
    ///
    /// # Errors
    /// [`PackReadError`]; the sink may then have a beginning of the bytes. Whether a whole file has its hash is known
    /// at its end only.
    pub async fn read(
        &self,
        path: &PackPath,
        range: Option<Range<u64>>,
        mut sink: impl AsyncWrite + Unpin + Send,
        events: &Events,
    ) -> Result<Fetched, PackReadError> {
        let file = self.file(path).await?;
        let wanted = range.unwrap_or(0..file.size);
        if wanted.start > file.size {
            return Err(GetError::Range { start: wanted.start, size: file.size }.into());
        }
        let wanted = wanted.start..wanted.end.clamp(wanted.start, file.size);
        let total = wanted.end - wanted.start;
        let mut plains = Ahead::new(&self.opened, file.offset + wanted.start..file.offset + wanted.end);
        let (mut hasher, mut done, mut reconstructed) = (blake3::Hasher::new(), 0, false);
        while let Some(plain) = plains.next().await {
            let plain = plain?;
            hasher.update(&plain.bytes);
            sink.write_all(&plain.bytes).await.map_err(get::sink_failed)?;
            reconstructed |= plain.reconstructed;
            done += u64::try_from(plain.bytes.len()).expect("a row is at most 64 MiB");
            events.tell(Event::Progress { done, total: Some(total) });
        }
        let blake3 = hasher.finalize().into();
        if total == file.size && blake3 != file.hash {
            return Err(PackReadError::WrongHash(path.clone()));
        }
        sink.flush().await.map_err(get::sink_failed)?;
        Ok(Fetched {
            object: self.object(),
            content: Content::File,
            size: done,
            blake3,
            resumed: 0,
            columns_used: self.columns_used(),
            columns_failed: self.columns_failed(),
            reconstructed,
            fetched_bytes: self.fetched_bytes(),
        })
    }

    async fn file(&self, path: &PackPath) -> Result<FileContent, PackReadError> {
        match self.entry(path).await?.kind {
            Kind::File(file) => Ok(file),
            Kind::Directory => Err(PackReadError::IsADirectory(path.clone())),
            Kind::Symlink { target } => Err(PackReadError::IsASymlink { path: path.clone(), target }),
        }
    }

    async fn find(&self, path: &PackPath) -> Result<Option<Entry>, PackReadError> {
        PackEntries::new(self, Scope::At(path.clone())).next().await
    }

    /// Says what there is of a path that is not there. Of its ancestors the first ones are there and the others not.
    async fn no_such(&self, path: &PackPath) -> Result<PackReadError, PackReadError> {
        let slashes = path.as_bytes().iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let ends: Vec<usize> = slashes.map(|(at, _)| at).collect();
        let (mut there, mut absent, mut nearest) = (0, ends.len(), None);
        while there < absent {
            let middle = usize::midpoint(there, absent);
            let ancestor = path.ancestor(ends[middle]).expect("a component ends there");
            match self.find(&ancestor).await? {
                Some(entry) => (there, nearest) = (middle + 1, Some(entry)),
                None => absent = middle,
            }
        }
        Ok(match nearest {
            Some(Entry { path, kind: Kind::File(_) | Kind::Symlink { .. }, .. }) => PackReadError::NotADirectory(path),
            nearest => PackReadError::NoSuchPath { path: path.clone(), nearest: nearest.map(|entry| entry.path) },
        })
    }

    /// A page of the index; `ahead` bytes behind it are fetched with it, for a caller that continues there.
    pub(super) async fn page(&self, at: PageRef, ahead: u64) -> Result<Page, PackReadError> {
        let end = at.end().filter(|end| *end <= self.opened.layout.size());
        let end = end.ok_or_else(|| self.broken(PackError::Place { offset: at.offset }))?;
        let bytes = self.spans.bytes(&self.opened, at.offset..end, ahead).await?;
        Page::decode(&bytes).map_err(|error| self.broken(error))
    }

    pub(super) fn broken(&self, error: PackError) -> PackReadError {
        PackReadError::Broken { object: self.object(), error }
    }
}

impl Spans {
    /// Bytes of the object, from what was read before or from its holders.
    async fn bytes(&self, opened: &Opened, range: Range<u64>, ahead: u64) -> Result<Bytes, GetError> {
        if let Some(bytes) = self.find(&range) {
            return Ok(bytes);
        }
        // A private object's pieces open whole, a public one's bytes are proven by groups: those are fetched anyway.
        let unit = if opened.sealer.is_some() { limits::PIECE } else { limits::GROUP };
        let unit = u64::try_from(unit).expect("a few KiB");
        let start = range.start / unit * unit;
        let end = range.end.saturating_add(ahead).next_multiple_of(unit).min(opened.layout.size());
        let (mut plains, mut read) = (Ahead::new(opened, start..end), BytesMut::new());
        while let Some(plain) = plains.next().await {
            read.extend_from_slice(&plain?.bytes);
        }
        let mut spans = lock(&self.0);
        if spans.len() == SPANS {
            spans.pop_front();
        }
        spans.push_back((start, read.freeze()));
        drop(spans);
        Ok(self.find(&range).expect("it was just read"))
    }

    fn find(&self, range: &Range<u64>) -> Option<Bytes> {
        let mut spans = lock(&self.0);
        let at = spans.iter().position(|(start, bytes)| slice(*start, bytes, range).is_some())?;
        let (start, bytes) = spans.remove(at)?;
        let found = slice(start, &bytes, range);
        spans.push_back((start, bytes));
        found
    }
}

fn slice(start: u64, bytes: &Bytes, range: &Range<u64>) -> Option<Bytes> {
    let offset = |at: u64| at.checked_sub(start).and_then(|offset| usize::try_from(offset).ok());
    let (from, to) = (offset(range.start)?, offset(range.end)?);
    (to <= bytes.len()).then(|| bytes.slice(from..to))
}
