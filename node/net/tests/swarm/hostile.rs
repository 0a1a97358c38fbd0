//! Peers that keep to no rule: libp2p nodes that write whatever bytes they like, and plain sockets.

use std::{
    io::{self, Write},
    net::TcpStream,
};

use futures::{AsyncWriteExt, future};
use libp2p::Multiaddr;
use ostrakon_net::{AskError, Failure, Peers};
use ostrakon_proto::{
    limits,
    wire::{Frame, Protocol, Refusal, RefusalCode},
};

use crate::{
    nodes::{QUIC, TCP, config, head, introduce, serve, start, within},
    raw::{self, Raw, encoded, lengths},
};

/// Whether the answer is empty or broken off: what a request that breaks the frame deserves.
fn is_refused(outcome: &io::Result<Vec<u8>>) -> bool {
    outcome.as_ref().map_or(true, Vec::is_empty)
}

async fn bad_lengths_over(listen: &str) {
    let server = serve(config(1, &[listen]));
    let attacker = Raw::dial(Protocol::Chain, &server.swarm).await;
    let bad = vec![
        lengths(limits::HEAD + 1, 0),
        lengths(0, limits::TX + 1),
        vec![0xff; 8],
        [vec![0xff; 8], vec![0; 100_000]].concat(),
        lengths(10, 10),
        vec![1, 2, 3],
        Vec::new(),
    ];
    for outcome in future::join_all(bad.into_iter().map(|bytes| attacker.send(bytes))).await {
        assert!(is_refused(&outcome), "{outcome:?}");
    }
    let fine = attacker.send(encoded(&head("fine"))).await.unwrap();
    assert_eq!(fine, encoded(&head("fine")), "on the same connection");
}

#[tokio::test]
async fn bad_lengths_are_refused_and_the_peer_stays_usable() {
    bad_lengths_over(TCP).await;
}

#[tokio::test]
async fn bad_lengths_are_refused_and_the_peer_stays_usable_over_quic() {
    bad_lengths_over(QUIC).await;
}

async fn garbage_over(listen: &str) {
    let server = serve(config(1, &[listen]));
    let attacker = Raw::dial(Protocol::Chain, &server.swarm).await;
    // Half a request, then silence: it waits, and disturbs nobody.
    let mut half = attacker.open().await.unwrap();
    raw::write(&mut half, &[&lengths(5, 1000)[..], b"half"].concat()).await;
    let mut stream = attacker.open().await.unwrap();
    for text in ["one", "two"] {
        raw::write(&mut stream, &encoded(&head(text))).await;
        assert_eq!(within(5, raw::frame(&mut stream)).await, Some(head(text)));
    }
    // The node may answer or end the stream first.
    let _ended = stream.write_all(&[encoded(&head("three")), vec![0xff; 1000]].concat()).await;
    let _ended = stream.flush().await;
    let three = raw::rest(&mut stream).await.unwrap_or_default();
    assert!(three.is_empty() || three == encoded(&head("three")), "an answer, then the end");
    raw::write(&mut half, &[b"!"[..].to_vec(), vec![7; 1000]].concat()).await;
    let whole = Frame { head: b"half!".to_vec().into(), body: vec![7; 1000].into() };
    assert_eq!(within(5, raw::frame(&mut half)).await, Some(whole), "the other half came in time");
    half.close().await.unwrap();
    assert_eq!(raw::rest(&mut half).await.unwrap(), [0; 0]);
}

#[tokio::test]
async fn garbage_ends_its_own_stream_alone() {
    garbage_over(TCP).await;
}

#[tokio::test]
async fn garbage_ends_its_own_stream_alone_over_quic() {
    garbage_over(QUIC).await;
}

#[tokio::test]
async fn a_flood_is_bounded_and_leaves_room_for_others() {
    let (server, requests) = start(config(1, &[TCP]));
    let attacker = Raw::dial(Protocol::Chain, &server).await;
    let attack =
        tokio::spawn(async move { future::join_all((0..400).map(|_| attacker.send(encoded(&head("flood"))))).await });
    let client = start(config(2, &[])).0;
    introduce(&client, &server);
    // Hold what the attacker sends, and answer the client.
    let mut held = Vec::new();
    let serve = async {
        loop {
            let inbound = requests.next_of_any().await.unwrap();
            if inbound.source.node == client.local() { inbound.reply.send(head("you")) } else { held.push(inbound) }
        }
    };
    let ask = async {
        for _ in 0..50 {
            assert_eq!(client.call(server.local(), Protocol::Chain, head("me")).await, Ok(head("you")));
        }
    };
    within(20, future::select(Box::pin(serve), Box::pin(ask))).await;
    assert!(!held.is_empty() && held.len() <= 64, "{} requests of one node are held", held.len());
    drop(held);
    drop(requests);
    let outcomes = attack.await.unwrap();
    assert_eq!(outcomes.len(), 400);
    let busy = |bytes: &Vec<u8>| bytes.get(8..).is_some_and(is_refusal);
    assert!(outcomes.iter().all(|outcome| is_refused(outcome) || outcome.as_ref().is_ok_and(busy)));
}

fn is_refusal(head: &[u8]) -> bool {
    let frame = Frame { head: head.to_vec().into(), body: bytes::Bytes::new() };
    let refusal = frame.decode::<Result<(), Refusal>>().unwrap().unwrap_err();
    matches!(refusal.code, RefusalCode::Busy | RefusalCode::Internal)
}

/// A server that answers the requests of each stream with the next of these bytes, and then ends it.
async fn answer_with(mut attacker: Raw, answers: Vec<Vec<u8>>) {
    for answer in answers {
        let mut stream = attacker.streams.recv().await.unwrap();
        raw::frame(&mut stream).await.unwrap();
        // The client may end the stream first.
        let _ended = stream.write_all(&answer).await;
        let _ended = stream.close().await;
    }
    future::pending().await
}

#[tokio::test]
async fn bad_answers_are_errors_and_good_ones_still_arrive() {
    let attacker = Raw::listen(Protocol::Get, TCP).await;
    let node = attacker.node;
    let client = start(config(2, &[])).0;
    client.learn(node, &attacker.listening);
    let good = Frame { head: bytes::Bytes::new(), body: vec![7; limits::CHUNK].into() };
    let answers =
        vec![lengths(0, limits::CHUNK + 1), lengths(limits::HEAD + 1, 0), lengths(3, 3), Vec::new(), encoded(&good)];
    let server = tokio::spawn(answer_with(attacker, answers));
    let mut errors = Vec::new();
    for _ in 0..4 {
        errors.push(within(5, client.call(node, Protocol::Get, Frame::default())).await.unwrap_err());
    }
    let bad = |error: &AskError| matches!(error.failure, Failure::InvalidAnswer(_));
    let closed = |error: &AskError| matches!(error.failure, Failure::Closed(_));
    assert!(bad(&errors[0]) && bad(&errors[1]) && closed(&errors[2]) && closed(&errors[3]), "{errors:?}");
    assert_eq!(within(5, client.call(node, Protocol::Get, Frame::default())).await, Ok(good));
    server.abort();
}

#[tokio::test]
async fn garbage_on_plain_sockets_changes_nothing() {
    let server = serve(config(1, &[TCP]));
    let address: Multiaddr = server.swarm.listening()[0].parse().unwrap();
    let port = address.iter().find_map(|part| match part {
        libp2p::multiaddr::Protocol::Tcp(port) => Some(port),
        _ => None,
    });
    // Fewer than may be past no handshake from one network, which the client is in too.
    let sockets: Vec<TcpStream> = (0..60u8)
        .map(|number| {
            let mut socket = TcpStream::connect(("127.0.0.1", port.unwrap())).unwrap();
            // The server may close first; that is its right.
            let _closed = socket.write_all(&vec![number; usize::from(number) * 80]);
            socket
        })
        .collect();
    let client = start(config(2, &[])).0;
    introduce(&client, &server.swarm);
    within(5, client.call(server.id(), Protocol::Chain, head("still there"))).await.unwrap();
    drop(sockets);
}
