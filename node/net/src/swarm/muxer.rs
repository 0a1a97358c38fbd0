//! Many streams over one connection: the crate `yamux` as libp2p's stream muxer.
//!
//! As libp2p's own adapter, but all that a connection holds in memory is on its [`Account`]: frames from the time they
//! arrive until they are read, and from the time they are written until the channel takes them. Not here: the protocol,
//! which is the crate's, and how much may be held, which is [`super::memory`]'s.
//!
//! # Windows
//! Yamux lets a stream's sender be ahead by a window that begins with 256 KiB and doubles while the other side uses it
//! up within two round trips. The round trip is what the other side's pong says, so it may be false; but a window is a
//! permission to send, and not memory: what comes is held as far as the account allows, and waits in the sockets
//! beyond that. So windows may grow to what a long and fast line needs, for strangers too: a false pong gains nothing.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use futures::{AsyncRead, AsyncWrite, Stream as _};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use tokio::time::{Sleep, sleep};
use yamux::{Connection, ConnectionError, Mode, Packet, Stream};

use super::{memory::Account, meter::Meter};

/// Bytes of data that are sent in a frame at most: the largest block that jemalloc fills with zeros itself. For a
/// larger one it has the kernel take the pages away and give zeroed ones, of which each costs a fault.
pub(super) const FRAME: usize = 14 * 1024;
/// Streams that the other side opened and that are not accepted yet; an honest node does not open more.
const WAITING: usize = 256;
/// How long the last bytes of a connection may take.
const CLOSE: Duration = Duration::from_secs(2);
/// What the windows of a connection's streams may grow by together: bandwidth x delay of 400 Mbit/s and 300 ms.
const WINDOWS: usize = 16 * 1024 * 1024;

/// How many streams a connection may have, and how far they may be ahead.
#[derive(Clone, Debug)]
pub(super) struct Config(yamux::Config);

impl Config {
    /// Muxers of at most `streams` streams.
    pub(super) fn new(streams: usize) -> Self {
        let window = usize::try_from(yamux::DEFAULT_CREDIT).unwrap_or(usize::MAX);
        let mut config = yamux::Config::default();
        // Without a limit first: each setter asserts that the two agree.
        config.set_max_connection_receive_window(None);
        config.set_max_num_streams(streams);
        config.set_max_connection_receive_window(Some(streams * window + WINDOWS));
        config.set_split_send_size(FRAME);
        Self(config)
    }
}

/// A connection of many streams.
#[derive(Debug)]
pub(super) struct Muxer<C> {
    connection: Connection<Meter<C>>,
    account: Arc<Account>,
    /// Streams that came before libp2p asked for one: the connection moves only when it is asked for the next.
    waiting: VecDeque<Substream>,
    asking: Option<Waker>,
    /// Ends when closing has taken [`CLOSE`].
    closing: Option<Pin<Box<Sleep>>>,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Muxer<C> {
    /// The streams of a connection whose memory is on this account.
    pub(super) fn new(io: C, config: Config, mode: Mode, account: Arc<Account>) -> Self {
        let connection = Connection::new(Meter::new(io, account.clone()), config.0, mode);
        Self { connection, account, waiting: VecDeque::new(), asking: None, closing: None }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Substream, ConnectionError>> {
        let next = self.connection.poll_next_inbound(cx);
        if next.is_pending() {
            self.account.swept();
        }
        let stream = ready!(next).unwrap_or(Err(ConnectionError::Closed))?;
        Poll::Ready(Ok(Substream::new(stream, self.account.clone())))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> StreamMuxer for Muxer<C> {
    type Substream = Substream;
    type Error = ConnectionError;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Substream, ConnectionError>> {
        if let Some(stream) = self.waiting.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        let next = self.poll_next(cx);
        if next.is_pending() {
            self.asking = Some(cx.waker().clone());
        }
        next
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Substream, ConnectionError>> {
        let stream = ready!(self.connection.poll_new_outbound(cx))?;
        self.account.opened(stream.id().val());
        Poll::Ready(Ok(Substream::new(stream, self.account.clone())))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        // First all that is queued is sent, which never ends where the other side does not read.
        let closing = self.closing.get_or_insert_with(|| Box::pin(sleep(CLOSE)));
        if closing.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        self.connection.poll_close(cx)
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, ConnectionError>> {
        let this = self.get_mut();
        let Poll::Ready(stream) = this.poll_next(cx) else { return Poll::Pending };
        let stream = stream?;
        if this.waiting.len() < WAITING {
            this.waiting.push_back(stream);
            this.asking.take().into_iter().for_each(Waker::wake);
        } else {
            tracing::debug!(stream = %stream.stream, "streams are opened faster than they are accepted: dropping one");
        }
        // There may be more; others get their turn first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// One stream: what it has not read or written yet is on the connection's account.
#[derive(Debug)]
pub(super) struct Substream {
    stream: Stream,
    account: Arc<Account>,
    /// The frame that is being read, and how far it is.
    frame: Option<(Packet, usize)>,
}

impl Substream {
    const fn new(stream: Stream, account: Arc<Account>) -> Self {
        Self { stream, account, frame: None }
    }

    /// Copies what it can of the frame at hand, which is given back when it is empty.
    fn copy(&mut self, out: &mut [u8]) -> usize {
        let Some((packet, at)) = &mut self.frame else { return 0 };
        let bytes = packet.as_ref();
        let count = out.len().min(bytes.len() - *at);
        out[..count].copy_from_slice(&bytes[*at..*at + count]);
        *at += count;
        if *at == bytes.len() {
            let len = bytes.len();
            self.frame = None;
            self.account.read(self.stream.id().val(), len);
        }
        count
    }
}

impl AsyncRead for Substream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut filled = this.copy(out);
        while filled < out.len() {
            match Pin::new(&mut this.stream).poll_next(cx) {
                Poll::Ready(Some(Ok(packet))) => this.frame = Some((packet, 0)),
                Poll::Ready(Some(Err(error))) if filled == 0 => return Poll::Ready(Err(error)),
                Poll::Pending if filled == 0 => return Poll::Pending,
                _ => break,
            }
            filled += this.copy(&mut out[filled..]);
        }
        Poll::Ready(Ok(filled))
    }
}

impl AsyncWrite for Substream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let frame = &bytes[..bytes.len().min(FRAME)];
        if frame.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(this.account.poll_queue(cx, frame.len()));
        let count = ready!(Pin::new(&mut this.stream).poll_write(cx, frame))?;
        this.account.queued(count);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_close(cx)
    }
}

impl Drop for Substream {
    fn drop(&mut self) {
        self.account.closed(self.stream.id().val());
    }
}

#[cfg(test)]
mod tests {
    use futures::future::poll_fn;
    use ostrakon_proto::id::NodeId;
    use tokio::time::timeout;

    use super::*;
    use crate::{Members, identity, swarm::memory::Budget};

    /// The other end neither sends nor reads.
    struct Stuck;

    impl AsyncRead for Stuck {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Stuck {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn closing_ends_where_the_other_side_does_not_read() {
        let budget = Budget::new(16 << 20, Members::default());
        let account = budget.open(&identity::peer_id(&NodeId::new([1; 32]))).expect("a place");
        let mut muxer = Muxer::new(Stuck, Config::new(16), Mode::Client, account);
        let closed = timeout(CLOSE * 2, poll_fn(|cx| Pin::new(&mut muxer).poll_close(cx)));
        closed.await.expect("it ends").expect("without an error");
    }
}
