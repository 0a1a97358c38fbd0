//! Get: from a link to the plaintext.
//!
//! In goes a link; out come bytes that were verified against the object's id, in order, or an error that names who
//! failed. [`Get`] collects what is wanted, and each of its finishers reads: into memory, a writer or a stream here, at
//! any position in [`reader`], to disk in [`save`]. [`open`] finds the object and [`target`] what is wanted of it;
//! [`plan`] says which rows that takes, [`ahead`] keeps a few of them in flight, [`rows`] reads each from the k
//! quickest columns and hedges against slow ones, [`short`] reads a few cells where those are enough, and [`columns`]
//! verifies and records who failed.

use std::{
    io,
    num::NonZeroUsize,
    ops::{Bound, Range, RangeBounds},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use ostrakon_proto::{
    id::{NodeId, ObjectId},
    link::Link,
    pack::{PackPath, PathError},
};
use serde::Serialize;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time::Instant,
};

use crate::{Client, Error, Event, Events, PackReader, RateLimit};

pub(crate) mod ahead;
mod error;
pub(crate) mod json;
pub(crate) mod open;
pub(crate) mod part_file;
mod plan;
mod reader;
pub(crate) mod save;
mod short;
pub(crate) mod staging;
mod target;

pub use columns::FailedColumn;
pub use error::GetError;
pub use open::OpenError;
pub use reader::Reader;
pub use rows::NotEnoughColumns;

use ahead::{ReadAhead, RowBytes};
use columns::Columns;
use open::{Opened, ReadLimits};
pub(crate) use ostrakon_transfer::{columns, rows};
use target::TargetFile;

/// What [`Get::save`] does with files that exist at the destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// Keeps them, and fails. An empty directory is filled.
    #[default]
    Refuse,
    /// Replaces a file, whole. A directory is merged into one that exists, file by file; nothing else in it changes.
    Replace,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fetched {
    /// The object.
    #[serde(rename = "cid")]
    pub object: ObjectId,
    /// Bytes of all files that were read.
    pub size: u64,
    /// BLAKE3 of the bytes; `None` for a directory.
    #[serde(serialize_with = "json::hash", skip_serializing_if = "Option::is_none")]
    pub blake3: Option<[u8; 32]>,
    /// Files, directories and symlinks that were written; `None` when one file was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries: Option<u64>,
    /// Entries whose set-user-id or set-group-id bit was dropped.
    #[serde(skip_serializing_if = "json::is_zero")]
    pub bits_dropped: u64,
    /// Bytes of `size` that an earlier attempt had fetched.
    pub resumed: u64,
    /// Columns that were read from.
    pub columns_used: Vec<UsedColumn>,
    /// Holders that failed meanwhile; the bytes are right nevertheless.
    pub columns_failed: Vec<FailedColumn>,
    /// Whether data had to be decoded from parity.
    pub reconstructed: bool,
    /// Bytes of columns that were received.
    pub fetched_bytes: u64,
    /// How long it took.
    #[serde(rename = "seconds", serialize_with = "json::seconds")]
    pub took: Duration,
    /// Where it was saved.
    #[serde(flatten, serialize_with = "json::path")]
    pub path: Option<PathBuf>,
}

/// A column that was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct UsedColumn {
    /// The number of its extent, from 0.
    pub extent: u32,
    /// Its index in the extent, from 0; those from k on are parity.
    pub index: u8,
    /// The holder.
    pub provider: NodeId,
}

/// A read that has not started: of an object, or of a file in one that is a directory.
///
/// Nothing is asked of the network before a finisher ([`Get::bytes`], [`Get::write_to`], [`Get::save`],
/// [`Get::reader`], [`Get::stream`]) is polled. Their futures are [`Send`], and dropping one cancels cleanly: requests
/// in flight are abandoned, a destination on disk stays as it was, and what was saved so far is kept for the next
/// attempt if it is worth it.
#[derive(Clone, Debug)]
#[must_use = "nothing is read before one of its finishers is awaited"]
pub struct Get {
    source: Source,
    path: Result<Option<PackPath>, PathError>,
    range: ByteRange,
    events: Events,
    limits: ReadLimits,
    overwrite: Overwrite,
    exclude: Vec<String>,
}

/// Where the bytes come from.
#[derive(Clone, Debug)]
enum Source {
    Link(Client, Link),
    Directory(PackReader),
}

/// Which bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ByteRange {
    All,
    /// From the first up to before the second.
    Within(u64, u64),
    /// So many at the end.
    Last(u64),
}

impl Client {
    /// Reads the object that the link names. How, and which part of it, is said on the [`Get`].
    pub fn get(&self, link: &Link) -> Get {
        Get::new(Source::Link(self.clone(), link.clone()))
    }
}

impl PackReader {
    /// Reads the file, directory or symlink at this path. The directory is not opened again.
    pub fn get(&self, path: &PackPath) -> Get {
        Get { path: Ok(Some(path.clone())), ..Get::new(Source::Directory(self.clone())) }
    }
}

impl Get {
    fn new(source: Source) -> Self {
        let (path, range, events, limits) = (Ok(None), ByteRange::All, Events::none(), ReadLimits::default());
        Self { source, path, range, events, limits, overwrite: Overwrite::default(), exclude: Vec::new() }
    }

    /// Reads what is at this path in an object that is a directory: components joined by `/`, as bytes.
    pub fn path(self, path: impl AsRef<[u8]>) -> Self {
        Self { path: PackPath::new(path.as_ref()).map(Some), ..self }
    }

    /// Reads only these bytes, counted from 0. An end after that of the file is the file's; a range that starts there
    /// or later is an error, as in HTTP.
    pub fn range(self, range: impl RangeBounds<u64>) -> Self {
        if let (Bound::Unbounded, Bound::Unbounded) = (range.start_bound(), range.end_bound()) {
            return Self { range: ByteRange::All, ..self };
        }
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        Self { range: ByteRange::Within(start, end), ..self }
    }

    /// Reads only so many bytes at the end; all of a file that has fewer.
    pub fn last(self, bytes: u64) -> Self {
        Self { range: ByteRange::Last(bytes), ..self }
    }

    /// Calls `listener` with what happens meanwhile. It is called in the middle of the work, and must return quickly.
    pub fn on_event(self, listener: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self { events: Events::to(listener), ..self }
    }

    /// Receives no more than so many bytes per second. Clones of a limit share it.
    pub fn limit_download(mut self, bytes_per_second: impl Into<RateLimit>) -> Self {
        self.limits.rate = Some(bytes_per_second.into());
        self
    }

    /// Keeps so many rows of about 1 MiB in flight, at most: more are quicker over long distances, and take memory. By
    /// default as many as fit 64 MiB, and no more than 8.
    pub fn parallel(mut self, rows: NonZeroUsize) -> Self {
        self.limits.rows = Some(rows);
        self
    }

    /// What [`Get::save`] does with files that exist.
    pub fn overwrite(self, overwrite: Overwrite) -> Self {
        Self { overwrite, ..self }
    }

    /// Leaves out of a directory what these globs match: the whole path in the object where a glob has a slash, else
    /// any name in it. A directory that matches is left out with everything in it.
    pub fn exclude<G: Into<String>>(mut self, globs: impl IntoIterator<Item = G>) -> Self {
        self.exclude.extend(globs.into_iter().map(Into::into));
        self
    }

    /// Reads into memory.
    ///
    /// # Errors
    /// [`GetError`], or for a path in a directory [`PackReadError`](crate::PackReadError).
    pub async fn bytes(self) -> Result<Bytes, Error> {
        let mut reading = self.start().await?;
        let mut all = BytesMut::new();
        while let Some(bytes) = reading.next().await? {
            all.extend_from_slice(&bytes);
        }
        Ok(all.freeze())
    }

    /// Reads into `sink`, which is flushed at the end.
    ///
    /// # Errors
    /// As [`Get::bytes`], and when the sink fails. It may then have the first of the bytes, each of them right; whether
    /// a whole file has its hash is known at its end.
    pub async fn write_to(self, sink: impl AsyncWrite + Unpin + Send) -> Result<Fetched, Error> {
        self.start().await?.write_to(sink).await
    }

    /// Reads in order, as fast as the stream is polled and a few rows ahead of that. Dropping it cancels.
    ///
    /// # Errors
    /// An item may be an [`io::Error`] with an [`Error`] inside; it is the last. Whether a whole file has its hash is
    /// known at its end.
    pub fn stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        let started = async move { self.start().await.map(Reading::into_stream) };
        stream::once(started).try_flatten().map_err(io::Error::other).boxed()
    }

    /// Opens the file for reading at any position.
    ///
    /// # Errors
    /// As [`Get::bytes`].
    pub async fn reader(self) -> Result<Reader, Error> {
        let file = self.file().await?;
        let range = self.range.within(file.size)?;
        Ok(Reader::new(file, range))
    }

    /// Opens a file, and starts to read it from its first byte.
    async fn start(&self) -> Result<Reading, Error> {
        let since = Instant::now();
        let file = Box::pin(self.file()).await?;
        let range = self.range.within(file.size)?;
        Ok(Reading::new(file, range, self.events.clone(), since))
    }
}

/// Reads bytes of an object that is open, in order. An end after that of the object is the object's.
///
/// # Errors
/// [`GetError`]; the item is the last.
pub(crate) fn stream_opened(
    opened: Arc<Opened>,
    range: Range<u64>,
) -> impl Stream<Item = Result<Bytes, Error>> + Send + use<> {
    let start = async move {
        let file = TargetFile::whole(opened);
        let range = ByteRange::Within(range.start, range.end).within(file.size)?;
        Ok::<_, Error>(Reading::new(file, range, Events::none(), Instant::now()).into_stream())
    };
    stream::once(start).try_flatten()
}

impl ByteRange {
    /// Which bytes of a file of this size.
    fn within(&self, size: u64) -> Result<Range<u64>, GetError> {
        match *self {
            Self::All => Ok(0..size),
            Self::Within(start, end) if start >= end && start <= size => Ok(start..start),
            Self::Within(start, end) if start < size => Ok(start..end.min(size)),
            Self::Within(start, _) => Err(GetError::Range { start, size }),
            Self::Last(0) => Err(GetError::Range { start: size, size }),
            Self::Last(bytes) => Ok(size.saturating_sub(bytes)..size),
        }
    }
}

/// A file that is being read in order.
struct Reading {
    file: TargetFile,
    /// The wanted bytes of the file.
    range: Range<u64>,
    rows: ReadAhead,
    hasher: blake3::Hasher,
    /// Bytes that an earlier attempt had read.
    resumed: u64,
    /// Bytes that are read, those included.
    done: u64,
    /// What was read after them: the stamp, where that is read and stored behind the file.
    behind: Vec<u8>,
    reconstructed: bool,
    events: Events,
    /// The file that rows are written to, if it is one.
    to: Option<PathBuf>,
    since: Instant,
}

impl Reading {
    fn new(file: TargetFile, range: Range<u64>, events: Events, since: Instant) -> Self {
        let rows = file.rows(range.clone());
        let (hasher, behind) = Default::default();
        Self { file, range, rows, hasher, resumed: 0, done: 0, behind, reconstructed: false, events, to: None, since }
    }

    /// Writes all of it to `sink`.
    async fn write_to(mut self, mut sink: impl AsyncWrite + Unpin + Send) -> Result<Fetched, Error> {
        while let Some(bytes) = self.next().await? {
            self.rows.meanwhile(sink.write_all(&bytes)).await.map_err(GetError::output)?;
        }
        sink.flush().await.map_err(GetError::output)?;
        Ok(self.finish())
    }

    /// The next bytes; `None` after the last, when the hash of a whole file was right.
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while let Some(row) = self.rows.next().await {
            let RowBytes { mut bytes, reconstructed } = row.map_err(|error| match &self.to {
                Some(to) => error.at(to),
                None => error,
            })?;
            let total = self.range.end - self.range.start;
            let left = usize::try_from(total - self.done).map_or(bytes.len(), |left| left.min(bytes.len()));
            self.behind.extend_from_slice(&bytes.split_off(left));
            self.hasher.update(&bytes);
            self.reconstructed |= reconstructed;
            self.done += u64::try_from(bytes.len()).expect("a row is at most 64 MiB");
            self.events.tell(Event::Progress { done: self.done, total: Some(total) });
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
        self.file.check_hash(&self.range, self.hash()).map(|()| None)
    }

    /// The rest, row by row.
    fn into_stream(self) -> impl Stream<Item = Result<Bytes, Error>> + Send + use<> {
        stream::try_unfold(self, |mut reading| async move {
            let bytes = reading.next().await?;
            Ok(bytes.map(|bytes| (bytes, reading)))
        })
    }

    fn hash(&self) -> [u8; 32] {
        self.hasher.finalize().into()
    }

    fn finish(self) -> Fetched {
        let (size, hash, resumed) = (self.done, self.hash(), self.resumed);
        let reads =
            Fetched { size, blake3: Some(hash), resumed, reconstructed: self.reconstructed, ..self.file.reads() };
        Fetched { took: self.since.elapsed(), ..reads }
    }
}

pub(crate) fn used(opened: &Opened) -> Vec<UsedColumn> {
    let extents = opened.extents.iter().map(|extent| &extent.columns);
    let used = |columns: &Columns| {
        let extent = columns.extent;
        columns.used().into_iter().map(move |(index, provider)| UsedColumn { extent, index, provider })
    };
    extents.flat_map(used).collect()
}

pub(crate) fn failed(opened: &Opened) -> Vec<FailedColumn> {
    opened.extents.iter().flat_map(|extent| extent.columns.failures()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_http() {
        let check = |range: ByteRange, size, expect: Option<Range<u64>>| {
            assert_eq!(range.within(size).ok(), expect, "{range:?} of {size}");
        };
        check(ByteRange::All, 0, Some(0..0));
        check(ByteRange::Within(0, 4), 10, Some(0..4));
        check(ByteRange::Within(4, u64::MAX), 10, Some(4..10));
        check(ByteRange::Within(9, 10), 10, Some(9..10));
        check(ByteRange::Within(10, 11), 10, None);
        check(ByteRange::Within(11, u64::MAX), 10, None);
        check(ByteRange::Within(0, u64::MAX), 0, None);
        check(ByteRange::Within(10, 10), 10, Some(10..10));
        check(ByteRange::Last(3), 10, Some(7..10));
        check(ByteRange::Last(30), 10, Some(0..10));
        check(ByteRange::Last(3), 0, Some(0..0));
        check(ByteRange::Last(0), 10, None);
    }
}
