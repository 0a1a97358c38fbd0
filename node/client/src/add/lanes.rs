//! From rows to holders: one lane per column, a few chunks under way on each.
//!
//! Rows are handed out in order. A lane whose holder fails, or stands still while others move, is closed with its
//! reason; the others go on. Memory is bounded by whoever makes the rows: a row's permit lives until its last chunk is
//! taken. What a holder has already is not sent to it.

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
use ostrakon_net::{Peers, ask, lock};
use ostrakon_proto::{
    id::NodeId,
    limits,
    wire::{
        RefusalCode,
        put::{self, Taken, UploadId},
    },
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::{Instant, sleep},
};

/// Chunks under way to one holder.
const IN_FLIGHT: usize = 4;
/// Chunks that wait for one holder.
const QUEUE: usize = 4;
/// A holder that takes nothing for this long while others do is given up.
const STALL: Duration = Duration::from_secs(10);
/// A lane moves when its oldest chunk under way is younger than this.
const MOVING: Duration = Duration::from_secs(5);
/// How often it is looked whether a lane stands still.
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
}

/// An upload whose holder has room, and what it has of the column already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lane {
    pub(crate) upload: Upload,
    pub(crate) taken: Taken,
}

/// One row of some columns, by lane: what each lane is still to be sent.
#[derive(Debug)]
pub(crate) struct RowOut {
    pub(crate) offset: u64,
    pub(crate) chunks: Vec<Option<Bytes>>,
    pub(crate) permit: Option<OwnedSemaphorePermit>,
}

/// The way to the holders, and how many bytes of columns went it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way<'a> {
    pub(crate) peers: &'a dyn Peers,
    pub(crate) sent: &'a AtomicU64,
}

/// One chunk on its way.
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
    /// Nothing is under way.
    Idle,
    /// The holder has taken nothing since.
    Waiting(Instant),
    Closed,
}

/// Sends the rows' chunks to the holders, lane by lane. Gives back, per lane, how many bytes the holder took, or why it
/// was given up. Ends early when fewer than `need` lanes are open.
pub(crate) async fn send<E>(
    way: Way<'_>,
    uploads: &[Lane],
    mut rows: BoxStream<'_, Result<RowOut, E>>,
    need: usize,
) -> Result<Vec<Result<u64, String>>, E> {
    let pace = Pace { lanes: Mutex::new(vec![Gait::Idle; uploads.len()]) };
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
    way: Way<'_>,
    Lane { upload, taken }: Lane,
    mut pieces: mpsc::Receiver<Piece>,
    (pace, lane): (&Pace, usize),
) -> Result<u64, String> {
    let mut under_way = FuturesUnordered::new();
    let (mut taken, mut more) = (taken.next, true);
    let result = loop {
        if !more && under_way.is_empty() {
            break Ok(taken);
        }
        tokio::select! { biased;
            Some(answer) = under_way.next() => match answer {
                Ok(next) => {
                    taken = taken.max(next);
                    pace.moved(lane, under_way.is_empty());
                }
                Err(reason) => break Err(reason),
            },
            piece = pieces.recv(), if more && under_way.len() < IN_FLIGHT => match piece {
                Some(piece) => {
                    pace.waits(lane);
                    under_way.push(send_chunk(way, upload, piece));
                }
                None => more = false,
            },
            () = sleep(LOOK), if !under_way.is_empty() => {
                if pace.is_stalled(lane) {
                    break Err(format!("took nothing for {} s while others did", STALL.as_secs()));
                }
            }
        }
    };
    pace.close(lane);
    result
}

/// Sends one chunk until it is taken, refused, or the holder is gone.
async fn send_chunk(way: Way<'_>, upload: Upload, piece: Piece) -> Result<u64, String> {
    let (mut attempts, busy_until) = (0, Instant::now() + BUSY_MAX);
    loop {
        way.sent.fetch_add(u64::try_from(piece.bytes.len()).expect("a chunk"), Ordering::Relaxed);
        let chunk = put::chunk(upload.id, piece.offset, piece.bytes.clone());
        match ask(way.peers, upload.provider, chunk).await {
            Ok(next) => return Ok(next),
            // It moves when it can; that it stands still while others move is noticed elsewhere.
            Err(error) if error.is_refused_as(RefusalCode::Busy) && Instant::now() < busy_until => {}
            Err(error) if error.is_disconnected() && attempts < ATTEMPTS => attempts += 1,
            Err(error) => return Err(error.failure.to_string()),
        }
        sleep(PAUSE).await;
    }
}

impl Pace {
    fn waits(&self, lane: usize) {
        let gait = &mut lock(&self.lanes)[lane];
        if let Gait::Idle = gait {
            *gait = Gait::Waiting(Instant::now());
        }
    }

    fn moved(&self, lane: usize, idle: bool) {
        lock(&self.lanes)[lane] = if idle { Gait::Idle } else { Gait::Waiting(Instant::now()) };
    }

    fn close(&self, lane: usize) {
        lock(&self.lanes)[lane] = Gait::Closed;
    }

    /// Whether the lane stands still and that is its holder's fault: another lane moves, or there is none.
    fn is_stalled(&self, lane: usize) -> bool {
        let now = Instant::now();
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
