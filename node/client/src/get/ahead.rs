//! The rows of a range in order, fetched ahead of anyone who takes them.
//!
//! A row in flight that is not polled may hold a worker that it does not use. So anyone who waits for anything else
//! does it in [`ReadAhead::meanwhile`], which polls the rows in flight too.

use std::{
    collections::VecDeque,
    fs::File,
    future::{Future, poll_fn},
    ops::Range,
    os::unix::fs::FileExt,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture, stream::FuturesOrdered};
use ostrakon_proto::row;
use ostrakon_transfer::rows::window;

use super::{
    error::GetError,
    open::Opened,
    plan::{self, RowRead},
    short,
};

/// The wanted plaintext of one row.
pub(crate) struct RowBytes {
    pub(crate) bytes: Bytes,
    pub(crate) reconstructed: bool,
}

/// Rows that are ready, in flight, and to come.
pub(crate) struct ReadAhead {
    opened: Arc<Opened>,
    reads: Box<dyn Iterator<Item = RowRead> + Send>,
    in_flight: FuturesOrdered<BoxFuture<'static, Result<RowBytes, GetError>>>,
    ready: VecDeque<Result<RowBytes, GetError>>,
    to: Option<(Arc<File>, Range<u64>)>,
}

impl ReadAhead {
    /// The plaintext of a range that lies in the object.
    pub(crate) fn new(opened: Arc<Opened>, range: Range<u64>) -> Self {
        let reads = Box::new(plan::row_reads(opened.layout, range));
        Self { opened, reads, in_flight: FuturesOrdered::new(), ready: VecDeque::new(), to: None }
    }

    /// The same, and then this range.
    pub(crate) fn then(self, range: Range<u64>) -> Self {
        let reads = Box::new(self.reads.chain(plan::row_reads(self.opened.layout, range)));
        Self { reads, ..self }
    }

    /// The same, and rows are written to `file` by the task that decodes them, as far as they lie in `range`: the
    /// file's bytes are that range of the object.
    pub(crate) fn into_file(self, file: Arc<File>, range: Range<u64>) -> Self {
        Self { to: Some((file, range)), ..self }
    }

    /// The next row; `None` after the last. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Result<RowBytes, GetError>> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// As [`Self::next`].
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<RowBytes, GetError>>> {
        self.poll(context);
        match self.ready.pop_front() {
            None if !self.in_flight.is_empty() => Poll::Pending,
            row => Poll::Ready(row),
        }
    }

    /// The output of `other`, while rows in flight progress.
    pub(crate) async fn meanwhile<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = pin!(other);
        poll_fn(|context| {
            self.poll(context);
            other.as_mut().poll(context)
        })
        .await
    }

    /// Polls all rows in flight, and starts others as far as the window reaches.
    fn poll(&mut self, context: &mut Context<'_>) {
        let window = self.opened.limits.rows.map_or_else(|| window(&self.opened.layout), usize::from);
        loop {
            while self.in_flight.len() + self.ready.len() < window {
                let Some(read) = self.reads.next() else { break };
                self.in_flight.push_back(Box::pin(read_row(Arc::clone(&self.opened), read, self.to.clone())));
            }
            match self.in_flight.poll_next_unpin(context) {
                Poll::Ready(Some(row)) => self.ready.push_back(row),
                Poll::Ready(None) | Poll::Pending => return,
            }
        }
    }
}

/// The wanted plaintext of one row; written to its place in a file, if there is one.
async fn read_row(
    opened: Arc<Opened>,
    read: RowRead,
    to: Option<(Arc<File>, Range<u64>)>,
) -> Result<RowBytes, GetError> {
    let extent = usize::try_from(read.row.extent).ok().and_then(|at| opened.extents.get(at));
    let extent = extent.expect("a manifest lists its layout's extents");
    let at = read.shape.plain.start + u64::try_from(read.wanted.start).expect("a row is at most 64 MiB");
    let write = move |bytes: &[u8]| match to {
        Some((file, range)) if at < range.end => {
            let len = usize::try_from(range.end - at).map_or(bytes.len(), |len| len.min(bytes.len()));
            file.write_all_at(&bytes[..len], at - range.start).map_err(GetError::output)
        }
        _ => Ok(()),
    };
    let (object, layout, sealer) = (opened.object, opened.layout, opened.sealer.clone());
    let inconsistent = move |error| GetError::Inconsistent { object, error };
    if let Some(short) = plan::short(&layout, &read) {
        opened.wait_for_turn(short.bytes()).await;
        if let Some(bytes) = short::read(&extent.columns, sealer.as_ref(), short).await {
            let bytes = bytes.map_err(|error| inconsistent(error.into()))?;
            write(&bytes)?;
            return Ok(RowBytes { bytes, reconstructed: false });
        }
    }
    let k = usize::from(layout.code().k);
    opened.wait_for_turn(k * read.shape.chunk_len()).await;
    // A single row is read from the data columns immediately; for more it pays to know first who is quick.
    let columns = if read.alone { &extent.columns } else { extent.measured().await };
    let chunks = opened.row(columns, read.row, read.shape.chunk_len()).await?;
    let reconstructed = chunks[..k].iter().any(Option::is_none);
    let decode = move || {
        let plain = row::decode(&layout, read.row, &chunks, sealer.as_deref());
        let bytes = plain.map_err(inconsistent)?.slice(read.wanted);
        write(&bytes).map(|()| bytes)
    };
    let bytes = columns.workers().run(decode).await?;
    Ok(RowBytes { bytes, reconstructed })
}
