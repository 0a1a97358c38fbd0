//! A pack that is open for reading: its index page by page, and its files each alone.
//!
//! Of the index only what a lookup needs is fetched, rounded to what a fetch costs anyway, and a little of it is kept.
//! Files are read by [`PackReader::get`].

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, Mutex},
};

use bytes::{Bytes, BytesMut};
use ostrakon_net::lock;
use ostrakon_proto::{
    id::ObjectId,
    limits,
    link::Link,
    manifest::Content,
    pack::{Entry, Footer, Kind, PackError, PackPath, Page, PageRef, Stamp, escape},
};

use super::list::{Listing, PackEntries, Scope};
use crate::{
    Client, ErrorKind, Fetched, GetError,
    get::{ahead::ReadAhead, open::Opened},
};

/// Bytes of the pack's end that are read first: the footer and, of a small pack, all of its index.
const TAIL: u64 = 32 * 1024;
/// Parts of the index that are kept.
const SPANS: usize = 6;

/// Why nothing was read from a directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackReadError {
    /// The object cannot be read, or its bytes not be written.
    #[error(transparent)]
    Get(#[from] GetError),
    /// The object is marked as a directory, and its index is invalid: it was added so.
    #[error("the index of directory {object} was invalid when it was added, and cannot be read: {error}")]
    Broken {
        /// The object.
        object: ObjectId,
        /// What is wrong.
        error: PackError,
    },
    /// There is nothing at this path.
    #[error("there is no {path} in the directory{}", nearest_text(.nearest.as_ref()))]
    NoSuchPath {
        /// The path.
        path: PackPath,
        /// Its nearest ancestor that exists; the directory itself when there is none.
        nearest: Option<PackPath>,
    },
    /// Something is looked for in what is not a directory.
    #[error("{0} is not a directory")]
    NotADirectory(PackPath),
    /// A file was asked for, and this is a directory.
    #[error("{0} is a directory: name a file in it, or save it as a whole")]
    IsADirectory(PackPath),
    /// A file was asked for, and this is a symlink.
    #[error("{path} is a symlink to {}, and symlinks are not followed: name that path", escape(.target))]
    IsASymlink {
        /// The path.
        path: PackPath,
        /// Where it points to.
        target: Vec<u8>,
    },
    /// A file's content does not have the hash in the index: it was added so.
    #[error("the content of {0} does not match the hash in the directory: do not use it")]
    WrongHash(PackPath),
}

fn nearest_text(nearest: Option<&PackPath>) -> String {
    nearest.map_or_else(String::new, |path| format!("; {path} exists"))
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

/// A directory, open for reading. Clones share what they fetched of its index.
#[derive(Clone, Debug)]
pub struct PackReader {
    client: Client,
    opened: Arc<Opened>,
    pub(super) footer: Footer,
    spans: Arc<Spans>,
}

/// Parts of the object that were read and may be asked for again, the newest last.
#[derive(Debug, Default)]
struct Spans(Mutex<VecDeque<(u64, Bytes)>>);

impl Client {
    /// Opens a directory for reading.
    ///
    /// # Errors
    /// [`PackReadError`] when the object cannot be read, or is not a directory.
    pub async fn open_pack(&self, link: &Link) -> Result<PackReader, PackReadError> {
        let opened = self.open(link).await.map_err(GetError::from)?;
        match opened.content {
            Content::Pack => PackReader::open(self.clone(), Arc::new(opened)).await,
            Content::File | Content::StampedFile => Err(GetError::IsFile(opened.object).into()),
        }
    }
}

impl PackReader {
    pub(crate) async fn open(client: Client, opened: Arc<Opened>) -> Result<Self, PackReadError> {
        let (object, size, spans) = (opened.object, opened.layout.size(), Arc::<Spans>::default());
        let broken = |error| PackReadError::Broken { object, error };
        let footer = u64::try_from(Footer::LEN).expect("a few bytes");
        let start = size.checked_sub(footer).ok_or_else(|| broken(PackError::Footer))?;
        spans.bytes(&opened, size.saturating_sub(TAIL)..size, 0).await?;
        let bytes = spans.bytes(&opened, start..size, 0).await?;
        let footer = Footer::decode(&bytes, size).map_err(broken)?;
        Ok(Self { client, opened, footer, spans })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn opened(&self) -> Arc<Opened> {
        Arc::clone(&self.opened)
    }

    /// Bytes of all files.
    pub(crate) fn content(&self) -> u64 {
        self.footer.content
    }

    /// The object, and what reading it took so far.
    pub(crate) fn reads(&self, fetched_before: u64) -> Fetched {
        Fetched::of(&self.opened, fetched_before)
    }

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

    /// Bytes of columns that were received since it was opened.
    pub fn fetched_bytes(&self) -> u64 {
        self.opened.fetched_bytes()
    }

    /// What is at this path.
    ///
    /// # Errors
    /// [`PackReadError::NoSuchPath`] names the nearest ancestor that exists.
    pub async fn entry(&self, path: &PackPath) -> Result<Entry, PackReadError> {
        match self.find(path).await? {
            Some(entry) => Ok(entry),
            None => Err(self.no_such(path).await?),
        }
    }

    /// The entries in a directory of the pack, or in the pack itself, in the order of their paths.
    ///
    /// # Errors
    /// [`PackReadError`] when there is none.
    pub async fn list(&self, directory: Option<&PackPath>, listing: Listing) -> Result<PackEntries<'_>, PackReadError> {
        let Some(path) = directory else { return Ok(PackEntries::new(self, Scope::Whole(listing))) };
        match self.entry(path).await?.kind {
            Kind::Directory => Ok(PackEntries::new(self, Scope::In(path.clone(), listing))),
            Kind::File(_) | Kind::Symlink { .. } => Err(PackReadError::NotADirectory(path.clone())),
        }
    }

    async fn find(&self, path: &PackPath) -> Result<Option<Entry>, PackReadError> {
        PackEntries::new(self, Scope::At(path.clone())).next().await
    }

    /// The error for a path that does not exist. Of its ancestors the first ones exist and the others do not.
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

    /// A page of the index; `ahead` bytes after it are fetched with it, for who continues there.
    pub(super) async fn page(&self, at: PageRef, ahead: u64) -> Result<Page, PackReadError> {
        let end = at.end().filter(|end| *end <= self.opened.layout.size());
        let end = end.ok_or_else(|| self.broken(PackError::Place { offset: at.offset }))?;
        let bytes = self.spans.bytes(&self.opened, at.offset..end, ahead).await?;
        Page::decode(&bytes).map_err(|error| self.broken(error))
    }

    pub(crate) fn broken(&self, error: PackError) -> PackReadError {
        PackReadError::Broken { object: self.object(), error }
    }
}

impl Spans {
    /// Bytes of the object, from what was read before or from its holders.
    async fn bytes(&self, opened: &Arc<Opened>, range: Range<u64>, ahead: u64) -> Result<Bytes, GetError> {
        if let Some(bytes) = self.find(&range) {
            return Ok(bytes);
        }
        // A private object's pieces open whole, a public one's bytes are proven by groups: those are fetched anyway.
        let unit = if opened.sealer.is_some() { limits::PIECE } else { limits::GROUP };
        let unit = u64::try_from(unit).expect("a few KiB");
        let start = range.start / unit * unit;
        let end = range.end.saturating_add(ahead).next_multiple_of(unit).min(opened.layout.size());
        let (mut plains, mut read) = (ReadAhead::new(Arc::clone(opened), start..end), BytesMut::new());
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
