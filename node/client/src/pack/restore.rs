//! From a pack to a directory on disk.
//!
//! [`Feed`] reads entries and contents in order, the contents in one go however many files there are, and returns them
//! in batches; a worker writes one batch with [`write`] while the next is fetched. All is written to a hidden directory
//! ([`super::staged`]), which takes its name, or is merged into a directory that exists, when every file has its hash
//! and lies on disk. Where an earlier attempt left files, or others are in the way, is found out first by [`survey`].

use std::{collections::VecDeque, path::PathBuf};

use bytes::Bytes;
use futures::future::{Either, select};
use ostrakon_proto::pack::{Entry, Kind, PackPath};

use super::{
    list::{Listing, PackEntries},
    read::{PackReadError, PackReader},
    staged::Staged,
    walk::Exclude,
};
use crate::{
    Error, Event, Events, Fetched, GetError,
    get::{
        ahead::ReadAhead,
        save::{Destination, Occupant},
        staging::{StagingDirectory, StagingId},
    },
};

mod survey;
mod write;

use survey::Survey;
pub(super) use write::failing_at;
use write::{Op, Writer, Written};

/// Bytes and entries that are handed to a worker at a time.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
const BATCH_OPS: usize = 1024;
/// Contents that are not wanted are read over up to here: beyond, a new read is cheaper.
const GAP: u64 = 4 * 1024 * 1024;

/// A directory that is to be written to disk.
pub(crate) struct Restore {
    reader: PackReader,
    /// The directory in the pack; the pack itself when `None`.
    base: Option<Entry>,
    exclude: Vec<String>,
    events: Events,
}

impl Restore {
    pub(crate) fn new(reader: PackReader, base: Option<Entry>, exclude: Vec<String>, events: Events) -> Self {
        Self { reader, base, exclude, events }
    }

    /// Writes it.
    pub(crate) async fn run(self, to: &Destination) -> Result<Fetched, Error> {
        let exclude = Exclude::new(&self.exclude).map_err(GetError::Glob)?;
        let end = self.content_end().await?;
        let mut staged = self.stage(to).map_err(|error| GetError::write(&to.path, error))?;
        let mut have = VecDeque::new();
        if staged.is_resumed || to.occupant == (Occupant::Directory { is_empty: false }) {
            let survey = Survey::new(&staged, to).map_err(|error| GetError::write(&to.path, error))?;
            have = self.survey(survey, &exclude).await.map_err(|error| error.at(to))?;
        }
        let mut writer = Writer::new(&staged, self.base_bytes()).map_err(|error| GetError::write(&to.path, error))?;
        let mut feed = Feed::new(&self, self.selected(&exclude).await?, have, end);
        let mut batch = feed.batch().await?;
        while !batch.is_empty() {
            let write = self.reader.client().workers.run(move || {
                let written = writer.write(batch);
                (writer, written)
            });
            let (next, (back, written)) = feed.batch_meanwhile(write).await;
            written.map_err(|error| error.at(to))?;
            (writer, batch) = (back, next?);
        }
        let top = self.base.as_ref().map_or(self.reader.top(), |entry| entry.stamp);
        let reconstructed = feed.reconstructed;
        let (occupant, name) = (to.occupant, to.path.file_name().unwrap_or_default().to_owned());
        let placed = self.reader.client().workers.run(move || {
            let written = writer.finish()?;
            match occupant {
                Occupant::Directory { .. } => staged.merge()?,
                _ => staged.place(&name, top).map_err(failing_at(b""))?,
            }
            Ok(written)
        });
        let Written { entries, size, resumed, bits_dropped } =
            placed.await.map_err(|error: WriteError| error.at(to))?;
        Ok(Fetched { entries: Some(entries), size, resumed, bits_dropped, reconstructed, ..self.reader.reads(0) })
    }

    /// Bytes of each path that name the directory itself.
    fn base_bytes(&self) -> usize {
        self.base.as_ref().map_or(0, |entry| entry.path.as_bytes().len())
    }

    /// A hidden directory: in the destination where that exists, else beside it.
    fn stage(&self, to: &Destination) -> std::io::Result<Staged> {
        let parent = match to.occupant {
            Occupant::Directory { .. } => StagingDirectory::open(&to.path)?,
            _ => to.beside()?.0,
        };
        let base = self.base.as_ref().map(|entry| &entry.path);
        let id = StagingId::new(self.reader.object(), base, &(0..0), &to.path);
        Staged::open(parent, &id, u64::from_le_bytes(self.reader.client().random()))
    }

    /// How many bytes of content lie before the end of what is wanted.
    async fn content_end(&self) -> Result<u64, PackReadError> {
        let Some(base) = &self.base else { return Ok(self.reader.content()) };
        let (mut entries, mut end) = (self.reader.list(Some(&base.path), Listing::Everything).await?, 0);
        while let Some(entry) = entries.next().await? {
            if let Kind::File(file) = entry.kind {
                end = file.offset + file.size;
            }
        }
        Ok(end)
    }

    async fn selected(&self, exclude: &Exclude) -> Result<Selected<'_>, PackReadError> {
        let base = self.base.as_ref().map(|entry| &entry.path);
        let entries = self.reader.list(base, Listing::Everything).await?;
        Ok(Selected { entries, exclude: exclude.clone(), left_out: None })
    }

    /// Of each file in order, whether it is there already.
    async fn survey(&self, mut survey: Survey, exclude: &Exclude) -> Result<VecDeque<bool>, SurveyError> {
        let (mut entries, mut have) = (self.selected(exclude).await?, VecDeque::new());
        survey.base = self.base_bytes();
        loop {
            let mut batch = Vec::new();
            while batch.len() < BATCH_OPS
                && let Some(entry) = entries.next().await?
            {
                batch.push(entry);
            }
            if batch.is_empty() {
                return Ok(have);
            }
            let looked = self.reader.client().workers.run(move || {
                let found = survey.look(&batch);
                (survey, found)
            });
            let found;
            (survey, found) = looked.await;
            have.extend(found?);
        }
    }
}

/// The entries that are wanted.
struct Selected<'a> {
    entries: PackEntries<'a>,
    exclude: Exclude,
    /// The last directory that is left out.
    left_out: Option<PackPath>,
}

impl Selected<'_> {
    async fn next(&mut self) -> Result<Option<Entry>, PackReadError> {
        while let Some(entry) = self.entries.next().await? {
            if self.left_out.as_ref().is_some_and(|directory| entry.path.is_in(directory)) {
                continue;
            }
            if !self.exclude.matches(entry.path.as_bytes(), entry.path.name()) {
                return Ok(Some(entry));
            }
            self.left_out = Some(entry.path);
        }
        Ok(None)
    }
}

/// Entries and contents, in the order in which they are written.
struct Feed<'a> {
    restore: &'a Restore,
    entries: Selected<'a>,
    /// Of each file that is to come, whether it is there already.
    have: VecDeque<bool>,
    contents: Option<ReadAhead>,
    /// Bytes that are fetched and not returned yet: from `at` on.
    plain: Bytes,
    at: u64,
    end: u64,
    /// Bytes of the last file that are still to come.
    left: u64,
    reconstructed: bool,
}

impl<'a> Feed<'a> {
    fn new(restore: &'a Restore, entries: Selected<'a>, have: VecDeque<bool>, end: u64) -> Self {
        let (contents, plain) = (None, Bytes::new());
        let (at, left, reconstructed) = (0, 0, false);
        Self { restore, entries, have, contents, plain, at, end, left, reconstructed }
    }

    /// What is written next, and the output of `write`: both progress concurrently, and the contents with them.
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

    /// What is written next; nothing after the end.
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
                if self.have.pop_front() == Some(true) {
                    ops.push(Op::Have(Box::new(entry)));
                    continue;
                }
                self.left = file.size;
                if file.size > 0 {
                    self.seek(file.offset).await?;
                }
            }
            ops.push(Op::Entry(Box::new(entry)));
        }
        self.restore.events.tell(Event::Progress { done: self.at, total: Some(self.end) });
        Ok(ops)
    }

    async fn entry(&mut self) -> Result<Option<Entry>, PackReadError> {
        match &mut self.contents {
            Some(contents) => contents.meanwhile(self.entries.next()).await,
            None => self.entries.next().await,
        }
    }

    /// Moves on to where a file's bytes start.
    async fn seek(&mut self, offset: u64) -> Result<(), PackReadError> {
        if self.contents.is_none() || offset - self.at > GAP {
            self.contents = Some(ReadAhead::new(self.restore.reader.opened(), offset..self.end));
            (self.plain, self.at) = (Bytes::new(), offset);
        }
        while self.at < offset {
            self.next_bytes(offset - self.at).await?;
        }
        Ok(())
    }

    /// Bytes of the file that was sought.
    async fn content(&mut self) -> Result<Bytes, PackReadError> {
        let bytes = self.next_bytes(self.left).await?;
        self.left -= u64::try_from(bytes.len()).expect("a row is at most 64 MiB");
        Ok(bytes)
    }

    /// The next bytes of the contents, some but at most so many.
    async fn next_bytes(&mut self, most: u64) -> Result<Bytes, PackReadError> {
        while self.plain.is_empty() {
            let contents = self.contents.as_mut().expect("contents are sought before they are read");
            let row = contents.next().await.expect("an index was checked to name bytes that are there")?;
            self.reconstructed |= row.reconstructed;
            self.plain = row.bytes;
        }
        let len = usize::try_from(most).map_or(self.plain.len(), |most| most.min(self.plain.len()));
        self.at += u64::try_from(len).expect("a row is at most 64 MiB");
        Ok(self.plain.split_to(len))
    }
}

/// Why nothing is in place.
#[derive(Debug)]
pub(super) enum WriteError {
    Io(PathBuf, std::io::Error),
    /// At this path there is something of another kind: what it is, and what it has to be.
    Conflict(PathBuf, &'static str, &'static str),
    Hash(PackPath),
    /// The get was dropped.
    Cancelled,
}

impl WriteError {
    fn at(self, to: &Destination) -> Error {
        let (path, error) = match self {
            Self::Hash(path) => return PackReadError::WrongHash(path).into(),
            Self::Conflict(path, found, needed) => {
                return GetError::Conflict { path: to.path.join(path), found, needed }.into();
            }
            Self::Io(path, error) => (path, error),
            Self::Cancelled => (PathBuf::new(), std::io::ErrorKind::Interrupted.into()),
        };
        let path = if path.as_os_str().is_empty() { to.path.clone() } else { to.path.join(path) };
        GetError::write(&path, error).into()
    }
}

/// Why it is not known what is there.
enum SurveyError {
    Read(PackReadError),
    Write(WriteError),
}

impl From<PackReadError> for SurveyError {
    fn from(error: PackReadError) -> Self {
        Self::Read(error)
    }
}

impl From<WriteError> for SurveyError {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

impl SurveyError {
    fn at(self, to: &Destination) -> Error {
        match self {
            Self::Read(error) => error.into(),
            Self::Write(error) => error.at(to),
        }
    }
}
