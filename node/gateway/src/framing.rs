//! The framing `aws-chunked`, before s3s reads it: s3s holds a whole chunk in memory, and clients may send a part of
//! any size as one chunk. Unsigned chunks are cut into small ones; signed ones must be whole to be verified, and are
//! bounded.
//!
//! In go the bytes of a body; out come bytes that say the same. What s3s checks is not checked here.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame};

use crate::limits;

/// Whether chunks are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chunks {
    /// Each has a signature.
    Signed,
    /// None has.
    Unsigned,
}

/// Why a body is not framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FramingError {
    /// Something else is where the length of a chunk should be.
    #[error("FormatError: a chunk of the body has an invalid length")]
    Format,
    /// The last chunk did not come: s3s would take what did for all.
    #[error("Incomplete: the body ends before its last chunk")]
    Cut,
    /// A chunk has to be held and is too large for that.
    #[error("ChunkTooLarge: a signed chunk is over the limit of {} bytes", limits::SIGNED_CHUNK_BYTES)]
    TooLarge,
}

impl Chunks {
    /// What the header `x-amz-content-sha256` says.
    pub(crate) fn of(header: &str) -> Option<Self> {
        match header {
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Some(Self::Unsigned),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" | "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => Some(Self::Signed),
            _ => None,
        }
    }
}

enum State {
    /// In the line before a chunk.
    Line(Vec<u8>),
    /// So many bytes of a chunk are to come.
    Data(u64),
    /// So many bytes of the line end behind a chunk are to come.
    End(u8),
    /// Behind the last chunk.
    Trailers,
}

/// Bytes that say the same in chunks that can be held.
pub(crate) struct Reframed {
    chunks: Chunks,
    state: State,
    out: VecDeque<Bytes>,
}

impl Reframed {
    /// Begins a body.
    pub(crate) fn new(chunks: Chunks) -> Self {
        Self { chunks, state: State::Line(Vec::new()), out: VecDeque::new() }
    }

    /// Takes more bytes.
    fn push(&mut self, mut bytes: Bytes) -> Result<(), FramingError> {
        while !bytes.is_empty() {
            match &mut self.state {
                State::Line(_) => self.line(&mut bytes)?,
                State::Data(left) => {
                    let most = if self.chunks == Chunks::Signed { bytes.len() } else { limits::CHUNK_BYTES };
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len()).min(most);
                    let data = bytes.split_to(here);
                    *left -= u64::try_from(here).unwrap_or(*left);
                    if *left == 0 {
                        self.state = State::End(2);
                    }
                    self.data(data);
                }
                State::End(left) => {
                    let expected = if *left == 2 { b'\r' } else { b'\n' };
                    if bytes.first() != Some(&expected) {
                        return Err(FramingError::Format);
                    }
                    bytes.advance(1);
                    *left -= 1;
                    if *left == 0 {
                        self.state = State::Line(Vec::new());
                    }
                }
                State::Trailers => self.out.push_back(std::mem::take(&mut bytes)),
            }
        }
        Ok(())
    }

    fn line(&mut self, bytes: &mut Bytes) -> Result<(), FramingError> {
        let State::Line(line) = &mut self.state else { return Ok(()) };
        let end = bytes.iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(&bytes.split_to(end.map_or(bytes.len(), |end| end + 1)));
        if line.len() > limits::CHUNK_LINE_BYTES {
            return Err(FramingError::Format);
        }
        if end.is_none() {
            return Ok(());
        }
        let line = std::mem::take(line);
        let length = length(&line).ok_or(FramingError::Format)?;
        if self.chunks == Chunks::Signed && length > limits::SIGNED_CHUNK_BYTES {
            return Err(FramingError::TooLarge);
        }
        if self.chunks == Chunks::Signed || length == 0 {
            self.out.push_back(line.into());
        }
        self.state = if length == 0 { State::Trailers } else { State::Data(length) };
        Ok(())
    }

    fn data(&mut self, data: Bytes) {
        match self.chunks {
            Chunks::Unsigned => {
                self.out.push_back(format!("{:x}\r\n", data.len()).into());
                self.out.push_back(data);
                self.out.push_back(Bytes::from_static(b"\r\n"));
            }
            Chunks::Signed => {
                self.out.push_back(data);
                if matches!(self.state, State::End(_)) {
                    self.out.push_back(Bytes::from_static(b"\r\n"));
                }
            }
        }
    }
}

/// The length that a chunk's line says.
fn length(line: &[u8]) -> Option<u64> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let digits = line.split_once(';').map_or(line, |(digits, _)| digits);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

/// A body whose chunks can be held.
pub(crate) struct ReframedBody<B> {
    inner: B,
    framing: Reframed,
}

impl<B> ReframedBody<B> {
    /// Wraps a body.
    pub(crate) fn new(inner: B, chunks: Chunks) -> Self {
        Self { inner, framing: Reframed::new(chunks) }
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl<B: Body<Data = Bytes, Error = BoxError> + Unpin> Body for ReframedBody<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if let Some(bytes) = self.framing.out.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                None if matches!(self.framing.state, State::Trailers) => return Poll::Ready(None),
                None => return Poll::Ready(Some(Err(FramingError::Cut.into()))),
                Some(Err(source)) => return Poll::Ready(Some(Err(source))),
                Some(Ok(frame)) => {
                    let Ok(bytes) = frame.into_data() else { continue };
                    if let Err(source) = self.framing.push(bytes) {
                        return Poll::Ready(Some(Err(source.into())));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reframed(chunks: Chunks, body: &[u8], step: usize) -> Result<Vec<u8>, FramingError> {
        let mut framing = Reframed::new(chunks);
        for piece in body.chunks(step) {
            framing.push(Bytes::copy_from_slice(piece))?;
        }
        Ok(framing.out.into_iter().flatten().collect())
    }

    #[test]
    fn a_body_in_pieces_says_the_same() {
        let unsigned = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n";
        let signed = b"5;chunk-signature=00\r\nhello\r\n0;chunk-signature=00\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n";
        for step in [1, 2, 3, 7, 100] {
            assert_eq!(reframed(Chunks::Signed, signed, step).expect("well-formed"), signed);
            let out = reframed(Chunks::Unsigned, unsigned, step).expect("well-formed");
            let data: usize = out.iter().filter(|byte| b"helo".contains(byte)).count();
            assert!(out.ends_with(b"0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n") && data >= 5, "{out:?}");
        }
        assert_eq!(reframed(Chunks::Unsigned, unsigned, 100).expect("well-formed"), unsigned);
    }

    #[test]
    fn a_large_unsigned_chunk_is_cut() {
        let size = limits::CHUNK_BYTES + 1;
        let body = [format!("{size:x}\r\n").as_bytes(), &vec![b'a'; size], b"\r\n0\r\n\r\n"].concat();
        let first = format!("{:x}\r\n", limits::CHUNK_BYTES);
        let cut = [first.as_bytes(), &vec![b'a'; limits::CHUNK_BYTES], b"\r\n1\r\na\r\n0\r\n\r\n"].concat();
        assert!(reframed(Chunks::Unsigned, &body, body.len()).expect("well-formed") == cut);
    }

    #[test]
    fn what_is_not_framed_fails() {
        let long = "a".repeat(limits::CHUNK_LINE_BYTES + 1);
        for body in ["x\r\n", "5\r\nhellox\r\n", "\r\n", "5\nhello", "-1\r\n", &long, "10000000000000000\r\n"] {
            assert_eq!(reframed(Chunks::Unsigned, body.as_bytes(), 100), Err(FramingError::Format), "{body}");
        }
        let large = format!("{:x};chunk-signature=0\r\n", limits::SIGNED_CHUNK_BYTES + 1);
        assert_eq!(reframed(Chunks::Signed, large.as_bytes(), 100), Err(FramingError::TooLarge));
        assert!(reframed(Chunks::Unsigned, large.as_bytes(), 100).is_ok());
    }
}
