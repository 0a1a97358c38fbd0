//! A stream, cut into rows.
//!
//! A stream of unknown length is read ahead. If it ends within the first bytes its length is known after all; otherwise
//! rows go out under the layout of the longest object, which all rows but an object's last share.

use std::io;

use bytes::BytesMut;
use ostrakon_proto::{
    layout::{Layout, LayoutError, RowId},
    params::Code,
};
use tokio::io::AsyncReadExt;

use super::{
    super::{AddedSource, input::InputReader},
    Content, PlainRow, RowFilter, SourceError, after,
};

/// How much of a stream of unknown length is read before it counts as long.
const AHEAD: usize = 16 * 1024 * 1024;

/// A reader, cut into rows.
pub(crate) struct StreamSource<'a> {
    reader: InputReader<'a>,
    layout: Layout,
    /// Whether `layout` is the object's.
    known: bool,
    /// Read, and not handed out yet.
    ahead: BytesMut,
    ended: bool,
    done: u64,
    next: Option<RowId>,
}

impl<'a> StreamSource<'a> {
    /// The source of an object.
    pub(super) async fn new(
        reader: InputReader<'a>,
        size: Option<u64>,
        code: Code,
        sealed: bool,
    ) -> Result<Self, SourceError> {
        let layout = size.map_or_else(|| Layout::longest(code, sealed), |size| Layout::new(size, code, sealed))?;
        let next = Some(RowId { extent: 0, row: 0 });
        let (ahead, known) = (BytesMut::new(), size.is_some());
        let mut source = Self { reader, layout, known, ahead, ended: false, done: 0, next };
        if !known {
            source.read_ahead(AHEAD + 1).await?;
            source.notice_end()?;
        }
        Ok(source)
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    pub(crate) fn size(&self) -> Option<u64> {
        self.known.then(|| self.layout.size())
    }

    pub(crate) fn least(&self) -> u64 {
        self.size().unwrap_or_else(|| self.done + count(self.ahead.len()))
    }

    pub(crate) fn is_done(&self) -> bool {
        self.next.is_none()
    }

    /// The next row; `None` after the last.
    pub(crate) async fn next_row(&mut self, wanted: RowFilter<'_>) -> Result<Option<PlainRow>, SourceError> {
        let Some(row) = self.next else { return Ok(None) };
        let mut want = self.row_bytes(row)?;
        // One byte more than the row, to know whether the row is the last.
        self.read_ahead(want + 1).await?;
        self.notice_end()?;
        if self.known {
            want = self.row_bytes(row)?;
        }
        let shape = self.layout.row(row).expect("a row that the layout was asked for");
        if self.ahead.len() < want || (shape.last && self.ahead.len() > want) {
            let read = self.done + count(self.ahead.len());
            return Err(self.unexpected(read));
        }
        let plain = self.ahead.split_to(want).freeze();
        self.done += count(want);
        let content = if wanted(row, &shape) { Content::Bytes(plain) } else { Content::PassedOver };
        let (ends_extent, next) = after(&self.layout, row, &shape);
        self.next = next;
        Ok(Some(PlainRow { row, layout: self.layout, content, done: self.done, ends_extent }))
    }

    pub(super) fn into_outcome(self) -> AddedSource {
        self.reader.into_outcome()
    }

    fn row_bytes(&self, row: RowId) -> Result<usize, SourceError> {
        let shape = self.layout.row(row).ok_or_else(|| self.unexpected(self.done))?;
        Ok(usize::try_from(shape.plain.end - shape.plain.start).expect("a row is at most 64 MiB"))
    }

    /// The source is not as long as announced, or longer than any object can be.
    fn unexpected(&self, read: u64) -> SourceError {
        let (announced, code) = (self.layout.size(), self.layout.code());
        match self.known {
            true => SourceError::Length { announced, read },
            false => LayoutError::TooLarge { size: read.max(announced + 1), max: announced, code }.into(),
        }
    }

    /// Reads until `want` bytes are ahead or the source has ended. Cancel-safe: what was read is kept.
    async fn read_ahead(&mut self, want: usize) -> Result<(), io::Error> {
        while self.ahead.len() < want && !self.ended {
            self.ahead.reserve((want - self.ahead.len()).min(AHEAD));
            self.ended = self.reader.read_buf(&mut self.ahead).await? == 0;
        }
        Ok(())
    }

    /// Once the source has ended, a length that was unknown is known.
    fn notice_end(&mut self) -> Result<(), SourceError> {
        if self.ended && !self.known {
            let size = self.done + count(self.ahead.len());
            self.layout = Layout::new(size, self.layout.code(), self.layout.is_sealed())?;
            self.known = true;
        }
        Ok(())
    }
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("a buffer's length fits")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: usize = 2 * 4 * 65_520;

    async fn rows(data: &[u8], size: Option<u64>) -> Result<(Vec<usize>, Layout), SourceError> {
        let reader = InputReader::Other(Box::pin(data));
        let mut source = StreamSource::new(reader, size, Code { k: 2, n: 4 }, true).await?;
        let mut rows = Vec::new();
        while let Some(row) = source.next_row(&|_, _| true).await? {
            let Content::Bytes(plain) = row.content else { panic!("wanted") };
            rows.push(plain.len());
        }
        Ok((rows, source.layout()))
    }

    #[tokio::test]
    async fn cuts_rows_and_finds_the_end() {
        for len in [0, 1, ROW - 1, ROW, ROW + 1, 3 * ROW, AHEAD, AHEAD + 1, AHEAD + ROW] {
            let data = vec![7; len];
            for size in [None, Some(count(len))] {
                let (rows, layout) = rows(&data, size).await.expect("read");
                assert_eq!(rows.iter().sum::<usize>(), len, "{len} {size:?}");
                assert_eq!((layout.size(), rows.len()), (count(len), len.div_ceil(ROW).max(1)), "{len} {size:?}");
            }
        }
    }

    #[tokio::test]
    async fn notices_a_source_that_changed() {
        for (len, announced) in [(0, 1), (1, 0), (ROW, ROW - 1), (ROW, ROW + 1), (ROW - 1, ROW), (ROW + 1, ROW)] {
            let result = rows(&vec![7; len], Some(count(announced))).await;
            assert!(matches!(result, Err(SourceError::Length { .. })), "{len} {announced}");
        }
    }
}
