//! Between the channel and Yamux: counts frames as they pass, so that what they will hold is permitted before they do.
//!
//! Both ways, bytes pass unchanged; of each frame the header is read, and nothing else. In: a data frame, or one that
//! opens a stream, waits until the connection's [`Account`] permits it. While it waits, nothing behind it is read, and
//! soon the socket is not either: the other side feels it as a slow line. One that opens streams without end is
//! disconnected. Out: a frame of data that has passed is no longer queued. Not here: how much may be held
//! ([`super::memory`]), and the protocol, which is the crate `yamux`'s.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::{
    memory::{Account, Arrival},
    rate::{Bucket, Rate},
};

/// How often the other side may open a stream, each of which costs this side a task: honest nodes have one for many
/// requests, and open all that they may have at the beginning at most.
const OPENS: Rate = Rate { burst: 512, per_second: 64 };
/// Bytes of data in a frame at most. Ours have [`FRAME`](super::muxer::FRAME).
const LONGEST: usize = 60 * 1024;
/// Bytes of a frame's header: version, type, flags (u16 BE), stream (u32 BE), length (u32 BE).
const HEADER: usize = 12;

/// What a frame's header says, as far as memory is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    stream: u32,
    /// Bytes of data behind the header.
    body: usize,
    opens: bool,
    /// Whether the connection ends because the other side broke the protocol.
    ends: bool,
}

impl Header {
    fn parse(bytes: [u8; HEADER]) -> Self {
        const DATA: u8 = 0;
        const WINDOW: u8 = 1;
        const GO_AWAY: u8 = 3;
        const SYN: u8 = 1;
        const RST: u8 = 8;
        let [_, kind, _, flags, s0, s1, s2, s3, l0, l1, l2, l3] = bytes;
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        Self {
            stream: u32::from_be_bytes([s0, s1, s2, s3]),
            body: if kind == DATA { usize::try_from(length).unwrap_or(usize::MAX) } else { 0 },
            // Yamux makes no stream of one that is reset in the same frame.
            opens: (kind == DATA || kind == WINDOW) && flags & (SYN | RST) == SYN,
            ends: kind == GO_AWAY && length != 0,
        }
    }
}

/// Where in a frame one direction is.
#[derive(Debug, Default)]
struct Position {
    header: [u8; HEADER],
    /// Bytes of the header that are here.
    filled: usize,
    /// Bytes of the body that are still to pass.
    body: usize,
}

/// A connection whose frames are counted.
#[derive(Debug)]
pub(super) struct Meter<C> {
    io: C,
    account: Arc<Account>,
    inward: Position,
    /// Bytes of the inward header that were passed on; none before the frame is permitted.
    passed: usize,
    is_permitted: bool,
    opens: Bucket,
    outward: Position,
    /// Bytes of data in the outward frame.
    sending: usize,
    /// Yamux has said why the connection ends. It would read on all the same, and complain of each frame.
    is_over: bool,
}

impl<C> Meter<C> {
    pub(super) fn new(io: C, account: Arc<Account>) -> Self {
        let (inward, outward) = Default::default();
        let opens = Bucket::new(OPENS, Instant::now());
        Self { io, account, inward, passed: 0, is_permitted: false, opens, outward, sending: 0, is_over: false }
    }

    /// Bytes that the channel has taken of what Yamux writes.
    fn count(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Position { header, filled, body } = &mut self.outward;
            if *body > 0 {
                let count = bytes.len().min(*body);
                bytes = &bytes[count..];
                *body -= count;
            } else {
                let count = bytes.len().min(HEADER - *filled);
                header[*filled..*filled + count].copy_from_slice(&bytes[..count]);
                bytes = &bytes[count..];
                *filled += count;
                if *filled < HEADER {
                    return;
                }
                let Header { body: sending, ends, .. } = Header::parse(*header);
                (self.sending, self.is_over) = (sending, self.is_over || ends);
                (*filled, *body) = (0, self.sending);
            }
            if *body == 0 && self.sending > 0 {
                self.account.sent(std::mem::take(&mut self.sending));
            }
        }
    }
}

impl<C: AsyncRead + Unpin> Meter<C> {
    /// Waits for a whole header; false at the end of the connection.
    fn poll_header(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let Position { header, filled, .. } = &mut self.inward;
        while *filled < HEADER {
            match ready!(Pin::new(&mut self.io).poll_read(cx, &mut header[*filled..]))? {
                0 if *filled == 0 => return Poll::Ready(Ok(false)),
                0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                read => *filled += read,
            }
        }
        Poll::Ready(Ok(true))
    }

    /// Waits until the frame of the header may be held.
    fn poll_permit(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let Header { stream, body: bytes, opens, .. } = Header::parse(self.inward.header);
        let refuse = |reason: String| Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, reason)));
        if bytes > LONGEST {
            return refuse(format!("a frame of {bytes} bytes is over the limit of {LONGEST}"));
        }
        let is_held = bytes > 0 || opens;
        if is_held && let Err(sparse) = ready!(self.account.poll_arrive(cx, Arrival { stream, bytes, opens })) {
            return refuse(sparse.to_string());
        }
        if opens && !self.opens.take(Instant::now()) {
            let Rate { burst, per_second } = OPENS;
            return refuse(format!("over {burst} streams are opened, and over {per_second} a second from then on"));
        }
        (self.inward.body, self.is_permitted) = (bytes, true);
        Poll::Ready(Ok(()))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncRead for Meter<C> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the other side broke the protocol")));
        }
        if this.inward.filled == 0 && this.inward.body > 0 {
            let count = out.len().min(this.inward.body);
            let read = ready!(Pin::new(&mut this.io).poll_read(cx, &mut out[..count]))?;
            this.inward.body -= read;
            return Poll::Ready(Ok(read));
        }
        if !ready!(this.poll_header(cx))? {
            return Poll::Ready(Ok(0));
        }
        if !this.is_permitted && this.poll_permit(cx)?.is_pending() {
            // The channel sends at the next read, which may be far.
            let _sent = Pin::new(&mut this.io).poll_write(cx, &[])?;
            return Poll::Pending;
        }
        let rest = &this.inward.header[this.passed..];
        let count = out.len().min(rest.len());
        out[..count].copy_from_slice(&rest[..count]);
        this.passed += count;
        if this.passed == HEADER {
            (this.inward.filled, this.passed, this.is_permitted) = (0, 0, false);
        }
        Poll::Ready(Ok(count))
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Meter<C> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, bytes)?;
        this.account.set_blocked(written.is_pending());
        if let Poll::Ready(count) = written {
            this.count(&bytes[..count]);
        }
        written.map(Ok)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::{AsyncReadExt, AsyncWriteExt, FutureExt, io::Cursor};
    use ostrakon_proto::id::NodeId;

    use super::*;
    use crate::{
        Members, identity,
        swarm::memory::{Budget, Buffered},
    };

    const DATA: u8 = 0;
    const WINDOW: u8 = 1;
    const PING: u8 = 2;
    const GO_AWAY: u8 = 3;
    const SYN: u8 = 1;
    const RST: u8 = 8;
    /// What a connection with frames holds beside them.
    const RESERVED: usize = 128 * 1024;

    fn frame(kind: u8, flags: u8, stream: u8, len: u32) -> Vec<u8> {
        let mut bytes = vec![0, kind, 0, flags, 0, 0, 0, stream];
        bytes.extend_from_slice(&len.to_be_bytes());
        if kind == DATA {
            bytes.resize(HEADER + usize::try_from(len).expect("small"), 7);
        }
        bytes
    }

    fn account(bytes: usize) -> (Budget, Arc<Account>) {
        let budget = Budget::new(bytes, Members::default());
        let account = budget.open(&identity::peer_id(&NodeId::new([1; 32]))).expect("a place");
        (budget, account)
    }

    /// Reads what comes without waiting, in pieces of `step` bytes.
    fn read(meter: &mut Meter<impl AsyncRead + AsyncWrite + Unpin>, step: usize) -> io::Result<Vec<u8>> {
        let (mut all, mut piece) = (Vec::new(), vec![0; step]);
        while let Some(read) = meter.read(&mut piece).now_or_never() {
            match read? {
                0 => break,
                count => all.extend_from_slice(&piece[..count]),
            }
        }
        Ok(all)
    }

    #[test]
    fn streams_without_end_end_the_connection() {
        let opening = |id: u32| {
            let mut frame = frame(WINDOW, SYN, 0, 0);
            frame[4..8].copy_from_slice(&id.to_be_bytes());
            frame
        };
        let (_budget, account) = account(64 << 20);
        let frames = (1..=2 * OPENS.burst).flat_map(|number| opening(2 * number));
        let mut meter = Meter::new(Cursor::new(frames.collect::<Vec<u8>>()), account.clone());
        let (mut passed, mut piece) = (0, [0; HEADER]);
        let error = loop {
            match meter.read(&mut piece).now_or_never().expect("nothing to wait for") {
                Ok(read) => passed += read,
                Err(error) => break error,
            }
            // As the other side resets it.
            account.closed(2 * u32::try_from(passed / HEADER).expect("few"));
            account.swept();
        };
        assert!(error.to_string().contains("streams are opened"), "{error}");
        assert!(passed / HEADER >= usize::try_from(OPENS.burst).expect("few"), "{passed}");
    }

    #[test]
    fn bytes_pass_unchanged_and_data_is_on_the_account() {
        for step in [1, 5, 12, 100, 100_000] {
            let (budget, account) = account(16 << 20);
            let frames = [
                frame(WINDOW, SYN, 1, 0),
                frame(PING, 0, 0, 7),
                frame(DATA, 0, 1, 100),
                frame(DATA, SYN, 3, 60_000),
                frame(DATA, 0, 1, 0),
            ];
            let mut meter = Meter::new(Cursor::new(frames.concat()), account.clone());
            assert!(read(&mut meter, step).expect("read") == frames.concat(), "{step}");
            let before = budget.held();
            account.read(1, 100);
            account.read(3, 60_000);
            let after = budget.held();
            assert_eq!(before.strangers, RESERVED + 100 + 60_000 + 2 * 128 + 2 * 1024, "{step}");
            assert_eq!(after, Buffered { members: 0, strangers: 2 * 1024 }, "two streams");
        }
    }

    #[test]
    fn a_frame_waits_until_it_is_permitted_and_so_does_what_is_behind_it() {
        let (_budget, account) = account(2 << 20);
        account.set_buffers(10 << 20, 0);
        let frames = [
            frame(WINDOW, SYN, 1, 0),
            frame(DATA, 0, 1, 1000),
            frame(PING, 0, 0, 1),
            frame(DATA, 0, 1, 2000),
            frame(PING, 0, 0, 2),
        ];
        let mut meter = Meter::new(Cursor::new(frames.concat()), account.clone());
        assert!(read(&mut meter, 50).expect("read") == frames[..3].concat());
        account.read(1, 1000);
        assert!(read(&mut meter, 50).expect("read") == frames[3..].concat());
    }

    #[test]
    fn a_stream_that_is_reset_as_it_opens_holds_nothing() {
        let (budget, account) = account(16 << 20);
        let frames = [frame(WINDOW, SYN | RST, 1, 0), frame(DATA, 0, 1, 1000)].concat();
        let mut meter = Meter::new(Cursor::new(frames.clone()), account.clone());
        assert!(read(&mut meter, 100).expect("read") == frames);
        account.swept();
        assert_eq!(budget.held(), Buffered { members: 0, strangers: 0 });
    }

    #[test]
    fn nothing_is_read_after_yamux_gave_up() {
        let check = |code, is_over: bool| {
            let (_budget, account) = account(16 << 20);
            let mut meter = Meter::new(Cursor::new(frame(PING, 0, 0, 1)), account);
            meter.count(&frame(GO_AWAY, 0, 0, code));
            let error = read(&mut meter, 100).err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), is_over.then_some("the other side broke the protocol"), "{code}");
        };
        check(0, false);
        check(1, true);
    }

    #[test]
    fn what_breaks_the_rules_ends_the_connection() {
        let check = |frames: Vec<u8>, reason: &str| {
            let (_budget, account) = account(256 << 20);
            let error = read(&mut Meter::new(Cursor::new(frames), account), 100_000).expect_err(reason);
            assert!(error.to_string().contains(reason), "{error}");
        };
        check(frame(DATA, SYN, 1, u32::try_from(LONGEST + 1).expect("small"))[..HEADER].to_vec(), "over the limit");
        check(frame(DATA, SYN, 1, 10)[..5].to_vec(), "end of file");
        let tiny = [frame(WINDOW, SYN, 1, 0), frame(DATA, 0, 1, 1).repeat(9000)].concat();
        check(tiny, "on average");
    }

    #[test]
    fn what_was_queued_is_given_back_as_it_passes() {
        let (budget, account) = account(16 << 20);
        account.queued(1000);
        account.queued(2000);
        let frames = [frame(WINDOW, SYN, 1, 5), frame(DATA, 0, 1, 1000), frame(DATA, 0, 1, 2000), frame(DATA, 4, 1, 0)];
        let mut meter = Meter::new(Cursor::new(Vec::new()), account);
        let check = |meter: &mut Meter<Cursor<Vec<u8>>>, bytes: &[u8], held: usize| {
            bytes.chunks(7).for_each(|piece| meter.write_all(piece).now_or_never().expect("room").expect("written"));
            assert_eq!(budget.held().strangers, held);
        };
        check(&mut meter, &frames[..2].concat()[..HEADER + HEADER + 999], RESERVED + 3000 + 2 * 128);
        check(&mut meter, &[7], RESERVED + 2000 + 128);
        check(&mut meter, &frames[2..].concat(), 0);
        assert!(*meter.io.get_ref() == frames.concat());
    }
}
