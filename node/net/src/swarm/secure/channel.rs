//! Bytes through an encrypted connection: read and sent in pieces as large as Noise allows.
//!
//! On the socket: `u16 BE length ‖ message` again and again, each message sealed with its number as the nonce, so that
//! none can be changed, dropped, repeated or swapped. A system call costs more than the bytes it moves, so the socket
//! is read in large pieces, and a flush only marks what was written as due: it is sent once it is much, or when the
//! layer above next reads, which ends its turn. Each direction has a new key after [`REKEY`] messages.
//!
//! # The contract
//! A caller that flushes must read afterwards, or write nothing, which sends what is due, or close. A Yamux connection
//! reads at the end of each turn.
//!
//! # Memory
//! Buffers live only while there is traffic, and are on the connection's [`Account`]. Where that is tight, each is no
//! larger than the message in it, and gone with it; nothing is sealed before the last message was sent.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{AsyncRead, AsyncWrite};
use snow::TransportState;
use tokio::time::Instant;

use crate::swarm::memory::Account;

/// Bytes of a message at most, and of its tag.
const MESSAGE: usize = 65_535;
const TAG: usize = 16;
/// Plaintext of a message at most.
const PLAIN: usize = MESSAGE - TAG;
/// Bytes asked of the socket in one read: more than a message with its length.
const READ: usize = 128 * 1024;
/// The same where memory is tight and the length of the next message is not known.
const READ_TIGHT: usize = 4 * 1024;
/// Sealed bytes that may wait to be sent; from here on they are sent immediately.
const SEND: usize = 128 * 1024;
/// After this long without traffic a connection releases its buffers.
const QUIET: Duration = Duration::from_secs(5);
/// Messages under one key, in one direction: 4 GiB at most.
const REKEY: u64 = 65_536;
/// A message with less than a frame's header of the muxer is tiny. All cost the same to open, so that those who send
/// this many more tiny ones than others are cut off; an honest node sends hardly any.
const TINY: usize = 12;
const TINY_MOST: u32 = 64;

/// An encrypted connection.
pub(in crate::swarm) struct Channel<T> {
    socket: T,
    noise: TransportState,
    account: Arc<Account>,
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
    counts: Counts,
}

/// What has passed.
#[derive(Debug, Default)]
struct Counts {
    opened: u64,
    sealed: u64,
    /// Tiny messages that were opened, less the others since.
    tiny: u32,
    /// Bytes of buffers, and of those not sent, as the account has them.
    held: (usize, usize),
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

    /// The free part behind what is filled, once the buffer has at least `len` bytes.
    fn room(&mut self, len: usize) -> &mut [u8] {
        if self.bytes.len() < len {
            self.bytes.reserve_exact(len - self.bytes.len());
            self.bytes.resize(len, 0);
        }
        &mut self.bytes[self.end..]
    }

    /// Moves what is filled to the front.
    fn compact(&mut self) {
        self.bytes.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
    }

    /// Releases the memory when nothing is in it.
    fn release(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

impl<T> fmt::Debug for Channel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").finish_non_exhaustive()
    }
}

impl<T> Channel<T> {
    pub(super) fn new(socket: T, noise: TransportState, account: Arc<Account>) -> Self {
        let (received, plain, sealed, counts) = Default::default();
        let (written, is_due, active) = (Vec::new(), false, Instant::now());
        Self { socket, noise, account, received, plain, written, sealed, is_due, active, counts }
    }

    /// Seals what was written since the last message.
    fn seal(&mut self) -> io::Result<()> {
        let prefix = u16::try_from(self.written.len() + TAG).expect("a message's plaintext is bounded");
        let room = self.sealed.room(self.sealed.end + 2 + self.written.len() + TAG);
        room[..2].copy_from_slice(&prefix.to_be_bytes());
        let len = self.noise.write_message(&self.written, &mut room[2..]).map_err(io::Error::other)?;
        self.sealed.end += 2 + len;
        self.written.clear();
        self.counts.sealed += 1;
        if self.counts.sealed.is_multiple_of(REKEY) {
            self.noise.rekey_outgoing();
        }
        Ok(())
    }

    /// Whether one more message may be sealed before what is sealed is sent.
    fn may_seal(&self) -> bool {
        self.sealed.is_empty() || (self.sealed.end < SEND && !self.account.is_tight())
    }

    /// Bytes of the next message with its length, as soon as that is here.
    fn next_len(&self) -> Option<usize> {
        let (prefix, _) = self.received.filled().split_first_chunk()?;
        Some(2 + usize::from(u16::from_be_bytes(*prefix)))
    }

    /// Opens the next message, when all of it is here.
    fn open(&mut self) -> io::Result<bool> {
        let refuse = |reason: &str| io::Error::new(io::ErrorKind::InvalidData, reason);
        let Some(len) = self.next_len() else { return Ok(false) };
        let Some(message) = self.received.filled().get(2..len) else { return Ok(false) };
        (self.plain.start, self.plain.end) = (0, 0);
        let Some(text) = message.len().checked_sub(TAG) else { return Err(refuse("a message without a tag")) };
        let opened = self.noise.read_message(message, self.plain.room(text));
        self.plain.end = opened.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.received.start += len;
        self.counts.opened += 1;
        if self.counts.opened.is_multiple_of(REKEY) {
            self.noise.rekey_incoming();
        }
        self.counts.tiny = if text < TINY { self.counts.tiny + 1 } else { self.counts.tiny.saturating_sub(1) };
        match text {
            0 => Err(refuse("an empty message")),
            _ if self.counts.tiny > TINY_MOST => Err(refuse("too many messages of less than 12 bytes")),
            _ => Ok(true),
        }
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

    /// Brings the account up to date, and releases what is empty where memory is tight.
    fn settle(&mut self) {
        if (self.received.is_empty() || self.plain.is_empty() || self.sealed.is_empty()) && self.account.is_tight() {
            self.received.release();
            self.plain.release();
            self.sealed.release();
            if self.written.is_empty() {
                self.written = Vec::new();
            }
        }
        let buffers = [&self.received, &self.plain, &self.sealed].map(|buffer| buffer.bytes.capacity());
        let held = buffers.iter().sum::<usize>() + self.written.capacity();
        let held = (held, self.written.len() + self.sealed.filled().len());
        if held != self.counts.held {
            self.counts.held = held;
            self.account.set_buffers(held.0, held.1);
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

    /// Seals and sends everything that was written.
    fn poll_send_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.written.is_empty() && self.may_seal() {
                self.seal()?;
            }
            ready!(self.poll_send(cx))?;
            if self.written.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Sends what was flushed.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_due { self.poll_send_all(cx) } else { Poll::Ready(Ok(())) }
    }

    fn poll_take(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.sealed.end >= SEND {
            ready!(self.poll_send(cx))?;
        }
        // A frame with its header is one message rather than one and a little.
        if !self.written.is_empty() && self.written.len() + bytes.len() > PLAIN {
            if !self.may_seal() {
                ready!(self.poll_send(cx))?;
            }
            self.seal()?;
        }
        let count = bytes.len().min(PLAIN - self.written.len());
        self.written.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }
}

impl<T: AsyncRead + Unpin> Channel<T> {
    /// Receives more; false at the end of the connection.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        // A partial message moves to the front only when the rest would not fit behind it.
        let len = if self.received.bytes.len() >= READ || !self.account.is_tight() {
            if self.received.is_empty() || READ - self.received.start < 2 + MESSAGE {
                self.received.compact();
            }
            READ
        } else {
            self.received.compact();
            self.next_len().unwrap_or_default().max(READ_TIGHT)
        };
        let received = ready!(Pin::new(&mut self.socket).poll_read(cx, self.received.room(len)))?;
        self.received.end += received;
        self.active = Instant::now();
        match received {
            0 if !self.received.is_empty() => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            0 => Poll::Ready(Ok(false)),
            _ => Poll::Ready(Ok(true)),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Channel<T> {
    /// Waits until something of a message is open; false at the end of the connection.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while self.plain.is_empty() {
            if self.open()? {
                continue;
            }
            if let Poll::Ready(Err(error)) = self.poll_due(cx) {
                return Poll::Ready(Err(error));
            }
            match self.poll_receive(cx)? {
                Poll::Pending => {
                    self.rest();
                    return Poll::Pending;
                }
                Poll::Ready(false) => return Poll::Ready(Ok(false)),
                Poll::Ready(true) => {}
            }
        }
        Poll::Ready(Ok(true))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Channel<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let opened = this.poll_open(cx);
        if !matches!(opened, Poll::Ready(Ok(true))) {
            this.settle();
            return opened.map_ok(|_| 0);
        }
        let plain = this.plain.filled();
        let count = out.len().min(plain.len());
        out[..count].copy_from_slice(&plain[..count]);
        this.plain.start += count;
        if this.plain.is_empty() {
            this.settle();
        }
        Poll::Ready(Ok(count))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Channel<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let taken = if bytes.is_empty() { this.poll_due(cx).map_ok(|()| 0) } else { this.poll_take(cx, bytes) };
        this.settle();
        taken
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.written.is_empty() && this.may_seal() {
            this.seal()?;
            this.settle();
        }
        this.is_due = !this.sealed.is_empty() || !this.written.is_empty();
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send_all(cx))?;
        Pin::new(&mut this.socket).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures::{AsyncReadExt, AsyncWriteExt, executor::block_on};

    use super::*;
    use crate::{Members, identity, swarm::memory::Budget};

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
        /// It takes nothing.
        is_full: bool,
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
            if self.is_full {
                return Poll::Pending;
            }
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

    /// Two ends, of which each has a budget of its own.
    fn pair(step: usize) -> (Channel<Socket>, Channel<Socket>) {
        let account = || account(&Budget::new(256 << 20, Members::default()));
        pair_with(step, account(), account())
    }

    fn account(budget: &Budget) -> Arc<Account> {
        budget.open(&identity::peer_id(&ostrakon_proto::id::NodeId::new([1; 32]))).expect("a place")
    }

    /// An account whose budget is spent.
    fn tight(budget: &Budget) -> (Arc<Account>, Arc<Account>) {
        let other = account(budget);
        other.set_buffers(10 << 20, 0);
        (account(budget), other)
    }

    fn pair_with(step: usize, here: Arc<Account>, remote: Arc<Account>) -> (Channel<Socket>, Channel<Socket>) {
        let (there, back) = (Wire::default(), Wire::default());
        let (one, other) = sessions();
        let near = Socket { inward: back.clone(), outward: there.clone(), step, is_full: false };
        let far = Socket { inward: there, outward: back, step, is_full: false };
        (Channel::new(near, one, here), Channel::new(far, other, remote))
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
        for (len, piece, step) in [(1, 1, 1), (5_000, 17, 1000), (PLAIN, PLAIN, 5_000), (1 << 20, 70_000, usize::MAX)] {
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
    fn writing_nothing_sends_what_is_due() {
        let (mut near, mut far) = pair(usize::MAX);
        write(&mut near, b"hello");
        assert!(turn(&mut far).is_pending());
        assert_eq!(block_on(near.write(&[])).expect("sent"), 0);
        let mut read = [0; 5];
        block_on(far.read_exact(&mut read)).expect("read");
        assert_eq!(&read, b"hello");
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

    #[test]
    fn bytes_arrive_where_memory_is_tight_and_take_little_of_it() {
        for (len, piece, step) in [(5_000, 17, 1000), (PLAIN, PLAIN, 5_000), (1 << 20, 60_000, usize::MAX)] {
            let budget = Budget::new(8 << 20, Members::default());
            let ((here, _spent), remote) = (tight(&budget), account(&budget));
            let (mut near, mut far) = pair_with(step, here, remote);
            let (bytes, mut read, mut at) = (noise(len), vec![0; len], 0);
            for piece in bytes.chunks(piece) {
                write(&mut near, piece);
                assert!(turn(&mut near).is_pending());
                block_on(far.read_exact(&mut read[at..at + piece.len()])).expect("read");
                at += piece.len();
                let held = budget.held().strangers - (10 << 20);
                assert!(held <= READ_TIGHT, "{held} bytes while nothing is on its way");
            }
            assert!(read == bytes, "{len} {piece} {step}");
        }
    }

    #[test]
    fn where_memory_is_tight_one_message_waits_to_be_sent() {
        let budget = Budget::new(8 << 20, Members::default());
        let ((here, _spent), remote) = (tight(&budget), account(&budget));
        // The socket takes nothing.
        let (mut near, _far) = pair_with(0, here, remote);
        near.socket.is_full = true;
        let mut taken = 0;
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        while let Poll::Ready(count) = Pin::new(&mut near).poll_write(cx, &noise(60_000)) {
            taken += count.expect("written");
            assert!(Pin::new(&mut near).poll_flush(cx).is_ready());
        }
        assert!(taken <= 2 * PLAIN, "{taken} bytes were taken");
        assert!(budget.held().strangers - (10 << 20) <= 2 * (PLAIN + 100));
    }

    #[test]
    fn both_change_their_keys_after_the_same_message() {
        let (mut near, mut far) = pair(usize::MAX);
        for number in 0..REKEY + 10 {
            let text = number.to_be_bytes().repeat(2);
            write(&mut near, &text);
            assert!(turn(&mut near).is_pending());
            let mut read = [0; 16];
            block_on(far.read_exact(&mut read)).expect("read");
            assert_eq!(read, text[..], "{number}");
        }
        // Without the change, what follows is not opened.
        far.noise.rekey_incoming();
        write(&mut near, &[1; 16]);
        assert!(turn(&mut near).is_pending());
        block_on(far.read_exact(&mut [0; 16])).expect_err("another key");
    }

    #[test]
    fn empty_messages_and_many_tiny_ones_are_refused() {
        let send = |far: &mut Channel<Socket>, near: &mut Channel<Socket>, text: &[u8]| {
            near.written.extend_from_slice(text);
            near.seal().expect("sealed");
            near.is_due = true;
            assert!(turn(near).is_pending());
            turn(far)
        };
        let refused = |outcome: Poll<io::Result<usize>>| match outcome {
            Poll::Ready(Err(error)) => error.kind() == io::ErrorKind::InvalidData,
            _ => false,
        };
        let (mut near, mut far) = pair(usize::MAX);
        assert!(refused(send(&mut far, &mut near, b"")));
        for (text, most) in [(&[1; TINY - 1][..], TINY_MOST), (&[1; TINY], 1000)] {
            let (mut near, mut far) = pair(usize::MAX);
            for number in 0..most {
                assert!(!refused(send(&mut far, &mut near, text)), "{number}");
            }
            assert_eq!(refused(send(&mut far, &mut near, text)), text.len() < TINY);
        }
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
