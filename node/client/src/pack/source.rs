//! The stream that an add of a directory reads: contents, index and footer, of exactly the announced length.
//!
//! One worker at a time opens, reads and hashes files in order, a buffer ahead of the reader; so memory does not grow
//! with the directory's bytes, and small files cost no turn of their own. A file that is not any more what the list
//! says, or changes while it is read, is left out of the index: zeroes stand where its bytes were announced.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use futures::{FutureExt, future::BoxFuture};
use ostrakon_net::Workers;
use ostrakon_proto::pack::{Entry, FileContent, Footer, PackWriter};
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, openat};
use tokio::io::{AsyncRead, ReadBuf};

use super::{
    Skipped,
    attributes::{holes, stamp},
    cursor::Cursor,
    tree::{Node, Visit, What},
    walk::Walked,
};
use crate::AddedSource;

/// Bytes that a worker reads at a time.
const BUFFER: usize = 1024 * 1024;
/// Buffers that are filled ahead of the reader.
const AHEAD: usize = 2;

/// A directory as the bytes of its pack.
#[derive(Debug)]
pub(crate) struct PackSource {
    workers: Workers,
    ahead: VecDeque<Bytes>,
    state: State,
}

enum State {
    Resting(Box<Filler>),
    Filling(BoxFuture<'static, Filled>),
    /// A worker failed, and took the filler with it.
    Failed,
}

type Filled = (Box<Filler>, io::Result<Bytes>);

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Resting(_) => "Resting",
            Self::Filling(_) => "Filling",
            Self::Failed => "Failed",
        })
    }
}

impl PackSource {
    /// The stream of what was listed.
    pub(crate) fn new(walked: Walked) -> Self {
        // Of its own: a reader that is not asked for bytes must not hold the turn of those who encode them.
        let workers = Workers::pool(1);
        Self { workers, ahead: VecDeque::new(), state: State::Resting(Box::new(Filler::new(walked))) }
    }

    /// How many entries are in the index, and what is not: as far as the stream was read, and of the rest as it was
    /// listed.
    pub(crate) fn into_outcome(self) -> AddedSource {
        let State::Resting(filler) = self.state else { return AddedSource::default() };
        let entries = if filler.is_done() { filler.entries } else { filler.walked.entries() };
        let Filler { walked: Walked { mut skipped, .. }, holes, .. } = *filler;
        skipped.sort_by(|left, right| left.path.cmp(&right.path));
        AddedSource::Directory { entries, skipped, holes }
    }

    /// Fills buffers as far as workers have come.
    fn drive(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while self.ahead.len() < AHEAD {
            match std::mem::replace(&mut self.state, State::Failed) {
                State::Resting(filler) if filler.is_done() => {
                    self.state = State::Resting(filler);
                    return Ok(());
                }
                State::Resting(mut filler) => {
                    let workers = self.workers.clone();
                    let work = move || {
                        let filled = filler.fill();
                        (filler, filled)
                    };
                    self.state = State::Filling(async move { workers.run(work).await }.boxed());
                }
                State::Filling(mut filling) => match filling.poll_unpin(context) {
                    Poll::Pending => {
                        self.state = State::Filling(filling);
                        return Ok(());
                    }
                    Poll::Ready((filler, filled)) => {
                        self.state = State::Resting(filler);
                        self.ahead.push_back(filled?);
                    }
                },
                State::Failed => return Err(io::Error::other("reading the directory has already failed")),
            }
        }
        Ok(())
    }
}

impl AsyncRead for PackSource {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.drive(context)?;
        let Some(first) = self.ahead.front_mut() else {
            let is_done = matches!(&self.state, State::Resting(filler) if filler.is_done());
            return if is_done { Poll::Ready(Ok(())) } else { Poll::Pending };
        };
        let len = first.len().min(buffer.remaining());
        buffer.put_slice(&first[..len]);
        first.advance(len);
        if first.is_empty() {
            self.ahead.pop_front();
        }
        Poll::Ready(Ok(()))
    }
}

/// Makes the stream, a buffer at a time.
struct Filler {
    walked: Walked,
    part: Part,
    /// Where the next file's bytes begin.
    offset: u64,
    /// By number of the entry: the hash of each file that is whole.
    hashes: Vec<Option<[u8; 32]>>,
    entries: u64,
    /// Bytes of files that take no space on disk.
    holes: u64,
}

/// What comes next in the stream.
enum Part {
    Contents {
        visit: Visit,
        cursor: Option<Cursor>,
        file: Option<Reading>,
    },
    Index {
        visit: Visit,
        writer: Box<PackWriter>,
        ready: Bytes,
    },
    /// The last pages, padding and footer.
    End(Bytes),
}

/// A file of which bytes are still to come.
struct Reading {
    number: usize,
    left: u64,
    state: FileState,
}

enum FileState {
    Open(File, Box<blake3::Hasher>),
    /// It is not what was announced: zeroes are.
    Lost,
}

impl Filler {
    fn new(walked: Walked) -> Self {
        let cursor = walked.root.try_clone().and_then(Cursor::new).ok();
        let hashes = vec![None; walked.tree.len()];
        let part = Part::Contents { visit: Visit::default(), cursor, file: None };
        Self { walked, part, offset: 0, hashes, entries: 0, holes: 0 }
    }

    fn is_done(&self) -> bool {
        matches!(&self.part, Part::End(rest) if rest.is_empty())
    }

    /// The next bytes: as many as fit a buffer, unless the stream ends.
    fn fill(&mut self) -> io::Result<Bytes> {
        let mut buffer = vec![0; BUFFER];
        let mut filled = 0;
        while filled < BUFFER && !self.is_done() {
            filled += self.step(&mut buffer[filled..])?;
        }
        buffer.truncate(filled);
        Ok(buffer.into())
    }

    /// Puts some bytes into a buffer of zeroes, or continues to what comes next.
    fn step(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.part {
            Part::Contents { file: Some(_), .. } => Ok(self.read(buffer)),
            Part::Contents { .. } => {
                self.next_file();
                Ok(0)
            }
            Part::Index { ready, .. } if !ready.is_empty() => Ok(hand_out(ready, buffer)),
            Part::Index { .. } => self.next_page().map(|()| 0),
            Part::End(rest) => Ok(hand_out(rest, buffer)),
        }
    }

    /// Opens the next file, or begins the index behind the last.
    fn next_file(&mut self) {
        let Part::Contents { visit, cursor, file } = &mut self.part else { return };
        while let Some(node) = visit.next(&self.walked.tree) {
            let What::File { size } = node.what else { continue };
            let state = match open(cursor, visit, node) {
                Ok((file, holes)) => {
                    self.holes += holes;
                    FileState::Open(file, Box::default())
                }
                Err(reason) => {
                    self.walked.skipped.push(skipped(visit.path(), reason));
                    FileState::Lost
                }
            };
            *file = Some(Reading { number: visit.number(), left: size, state });
            return;
        }
        let writer = Box::new(PackWriter::new(self.walked.content));
        self.part = Part::Index { visit: Visit::default(), writer, ready: Bytes::new() };
    }

    /// Bytes of the open file; at its end it is looked at again.
    fn read(&mut self, buffer: &mut [u8]) -> usize {
        let Part::Contents { visit, file, .. } = &mut self.part else { return 0 };
        let Some(reading) = file else { return 0 };
        let want = usize::try_from(reading.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let room = &mut buffer[..want];
        if let FileState::Open(file, hasher) = &mut reading.state {
            match file.read_exact(room) {
                Ok(()) => {
                    hasher.update(room);
                }
                Err(error) => {
                    room.fill(0);
                    self.walked.skipped.push(skipped(visit.path(), changed(&error)));
                    reading.state = FileState::Lost;
                }
            }
        }
        reading.left -= u64::try_from(want).expect("a buffer's length fits");
        if reading.left == 0 {
            if let FileState::Open(file, hasher) = &reading.state {
                match check(file, self.walked.tree.node(reading.number)) {
                    Ok(_) => self.hashes[reading.number] = Some(hasher.finalize().into()),
                    Err(reason) => self.walked.skipped.push(skipped(visit.path(), reason)),
                }
            }
            *file = None;
        }
        want
    }

    /// The index as far as its next page, or to its end.
    fn next_page(&mut self) -> io::Result<()> {
        let Part::Index { visit, writer, ready } = &mut self.part else { return Ok(()) };
        while let Some(node) = visit.next(&self.walked.tree) {
            let size = if let What::File { size } = node.what { size } else { 0 };
            let hash = self.hashes[visit.number()];
            let content = FileContent { offset: self.offset, size, hash: hash.unwrap_or_default() };
            self.offset += size;
            let entry = self.walked.entry(visit, node, content);
            put(writer, &entry, hash.is_some() || !matches!(node.what, What::File { .. })).map_err(io::Error::other)?;
            let pages = writer.take();
            if !pages.is_empty() {
                *ready = pages.into();
                return Ok(());
            }
        }
        let Part::Index { writer, .. } = std::mem::replace(&mut self.part, Part::End(Bytes::new())) else {
            return Ok(());
        };
        self.end(*writer);
        Ok(())
    }

    /// The last pages; then zeroes, up to where the footer was announced.
    fn end(&mut self, writer: PackWriter) {
        let index = writer.finish();
        self.entries = index.entries;
        let (content, top) = (self.walked.content, self.walked.top);
        let mut rest = index.pages;
        let written = index.root.end().expect("a page that was just written") - content;
        let padding = usize::try_from(self.walked.index - written).expect("an index of what is in memory");
        rest.resize(rest.len() + padding, 0);
        rest.extend(Footer { content, entries: index.entries, root: index.root, top }.encode());
        self.part = Part::End(rest.into());
    }
}

fn put(writer: &mut PackWriter, entry: &Entry, is_whole: bool) -> Result<(), ostrakon_proto::pack::PackError> {
    if is_whole { writer.push(entry) } else { writer.leave_out(entry) }
}

fn hand_out(from: &mut Bytes, buffer: &mut [u8]) -> usize {
    let len = from.len().min(buffer.len());
    from.copy_to_slice(&mut buffer[..len]);
    len
}

/// The file that the visit is at, if it is still what the list says, and how many of its bytes are holes. A fifo in its
/// place does not stop us.
fn open(cursor: &mut Option<Cursor>, visit: &Visit, node: Node) -> Result<(File, u64), String> {
    let cursor = cursor.as_mut().ok_or_else(|| "the directory cannot be opened again".to_owned())?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    cursor.go_to(visit.directory()).map_err(|error| changed(&error))?;
    let file = openat(cursor.here(), visit.name(), flags, Mode::empty()).map_err(|error| changed(&error.into()))?;
    let file = File::from(file);
    let stat = check(&file, node)?;
    let holes = holes(&file, &stat);
    Ok((file, holes))
}

fn check(file: &File, node: Node) -> Result<Stat, String> {
    let stat = fstat(file).map_err(|error| changed(&error.into()))?;
    let What::File { size } = node.what else { return Err("changed while it was read".to_owned()) };
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    let now = stamp(&stat);
    let same_time = (now.seconds, now.nanos) == (node.stamp.seconds, node.stamp.nanos);
    match is_file && u64::try_from(stat.st_size) == Ok(size) && same_time {
        true => Ok(stat),
        false => Err("changed while it was read".to_owned()),
    }
}

fn changed(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound => "changed while it was read".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

fn skipped(path: &[u8], reason: String) -> Skipped {
    Skipped { path: OsStr::from_bytes(path).into(), reason }
}
