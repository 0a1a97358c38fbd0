//! Attacks on what connections buffer: small frames, grown windows, and answers that nobody reads.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use ostrakon_proto::{
    id::Height,
    limits,
    wire::{
        Frame, Protocol,
        chain::{ChainRequest, Relayed},
    },
};
use tokio::time::{self, Instant};

use super::questions::poll;
use crate::{
    mux::{DATA, Habits, Lane, Muxed, encoded, header},
    outsider::{Outsider, crowd},
    tally::TALLY,
};

/// Connections and streams of the small frames, and bytes that each connection sends.
const SMALL: usize = 4;
const SMALL_LANES: usize = 30;
const SMALL_BYTES: usize = 218_000_000 / SMALL;
/// Frames in one write.
const BATCH: usize = 4_000;
/// How late pongs are.
const LATE: Duration = Duration::from_secs(15);
/// Requests after which a window that has not grown is as large as it gets.
const STILL: usize = 128;
/// Polls in one write.
const POLLS: usize = 4_096;
/// Connections that do not read, and how many streams and requests each has.
const DEAF: usize = 8;
const DEAF_LANES: usize = 30;
const UNREAD: usize = 64;

/// Streams on which the node waits for a block, so that it reads nothing more.
async fn waiting_lanes(outsider: &Outsider, on: &Muxed, count: usize) -> io::Result<Vec<Lane>> {
    let mut lanes = Vec::new();
    for _ in 0..count {
        let lane = outsider.open(on, Protocol::Chain).await?;
        lane.write(&encoded(&poll())).await?;
        TALLY.requested(1);
        lanes.push(lane);
    }
    Ok(lanes)
}

/// Data frames of one byte, behind requests that wait.
pub(super) async fn one_byte_frames(outsider: Arc<Outsider>) {
    crowd(SMALL, |_| {
        let outsider = Arc::clone(&outsider);
        async move {
            let victim = &outsider.plan.nodes[0];
            let mut connection = outsider.connect(victim, Habits::default()).await?;
            let lanes = waiting_lanes(&outsider, &connection, SMALL_LANES).await?;
            let mut sent = 0;
            'all: for lane in lanes.iter().cycle() {
                while lane.left() > BATCH {
                    lane.spend(BATCH).await?;
                    let frame = [&header(DATA, 0, lane.id, 1)[..], &[0]].concat();
                    connection.send(&frame.repeat(BATCH)).await?;
                    sent += BATCH * frame.len();
                    if sent >= SMALL_BYTES {
                        break 'all;
                    }
                    tokio::task::yield_now().await;
                }
                if lanes.iter().all(|lane| lane.left() <= BATCH) {
                    break;
                }
            }
            connection.ended().await;
            Ok(())
        }
    })
    .await;
}

/// Pongs that are late enough for windows to grow, and polls that fill them.
pub(super) async fn late_pongs(outsider: Arc<Outsider>) {
    crowd(1, |_| {
        let outsider = Arc::clone(&outsider);
        async move {
            let victim = &outsider.plan.nodes[0];
            let habits = Habits { pong: LATE, ..Habits::default() };
            let mut connection = outsider.connect(victim, habits).await?;
            let lane = outsider.open(&connection, Protocol::Chain).await?;
            tokio::select! {
                biased;
                () = connection.ended() => Err(io::ErrorKind::ConnectionReset.into()),
                failed = grow_and_fill(lane) => failed,
            }
        }
    })
    .await;
}

/// Has the window of a stream grow, and then keeps it full of polls.
async fn grow_and_fill(mut lane: Lane) -> io::Result<()> {
    grow(&mut lane).await?;
    let polls = encoded(&poll()).repeat(POLLS);
    loop {
        lane.write(&polls).await?;
        TALLY.requested(u64::try_from(POLLS).expect("small"));
    }
}

/// Sends bodies that are read as they come, and refused, until the window does not grow any more.
async fn grow(lane: &mut Lane) -> io::Result<()> {
    let request = ChainRequest::Submit { relayed: Relayed::No };
    let large = Frame::new(&request, vec![0xff; limits::SUBMIT].into());
    let (since, mut most, mut still) = (Instant::now(), 0, 0);
    // Before the first pong the node knows of no delay that a larger window would be for.
    while still < STILL || since.elapsed() < LATE + LATE / 10 {
        lane.ask(&large).await?;
        still = if lane.left() > most { 0 } else { still + 1 };
        most = most.max(lane.left());
    }
    Ok(())
}

/// Requests for blocks, whose answers pile up at the node.
pub(super) async fn unread_answers(outsider: Arc<Outsider>) {
    let request = encoded(&Frame::new(&ChainRequest::Blocks { from: Height(1) }, Bytes::new()));
    crowd(DEAF, |_| {
        let (outsider, request) = (Arc::clone(&outsider), request.clone());
        async move {
            let victim = &outsider.plan.nodes[0];
            let habits = Habits { reads: false, grants: false, ..Habits::default() };
            let mut connection = outsider.connect(victim, habits).await?;
            let mut lanes = Vec::new();
            for _ in 0..DEAF_LANES {
                let lane = outsider.open(&connection, Protocol::Chain).await?;
                lane.write(&request.repeat(UNREAD)).await?;
                TALLY.requested(u64::try_from(UNREAD).expect("small"));
                lanes.push(lane);
            }
            // It never reads: it cannot see the end of the connection either.
            let _held = time::timeout(Duration::from_secs(30), connection.ended()).await;
            Ok(())
        }
    })
    .await;
}
