//! Swarms used as intended.

use bytes::Bytes;
use futures::{StreamExt, future, stream};
use ostrakon_net::{
    DialBackError, Failure, Peers,
    swarm::{StartError, Swarm, SwarmConfig, SwarmHandle},
};
use ostrakon_proto::{
    id::NodeId,
    limits,
    wire::{Frame, Protocol, RefusalCode},
};

use crate::nodes::{QUIC, TCP, config, head, introduce, pattern, refusal, serve, start, until, within};

/// Full chunks in both directions of the data: `count` gets and `count` puts.
async fn exchange_chunks(from: &SwarmHandle, to: NodeId, count: usize) {
    let chunk = pattern(u32::try_from(limits::CHUNK).unwrap());
    let hash = blake3::hash(&chunk);
    let calls = stream::iter(0..count).map(|_| async {
        let wanted = Frame::new(&u32::try_from(chunk.len()).unwrap(), Bytes::new());
        let got = from.call(to, Protocol::Get, wanted).await.unwrap();
        assert_eq!(got.body, chunk);
        let put = Frame { head: Bytes::new(), body: chunk.clone() };
        let put = from.call(to, Protocol::Put, put).await.unwrap();
        assert_eq!(put.head, hash.as_bytes()[..]);
    });
    calls.buffer_unordered(8).collect::<Vec<()>>().await;
}

async fn both_ways_over(listen: &[&str]) {
    let (a, b) = (serve(config(1, listen)), serve(config(2, listen)));
    introduce(&a.swarm, &b.swarm);
    introduce(&b.swarm, &a.swarm);
    within(60, future::join(exchange_chunks(&a.swarm, b.id(), 100), exchange_chunks(&b.swarm, a.id(), 100))).await;
    assert_eq!(a.swarm.connected(), [b.id()]);
    assert_eq!(b.swarm.connected(), [a.id()]);
}

#[tokio::test]
async fn bulk_both_ways_over_tcp() {
    both_ways_over(&[TCP]).await;
}

#[tokio::test]
async fn bulk_both_ways_over_quic() {
    both_ways_over(&[QUIC]).await;
}

/// A node that asks is dialed where it is and listens, and told why it cannot be connected with at another port.
#[tokio::test]
async fn a_node_is_dialed_back_where_it_listens() {
    let (node, asked) = (serve(config(1, &[TCP, QUIC])), serve(config(2, &[TCP])));
    introduce(&node.swarm, &asked.swarm);
    within(20, node.swarm.call(asked.id(), Protocol::Chain, head("x"))).await.unwrap();
    let dial_back = |address: &str| within(20, asked.swarm.dial_back(node.id(), address));
    for address in node.swarm.listening() {
        assert_eq!(dial_back(&address).await, Ok(()), "{address}");
    }
    let closed = dial_back("/ip4/127.0.0.1/tcp/1").await;
    assert!(matches!(&closed, Err(DialBackError::Failed(reason)) if reason.contains("refused")), "{closed:?}");
    assert_eq!(dial_back("/ip4/127.0.0.2/tcp/1").await, Err(DialBackError::Elsewhere), "it is connected from .1");
}

/// As many chunks in both directions as there may be streams, on streams that are all new: more than a connection's
/// window, which must not fill with what is not read before a stream's name is confirmed.
#[tokio::test]
async fn new_streams_do_not_block_each_other() {
    for listen in [TCP, QUIC] {
        let (a, b) = (serve(config(1, &[listen])), serve(config(2, &[listen])));
        // One connection for both.
        introduce(&a.swarm, &b.swarm);
        within(20, a.swarm.call(b.id(), Protocol::Chain, head("x"))).await.unwrap();
        let chunk = pattern(u32::try_from(limits::CHUNK).unwrap());
        let put_all = |from: &SwarmHandle, to: NodeId| {
            let put = || from.call(to, Protocol::Put, Frame { head: Bytes::new(), body: chunk.clone() });
            future::join_all((0..16).map(|_| put()))
        };
        let (there, back) = within(9, future::join(put_all(&a.swarm, b.id()), put_all(&b.swarm, a.id()))).await;
        assert!(there.iter().chain(&back).all(Result::is_ok), "{listen}: {there:?} {back:?}");
    }
}

/// The same place by a name.
fn named(listening: &[String]) -> Vec<String> {
    listening.iter().map(|address| address.replace("/ip4/127.0.0.1/", "/dns4/localhost/")).collect()
}

#[tokio::test]
async fn a_node_is_reached_by_its_name() {
    for listen in [TCP, QUIC] {
        let (server, client) = (serve(config(1, &[listen])), start(config(2, &[])).0);
        client.learn(server.id(), &named(&server.swarm.listening()));
        let asked = within(20, client.call(server.id(), Protocol::Chain, head("by name"))).await;
        assert_eq!(asked, Ok(head("by name")), "{listen}");
    }
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_is_in_the_error() {
    let (client, node) = (start(config(2, &[])).0, NodeId::new([7; 32]));
    client.learn(node, &["/dns4/nowhere.invalid/tcp/4001".to_owned()]);
    let error = within(20, client.call(node, Protocol::Chain, head("x"))).await.unwrap_err();
    assert!(error.to_string().contains("cannot resolve nowhere.invalid"), "{error}");
}

#[tokio::test]
async fn nodes_find_each_other_through_a_bootstrap_node_with_a_name() {
    let first = serve(config(1, &[TCP]));
    let bootstrap: Vec<String> =
        named(&first.swarm.listening()).iter().map(|address| format!("{address}/p2p/{}", first.id())).collect();
    let with = |seed, listen: &[&str]| SwarmConfig { bootstrap: bootstrap.clone(), ..config(seed, listen) };
    let (second, third) = (serve(with(2, &[TCP])), serve(with(3, &[TCP])));
    until(|| async { third.swarm.call(second.id(), Protocol::Chain, head("x")).await.is_ok() }).await;
    // A client asks those that it knows first, whose names are then resolved when it searches for others.
    let client = start(with(4, &[])).0;
    assert_eq!(within(20, client.call(first.id(), Protocol::Chain, head("x"))).await, Ok(head("x")));
    until(|| async { client.call(second.id(), Protocol::Chain, head("x")).await.is_ok() }).await;
}

#[tokio::test]
async fn both_versions_of_ip_share_a_port_that_nobody_else_gets() {
    let ipv6 = std::net::TcpListener::bind("[::1]:0");
    let Ok(port) = ipv6.and_then(|listener| listener.local_addr()).map(|address| address.port()) else { return };
    let (v4, v6) = (format!("/ip4/0.0.0.0/tcp/{port}"), format!("/ip6/::/tcp/{port}"));
    let both = [&*v4, &v6, &format!("/ip4/0.0.0.0/udp/{port}/quic-v1"), &format!("/ip6/::/udp/{port}/quic-v1")];
    let server = serve(config(1, &both));
    for (seed, place) in [(3, "/ip4/127.0.0.1/tcp"), (4, "/ip6/::1/tcp")] {
        let client = start(config(seed, &[])).0;
        client.learn(server.id(), &[format!("{place}/{port}")]);
        assert_eq!(within(20, client.call(server.id(), Protocol::Chain, head(place))).await, Ok(head(place)));
    }
    for taken in [&v4, &v6] {
        assert!(matches!(Swarm::start(config(5, &[taken])), Err(StartError::Listen { .. })), "{taken}");
    }
}

#[tokio::test]
async fn every_protocol_is_its_own() {
    let (server, client) = (serve(config(1, &[TCP, QUIC])), start(config(2, &[])).0);
    introduce(&client, &server.swarm);
    let text = Frame::new(&"héllo", pattern(5000));
    assert_eq!(client.call(server.id(), Protocol::Chain, text.clone()).await, Ok(text));
    let empty = Frame::default();
    assert_eq!(client.call(server.id(), Protocol::Manifest, empty.clone()).await, Ok(empty));
    let put = client.call(server.id(), Protocol::Put, Frame::default()).await.unwrap();
    assert_eq!(put.head, blake3::hash(&[]).as_bytes()[..]);
}

#[tokio::test]
async fn many_concurrent_calls_all_get_their_answers() {
    let (server, client) = (serve(config(1, &[TCP])), start(config(2, &[])).0);
    introduce(&client, &server.swarm);
    let calls = (0..2000u32).map(|number| {
        let call = client.call(server.id(), Protocol::Chain, Frame::new(&number, Bytes::new()));
        async move { call.await.unwrap().decode::<u32>().unwrap() == number }
    });
    assert!(within(60, future::join_all(calls)).await.into_iter().all(|right| right));
}

#[tokio::test]
async fn a_node_that_nobody_introduced_is_found() {
    let first = serve(config(1, &[TCP]));
    let bootstrap = vec![format!("{}/p2p/{}", first.swarm.listening()[0], first.id())];
    let mut of_second = config(2, &[TCP, QUIC]);
    of_second.bootstrap = bootstrap.clone();
    let second = serve(of_second);
    until(|| async { first.swarm.connected().contains(&second.id()) }).await;
    let mut of_client = config(3, &[]);
    of_client.bootstrap = bootstrap;
    let client = start(of_client).0;
    // The first node may not have heard yet where the second listens.
    until(|| async { client.call(second.id(), Protocol::Chain, head("hello")).await.is_ok() }).await;
}

#[tokio::test]
async fn a_node_may_call_itself() {
    let node = serve(config(1, &[TCP]));
    assert_eq!(node.swarm.call(node.id(), Protocol::Chain, head("me")).await, Ok(head("me")));
}

#[tokio::test]
async fn what_is_over_the_limits_is_not_sent() {
    let (server, client) = (serve(config(1, &[TCP])), start(config(2, &[])).0);
    introduce(&client, &server.swarm);
    let long = Frame { head: Bytes::new(), body: vec![0; limits::MANIFEST + 1].into() };
    let error = client.call(server.id(), Protocol::Put, long).await.unwrap_err();
    assert!(matches!(error.failure, Failure::TooLong(_)), "{error}");
    let answer = client.call(server.id(), Protocol::Get, Frame::new(&300_000u32, Bytes::new())).await.unwrap();
    assert_eq!(refusal(&answer).code, RefusalCode::Internal);
}

#[tokio::test]
async fn a_client_is_not_asked() {
    let (server, client) = (serve(config(1, &[TCP])), start(config(2, &[])).0);
    introduce(&client, &server.swarm);
    client.call(server.id(), Protocol::Chain, head("hello")).await.unwrap();
    let error = server.swarm.call(client.local(), Protocol::Chain, head("you?")).await.unwrap_err();
    assert!(matches!(error.failure, Failure::Unsupported(_)), "{error}");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let (node, _requests) = start(config(1, &[TCP]));
    let mut taken = config(2, &[]);
    taken.listen = node.listening();
    let error = Swarm::start(taken).unwrap_err();
    assert!(matches!(&error, StartError::Listen { .. }) && error.to_string().contains(&node.listening()[0]), "{error}");
}

#[tokio::test]
async fn wrong_settings_are_named() {
    let error = Swarm::start(config(1, &["localhost:80"])).unwrap_err();
    assert!(matches!(error, StartError::Address { .. }), "{error}");
    let mut nameless = config(1, &[]);
    nameless.bootstrap = vec![TCP.to_string()];
    assert!(matches!(Swarm::start(nameless).unwrap_err(), StartError::Bootstrap(_)));
}
