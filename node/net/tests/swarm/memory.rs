//! What connections buffer stays within the budget, whatever strangers send and however little they read.

use std::{io, iter, pin::pin, time::Duration};

use futures::future;
use ostrakon_net::{
    Peers, Requests,
    swarm::{SwarmConfig, SwarmHandle},
};
use ostrakon_proto::{
    limits,
    wire::{Frame, Protocol},
};
use tokio::{task::JoinSet, time};

use crate::{
    nodes::{TCP, config, head, introduce, pattern, start, until, within},
    raw::encoded,
    wire::{SYN, WINDOW, Wire, data, header, hello},
};

const MIB: usize = 1024 * 1024;
/// A budget that is soon spent: strangers share 6 MiB.
const BUDGET: usize = 16 * MIB;
/// The window with which a stream begins.
const WINDOW_BYTES: usize = 256 * 1024;
const FRAME: usize = 60 * 1024;

fn small(seed: u8) -> SwarmConfig {
    let mut config = config(seed, &[TCP]);
    config.limits.buffer_bytes = BUDGET;
    config
}

/// Answers this node, and never the others.
fn answer_only(friend: &SwarmHandle, requests: Requests) -> JoinSet<()> {
    let (friend, mut server) = (friend.local(), JoinSet::new());
    server.spawn(async move {
        let mut held = Vec::new();
        while let Some(inbound) = requests.next_of_any().await {
            if inbound.source.node == friend { inbound.reply.send(head("you")) } else { held.push(inbound) }
        }
    });
    server
}

/// Never ends: strangers hold no more than their half, whenever one looks.
async fn stays_within_budget(node: &SwarmHandle) {
    loop {
        let held = node.buffered().strangers;
        assert!(held <= BUDGET / 2, "strangers held {held} bytes");
        time::sleep(Duration::from_millis(1)).await;
    }
}

/// Attacks a node, which answers a friend as long as the attack lasts, and keeps to its budget.
async fn attacked<F: Future<Output = ()>>(attack: impl FnOnce(SwarmHandle) -> F) {
    let (server, requests) = start(small(1));
    let client = start(config(2, &[])).0;
    introduce(&client, &server);
    let _answers = answer_only(&client, requests);
    let friend = async {
        loop {
            let answer = within(10, client.call(server.local(), Protocol::Chain, head("me"))).await;
            assert_eq!(answer, Ok(head("you")));
        }
    };
    tokio::select! {
        biased;
        () = within(60, attack(server.clone())) => {}
        () = stays_within_budget(&server) => {}
        () = friend => {}
    }
    let answer = within(10, client.call(server.local(), Protocol::Chain, head("me"))).await;
    assert_eq!(answer, Ok(head("you")), "also at its end");
    // All of it comes back when the attackers are gone; the friend keeps a little.
    until(|| async { server.buffered().strangers <= 2 * MIB }).await;
}

/// Sends all of it; the error with which the connection ended, if it did.
async fn flood(wire: &mut Wire, messages: impl IntoIterator<Item = Vec<u8>>) -> io::Result<()> {
    for message in messages {
        wire.send(&message).await?;
    }
    Ok(())
}

/// A stream whose first request is never answered.
fn request(stream: u32, protocol: Protocol, frame: &Frame) -> Vec<u8> {
    [header(WINDOW, SYN, stream, 0), data(0, stream, &[hello(protocol), encoded(frame)].concat())].concat()
}

#[tokio::test]
async fn who_sends_one_byte_frames_is_disconnected() {
    attacked(|server| async move {
        let attacks = (10..14).map(|seed| {
            let server = server.clone();
            async move {
                let mut wire = Wire::dial(seed, &server).await;
                let first = request(1, Protocol::Chain, &head("hello"));
                // Within the window.
                let frames = iter::repeat_n(data(0, 1, &[7]).repeat(1000), 200);
                let sent = flood(&mut wire, iter::once(first).chain(frames)).await;
                while sent.is_ok() && wire.receive().await.is_ok() {}
            }
        });
        future::join_all(attacks).await;
    })
    .await;
}

#[tokio::test]
async fn two_hundred_megabytes_that_nobody_reads() {
    attacked(|server| async move {
        let attacks = (10..18).map(|seed| {
            let server = server.clone();
            async move {
                let mut wire = Wire::dial(seed, &server).await;
                // As much as the windows of a hundred streams allow: 25 MiB a connection.
                let streams = (1..200).step_by(2).flat_map(|stream| {
                    let first = request(stream, Protocol::Chain, &head("hello"));
                    let left = WINDOW_BYTES - first.len();
                    let rest = (0..left).step_by(FRAME).map(move |at| data(0, stream, &vec![0; FRAME.min(left - at)]));
                    iter::once(first).chain(rest)
                });
                let _outcome = flood(&mut wire, streams).await;
                // No longer read, or cut off: it stays.
                future::pending::<()>().await
            }
        });
        let floods = future::join_all(attacks);
        let full = async {
            until(|| async { server.buffered().strangers > 2 * MIB }).await;
            time::sleep(Duration::from_secs(1)).await;
        };
        future::select(pin!(floods), pin!(full)).await;
    })
    .await;
}

#[tokio::test]
async fn answers_that_are_never_read() {
    let (server, requests) = start(small(1));
    let client = start(config(2, &[])).0;
    introduce(&client, &server);
    let mut answers = JoinSet::new();
    answers.spawn(async move {
        while let Some(inbound) = requests.next_of_any().await {
            let body = pattern(u32::try_from(limits::CHUNK).unwrap());
            inbound.reply.send(Frame { head: bytes::Bytes::new(), body });
        }
    });
    let mut wires = Vec::new();
    for seed in 10..26 {
        let mut wire = Wire::dial(seed, &server).await;
        for stream in (1..33).step_by(2) {
            wire.send(&request(stream, Protocol::Get, &Frame::default())).await.unwrap();
            // The window for the whole answer.
            wire.send(&header(WINDOW, 0, stream, 1 << 24)).await.unwrap();
        }
        wires.push(wire);
    }
    let mut most = 0;
    for _ in 0..50 {
        within(10, client.call(server.local(), Protocol::Get, Frame::default())).await.unwrap();
        let held = server.buffered().strangers;
        assert!(held <= BUDGET / 2, "{held}");
        most = most.max(held);
    }
    assert!(most > MIB, "the attack was none: strangers held {most} bytes");
    // One that reads at last gets everything.
    let wire = &mut wires[0];
    let mut read = 0;
    while read < 16 * limits::CHUNK {
        read += within(10, wire.receive()).await.unwrap().len();
    }
    drop(wires);
    until(|| async { server.buffered().strangers <= 2 * MIB }).await;
}

#[tokio::test]
async fn more_strangers_than_places_are_refused_and_members_are_not() {
    let mut smaller = small(1);
    smaller.limits.buffer_bytes = 4 * MIB;
    let (server, requests) = start(smaller);
    let client = start(config(2, &[])).0;
    server.recognise([client.local()].into());
    introduce(&client, &server);
    let _answers = answer_only(&client, requests);
    let mut wires = Vec::new();
    for seed in 10..60 {
        wires.push(Wire::dial(seed, &server).await);
    }
    until(|| async { server.connected().len() == 32 }).await;
    assert_eq!(within(10, client.call(server.local(), Protocol::Chain, head("me"))).await, Ok(head("you")));
    assert!(server.buffered().members > 0);
    assert_eq!(server.connected().len(), 33);
}
