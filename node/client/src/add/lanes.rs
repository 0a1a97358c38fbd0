//! From rows to holders: one lane per column, a few chunks in flight on each.
//!
//! Rows are handed out in order. A lane whose holder fails, or makes no progress while others do, is closed with its
//! reason; the others continue. Memory is bounded where rows are made: a row's permit lives until its last chunk is
//! stored. What a holder has already is not sent to it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{
    StreamExt,
    future::join_all,
    stream::{BoxStream, FuturesUnordered},
};
use ostrakon_net::{Peers, ask, awake, lock};
use ostrakon_proto::{
    id::{Amount, NodeId},
    limits,
    sign::Signature,
    wire::{
        RefusalCode,
        put::{self, Taken, UploadId},
    },
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::{Instant, sleep},
};

use crate::rate::RateLimit;

/// Chunks in flight to one holder.
const IN_FLIGHT: usize = 4;
/// Chunks that wait for one holder.
const QUEUE: usize = 4;
/// A holder that stores nothing for this long while others do is given up.
const STALL: Duration = Duration::from_secs(10);
/// A lane moves when its oldest chunk in flight is younger than this.
const MOVING: Duration = Duration::from_secs(5);
/// How often each lane is checked for progress.
const LOOK: Duration = Duration::from_secs(1);
/// How often a chunk is sent again when the connection breaks.
const ATTEMPTS: u32 = 3;
/// A holder that is busy for this long is given up.
const BUSY_MAX: Duration = Duration::from_secs(limits::STALL_SECONDS);
/// The pause before a chunk is sent again.
const PAUSE: Duration = Duration::from_millis(200);

/// One column on its way to one holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Upload {
    pub(crate) extent: u32,
    pub(crate) index: u8,
    pub(crate) provider: NodeId,
    pub(crate) id: UploadId,
    /// What the holder asks for a GiB and an epoch.
    pub(crate) ask: Amount,
}

/// An upload whose holder has space, or the column already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lane {
    pub(crate) upload: Upload,
    pub(crate) taken: Taken,
    /// The receipt's signature, not checked yet, where the column went with the opening.
    pub(crate) receipt: Option<Signature>,
}

/// One row of some columns, by lane: what each lane is still to be sent.
#[derive(Debug)]
pub(crate) struct RowOut {
    pub(crate) offset: u64,
    pub(crate) chunks: Vec<Option<Bytes>>,
    pub(crate) permit: Option<OwnedSemaphorePermit>,
}

/// How columns get to holders: the network, at which rate, and how many bytes went.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) limit: Option<RateLimit>,
    pub(crate) sent: AtomicU64,
}

/// One chunk to one holder.
#[derive(Clone, Debug)]
struct Piece {
    offset: u64,
    bytes: Bytes,
    /// Memory of the row; given back when all its pieces are gone.
    _permit: Arc<Option<OwnedSemaphorePermit>>,
}

/// How each lane moves.
#[derive(Debug)]
struct Pace {
    lanes: Mutex<Vec<Gait>>,
}

#[derive(Clone, Copy, Debug)]
enum Gait {
    /// Nothing is in flight.
    Idle,
    /// The holder has stored nothing since.
    Waiting(Instant),
    Closed,
}

/// Sends the rows' chunks to the holders, lane by lane. Returns, per lane, how many bytes the holder stored, or why it
/// was given up. Ends early when fewer than `need` lanes are open.
pub(crate) async fn send<E>(
    way: &Way,
    uploads: &[Lane],
    mut rows: BoxStream<'_, Result<RowOut, E>>,
    need: usize,
) -> Result<Vec<Result<u64, String>>, E> {
    let pace = Pace::new(uploads.len());
    let (mut lanes, mut senders) = (Vec::new(), Vec::new());
    for (lane, upload) in uploads.iter().enumerate() {
        let (to, pieces) = mpsc::channel(QUEUE);
        lanes.push(Some(to));
        senders.push(run_lane(way, *upload, pieces, (&pace, lane)));
    }
    let hand_out = async move {
        while let Some(row) = rows.next().await {
            let RowOut { offset, chunks, permit } = row?;
            let permit = Arc::new(permit);
            for (lane, bytes) in lanes.iter_mut().zip(chunks) {
                let (Some(to), Some(bytes)) = (&lane, bytes) else { continue };
                // Before the lane has the chunk, so that waiting here is no stall of its holder.
                if let Some(limit) = &way.limit {
                    limit.take(bytes.len()).await;
                }
                if to.send(Piece { offset, bytes, _permit: Arc::clone(&permit) }).await.is_err() {
                    *lane = None;
                }
            }
            if lanes.iter().flatten().count() < need {
                break;
            }
        }
        Ok(())
    };
    // When the rows fail, the lanes are dropped where they are.
    let ((), taken) = futures::future::try_join(hand_out, async { Ok(join_all(senders).await) }).await?;
    Ok(taken)
}

/// One column to one holder.
async fn run_lane(
    way: &Way,
    Lane { upload, taken, .. }: Lane,
    mut pieces: mpsc::Receiver<Piece>,
    (pace, lane): (&Pace, usize),
) -> Result<u64, String> {
    let mut in_flight = FuturesUnordered::new();
    let (mut taken, mut more) = (taken.next, true);
    let result = loop {
        if !more && in_flight.is_empty() {
            break Ok(taken);
        }
        tokio::select! { biased;
            Some(answer) = in_flight.next() => match answer {
                Ok(next) => {
                    taken = taken.max(next);
                    pace.moved(lane, in_flight.is_empty());
                }
                Err(reason) => break Err(reason),
            },
            piece = pieces.recv(), if more && in_flight.len() < IN_FLIGHT => match piece {
                Some(piece) => {
                    pace.waits(lane);
                    in_flight.push(send_chunk(way, upload, piece));
                }
                None => more = false,
            },
            () = sleep(LOOK), if !in_flight.is_empty() => {
                if pace.is_stalled(lane) {
                    break Err(format!("stored nothing for {} s while others did", STALL.as_secs()));
                }
            }
        }
    };
    pace.close(lane);
    result
}

/// Sends one chunk until it is stored, refused, or the holder is gone.
async fn send_chunk(way: &Way, upload: Upload, piece: Piece) -> Result<u64, String> {
    let (mut attempts, busy_until) = (0, awake::now() + BUSY_MAX);
    loop {
        way.sent.fetch_add(u64::try_from(piece.bytes.len()).expect("a chunk"), Ordering::Relaxed);
        let chunk = put::chunk(upload.id, piece.offset, piece.bytes.clone());
        match ask(way.peers.as_ref(), upload.provider, chunk).await {
            Ok(next) => return Ok(next),
            // That it makes no progress while others do is noticed elsewhere.
            Err(error) if error.is_refused_as(RefusalCode::Busy) && awake::now() < busy_until => {}
            Err(error) if error.is_disconnected() && attempts < ATTEMPTS => attempts += 1,
            Err(error) => return Err(error.failure.to_string()),
        }
        sleep(PAUSE).await;
    }
}

impl Pace {
    fn new(lanes: usize) -> Self {
        Self { lanes: Mutex::new(vec![Gait::Idle; lanes]) }
    }

    fn waits(&self, lane: usize) {
        let gait = &mut lock(&self.lanes)[lane];
        if let Gait::Idle = gait {
            *gait = Gait::Waiting(awake::now());
        }
    }

    fn moved(&self, lane: usize, idle: bool) {
        lock(&self.lanes)[lane] = if idle { Gait::Idle } else { Gait::Waiting(awake::now()) };
    }

    fn close(&self, lane: usize) {
        lock(&self.lanes)[lane] = Gait::Closed;
    }

    /// Whether the lane makes no progress and that is its holder's fault: another lane moves, or there is none.
    fn is_stalled(&self, lane: usize) -> bool {
        let now = awake::now();
        let lanes = lock(&self.lanes);
        let Gait::Waiting(since) = lanes[lane] else { return false };
        let mut others =
            lanes.iter().enumerate().filter(|(other, gait)| *other != lane && !matches!(gait, Gait::Closed)).peekable();
        if others.peek().is_none() {
            return now - since >= 2 * STALL;
        }
        let moves = |gait: &Gait| match gait {
            Gait::Idle => true,
            Gait::Waiting(since) => now - *since < MOVING,
            Gait::Closed => false,
        };
        now - since >= STALL && others.any(|(_, gait)| moves(gait))
    }
}
