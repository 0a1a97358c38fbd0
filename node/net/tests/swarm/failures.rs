//! Nodes that are not there, go away, or do not answer.

use std::{net::TcpListener, time::Duration};

use futures::future;
use ostrakon_net::{AskError, Failure, Peers};
use ostrakon_proto::{
    id::{ChainId, NodeId},
    wire::{Frame, Protocol, RefusalCode},
};
use tokio::time::{self, Instant};

use crate::nodes::{QUIC, TCP, config, head, introduce, refusal, serve, start, until, within};

#[tokio::test]
async fn a_refused_dial_fails_immediately_and_names_node_and_address() {
    let (client, nobody) = (start(config(1, &[])).0, NodeId::new([5; 32]));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("/ip4/127.0.0.1/tcp/{closed}");
    client.learn(nobody, std::slice::from_ref(&address));
    for _ in 0..3 {
        let begin = Instant::now();
        let error = client.call(nobody, Protocol::Get, head("hello")).await.unwrap_err();
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
        let text = error.to_string();
        assert!(matches!(error.failure, Failure::Unreachable(_)), "{text}");
        for part in [&nobody.to_string(), &address, "refused"] {
            assert!(text.contains(part), "{text:?} has no {part:?}");
        }
    }
}

#[tokio::test]
async fn a_silent_host_costs_five_seconds() {
    let (client, nobody) = (start(config(1, &[])).0, NodeId::new([5; 32]));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = format!("/ip4/127.0.0.1/tcp/{}", silent.local_addr().unwrap().port());
    let quic = format!("/ip4/127.0.0.1/udp/{}/quic-v1", silent_udp.local_addr().unwrap().port());
    client.learn(nobody, &[tcp, quic]);
    let begin = Instant::now();
    let error = client.call(nobody, Protocol::Get, head("hello")).await.unwrap_err();
    assert!(matches!(error.failure, Failure::Unreachable(_)), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}: {error}", begin.elapsed());
}

/// Each holds memory of the node for as long as that does not know.
#[tokio::test]
async fn a_client_that_shuts_down_is_gone_over_quic_too() {
    let server = serve(config(1, &[QUIC]));
    for seed in 2..12 {
        let client = start(config(seed, &[])).0;
        introduce(&client, &server.swarm);
        client.call(server.id(), Protocol::Chain, head("hello")).await.expect("an answer");
        client.shutdown().await;
    }
    // Half as long as a node waits for one that says nothing.
    within(5, until(async || server.swarm.connected().is_empty())).await;
}

/// A node at its limit closes connections before the handshake: it is dialed again until it has a place.
#[tokio::test]
async fn a_node_that_closes_the_first_connections_is_dialed_again() {
    let (server, client) = (serve(config(1, &[TCP])), start(config(2, &[])).0);
    let port = server.swarm.listening()[0].rsplit('/').next().unwrap().parse::<u16>().unwrap();
    let front = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    client.learn(server.id(), &[format!("/ip4/127.0.0.1/tcp/{}", front.local_addr().unwrap().port())]);
    let forwarding = async {
        for _ in 0..3 {
            drop(front.accept().await.unwrap());
        }
        let mut near = front.accept().await.unwrap().0;
        let mut far = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        tokio::io::copy_bidirectional(&mut near, &mut far).await.unwrap()
    };
    tokio::select! {
        biased;
        answer = within(10, client.call(server.id(), Protocol::Chain, head("hello"))) => answer.unwrap(),
        _ = forwarding => panic!("the connection ended"),
    };
}

#[tokio::test]
async fn without_an_address_the_error_names_it() {
    let (client, nobody) = (start(config(1, &[])).0, NodeId::new([5; 32]));
    client.learn(nobody, &["gibberish".to_string()]);
    let error = within(5, client.call(nobody, Protocol::Get, head("hello"))).await.unwrap_err();
    assert!(error.to_string().contains("no address"), "{error}");
}

#[tokio::test]
async fn another_node_at_the_address_is_named() {
    let (server, client) = (serve(config(1, &[TCP])), start(config(2, &[])).0);
    let expected = NodeId::new([5; 32]);
    client.learn(expected, &server.swarm.listening());
    let text = within(5, client.call(expected, Protocol::Get, head("hello"))).await.unwrap_err().to_string();
    assert!(text.contains(&expected.to_string()) && text.contains(&server.id().to_string()), "{text}");
}

#[tokio::test]
async fn quic_serves_when_tcp_does_not() {
    let (server, client) = (serve(config(1, &[QUIC])), start(config(2, &[])).0);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut addresses = server.swarm.listening();
    addresses.push(format!("/ip4/127.0.0.1/tcp/{}", silent.local_addr().unwrap().port()));
    client.learn(server.id(), &addresses);
    within(5, client.call(server.id(), Protocol::Chain, head("hello"))).await.unwrap();
}

#[tokio::test]
async fn a_node_of_another_network_is_never_met() {
    let (server, mut other) = (serve(config(1, &[TCP])), config(2, &[]));
    other.chain = ChainId::new([0xcd; 32]);
    let client = start(other).0;
    introduce(&client, &server.swarm);
    let error = within(5, client.call(server.id(), Protocol::Get, head("hello"))).await.unwrap_err();
    assert!(matches!(&error.failure, Failure::Unreachable(reason) if reason.contains("another network")), "{error}");
}

#[tokio::test]
async fn a_node_of_another_network_is_not_counted_over_quic() {
    let (server, mut other) = (serve(config(1, &[QUIC])), config(2, &[QUIC]));
    other.chain = ChainId::new([0xcd; 32]);
    let other = start(other).0;
    introduce(&other, &server.swarm);
    for _ in 0..3 {
        within(5, other.call(server.id(), Protocol::Get, head("hello"))).await.unwrap_err();
        assert!(other.connected().is_empty() && server.swarm.connected().is_empty());
    }
}

#[tokio::test]
async fn a_request_that_is_given_up_or_not_taken_is_refused() {
    let (server, requests) = start(config(1, &[TCP]));
    let client = start(config(2, &[])).0;
    introduce(&client, &server);
    let call = client.call(server.local(), Protocol::Chain, head("hello"));
    let drop_request = async { drop(requests.next_of_any().await) };
    assert_eq!(refusal(&within(5, future::join(call, drop_request)).await.0.unwrap()).code, RefusalCode::Internal);
    drop(requests);
    let call = client.call(server.local(), Protocol::Chain, head("hello"));
    assert_eq!(refusal(&within(5, call).await.unwrap()).code, RefusalCode::Busy);
}

#[tokio::test]
async fn a_full_queue_refuses() {
    // A node has at most sixteen requests of a protocol in progress, so three protocols fill its part of the queue.
    let (server, _requests) = start(config(1, &[TCP]));
    let client = start(config(2, &[])).0;
    introduce(&client, &server);
    let protocols = [Protocol::Put, Protocol::Get, Protocol::Manifest];
    let calls = protocols.into_iter().flat_map(|protocol| {
        let (client, to) = (client.clone(), server.local());
        (0..40).map(move |_| client.call(to, protocol, Frame::default()))
    });
    let mut answers = futures::stream::FuturesUnordered::from_iter(calls);
    let answer = within(5, futures::StreamExt::next(&mut answers)).await.unwrap().unwrap();
    assert_eq!(refusal(&answer).code, RefusalCode::Busy);
}

#[tokio::test]
async fn without_room_for_its_body_a_request_is_refused() {
    let mut small = config(1, &[TCP]);
    small.limits.inbound_bytes = 300 * 1024;
    let (server, requests) = start(small);
    let client = start(config(2, &[])).0;
    introduce(&client, &server);
    server.recognise([client.local()].into());
    let chunk = || Frame { head: bytes::Bytes::new(), body: crate::nodes::pattern(256 * 1024) };
    let first = tokio::spawn(client.call(server.local(), Protocol::Put, chunk()));
    let taken = within(5, requests.next_of_any()).await.unwrap();
    let second = within(5, client.call(server.local(), Protocol::Put, chunk())).await.unwrap();
    assert_eq!(refusal(&second).code, RefusalCode::Busy);
    taken.reply.send(head("done"));
    within(5, first).await.unwrap().unwrap();
    let third = tokio::spawn(client.call(server.local(), Protocol::Put, chunk()));
    within(5, requests.next_of_any()).await.unwrap().reply.send(head("done"));
    assert_eq!(within(5, third).await.unwrap().unwrap(), head("done"));
}

async fn callee_stops(listen: &str) {
    let (server, requests) = start(config(1, &[listen]));
    let client = start(config(2, &[])).0;
    introduce(&client, &server);
    let calls = (0..40).map(|_| client.call(server.local(), Protocol::Chain, head("hello")));
    let stop = async {
        let _held = requests.next_of_any().await.unwrap();
        server.shutdown().await;
    };
    let (outcomes, ()) = within(5, future::join(future::join_all(calls), stop)).await;
    let closed =
        |outcome: &Result<Frame, AskError>| matches!(outcome, Err(AskError { failure: Failure::Closed(_), .. }));
    assert!(outcomes.iter().all(closed), "{outcomes:?}");
    until(|| async { client.connected().is_empty() }).await;
}

#[tokio::test]
async fn a_callee_that_stops_fails_its_calls_immediately() {
    callee_stops(TCP).await;
}

#[tokio::test]
async fn a_callee_that_stops_fails_its_calls_immediately_over_quic() {
    callee_stops(QUIC).await;
}

#[tokio::test]
async fn a_node_that_restarts_is_reached_again() {
    let client = start(config(2, &[])).0;
    let first = serve(config(1, &[TCP]));
    introduce(&client, &first.swarm);
    let (id, listening) = (first.id(), first.swarm.listening());
    within(5, client.call(id, Protocol::Chain, head("one"))).await.unwrap();
    first.swarm.shutdown().await;
    until(|| async { client.connected().is_empty() }).await;
    within(5, client.call(id, Protocol::Chain, head("two"))).await.unwrap_err();
    let _second = serve(config(1, &[listening[0].as_str()]));
    within(5, client.call(id, Protocol::Chain, head("three"))).await.unwrap();
}

#[tokio::test]
async fn dropped_calls_are_forgotten() {
    let (server, requests) = start(config(1, &[TCP]));
    let client = start(config(2, &[])).0;
    introduce(&client, &server);
    // More than may be in flight at a time, and than there are places: each place must come back.
    for _ in 0..1500 {
        let call = client.call(server.local(), Protocol::Chain, head("dropped"));
        let _dropped = time::timeout(Duration::from_micros(50), call).await;
    }
    let call = client.call(server.local(), Protocol::Chain, head("kept"));
    let answer_all = async {
        loop {
            let inbound = requests.next_of_any().await.unwrap();
            let is_kept = inbound.request == head("kept");
            inbound.reply.send(head("answer"));
            if is_kept {
                future::pending::<()>().await;
            }
        }
    };
    let answer = within(20, future::select(call, Box::pin(answer_all))).await;
    assert!(matches!(answer, future::Either::Left((Ok(frame), _)) if frame == head("answer")));
}

#[tokio::test]
async fn after_shutdown_calls_end_as_stopped() {
    let (server, _requests) = start(config(1, &[TCP]));
    let client = start(config(2, &[])).0;
    introduce(&client, &server);
    let waiting = tokio::spawn(client.call(server.local(), Protocol::Chain, head("hello")));
    until(|| async { !client.connected().is_empty() }).await;
    within(5, client.shutdown()).await;
    let shut_down = Err(AskError::new(server.local(), Failure::ShutDown));
    assert_eq!(within(5, waiting).await.unwrap(), shut_down);
    assert_eq!(client.call(server.local(), Protocol::Chain, head("hello")).await, shut_down);
    within(5, client.shutdown()).await;
}

#[tokio::test]
async fn connections_over_the_limit_are_closed_and_others_kept() {
    let mut small = config(1, &[TCP]);
    // Of eight, one for the strangers of each network.
    small.limits.connections_in = 8;
    let server = serve(small);
    let (first, second) = (start(config(2, &[])).0, start(config(3, &[])).0);
    introduce(&first, &server.swarm);
    introduce(&second, &server.swarm);
    within(5, first.call(server.id(), Protocol::Chain, head("first"))).await.unwrap();
    within(10, second.call(server.id(), Protocol::Chain, head("second"))).await.unwrap_err();
    within(5, first.call(server.id(), Protocol::Chain, head("first"))).await.unwrap();
    first.shutdown().await;
    first.stopped().await;
    until(|| async { second.call(server.id(), Protocol::Chain, head("second")).await.is_ok() }).await;
}
