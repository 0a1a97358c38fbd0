//! Bytes that are no request: frames of every length and order, on every protocol, over both transports.

use std::{sync::Arc, time::Duration};

use ostrakon_proto::{limits, wire::Protocol};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use tokio::time;

use crate::{
    mux::Habits,
    outsider::{Outsider, crowd},
    quic::QuicLine,
    tally::TALLY,
};

/// Connections that send it concurrently.
const CONNECTIONS: usize = 8;
/// How long an answer to garbage is awaited.
const PATIENCE: Duration = Duration::from_millis(300);

/// A frame whose lengths are around some bound, with fewer or more bytes behind them, or none.
fn frame(protocol: Protocol, random: &mut ChaCha8Rng) -> Vec<u8> {
    let body = protocol.request_body_max();
    let heads = [0, 1, 7, 8, 9, 100, limits::HEAD - 1, limits::HEAD, limits::HEAD + 1, 1 << 24, 0xffff_ffff];
    let bodies = [0, 1, body.saturating_sub(1), body, body + 1, 1 << 24, 0xffff_ffff];
    let (head, body) = (heads[index(random, heads.len())], bodies[index(random, bodies.len())]);
    let full = head.saturating_add(body).min(100_000);
    let sent = [0, 1, full / 2, full, full + 9][index(random, 5)];
    let mut bytes = vec![0; sent];
    random.fill_bytes(&mut bytes);
    let lengths = [head, body].map(|len| u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
    let mut frame = [lengths.as_flattened(), &bytes].concat();
    if index(random, 16) == 0 {
        // Less than the lengths themselves.
        frame.truncate(index(random, 8));
    }
    frame
}

/// Over TCP: one frame a stream, in an order of each connection's own.
pub(super) async fn over_tcp(outsider: Arc<Outsider>) {
    crowd(CONNECTIONS, |number| {
        let outsider = Arc::clone(&outsider);
        async move {
            let victim = &outsider.plan.nodes[number % outsider.plan.nodes.len()];
            let mut random = ChaCha8Rng::from_seed(*outsider.identity().seed());
            loop {
                let connection = outsider.connect(victim, Habits::default()).await?;
                for _ in 0..50 {
                    let protocol = Protocol::ALL[index(&mut random, Protocol::ALL.len())];
                    let mut lane = outsider.open(&connection, protocol).await?;
                    for _ in 0..1 + index(&mut random, 3) {
                        TALLY.requested(1);
                        let frame = frame(protocol, &mut random);
                        let write = lane.write(&frame);
                        // A stream that the node has ended takes nothing.
                        let Ok(Ok(())) = time::timeout(PATIENCE, write).await else { break };
                    }
                    if index(&mut random, 4) == 0 {
                        lane.rest(PATIENCE).await;
                    }
                }
            }
        }
    })
    .await;
}

/// Over QUIC: as over TCP.
pub(super) async fn over_quic(outsider: Arc<Outsider>) {
    crowd(CONNECTIONS, |number| {
        let outsider = Arc::clone(&outsider);
        async move {
            let victim = &outsider.plan.nodes[number % outsider.plan.nodes.len()];
            let mut random = ChaCha8Rng::from_seed(*outsider.identity().seed());
            let mut line = QuicLine::connect(&outsider, victim).await?;
            loop {
                let protocol = Protocol::ALL[index(&mut random, Protocol::ALL.len())];
                TALLY.requested(1);
                line.send(&protocol.name(&outsider.plan.chain), &frame(protocol, &mut random)).await?;
            }
        }
    })
    .await;
}

fn index(random: &mut ChaCha8Rng, len: usize) -> usize {
    usize::try_from(random.next_u64() % u64::try_from(len).expect("fits")).expect("less than a length")
}
