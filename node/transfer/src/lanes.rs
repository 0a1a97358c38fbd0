//! From rows to holders: one lane a column, a few chunks at a time on each.
//!
//! Rows are handed out in order, as fast as the lanes take them; one that is much slower than the others, or whose
//! holder fails, is closed with its reason, and the others continue ([`super::pace`]). What is in flight follows what
//! the line delivers ([`super::line`]). Memory is bounded where rows are made: a chunk's permit lives until it is
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
use ostrakon_net::{AskError, Failure, Peers, ask, awake, lock};
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
    sync::{Notify, OwnedSemaphorePermit, mpsc},
    time::{interval, sleep},
};

pub use crate::pace::Quorum;
use crate::{
    Lines, RateLimit,
    pace::{BACKLOG, Pace},
};

/// Chunks in flight to one holder.
const IN_FLIGHT: usize = 4;
/// How often each lane is checked for progress.
const LOOK: Duration = Duration::from_millis(250);
/// How often a chunk is sent again when the connection breaks, or is too slow for it.
const ATTEMPTS: u32 = 3;
/// A holder that is busy for this long is given up.
const BUSY_MAX: Duration = Duration::from_secs(limits::STALL_SECONDS);
/// The pause before a chunk is sent again.
const PAUSE: Duration = Duration::from_millis(200);

/// One column that is sent to one holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Of which extent.
    pub extent: u32,
    /// Its index in the extent.
    pub index: u8,
    /// The holder.
    pub provider: NodeId,
    /// What both call it.
    pub id: UploadId,
    /// What the holder asks for a GiB and an epoch.
    pub ask: Amount,
}

/// An upload whose holder has space, or the column already.
#[derive(Clone, Copy, Debug)]
pub struct Lane {
    /// The upload.
    pub upload: Upload,
    /// What the holder has of it.
    pub taken: Taken,
    /// The receipt's signature, not checked yet, where the column went with the opening.
    pub receipt: Option<Signature>,
}

/// One row of some columns, by lane: what each lane is still to be sent.
#[derive(Debug)]
pub struct RowOut {
    /// Where its chunks are in their columns.
    pub offset: u64,
    /// By lane.
    pub chunks: Vec<Option<Bytes>>,
    /// Memory of the chunks, in KiB.
    pub permit: Option<OwnedSemaphorePermit>,
}

/// How columns get to holders: the network, the line, at which rate, and how many bytes went.
#[derive(Debug)]
pub struct Way {
    /// The network.
    pub peers: Arc<dyn Peers>,
    /// The line.
    pub lines: Arc<Lines>,
    /// What the user permits.
    pub limit: Option<RateLimit>,
    /// Bytes of columns that were sent.
    pub sent: AtomicU64,
}

/// One chunk to one holder.
#[derive(Debug)]
struct Piece {
    offset: u64,
    bytes: Bytes,
    /// Memory of the chunk.
    _permit: Option<OwnedSemaphorePermit>,
}

/// The pace of all lanes, which they share.
struct SharedPace {
    pace: Mutex<Pace>,
    changed: Notify,
}

impl SharedPace {
    fn change<T>(&self, change: impl FnOnce(&mut Pace) -> T) -> T {
        let changed = change(&mut lock(&self.pace));
        self.changed.notify_one();
        changed
    }
}

/// Sends the rows' chunks to the holders, lane by lane. Returns, per lane, how many bytes the holder stored, or why it
/// was given up. Ends early when fewer lanes are open than the quorum's least.
///
/// # Errors
/// That of a row; the lanes are then dropped where they are.
pub async fn send<E>(
    way: &Way,
    uploads: &[Lane],
    mut rows: BoxStream<'_, Result<RowOut, E>>,
    quorum: Quorum,
) -> Result<Vec<Result<u64, String>>, E> {
    let pace = Pace::new(uploads.len(), quorum, awake::now());
    let shared = SharedPace { pace: Mutex::new(pace), changed: Notify::new() };
    let (mut lanes, mut senders) = (Vec::new(), Vec::new());
    for (lane, upload) in uploads.iter().enumerate() {
        // The pace never lets more wait.
        let (to, pieces) = mpsc::channel(BACKLOG);
        lanes.push(Some(to));
        senders.push(run_lane(way, *upload, pieces, (&shared, lane)));
    }
    let shared = &shared;
    let hand_out = async move {
        while let Some(row) = rows.next().await {
            let RowOut { offset, chunks, mut permit } = row?;
            while !lock(&shared.pace).may_give(awake::now()) {
                shared.changed.notified().await;
            }
            for (lane, (to, bytes)) in lanes.iter_mut().zip(chunks).enumerate() {
                let (Some(open), Some(bytes)) = (&to, bytes) else { continue };
                // Before the lane has the chunk, so that waiting here is no stall of its holder.
                if let Some(limit) = &way.limit {
                    limit.take(bytes.len()).await;
                }
                lock(&shared.pace).give(lane, bytes.len());
                let permit = permit.as_mut().and_then(|permit| permit.split(bytes.len().div_ceil(1024)));
                if open.send(Piece { offset, bytes, _permit: permit }).await.is_err() {
                    *to = None;
                }
            }
            if !lock(&shared.pace).has_least() {
                break;
            }
        }
        shared.change(|pace| pace.finish(awake::now()));
        Ok(())
    };
    let ((), taken) = futures::future::try_join(hand_out, async { Ok(join_all(senders).await) }).await?;
    Ok(taken)
}

/// One column to one holder.
async fn run_lane(
    way: &Way,
    Lane { upload, taken, .. }: Lane,
    mut pieces: mpsc::Receiver<Piece>,
    (shared, lane): (&SharedPace, usize),
) -> Result<u64, String> {
    let mut in_flight = FuturesUnordered::new();
    let (mut taken, mut more) = (taken.next, true);
    let mut look = interval(LOOK);
    let result = loop {
        if !more && in_flight.is_empty() {
            break Ok(taken);
        }
        tokio::select! { biased;
            Some(answer) = in_flight.next() => match answer {
                Ok(next) => taken = taken.max(next),
                Err(reason) => break Err(reason),
            },
            _ = look.tick() => {
                if let Some(reason) = lock(&shared.pace).verdict(lane, awake::now()) {
                    break Err(reason);
                }
            }
            piece = pieces.recv(), if more && in_flight.len() < way.lines.up.share(IN_FLIGHT, limits::CHUNK) => {
                match piece {
                    Some(piece) => in_flight.push(deliver(way, upload, piece, (shared, lane))),
                    None => more = false,
                }
            }
        }
    };
    if result.is_err() {
        shared.change(|pace| pace.close(lane, awake::now()));
    }
    result
}

/// Sends one chunk, when the line has space for it, until it is stored, refused, or the holder is gone.
async fn deliver(way: &Way, upload: Upload, piece: Piece, (shared, lane): (&SharedPace, usize)) -> Result<u64, String> {
    let bytes = piece.bytes.len();
    let begun = || lock(&shared.pace).send(lane, awake::now());
    let may_repeat = |error: &AskError| {
        let is_late = matches!(error.failure, Failure::Timeout(_));
        error.is_disconnected() || (is_late && lock(&shared.pace).progresses(awake::now()))
    };
    let sending = async {
        let (mut attempts, busy_until) = (0, awake::now() + BUSY_MAX);
        loop {
            way.sent.fetch_add(u64::try_from(bytes).expect("a chunk"), Ordering::Relaxed);
            let chunk = put::chunk(upload.id, piece.offset, piece.bytes.clone());
            match ask(way.peers.as_ref(), upload.provider, chunk).await {
                Ok(next) => return Ok(next),
                // That it makes no progress while others do is noticed elsewhere.
                Err(error) if error.is_refused_as(RefusalCode::Busy) && awake::now() < busy_until => {}
                Err(error) if may_repeat(&error) && attempts < ATTEMPTS => attempts += 1,
                Err(error) => return Err(error.failure.to_string()),
            }
            sleep(PAUSE).await;
        }
    };
    let stored = way.lines.up.carry(bytes, sending, begun, Result::is_ok).await;
    if stored.is_ok() {
        shared.change(|pace| pace.store(lane, bytes, awake::now()));
    }
    stored
}
