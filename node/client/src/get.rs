//! Get: from a link to the plaintext.
//!
//! In goes a link, a range and where the bytes go; out come bytes that were proven against the object's name, in order,
//! or an error that names who failed. [`open`] finds the object, [`plan`] says which rows, [`rows`] reads each from the
//! k quickest columns and races holders that are late, [`short`] a few cells where those are enough, [`columns`] proves
//! and remembers who failed. A few rows are in flight at a time, never more than a fixed number of bytes, also when a
//! reader does other things between them ([`ahead`]). [`path`] writes to a file, whole or not at all, and [`partial`]
//! lets the next attempt continue where one stopped.

use std::{fs::File, ops::Range, os::unix::fs::FileExt, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt, stream};
use ostrakon_proto::{
    id::{NodeId, ObjectId},
    layout::Layout,
    limits,
    link::Link,
    manifest::{Content, Protection},
    row::{self, RowError},
};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::{Client, ErrorKind, Event, Events};

mod ahead;
pub(crate) mod columns;
pub(crate) mod open;
mod partial;
mod path;
mod plan;
pub(crate) mod rows;
mod short;

pub use columns::FailedColumn;
pub use open::OpenError;
pub use path::Overwrite;
pub use rows::NotEnoughColumns;

pub(crate) use ahead::Ahead;
use columns::Columns;
use open::Opened;
use partial::Partial;
use plan::Step;

/// Bytes of rows in flight at most, chunks and plaintext together.
const WINDOW_BYTES: usize = 64 * 1024 * 1024;
/// Rows in flight at most: each asks one chunk of a holder, and a holder is asked a few at a time.
const WINDOW_ROWS: usize = 8;

/// How to get.
#[derive(Clone, Debug, Default)]
pub struct GetOptions {
    /// Which bytes, from the first up to before the last; all when not given. An end past the object's is the object's.
    pub range: Option<Range<u64>>,
    /// What to do with a file that exists already; only [`Client::get_to_path`] asks.
    pub overwrite: Overwrite,
    /// What the object must be; anything when not given.
    pub content: Option<Content>,
}

/// What was got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The object.
    pub object: ObjectId,
    /// What the bytes are.
    pub content: Content,
    /// Bytes written.
    pub size: u64,
    /// BLAKE3 of the bytes written.
    pub blake3: [u8; 32],
    /// Bytes of them that an earlier attempt had fetched already.
    pub resumed: u64,
    /// Columns that were read from.
    pub columns_used: Vec<UsedColumn>,
    /// Holders that failed on the way; the bytes are right nevertheless.
    pub columns_failed: Vec<FailedColumn>,
    /// Whether data had to be made from parity.
    pub reconstructed: bool,
    /// Bytes of columns that were received for it: what it cost, rather than its size.
    pub fetched_bytes: u64,
}

/// A column that was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsedColumn {
    /// Of which extent.
    pub extent: u32,
    /// Its index.
    pub index: u8,
    /// Who gave it.
    pub provider: NodeId,
}

/// Why nothing, or not all, was got.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GetError {
    /// The object cannot be found or opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Too many holders are away. What is away may come back.
    #[error(transparent)]
    NotEnoughColumns(#[from] NotEnoughColumns),
    /// The columns are what the manifest lists, and still not what the key sealed: the one who added the object broke
    /// it.
    #[error("object {object} is inconsistent, and was so from the beginning: {error}")]
    Inconsistent {
        /// The object.
        object: ObjectId,
        /// What is wrong.
        error: RowError,
    },
    /// A public object's content is not what its manifest says: the one who added it broke it.
    #[error("the content of object {0} has not the hash that its manifest says: do not use it")]
    WrongHash(ObjectId),
    /// The object is a directory, and a file was asked for.
    #[error("object {0} is a directory: get it whole, or name a file in it as LINK/path")]
    IsDirectory(ObjectId),
    /// The object is a file, and a directory was asked for.
    #[error("object {0} is a file, no directory: there is no path in it")]
    IsFile(ObjectId),
    /// The range begins past the end.
    #[error("the object has {size} bytes, and the range begins at {start}")]
    Range {
        /// Where the range begins.
        start: u64,
        /// Bytes of the object.
        size: u64,
    },
    /// There is a file already, and it may not be overwritten.
    #[error("{0} exists already: choose another name, or allow overwriting")]
    Exists(std::path::PathBuf),
    /// The bytes could not be written.
    #[error("cannot write {to}: {error}")]
    Write {
        /// Where to.
        to: String,
        /// The system's reason.
        error: std::io::Error,
    },
}

impl GetError {
    /// What it means for the caller.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Open(error) => error.kind(),
            Self::NotEnoughColumns(_) => ErrorKind::Network,
            Self::Inconsistent { .. } | Self::WrongHash(_) => ErrorKind::Integrity,
            Self::Range { .. } | Self::Exists(_) | Self::IsDirectory(_) | Self::IsFile(_) => ErrorKind::Usage,
            Self::Write { .. } => ErrorKind::Other,
        }
    }
}

/// A row's plaintext, as far as wanted.
pub(crate) struct Plain {
    pub(crate) bytes: Bytes,
    pub(crate) reconstructed: bool,
}

impl Client {
    /// Reads an object, or a range of it, into `sink`. The sink is flushed at the end; on an error it may have a
    /// beginning of the bytes, each of them right.
    ///
    /// # Errors
    /// [`GetError`], which names who failed.
    pub async fn get(
        &self,
        link: &Link,
        options: &GetOptions,
        mut sink: impl AsyncWrite + Unpin + Send,
        events: &Events,
    ) -> Result<Fetched, GetError> {
        let mut reading = Reading::begin(self, link, options).await?;
        let mut hasher = blake3::Hasher::new();
        let (opened, steps) = (Arc::clone(&reading.opened), reading.steps());
        let mut plains = stream::iter(steps)
            .map(|step| Box::pin(read_step(&opened, step, None)))
            .buffered(window(&reading.opened.layout));
        while let Some(plain) = plains.next().await {
            let plain = plain?;
            hasher.update(&plain.bytes);
            sink.write_all(&plain.bytes).await.map_err(sink_failed)?;
            reading.advance(&plain, events);
        }
        drop(plains);
        let blake3 = hasher.finalize().into();
        reading.check_hash(blake3)?;
        sink.flush().await.map_err(sink_failed)?;
        Ok(reading.fetched(blake3))
    }
}

/// One get in progress.
struct Reading {
    opened: Arc<Opened>,
    /// Bytes that are wanted, of the object.
    range: Range<u64>,
    /// Bytes that an earlier attempt wrote.
    resumed: u64,
    /// Bytes that are done, those before among them.
    done: u64,
    reconstructed: bool,
}

impl Reading {
    async fn begin(client: &Client, link: &Link, options: &GetOptions) -> Result<Self, GetError> {
        let opened = Arc::new(client.open(link).await?);
        opened.check_content(options.content)?;
        let range = checked_range(options, opened.layout.size())?;
        Ok(Self { opened, range, resumed: 0, done: 0, reconstructed: false })
    }

    /// The first bytes are there.
    fn skip(&mut self, bytes: u64) {
        (self.resumed, self.done) = (bytes, bytes);
    }

    /// What is left to read, in order.
    fn steps(&self) -> impl Iterator<Item = Step> + use<> {
        let rest = self.range.start + self.done..self.range.end;
        // What is whole needs nothing more; an empty object's one row shows that the key opens it.
        let is_whole = self.resumed > 0 && rest.is_empty();
        plan::steps(self.opened.layout, rest).take(if is_whole { 0 } else { usize::MAX })
    }

    /// Reads what is left into the partial file: rows are written where they belong by the task that decodes them.
    async fn write_to(&mut self, mut partial: Partial, events: &Events) -> Result<Partial, GetError> {
        let (opened, steps, file) = (Arc::clone(&self.opened), self.steps(), partial.file());
        let start = self.range.start;
        let rows = stream::iter(steps).map(|step| {
            let offset = (step.shape.plain.start + count(step.wanted.start)).saturating_sub(start);
            Box::pin(read_step(&opened, step, Some((Arc::clone(&file), offset))))
        });
        let mut rows = rows.buffered(window(&opened.layout));
        while let Some(plain) = rows.next().await {
            let plain = plain?;
            partial.note(&plain.bytes).map_err(sink_failed)?;
            self.advance(&plain, events);
        }
        drop(rows);
        Ok(partial)
    }

    fn advance(&mut self, plain: &Plain, events: &Events) {
        self.reconstructed |= plain.reconstructed;
        self.done += count(plain.bytes.len());
        events.tell(Event::Progress { done: self.done, total: Some(self.range.end - self.range.start) });
    }

    /// A public object's content was read as a whole: is it what the manifest says?
    fn check_hash(&self, hash: [u8; 32]) -> Result<(), GetError> {
        match self.opened.manifest.protection {
            Protection::Public { hash: listed, .. } if self.done == self.opened.layout.size() && hash != listed => {
                Err(GetError::WrongHash(self.opened.object))
            }
            _ => Ok(()),
        }
    }

    fn fetched(&self, blake3: [u8; 32]) -> Fetched {
        Fetched {
            object: self.opened.object,
            content: self.opened.content,
            size: self.done,
            blake3,
            resumed: self.resumed,
            columns_used: used(&self.opened),
            columns_failed: failed(&self.opened),
            reconstructed: self.reconstructed,
            fetched_bytes: self.opened.fetched_bytes(),
        }
    }
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("a length fits 64 bits")
}

pub(crate) fn sink_failed(error: std::io::Error) -> GetError {
    GetError::Write { to: "the output".to_owned(), error }
}

fn checked_range(options: &GetOptions, size: u64) -> Result<Range<u64>, GetError> {
    let Some(range) = &options.range else { return Ok(0..size) };
    if range.start > size {
        return Err(GetError::Range { start: range.start, size });
    }
    Ok(range.start..range.end.clamp(range.start, size))
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

/// How many rows are in flight at a time.
pub(crate) fn window(layout: &Layout) -> usize {
    // A row's k chunks, and as much plaintext again.
    let row = 2 * usize::from(layout.code().k) * limits::CHUNK;
    (WINDOW_BYTES / row).clamp(1, WINDOW_ROWS)
}

/// The wanted plaintext of one row; written to its place in a file, where one is given.
async fn read_step(opened: &Opened, step: Step, place: Option<(Arc<File>, u64)>) -> Result<Plain, GetError> {
    let extent = usize::try_from(step.row.extent).ok().and_then(|at| opened.extents.get(at));
    let extent = extent.expect("a manifest lists its layout's extents");
    let write = move |bytes: &[u8]| match place {
        Some((file, offset)) => file.write_all_at(bytes, offset).map_err(sink_failed),
        None => Ok(()),
    };
    let short = plan::short(&opened.layout, &step);
    if let Some(short) = short
        && let Some(bytes) = short::read(&extent.columns, opened.sealer.as_ref(), short).await
    {
        let bytes = bytes.map_err(|error| inconsistent(opened.object, error.into()))?;
        write(&bytes)?;
        return Ok(Plain { bytes, reconstructed: false });
    }
    // One row is asked of the data columns concurrently; for more it pays to know first who is quick.
    let columns = if step.alone { &extent.columns } else { extent.measured().await };
    let chunks = columns.row(step.row, step.shape.chunk_len()).await?;
    let (object, layout, sealer) = (opened.object, opened.layout, opened.sealer.clone());
    let reconstructed = chunks[..usize::from(layout.code().k)].iter().any(Option::is_none);
    let decode = move || {
        let plain = row::decode(&layout, step.row, &chunks, sealer.as_deref());
        let bytes = plain.map_err(|error| inconsistent(object, error))?.slice(step.wanted);
        write(&bytes).map(|()| bytes)
    };
    let bytes = columns.workers().run(decode).await?;
    Ok(Plain { bytes, reconstructed })
}

fn inconsistent(object: ObjectId, error: RowError) -> GetError {
    GetError::Inconsistent { object, error }
}
