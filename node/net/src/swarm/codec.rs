//! The frame on a stream: `u32 LE head length ‖ u32 LE body length ‖ head ‖ body` (SPEC, "Wire").
//!
//! In goes a stream, out comes a [`Frame`] whose parts are within the protocol's limits. Lengths are checked before
//! anything is allocated, buffers grow with what has arrived, and requests of other nodes count against one
//! [`MemoryBudget`]: a false length costs its sender, not us. Not here: what a frame means.

use std::{io, sync::Arc};

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use ostrakon_proto::wire::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::peers::Bounds;

/// Bytes of a buffer before the first byte has arrived.
const FIRST: usize = 64 * 1024;
/// A buffer grows to at most this many times what has arrived.
const GROWTH: usize = 4;
/// Bytes of one read: a frame of yamux, and little enough to stay in the processor's cache.
const STEP: usize = 16 * 1024;
/// A body up to this size is sent in one piece with its head.
const SMALL: usize = 16 * 1024;

/// Memory for the bodies of requests that are not answered yet, of all other nodes together.
#[derive(Clone, Debug)]
pub(super) struct MemoryBudget(Arc<Semaphore>);

impl MemoryBudget {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes)))
    }

    /// Bytes that are free.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.0.available_permits()
    }

    /// Reserves `bytes` more into `held`; false when the budget is spent.
    fn reserve(&self, held: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> bool {
        let Ok(count) = u32::try_from(bytes) else { return false };
        let Ok(more) = self.0.clone().try_acquire_many_owned(count) else { return false };
        match held {
            Some(held) => held.merge(more),
            None => *held = Some(more),
        }
        true
    }
}

/// A request as it arrives.
#[derive(Debug)]
pub(super) enum Received {
    /// The request, with the memory that is reserved for its body.
    Frame(Frame, Option<OwnedSemaphorePermit>),
    /// The budget was spent: its body was read and dropped.
    OverBudget,
}

/// How long the parts of a frame are: within its bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lengths {
    head: usize,
    body: usize,
}

/// A request of another node, whose lengths have been read: its body counts against the budget.
pub(super) async fn read_request<T: AsyncRead + Unpin>(
    io: &mut T,
    lengths: Lengths,
    budget: &MemoryBudget,
) -> io::Result<Received> {
    let head = read_part(io, lengths.head, FIRST, |_| true).await?;
    let mut held = None;
    let body = read_part(io, lengths.body, FIRST, |bytes| budget.reserve(&mut held, bytes)).await?;
    Ok(match (head, body) {
        (Some(head), Some(body)) => Received::Frame(Frame { head, body }, held),
        _ => Received::OverBudget,
    })
}

/// An answer to a request of ours, which counts against no budget.
pub(super) async fn read_response<T: AsyncRead + Unpin>(io: &mut T, bounds: Bounds) -> io::Result<Frame> {
    let Lengths { head, body } = read_lengths(io, bounds).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let head = read_part(io, head, FIRST, |_| true).await?.unwrap_or_default();
    // Asked for, and as long as we asked: one buffer, and no copy into a larger one.
    let body = read_part(io, body, body, |_| true).await?.unwrap_or_default();
    Ok(Frame { head, body })
}

/// How long the next frame's parts are; `None` when the stream ends before it.
pub(super) async fn read_lengths<T: AsyncRead + Unpin>(io: &mut T, bounds: Bounds) -> io::Result<Option<Lengths>> {
    let (mut lengths, mut filled) = ([[0; 4]; 2], 0);
    while filled < lengths.as_flattened().len() {
        match io.read(&mut lengths.as_flattened_mut()[filled..]).await? {
            0 if filled == 0 => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
    }
    let [head, body] = lengths.map(|bytes| usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX));
    bounds.admit(head, body).map_err(|over| io::Error::new(io::ErrorKind::InvalidData, over))?;
    Ok(Some(Lengths { head, body }))
}

/// Reads `len` bytes into one buffer of exactly that size, which begins with `first` and grows with what comes. Asks
/// `take` before each growth by how much; once refused, the rest is read and dropped, so that the sender can still be
/// told.
async fn read_part<T: AsyncRead + Unpin>(
    io: &mut T,
    len: usize,
    first: usize,
    mut take: impl FnMut(usize) -> bool,
) -> io::Result<Option<Bytes>> {
    let mut buffer = Vec::new();
    while buffer.len() < len {
        if buffer.len() == buffer.capacity() {
            let capacity = len.min(first.max(buffer.len() * GROWTH));
            if !take(capacity - buffer.len()) {
                skip(io, len - buffer.len()).await?;
                return Ok(None);
            }
            buffer.reserve_exact(capacity - buffer.len());
        }
        let from = buffer.len();
        buffer.resize(len.min(buffer.capacity()).min(from + STEP), 0);
        let read = io.read(&mut buffer[from..]).await?;
        buffer.truncate(from + read);
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(Some(buffer.into()))
}

async fn skip<T: AsyncRead + Unpin>(io: &mut T, mut len: usize) -> io::Result<()> {
    let mut scratch = vec![0; STEP.min(len)];
    while len > 0 {
        let step = scratch.len().min(len);
        match io.read(&mut scratch[..step]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => len -= read,
        }
    }
    Ok(())
}

/// Writes a frame that is within `bounds`.
pub(super) async fn write<T: AsyncWrite + Unpin>(io: &mut T, bounds: Bounds, frame: &Frame) -> io::Result<()> {
    bounds.admit_frame(frame).map_err(|over| io::Error::new(io::ErrorKind::InvalidInput, over))?;
    let mut first = Vec::with_capacity(8 + frame.head.len() + SMALL);
    for len in [frame.head.len(), frame.body.len()] {
        let len = u32::try_from(len).expect("the limits are far below 4 GiB");
        first.extend_from_slice(&len.to_le_bytes());
    }
    first.extend_from_slice(&frame.head);
    if frame.body.len() <= SMALL {
        first.extend_from_slice(&frame.body);
        return io.write_all(&first).await;
    }
    io.write_all(&first).await?;
    io.write_all(&frame.body).await
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use futures::{executor::block_on, io::Cursor};
    use ostrakon_proto::{limits, wire::Protocol};
    use proptest::prelude::*;

    use super::*;

    /// A stream that gives at most `step` bytes a read.
    struct Slow<'a> {
        bytes: &'a [u8],
        step: usize,
    }

    impl AsyncRead for Slow<'_> {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
            let count = self.step.min(out.len()).min(self.bytes.len());
            let (now, rest) = self.bytes.split_at(count);
            out[..count].copy_from_slice(now);
            self.bytes = rest;
            Poll::Ready(Ok(count))
        }
    }

    fn frame(head: usize, body: usize) -> Frame {
        let fill = |len: usize| (0..len).map(|i| u8::try_from(i % 251).expect("small")).collect::<Vec<u8>>().into();
        Frame { head: fill(head), body: fill(body) }
    }

    fn written(bounds: Bounds, frame: &Frame) -> io::Result<Vec<u8>> {
        let mut out = Cursor::new(Vec::new());
        block_on(write(&mut out, bounds, frame)).map(|()| out.into_inner())
    }

    fn lengths(head: u32, body: u32) -> Vec<u8> {
        [head.to_le_bytes(), body.to_le_bytes()].concat()
    }

    /// A request with its lengths.
    async fn request<T: AsyncRead + Unpin>(io: &mut T, bounds: Bounds, budget: &MemoryBudget) -> io::Result<Received> {
        let lengths = read_lengths(io, bounds).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        read_request(io, lengths, budget).await
    }

    #[test]
    fn frames_round_trip_at_every_edge() {
        let bounds = Bounds::request(Protocol::Put);
        for body in [0, 1, SMALL, SMALL + 1, FIRST - 1, FIRST, FIRST + 1, limits::CHUNK, limits::MANIFEST] {
            for head in [0, 1, limits::HEAD] {
                let sent = frame(head, body);
                let bytes = written(bounds, &sent).expect("within the limits");
                assert_eq!(bytes.len(), 8 + head + body);
                let mut io = Slow { bytes: &bytes, step: 5000 };
                assert_eq!(block_on(read_response(&mut io, bounds)).expect("whole"), sent);
            }
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        let bounds = Bounds::response(Protocol::Get);
        let bytes = written(bounds, &frame(5, 70)).expect("within the limits");
        for cut in 0..bytes.len() {
            let mut io = &bytes[..cut];
            let error = block_on(read_response(&mut io, bounds)).expect_err("truncated");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "cut at {cut}");
            let (mut io, budget) = (&bytes[..cut], MemoryBudget::new(1 << 20));
            block_on(request(&mut io, bounds, &budget)).expect_err("truncated");
            assert_eq!(budget.free(), 1 << 20, "budget is given back at {cut}");
        }
    }

    #[test]
    fn lengths_over_the_limits_are_refused_unread() {
        let check = |bounds: Bounds, head: usize, body: usize| {
            let bytes = lengths(u32::try_from(head).expect("u32"), u32::try_from(body).expect("u32"));
            let error = block_on(read_response(&mut &bytes[..], bounds)).expect_err("over the limit");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{head} {body}");
        };
        check(Bounds::request(Protocol::Get), limits::HEAD + 1, 0);
        check(Bounds::request(Protocol::Get), 0, 1);
        check(Bounds::response(Protocol::Get), 0, limits::CHUNK + 1);
        check(Bounds::response(Protocol::Chain), 0xffff_ffff, 0xffff_ffff);
        let error = written(Bounds::request(Protocol::Get), &frame(0, 1)).expect_err("over the limit");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_false_length_costs_little() {
        let bounds = Bounds::request(Protocol::Put);
        let mut bytes = lengths(0, u32::try_from(limits::MANIFEST).expect("u32"));
        bytes.extend_from_slice(&[1; 100]);
        let budget = MemoryBudget::new(FIRST);
        let error = block_on(request(&mut &bytes[..], bounds, &budget)).expect_err("truncated");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "the budget of one first step was enough");
    }

    #[test]
    fn without_room_the_body_is_skipped_and_the_room_kept() {
        let bounds = Bounds::request(Protocol::Put);
        let bytes = written(bounds, &frame(3, limits::CHUNK)).expect("within the limits");
        let budget = MemoryBudget::new(limits::CHUNK - 1);
        let mut io = &bytes[..];
        assert!(matches!(block_on(request(&mut io, bounds, &budget)), Ok(Received::OverBudget)));
        assert!(io.is_empty());
        assert_eq!(budget.free(), limits::CHUNK - 1);
        let budget = MemoryBudget::new(limits::CHUNK);
        let read = block_on(request(&mut &bytes[..], bounds, &budget)).expect("whole");
        assert_eq!(budget.free(), 0);
        drop(read);
        assert_eq!(budget.free(), limits::CHUNK);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), step in 1usize..9) {
            let mut io = Slow { bytes: &bytes, step };
            let _ = block_on(request(&mut io, Bounds::request(Protocol::Chain), &MemoryBudget::new(1 << 16)));
        }
    }
}
