//! Yamux by hand: many streams over one encrypted connection, with whatever frames an attack wants.
//!
//! In goes a connection whose handshake is done; out come streams ([`Lane`]) of any protocol, and raw frames. How
//! pings are answered, whether windows are granted, and what is told of this node is the attack's choice
//! ([`Habits`]). Streams that the node opens are answered as an honest node does, so that it keeps the connection.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use ostrakon_proto::wire::Frame;
use tokio::{
    sync::{Mutex as AsyncMutex, Semaphore, mpsc},
    task::JoinHandle,
    time,
};

use crate::{
    noise::{SealedIn, SealedOut, line, offer, varint},
    tally::TALLY,
};

/// Bytes that may be sent on a stream before the other side grants more.
pub(crate) const WINDOW: usize = 256 * 1024;
/// Bytes of one data frame.
const FRAME: usize = 60 * 1024;
/// Pieces that wait to be read by an attack, on one stream.
const WAITING: usize = 4096;

pub(crate) const SYN: u16 = 1;
pub(crate) const ACK: u16 = 2;
pub(crate) const FIN: u16 = 4;
pub(crate) const RST: u16 = 8;

pub(crate) const DATA: u8 = 0;
const WINDOW_UPDATE: u8 = 1;
pub(crate) const PING: u8 = 2;
const GO_AWAY: u8 = 3;

/// How a connection behaves.
#[derive(Clone, Debug)]
pub(crate) struct Habits {
    /// After what time a ping is answered.
    pub(crate) pong: Duration,
    /// Whether what arrives is granted again, as if it had been read.
    pub(crate) grants: bool,
    /// Whether anything is read at all.
    pub(crate) reads: bool,
    /// What identify tells of this node.
    pub(crate) identify: Option<Vec<u8>>,
}

impl Default for Habits {
    fn default() -> Self {
        Self { pong: Duration::ZERO, grants: true, reads: true, identify: None }
    }
}

/// A connection of many streams. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Muxed {
    inner: Arc<Inner>,
    reader: JoinHandle<()>,
}

#[derive(Debug)]
struct Inner {
    out: AsyncMutex<SealedOut>,
    ends: Mutex<BTreeMap<u32, End>>,
    next: AtomicU32,
    habits: Habits,
}

/// This side's end of a stream.
#[derive(Clone, Debug)]
struct End {
    arrivals: mpsc::Sender<Vec<u8>>,
    credit: Arc<Semaphore>,
}

/// A stream.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) id: u32,
    inner: Arc<Inner>,
    credit: Arc<Semaphore>,
    arrivals: mpsc::Receiver<Vec<u8>>,
    buffer: Vec<u8>,
    /// What the node must still answer before it answers requests.
    offered: Vec<u8>,
}

/// The header of a frame.
pub(crate) fn header(kind: u8, flags: u16, stream: u32, length: usize) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[1] = kind;
    bytes[2..4].copy_from_slice(&flags.to_be_bytes());
    bytes[4..8].copy_from_slice(&stream.to_be_bytes());
    bytes[8..].copy_from_slice(&u32::try_from(length).expect("a frame is short").to_be_bytes());
    bytes
}

/// A request or answer as it stands on a stream.
pub(crate) fn encoded(frame: &Frame) -> Vec<u8> {
    let lengths = [frame.head.len(), frame.body.len()].map(|len| u32::try_from(len).expect("short").to_le_bytes());
    [lengths.as_flattened(), &frame.head, &frame.body].concat()
}

impl Muxed {
    /// Yamux over an encrypted connection.
    pub(crate) fn start((out, inward): (SealedOut, SealedIn), habits: Habits) -> Self {
        let inner = Inner { out: AsyncMutex::new(out), ends: Mutex::default(), next: AtomicU32::new(1), habits };
        let inner = Arc::new(inner);
        let reader = tokio::spawn(read(Arc::clone(&inner), inward));
        Self { inner, reader }
    }

    /// Returns once the connection has ended.
    pub(crate) async fn ended(&mut self) {
        // Its end is all that matters, however it came.
        let _ended = (&mut self.reader).await;
        TALLY.ended();
    }

    /// Opens a stream and offers a protocol on it, without awaiting the answer.
    ///
    /// # Errors
    /// When the connection has ended.
    pub(crate) async fn open(&self, protocol: &str) -> io::Result<Lane> {
        let mut lane = self.inner.lane(self.inner.next.fetch_add(2, Ordering::Relaxed));
        let offered = offer(protocol);
        let frame = [&header(DATA, SYN, lane.id, offered.len())[..], &offered].concat();
        lane.credit.acquire_many(count(offered.len())).await.map_err(io::Error::other)?.forget();
        self.inner.out.lock().await.send(&frame).await?;
        lane.offered = offered;
        Ok(lane)
    }

    /// The id of a stream that [`Muxed::open`] does not open.
    pub(crate) fn take_id(&self) -> u32 {
        self.inner.next.fetch_add(2, Ordering::Relaxed)
    }

    /// Sends these bytes as they are, below Yamux.
    ///
    /// # Errors
    /// When the connection has ended.
    pub(crate) async fn send(&self, frames: &[u8]) -> io::Result<()> {
        self.inner.out.lock().await.send(frames).await
    }

    /// Sends so many Noise messages that have nothing in them.
    ///
    /// # Errors
    /// When the connection has ended.
    pub(crate) async fn send_empty(&self, count: usize) -> io::Result<()> {
        self.inner.out.lock().await.send_empty(count).await
    }
}

impl Drop for Muxed {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).expect("far below 4 GiB")
}

impl Inner {
    /// This side's end of the stream `id`, known to the reader.
    fn lane(self: &Arc<Self>, id: u32) -> Lane {
        let (arrivals, arrived) = mpsc::channel(WAITING);
        let credit = Arc::new(Semaphore::new(WINDOW));
        let end = End { arrivals, credit: Arc::clone(&credit) };
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).insert(id, end);
        Lane { id, inner: Arc::clone(self), credit, arrivals: arrived, buffer: Vec::new(), offered: Vec::new() }
    }

    fn end(&self, id: u32) -> Option<End> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    fn forget(&self, id: u32) {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

/// Reads frames until the connection ends; ends the streams with it.
async fn read(inner: Arc<Inner>, mut inward: SealedIn) {
    if !inner.habits.reads {
        return std::future::pending().await;
    }
    // How it ended does not matter to an attack.
    while let Ok(frame) = inward.read(12).await {
        let kind = frame[1];
        let flags = u16::from_be_bytes([frame[2], frame[3]]);
        let number = |at: usize| frame[at..at + 4].iter().fold(0, |number: u32, byte| number << 8 | u32::from(*byte));
        let (id, length) = (number(4), number(8));
        let body = match kind {
            DATA => inward.read(usize::try_from(length).expect("32 bits fit")).await,
            _ => Ok(Vec::new()),
        };
        let Ok(body) = body else { break };
        if matches!(kind, DATA | WINDOW_UPDATE) && flags & SYN != 0 {
            let lane = inner.lane(id);
            tokio::spawn(serve(lane));
        }
        let taken = match kind {
            DATA => take(&inner, id, body).await,
            WINDOW_UPDATE => {
                inner.end(id).into_iter().for_each(|end| {
                    end.credit.add_permits(usize::try_from(length).expect("32 bits fit"));
                });
                Ok(())
            }
            PING if flags & SYN != 0 => {
                tokio::spawn(pong(Arc::clone(&inner), length));
                Ok(())
            }
            GO_AWAY => break,
            _ => Ok(()),
        };
        if flags & (FIN | RST) != 0 {
            inner.forget(id);
        }
        if taken.is_err() {
            break;
        }
    }
    // Attacks that wait for an answer must see that none comes.
    let ends = std::mem::take(&mut *inner.ends.lock().unwrap_or_else(PoisonError::into_inner));
    ends.values().for_each(|end| end.credit.close());
}

/// Data arrived on a stream: it goes to who reads it, and is granted again.
async fn take(inner: &Inner, id: u32, body: Vec<u8>) -> io::Result<()> {
    let len = body.len();
    let Some(end) = inner.end(id) else { return Ok(()) };
    // An attack that does not read loses it, which is as well.
    let _full = end.arrivals.try_send(body);
    if inner.habits.grants && len > 0 {
        inner.out.lock().await.send(&header(WINDOW_UPDATE, 0, id, len)).await?;
    }
    Ok(())
}

/// Answers a ping of Yamux, when it is time to.
async fn pong(inner: Arc<Inner>, opaque: u32) {
    time::sleep(inner.habits.pong).await;
    let opaque = usize::try_from(opaque).expect("32 bits fit");
    // The connection may have ended.
    let _ended = inner.out.lock().await.send(&header(PING, ACK, 0, opaque)).await;
}

/// A stream that the node opened: its pings are answered, and it is told what the attack wants it to know.
async fn serve(mut lane: Lane) {
    // What the node does with it then is its business.
    let _ended = serve_until_end(&mut lane).await;
}

async fn serve_until_end(lane: &mut Lane) -> io::Result<()> {
    lane.inner.out.lock().await.send(&header(WINDOW_UPDATE, ACK, lane.id, 0)).await?;
    let begin = lane.line().await?;
    lane.write(&line(&begin)).await?;
    loop {
        let name = lane.line().await?;
        match (name.as_str(), lane.inner.habits.identify.clone()) {
            ("/ipfs/ping/1.0.0", _) => {
                lane.write(&line(&name)).await?;
                loop {
                    let ping = lane.read(32).await?;
                    lane.write(&ping).await?;
                }
            }
            ("/ipfs/id/1.0.0", Some(told)) => {
                lane.write(&line(&name)).await?;
                lane.write(&[varint(told.len()), told].concat()).await?;
                return lane.inner.out.lock().await.send(&header(DATA, FIN, lane.id, 0)).await;
            }
            _ => lane.write(&line("na")).await?,
        }
    }
}

impl Lane {
    /// Writes bytes, as far as the window allows; waits for more.
    ///
    /// # Errors
    /// When the stream or the connection has ended.
    pub(crate) async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(FRAME) {
            self.credit.acquire_many(count(piece.len())).await.map_err(io::Error::other)?.forget();
            let frame = [&header(DATA, 0, self.id, piece.len())[..], piece].concat();
            self.inner.out.lock().await.send(&frame).await?;
        }
        Ok(())
    }

    /// Spends window that frames written by hand use.
    ///
    /// # Errors
    /// When the stream has ended.
    pub(crate) async fn spend(&self, bytes: usize) -> io::Result<()> {
        self.credit.acquire_many(count(bytes)).await.map_err(io::Error::other)?.forget();
        Ok(())
    }

    /// Window that is left.
    pub(crate) fn left(&self) -> usize {
        self.credit.available_permits()
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// When the stream ends before.
    pub(crate) async fn read(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < count {
            let more = self.arrivals.recv().await.ok_or(io::ErrorKind::UnexpectedEof)?;
            self.buffer.extend(more);
        }
        let rest = self.buffer.split_off(count);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    /// One line of a negotiation, without its end.
    async fn line(&mut self) -> io::Result<String> {
        let len = self.read(1).await?[0];
        if len == 0 || len > 127 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = self.read(usize::from(len)).await?;
        bytes.pop();
        String::from_utf8(bytes).map_err(io::Error::other)
    }

    /// The answer to the oldest request that has none.
    ///
    /// # Errors
    /// When the stream ends before.
    pub(crate) async fn answer(&mut self) -> io::Result<Frame> {
        let offered = std::mem::take(&mut self.offered);
        if self.read(offered.len()).await? != offered {
            return Err(io::Error::other("the node does not speak the protocol offered"));
        }
        let lengths = self.read(8).await?;
        let len =
            |at: usize| -> usize { (0..4).rev().fold(0, |number, byte| number << 8 | usize::from(lengths[at + byte])) };
        let (head, body) = (self.read(len(0)).await?, self.read(len(4)).await?);
        let answer = Frame { head: head.into(), body: body.into() };
        TALLY.answered(&answer);
        Ok(answer)
    }

    /// Sends a request and returns its answer.
    ///
    /// # Errors
    /// When the stream ends before.
    pub(crate) async fn ask(&mut self, request: &Frame) -> io::Result<Frame> {
        self.write(&encoded(request)).await?;
        TALLY.requested(1);
        self.answer().await
    }

    /// All that still comes until the stream ends; `limit` bounds the time.
    pub(crate) async fn rest(&mut self, limit: Duration) {
        let drain = async { while self.arrivals.recv().await.is_some() {} };
        // A stream that does not end in time is left as it is.
        let _late = time::timeout(limit, drain).await;
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.inner.forget(self.id);
    }
}
