//! Bytes through an encrypted connection: read and sent in pieces as large as Noise allows.
//!
//! On the socket: `u16 BE length ‖ message` again and again, each message sealed with its number as the nonce, so that
//! none can be changed, dropped, repeated or swapped. A system call costs more than the bytes it moves, so the socket
//! is read in large pieces, and a flush only marks what was written as due: it is sent once it is much, or when the
//! layer above next reads, which ends its turn.
//!
//! # The contract A caller that flushes must read afterwards, or close. Handshakes do, since they await an answer; a
//! Yamux connection reads at the end of each turn. Buffers live only while there is traffic.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{AsyncRead, AsyncWrite};
use snow::TransportState;
use tokio::time::Instant;

/// Bytes of a message at most, and of its tag.
const MESSAGE: usize = 65_535;
const TAG: usize = 16;
/// Plaintext of a message at most.
const PLAIN: usize = MESSAGE - TAG;
/// Bytes asked of the socket in one read: more than a message with its length.
const READ: usize = 128 * 1024;
/// Sealed bytes that may wait to be sent; from here on they are sent immediately.
const SEND: usize = 128 * 1024;
/// After this long without traffic a connection releases its buffers.
const QUIET: Duration = Duration::from_secs(5);

/// An encrypted connection.
pub(in crate::swarm) struct Channel<T> {
    socket: T,
    noise: TransportState,
    /// From the socket, not opened yet.
    received: Buffer,
    /// What is left of the open message.
    plain: Buffer,
    /// Written, not sealed yet.
    written: Vec<u8>,
    /// Sealed, not sent yet.
    sealed: Buffer,
    is_due: bool,
    active: Instant,
}

/// Bytes in the middle of a longer buffer, which keeps its length: nothing is filled with zeros twice.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The free part behind what is filled, once the buffer has `len` bytes.
    fn room(&mut self, len: usize) -> &mut [u8] {
        self.bytes.resize(len, 0);
        &mut self.bytes[self.end..]
    }

    /// Moves what is filled to the front.
    fn compact(&mut self) {
        self.bytes.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
    }
}

impl<T> fmt::Debug for Channel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").finish_non_exhaustive()
    }
}

impl<T> Channel<T> {
    pub(super) fn new(socket: T, noise: TransportState) -> Self {
        let (received, plain, sealed) = Default::default();
        let (written, is_due, active) = (Vec::new(), false, Instant::now());
        Self { socket, noise, received, plain, written, sealed, is_due, active }
    }

    /// Seals what was written since the last message.
    fn seal(&mut self) -> io::Result<()> {
        let prefix = u16::try_from(self.written.len() + TAG).expect("a message's plaintext is bounded");
        let room = self.sealed.room(SEND + 2 * (2 + MESSAGE));
        room[..2].copy_from_slice(&prefix.to_be_bytes());
        let len = self.noise.write_message(&self.written, &mut room[2..]).map_err(io::Error::other)?;
        self.sealed.end += 2 + len;
        self.written.clear();
        Ok(())
    }

    /// Opens the next message, when all of it is here.
    fn open(&mut self) -> io::Result<bool> {
        let Some((prefix, rest)) = self.received.filled().split_first_chunk() else { return Ok(false) };
        let len = usize::from(u16::from_be_bytes(*prefix));
        let Some(message) = rest.get(..len) else { return Ok(false) };
        (self.plain.start, self.plain.end) = (0, 0);
        let opened = self.noise.read_message(message, self.plain.room(PLAIN));
        self.plain.end = opened.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.received.start += 2 + len;
        Ok(true)
    }

    /// Releases the memory when nothing has arrived or waited for [`QUIET`].
    fn rest(&mut self) {
        if self.active.elapsed() < QUIET || !self.received.is_empty() {
            return;
        }
        (self.received, self.plain) = Default::default();
        if self.written.is_empty() && self.sealed.is_empty() {
            (self.written, self.sealed) = Default::default();
        }
    }
}

impl<T: AsyncWrite + Unpin> Channel<T> {
    /// Sends everything that is sealed.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.sealed.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, self.sealed.filled()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.sealed.start += sent,
            }
        }
        (self.sealed.start, self.sealed.end, self.is_due) = (0, 0, false);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> Channel<T> {
    /// Receives more; false at the end of the connection.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        // A partial message moves to the front only when the rest would not fit behind it.
        if self.received.is_empty() || READ - self.received.start < 2 + MESSAGE {
            self.received.compact();
        }
        let received = ready!(Pin::new(&mut self.socket).poll_read(cx, self.received.room(READ)))?;
        self.received.end += received;
        self.active = Instant::now();
        match received {
            0 if !self.received.is_empty() => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            0 => Poll::Ready(Ok(false)),
            _ => Poll::Ready(Ok(true)),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Channel<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        while this.plain.is_empty() {
            if this.open()? {
                continue;
            }
            if this.is_due
                && let Poll::Ready(Err(error)) = this.poll_send(cx)
            {
                return Poll::Ready(Err(error));
            }
            match this.poll_receive(cx)? {
                Poll::Pending => {
                    this.rest();
                    return Poll::Pending;
                }
                Poll::Ready(false) => return Poll::Ready(Ok(0)),
                Poll::Ready(true) => {}
            }
        }
        let plain = this.plain.filled();
        let count = out.len().min(plain.len());
        out[..count].copy_from_slice(&plain[..count]);
        this.plain.start += count;
        Poll::Ready(Ok(count))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Channel<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.sealed.end >= SEND {
            ready!(this.poll_send(cx))?;
        }
        // A frame with its header is one message rather than one and a little.
        if !this.written.is_empty() && this.written.len() + bytes.len() > PLAIN {
            this.seal()?;
        }
        let count = bytes.len().min(PLAIN - this.written.len());
        this.written.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.written.is_empty() {
            this.seal()?;
        }
        this.is_due = !this.sealed.is_empty();
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.written.is_empty() {
            this.seal()?;
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.socket).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures::{AsyncReadExt, AsyncWriteExt, executor::block_on};

    use super::*;

    /// One direction of a wire, and how often it was used.
    #[derive(Clone, Default)]
    struct Wire {
        bytes: Arc<Mutex<Vec<u8>>>,
        calls: Arc<Mutex<usize>>,
    }

    /// A socket between two wires; it takes and gives at most `step` bytes a call.
    struct Socket {
        inward: Wire,
        outward: Wire,
        step: usize,
    }

    impl AsyncRead for Socket {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
            *self.inward.calls.lock().expect("whole") += 1;
            let mut bytes = self.inward.bytes.lock().expect("whole");
            let count = out.len().min(bytes.len()).min(self.step);
            out[..count].copy_from_slice(&bytes[..count]);
            bytes.drain(..count);
            if count == 0 { Poll::Pending } else { Poll::Ready(Ok(count)) }
        }
    }

    impl AsyncWrite for Socket {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            *self.outward.calls.lock().expect("whole") += 1;
            let count = bytes.len().min(self.step);
            self.outward.bytes.lock().expect("whole").extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn sessions() -> (TransportState, TransportState) {
        let builder = || snow::Builder::new("Noise_NN_25519_AESGCM_SHA256".parse().expect("a pattern"));
        let (mut one, mut other) =
            (builder().build_initiator().expect("built"), builder().build_responder().expect("built"));
        let (mut message, mut payload) = ([0; 128], [0; 128]);
        let len = one.write_message(&[], &mut message).expect("written");
        other.read_message(&message[..len], &mut payload).expect("read");
        let len = other.write_message(&[], &mut message).expect("written");
        one.read_message(&message[..len], &mut payload).expect("read");
        (one.into_transport_mode().expect("done"), other.into_transport_mode().expect("done"))
    }

    fn pair(step: usize) -> (Channel<Socket>, Channel<Socket>) {
        let (there, back) = (Wire::default(), Wire::default());
        let (one, other) = sessions();
        let near = Socket { inward: back.clone(), outward: there.clone(), step };
        let far = Socket { inward: there, outward: back, step };
        (Channel::new(near, one), Channel::new(far, other))
    }

    fn noise(len: usize) -> Vec<u8> {
        (0..len).map(|at| u8::try_from(at % 251).expect("small")).collect()
    }

    fn write(channel: &mut Channel<Socket>, bytes: &[u8]) {
        block_on(channel.write_all(bytes)).expect("written");
        block_on(channel.flush()).expect("flushed");
    }

    /// Reads once without waiting, which sends what is due.
    fn turn(channel: &mut Channel<Socket>) -> Poll<io::Result<usize>> {
        Pin::new(channel).poll_read(&mut Context::from_waker(std::task::Waker::noop()), &mut [0; 100_000])
    }

    #[test]
    fn bytes_arrive_whatever_the_pieces() {
        for (len, piece, step) in [(1, 1, 1), (5_000, 7, 1000), (PLAIN, PLAIN, 5_000), (1 << 20, 70_000, usize::MAX)] {
            let (mut near, mut far) = pair(step);
            let bytes = noise(len);
            bytes.chunks(piece).for_each(|piece| write(&mut near, piece));
            assert!(turn(&mut near).is_pending());
            let mut read = vec![0; len];
            block_on(far.read_exact(&mut read)).expect("read");
            assert!(read == bytes, "{len} {piece} {step}");
            assert!(turn(&mut far).is_pending(), "and nothing more");
        }
    }

    #[test]
    fn the_socket_is_used_seldom() {
        let (mut near, mut far) = pair(usize::MAX);
        noise(1 << 20).chunks(16 * 1024).for_each(|piece| write(&mut near, piece));
        assert!(turn(&mut near).is_pending());
        block_on(far.read_exact(&mut vec![0; 1 << 20])).expect("read");
        let calls = |wire: &Wire| *wire.calls.lock().expect("whole");
        assert!(calls(&near.socket.outward) <= 9 + 9, "{} sends and receipts", calls(&near.socket.outward));
    }

    #[test]
    fn what_was_changed_is_refused() {
        let check = |what: &str, change: &dyn Fn(&mut Vec<u8>)| {
            let (mut near, mut far) = pair(usize::MAX);
            write(&mut near, b"one");
            write(&mut near, b"two");
            assert!(turn(&mut near).is_pending());
            change(&mut near.socket.outward.bytes.lock().expect("whole"));
            let error = block_on(far.read_exact(&mut [0; 6])).expect_err(what);
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{what}");
        };
        // Each message is 2 bytes of length, 3 of text and 16 of tag.
        check("a flipped bit", &|bytes| bytes[3] ^= 1);
        check("a flipped bit of the tag", &|bytes| bytes[20] ^= 128);
        check("the first one left out", &|bytes| drop(bytes.drain(..21)));
        check("the first one twice", &|bytes| bytes.copy_within(..21, 21));
        check("an empty message", &|bytes| bytes[..2].copy_from_slice(&[0, 0]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_connection_has_no_buffers() {
        let (mut near, mut far) = pair(usize::MAX);
        write(&mut near, &noise(100_000));
        assert!(turn(&mut near).is_pending());
        while turn(&mut far).is_ready() {}
        assert!(far.received.bytes.capacity() > 0, "more may come soon");
        tokio::time::advance(QUIET).await;
        assert!(turn(&mut far).is_pending() && turn(&mut near).is_pending());
        for channel in [&near, &far] {
            let buffers = [&channel.received, &channel.plain, &channel.sealed].map(|buffer| buffer.bytes.capacity());
            assert_eq!((buffers, channel.written.capacity()), ([0; 3], 0));
        }
    }
}
