//! Attacks that never finish a handshake: sockets that say nothing, many or ever new ones, and handshakes of a byte a
//! second.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time,
};

use crate::{
    outsider::{Outsider, crowd, returned},
    tally::TALLY,
};

/// Silent connections with each of four nodes.
const SILENT: usize = 256;
/// Between two sockets of the fast attack: 400 a second.
const BETWEEN: Duration = Duration::from_micros(2_500);
/// Those that are held, at most, and for how long: as long as a node's patience, and more.
const HELD: usize = 6_000;
const HELD_FOR: Duration = Duration::from_secs(15);
/// Handshakes of a byte a second.
const DRIPPING: usize = 300;

/// 256 TCP connections to each of four nodes, that say nothing.
pub(super) async fn silent(outsider: Arc<Outsider>) {
    let nodes = outsider.plan.nodes.len().min(4);
    crowd(SILENT * nodes, |number| {
        let outsider = Arc::clone(&outsider);
        async move {
            let socket = outsider.socket(outsider.plan.nodes[number % nodes].tcp).await?;
            wait_for_end(socket).await;
            Ok(())
        }
    })
    .await;
}

/// Reads until the node ends the connection.
async fn wait_for_end(mut socket: TcpStream) {
    let mut scratch = [0; 64];
    // An error is an end as well.
    while socket.read(&mut scratch).await.is_ok_and(|read| read > 0) {}
    TALLY.ended();
}

/// 400 sockets a second, to all nodes in turn, that say nothing and are held.
pub(super) async fn silent_fast(outsider: Arc<Outsider>) {
    let mut clock = time::interval(BETWEEN);
    clock.set_missed_tick_behavior(time::MissedTickBehavior::Burst);
    let mut held = JoinSet::new();
    for number in 0.. {
        clock.tick().await;
        while let Some(ended) = held.try_join_next() {
            returned(ended);
        }
        if held.len() >= HELD {
            held.join_next().await.map(returned);
        }
        let (outsider, node) = (Arc::clone(&outsider), number % outsider.plan.nodes.len());
        held.spawn(async move {
            let Ok(socket) = outsider.socket(outsider.plan.nodes[node].tcp).await else { return };
            // Whether the node ends it or not, it has taken a place for a while.
            let _held = time::timeout(HELD_FOR, wait_for_end(socket)).await;
        });
    }
}

/// Handshakes that never end, but say a byte a second.
pub(super) async fn drip(outsider: Arc<Outsider>) {
    crowd(DRIPPING, |number| {
        let outsider = Arc::clone(&outsider);
        async move {
            let node = &outsider.plan.nodes[number % outsider.plan.nodes.len()];
            let mut socket = outsider.socket(node.tcp).await?;
            for byte in [&32_u16.to_be_bytes()[..], &[7; 32]].concat() {
                socket.write_all(&[byte]).await.inspect_err(|_| TALLY.ended())?;
                time::sleep(Duration::from_secs(1)).await;
            }
            wait_for_end(socket).await;
            Ok(())
        }
    })
    .await;
}
