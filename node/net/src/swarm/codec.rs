//! The frame on a stream: `u32 LE head length ‖ u32 LE body length ‖ head ‖ body` (SPEC, "Wire").
//!
//! In goes a stream, out comes a [`Frame`] whose parts are within the protocol's limits. Lengths are checked before
//! anything is allocated, buffers grow with what has arrived, and requests of other nodes hold memory of a quota
//! ([`crate::admission::quota`]): a false length costs its sender, not us. Not here: what a frame means.

use std::{convert::Infallible, io};

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use ostrakon_proto::wire::Frame;

use crate::{
    admission::{Exceeded, Held},
    peers::Bounds,
};

/// Bytes of a buffer before the first byte has arrived.
const FIRST: usize = 64 * 1024;
/// A buffer grows to at most this many times what has arrived.
const GROWTH: usize = 4;
/// Bytes of one read: a frame of yamux, and little enough to stay in the processor's cache.
const STEP: usize = 16 * 1024;
/// A body up to this size is sent in one piece with its head.
const SMALL: usize = 16 * 1024;

/// How long the parts of a frame are: within its bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lengths {
    head: usize,
    body: usize,
}

/// A request of another node, whose lengths have been read. `memory` grows by what it takes; when it cannot, the rest
/// is read and dropped.
pub(super) async fn read_request<T: AsyncRead + Unpin>(
    io: &mut T,
    lengths: Lengths,
    memory: &mut Held,
) -> io::Result<Result<Frame, Exceeded>> {
    let head = read_part(io, lengths.head, FIRST, |bytes| memory.grow(bytes)).await?;
    let body = read_part(io, lengths.body, FIRST, |bytes| match &head {
        Ok(_) => memory.grow(bytes),
        Err(exceeded) => Err(*exceeded),
    })
    .await?;
    Ok(head.and_then(|head| body.map(|body| Frame { head, body })))
}

/// An answer to a request of ours, which counts against no budget.
pub(super) async fn read_response<T: AsyncRead + Unpin>(io: &mut T, bounds: Bounds) -> io::Result<Frame> {
    let Lengths { head, body } = read_lengths(io, bounds).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let free = |read: Result<Bytes, Infallible>| read.unwrap_or_else(|never| match never {});
    let head = free(read_part(io, head, FIRST, |_| Ok(())).await?);
    // Asked for, and as long as we asked: one buffer, and no copy into a larger one.
    let body = free(read_part(io, body, body, |_| Ok(())).await?);
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
async fn read_part<T: AsyncRead + Unpin, E>(
    io: &mut T,
    len: usize,
    first: usize,
    mut take: impl FnMut(usize) -> Result<(), E>,
) -> io::Result<Result<Bytes, E>> {
    let mut buffer = Vec::new();
    while buffer.len() < len {
        if buffer.len() == buffer.capacity() {
            let capacity = len.min(first.max(buffer.len() * GROWTH));
            if let Err(refused) = take(capacity - buffer.len()) {
                skip(io, len - buffer.len()).await?;
                return Ok(Err(refused));
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
    Ok(Ok(buffer.into()))
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
    use ostrakon_proto::{id::NodeId, limits, wire::Protocol};
    use proptest::prelude::*;

    use super::*;
    use crate::admission::{Limits, Quota, Source};

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
    async fn request<T: AsyncRead + Unpin>(
        io: &mut T,
        bounds: Bounds,
        budget: &Quota,
    ) -> io::Result<(Held, Result<Frame, Exceeded>)> {
        let lengths = read_lengths(io, bounds).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut held = budget.hold(Source::member(NodeId::new([1; 32])), 0).expect("nothing is always free");
        let read = read_request(io, lengths, &mut held).await?;
        Ok((held, read))
    }

    fn budget(bytes: usize) -> Quota {
        Quota::new(Limits::shared(bytes, bytes))
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
            let (mut io, budget) = (&bytes[..cut], budget(1 << 20));
            block_on(request(&mut io, bounds, &budget)).expect_err("truncated");
            assert_eq!(budget.used(), 0, "memory is given back at {cut}");
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
        let budget = budget(FIRST);
        let error = block_on(request(&mut &bytes[..], bounds, &budget)).expect_err("truncated");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "the budget of one first step was enough");
    }

    #[test]
    fn without_room_the_body_is_skipped_and_the_room_kept() {
        let bounds = Bounds::request(Protocol::Put);
        let bytes = written(bounds, &frame(3, limits::CHUNK)).expect("within the limits");
        for short in [2, limits::CHUNK + 2] {
            let (mut io, budget) = (&bytes[..], budget(short));
            let (held, read) = block_on(request(&mut io, bounds, &budget)).expect("read to its end");
            assert!(read == Err(Exceeded::All) && io.is_empty(), "{short}");
            drop(held);
            assert_eq!(budget.used(), 0);
        }
        let budget = budget(limits::CHUNK + 3);
        let (held, read) = block_on(request(&mut &bytes[..], bounds, &budget)).expect("whole");
        assert!(read.is_ok() && budget.used() == limits::CHUNK + 3);
        drop(held);
        assert_eq!(budget.used(), 0);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), step in 1usize..9) {
            let mut io = Slow { bytes: &bytes, step };
            let _ = block_on(request(&mut io, Bounds::request(Protocol::Chain), &budget(1 << 16)));
        }
    }
}
