//! A file that is open for reading at any position.
//!
//! The object is opened once. The first read after a seek fetches little more than it asks for, and each read that
//! follows on fetches twice as far ahead, up to a few rows. Holders that fail are replaced, also by those that repair
//! has found since; every byte is verified, and whole files against their hash only by the other finishers of a
//! [`Get`](super::Get).

use std::{
    fmt, io,
    io::SeekFrom,
    ops::Range,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use ostrakon_proto::limits;
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};

use super::{ahead::ReadAhead, target::TargetFile};
use crate::Error;

/// From this much on, everything up to the end is read ahead, as far as rows in flight reach.
const AHEAD_MAX: u64 = 4 * 1024 * 1024;

/// Reads a file, or a range of one, at any position. Dropping it, or seeking, abandons what is in flight.
///
/// After an error, which has an [`Error`] inside, it can be read on: the next read tries the same bytes again.
pub struct Reader {
    file: TargetFile,
    /// The bytes of the file that are read from.
    range: Range<u64>,
    /// Where the next read starts, from the start of the range.
    position: u64,
    /// Bytes at the position that are fetched.
    plain: Bytes,
    /// The rows after those.
    rows: Option<ReadAhead>,
    /// How far the next rows reach at least.
    ahead: u64,
}

impl Reader {
    pub(super) fn new(file: TargetFile, range: Range<u64>) -> Self {
        Self { file, range, position: 0, plain: Bytes::new(), rows: None, ahead: 0 }
    }

    /// Bytes from the start to the end.
    pub fn size(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Rows from the position on that have at least `want` bytes, or all that are left.
    fn start_rows(&mut self, want: usize) -> ReadAhead {
        // A private object's pieces open whole, a public one's bytes are verified by groups: those are fetched anyway.
        let unit = if self.file.opened.sealer.is_some() { limits::PIECE } else { limits::GROUP };
        let unit = u64::try_from(unit).expect("a few KiB");
        let start = self.range.start + self.position;
        let want = u64::try_from(want).expect("a length fits 64 bits").max(self.ahead);
        let end = if want > AHEAD_MAX { u64::MAX } else { self.file.position(start + want).next_multiple_of(unit) };
        let end = end.min(self.file.position(self.range.end)) - self.file.position(0);
        self.ahead = want.saturating_mul(2);
        self.file.rows(start..end)
    }

    /// Fetches bytes at the position; none at the end.
    fn poll_fill(&mut self, context: &mut Context<'_>, want: usize) -> Poll<io::Result<()>> {
        while self.plain.is_empty() && self.position < self.size() {
            let mut rows = self.rows.take().unwrap_or_else(|| self.start_rows(want));
            match rows.poll_next(context) {
                Poll::Pending => {
                    self.rows = Some(rows);
                    return Poll::Pending;
                }
                Poll::Ready(Some(row)) => {
                    let row = row.map_err(|error| io::Error::other(Error::from(error)))?;
                    (self.plain, self.rows) = (row.bytes, Some(rows));
                }
                Poll::Ready(None) => {}
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        std::task::ready!(self.poll_fill(context, buffer.remaining()))?;
        let len = self.plain.len().min(buffer.remaining());
        buffer.put_slice(&self.plain[..len]);
        self.plain.advance(len);
        self.position += u64::try_from(len).expect("a length fits 64 bits");
        Poll::Ready(Ok(()))
    }
}

impl AsyncSeek for Reader {
    fn start_seek(mut self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.size().checked_add_signed(by),
        };
        let before = || io::Error::new(io::ErrorKind::InvalidInput, "cannot seek to before the first byte");
        let position = position.ok_or_else(before)?;
        let skipped = position.checked_sub(self.position).and_then(|bytes| usize::try_from(bytes).ok());
        match skipped.filter(|bytes| *bytes <= self.plain.len()) {
            Some(bytes) => self.plain.advance(bytes),
            None => (self.plain, self.rows, self.ahead) = (Bytes::new(), None, 0),
        }
        self.position = position;
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(Ok(self.position))
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("file", &self.file).field("position", &self.position).finish_non_exhaustive()
    }
}
