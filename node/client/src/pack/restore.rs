//! From a pack to a directory on disk, whole or not at all.
//!
//! [`Feed`] reads entries and contents in order, the contents in one go however many files there are, and hands them
//! out in batches; a worker writes one batch with [`write`] while the next is fetched. All is written beside the
//! destination, where nobody else may enter, and takes its name when every file has its hash and lies on disk.
//!
//! Modes and times are restored, of directories when all is in them. Set-user-id and set-group-id bits are not: nobody
//! should run a stranger's program as somebody else. Owners are not kept.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::future::{Either, select};
use ostrakon_proto::{
    id::ObjectId,
    pack::{Entry, Kind, PackPath},
};

use super::{
    list::{Listing, PackEntries},
    place::Part,
    read::{PackReadError, PackReader},
};
use crate::{Event, Events, FailedColumn, GetError, Overwrite, UsedColumn, get::Ahead};

mod write;

use write::{Op, Writer, Written};

/// Bytes and entries that are handed to a worker at a time.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
const BATCH_OPS: usize = 1024;
/// Contents that nobody wants are read over up to here: beyond, asking again is cheaper.
const GAP: u64 = 4 * 1024 * 1024;

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The object it came from.
    pub object: ObjectId,
    /// Files, directories and symlinks, without the destination itself where that is a directory.
    pub entries: u64,
    /// Bytes of all files.
    pub size: u64,
    /// BLAKE3 of the content, when one file was restored.
    pub blake3: Option<[u8; 32]>,
    /// Entries whose set-user-id or set-group-id bit was dropped.
    pub bits_dropped: u64,
    /// Columns that were read from.
    pub columns_used: Vec<UsedColumn>,
    /// Holders that failed on the way; the bytes are right nevertheless.
    pub columns_failed: Vec<FailedColumn>,
    /// Whether data had to be made from parity.
    pub reconstructed: bool,
    /// Bytes of columns that were received for it.
    pub fetched_bytes: u64,
}

impl PackReader {
    /// Writes the directory, or what is at `path` in it, to `to`: whole, or nothing. With [`Overwrite::Replace`] what
    /// is there is replaced, and never mixed with what comes.
    ///
    /// # Errors
    /// [`PackReadError`]; the destination is then as it was.
    pub async fn restore(
        &self,
        path: Option<&PackPath>,
        to: &Path,
        overwrite: Overwrite,
        events: &Events,
    ) -> Result<Restored, PackReadError> {
        if overwrite == Overwrite::Refuse && to.symlink_metadata().is_ok() {
            return Err(GetError::Exists(to.to_owned()).into());
        }
        Box::pin(self.write_to(path, (to, overwrite), events)).await
    }

    async fn write_to(
        &self,
        path: Option<&PackPath>,
        (to, overwrite): (&Path, Overwrite),
        events: &Events,
    ) -> Result<Restored, PackReadError> {
        let failed = |error| GetError::Write { to: to.display().to_string(), error };
        let plan = self.plan(path).await?;
        let part = Part::new(to, u64::from_le_bytes(self.client.random())).map_err(failed)?;
        let placing = part.placing(overwrite).map_err(failed)?;
        let mut writer = Writer::new(&part, plan.base(), self.footer.top).map_err(failed)?;
        let mut feed = Feed::new(self, plan, events).await?;
        let mut batch = feed.batch().await?;
        while !batch.is_empty() {
            let write = self.client.workers.run(move || {
                let written = writer.write(batch);
                (writer, written)
            });
            let (next, (back, written)) = feed.batch_meanwhile(write).await;
            written.map_err(|error| error.at(to))?;
            (writer, batch) = (back, next?);
        }
        let placed = self.client.workers.run(move || writer.finish().and_then(|written| written.place(&placing))).await;
        let written = placed.map_err(|error| error.at(to))?;
        drop(part);
        Ok(self.restored(written, feed.reconstructed))
    }

    fn restored(&self, written: Written, reconstructed: bool) -> Restored {
        Restored {
            object: self.object(),
            entries: written.entries,
            size: written.size,
            blake3: written.hash,
            bits_dropped: written.bits_dropped,
            columns_used: self.columns_used(),
            columns_failed: self.columns_failed(),
            reconstructed,
            fetched_bytes: self.fetched_bytes(),
        }
    }

    /// What is to be restored, and how many bytes of content lie before its end.
    async fn plan(&self, path: Option<&PackPath>) -> Result<Plan, PackReadError> {
        let Some(path) = path else { return Ok(Plan { of: Of::Whole, end: self.footer.content }) };
        let entry = self.entry(path).await?;
        let mut end = 0;
        if entry.kind == Kind::Directory {
            let mut entries = self.list(Some(path), Listing::Everything).await?;
            while let Some(entry) = entries.next().await? {
                if let Kind::File(file) = entry.kind {
                    end = file.offset + file.size;
                }
            }
            return Ok(Plan { of: Of::Directory(entry), end });
        }
        if let Kind::File(file) = &entry.kind {
            end = file.offset.saturating_add(file.size);
            if end > self.footer.content {
                return Err(self.broken(ostrakon_proto::pack::PackError::Bytes(path.clone())));
            }
        }
        Ok(Plan { of: Of::One(entry), end })
    }
}

struct Plan {
    of: Of,
    /// Where the contents end that are wanted.
    end: u64,
}

enum Of {
    Whole,
    Directory(Entry),
    /// A file or a symlink.
    One(Entry),
}

impl Plan {
    /// The path whose entry becomes the destination.
    fn base(&self) -> Option<&Entry> {
        match &self.of {
            Of::Whole => None,
            Of::Directory(entry) | Of::One(entry) => Some(entry),
        }
    }
}

/// Entries and contents, in the order in which they are written.
struct Feed<'a> {
    reader: &'a PackReader,
    /// What was listed before: the one entry, where there is only one.
    first: Option<Entry>,
    entries: Option<PackEntries<'a>>,
    contents: Option<Ahead<'a>>,
    /// Fetched, and not handed out yet: from `at` on.
    plain: Bytes,
    at: u64,
    end: u64,
    /// Bytes of the last file that are still to come.
    left: u64,
    reconstructed: bool,
    events: &'a Events,
}

impl<'a> Feed<'a> {
    async fn new(reader: &'a PackReader, plan: Plan, events: &'a Events) -> Result<Self, PackReadError> {
        let (first, entries) = match plan.of {
            Of::Whole => (None, Some(reader.list(None, Listing::Everything).await?)),
            Of::Directory(entry) => (None, Some(reader.list(Some(&entry.path), Listing::Everything).await?)),
            Of::One(entry) => (Some(entry), None),
        };
        let (contents, plain) = (None, Bytes::new());
        let (at, left, reconstructed) = (0, 0, false);
        Ok(Self { reader, first, entries, contents, plain, at, end: plan.end, left, reconstructed, events })
    }

    /// What is written next, and what `write` gives: both continue concurrently, and the contents with them.
    async fn batch_meanwhile<T>(
        &mut self,
        write: impl Future<Output = T> + Send,
    ) -> (Result<Vec<Op>, PackReadError>, T) {
        let first = match select(Box::pin(self.batch()), Box::pin(write)).await {
            Either::Left((batch, write)) => Either::Left((batch, write)),
            Either::Right((written, batch)) => Either::Right((batch.await, written)),
        };
        match (first, &mut self.contents) {
            (Either::Left((batch, write)), Some(contents)) => (batch, contents.meanwhile(write).await),
            (Either::Left((batch, write)), None) => (batch, write.await),
            (Either::Right(both), _) => both,
        }
    }

    /// What is written next; nothing behind the end.
    async fn batch(&mut self) -> Result<Vec<Op>, PackReadError> {
        let (mut ops, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH_BYTES && ops.len() < BATCH_OPS {
            if self.left > 0 {
                let next = self.content().await?;
                bytes += next.len();
                ops.push(Op::Bytes(next));
                continue;
            }
            let Some(entry) = self.entry().await? else { break };
            if let Kind::File(file) = &entry.kind {
                self.left = file.size;
                if file.size > 0 {
                    self.seek(file.offset).await?;
                }
            }
            ops.push(Op::Entry(Box::new(entry)));
        }
        self.events.tell(Event::Progress { done: self.at, total: Some(self.end) });
        Ok(ops)
    }

    async fn entry(&mut self) -> Result<Option<Entry>, PackReadError> {
        match (&mut self.entries, &mut self.contents) {
            (Some(entries), Some(contents)) => contents.meanwhile(entries.next()).await,
            (Some(entries), None) => entries.next().await,
            (None, _) => Ok(self.first.take()),
        }
    }

    /// Continues to where a file's bytes begin.
    async fn seek(&mut self, offset: u64) -> Result<(), PackReadError> {
        if self.contents.is_none() || offset - self.at > GAP {
            self.contents = Some(Ahead::new(&self.reader.opened, offset..self.end));
            (self.plain, self.at) = (Bytes::new(), offset);
        }
        while self.at < offset {
            self.next_bytes(offset - self.at).await?;
        }
        Ok(())
    }

    /// Bytes of the file that is in progress.
    async fn content(&mut self) -> Result<Bytes, PackReadError> {
        let bytes = self.next_bytes(self.left).await?;
        self.left -= u64::try_from(bytes.len()).expect("a row is at most 64 MiB");
        Ok(bytes)
    }

    /// The next bytes of the contents, some but at most so many.
    async fn next_bytes(&mut self, most: u64) -> Result<Bytes, PackReadError> {
        while self.plain.is_empty() {
            let contents = self.contents.as_mut().expect("contents are sought before they are read");
            let plain = contents.next().await.expect("an index was checked to name bytes that are there")?;
            self.reconstructed |= plain.reconstructed;
            self.plain = plain.bytes;
        }
        let len = usize::try_from(most).map_or(self.plain.len(), |most| most.min(self.plain.len()));
        self.at += u64::try_from(len).expect("a row is at most 64 MiB");
        Ok(self.plain.split_to(len))
    }
}

/// Why nothing is in place.
#[derive(Debug)]
enum WriteError {
    Io(PathBuf, std::io::Error),
    Hash(PackPath),
    /// Nobody waits for it any more.
    Stopped,
}

impl WriteError {
    fn at(self, to: &Path) -> PackReadError {
        let (path, error) = match self {
            Self::Hash(path) => return PackReadError::WrongHash(path),
            Self::Io(path, error) => (path, error),
            Self::Stopped => (PathBuf::new(), std::io::ErrorKind::Interrupted.into()),
        };
        if path.as_os_str().is_empty() && error.kind() == std::io::ErrorKind::AlreadyExists {
            return GetError::Exists(to.to_owned()).into();
        }
        let to = if path.as_os_str().is_empty() { to.to_owned() } else { to.join(path) };
        GetError::Write { to: to.display().to_string(), error }.into()
    }
}
