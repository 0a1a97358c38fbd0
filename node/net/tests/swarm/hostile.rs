//! Peers that keep to no rule: libp2p nodes that write whatever bytes they like, and plain sockets.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    net::TcpStream,
    time::Duration,
};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, identity,
    request_response::{self, Event, Message, OutboundFailure, OutboundRequestId, ProtocolSupport},
    swarm::SwarmEvent,
};
use ostrakon_net::{
    CallError, Peers,
    swarm::{SwarmHandle, tcp_transport},
};
use ostrakon_proto::{
    id::NodeId,
    limits,
    sign::Keypair,
    wire::{Code, Frame, Protocol, Refusal},
};

use crate::nodes::{CHAIN, TCP, config, head, introduce, serve, start, within};

/// Writes and reads bytes as they are.
#[derive(Clone, Default)]
struct Raw;

impl request_response::Codec for Raw {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        io.read_to_end(&mut bytes).await.map(|_| bytes)
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        io.read_to_end(&mut bytes).await.map(|_| bytes)
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, request: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&request).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, answer: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&answer).await
    }
}

type RawSwarm = libp2p::Swarm<request_response::Behaviour<Raw>>;

fn raw_swarm(protocol: Protocol) -> RawSwarm {
    let name = StreamProtocol::try_from_owned(protocol.name(&CHAIN)).unwrap();
    let bounds = request_response::Config::default().with_max_concurrent_streams(10_000);
    let mut seed = rand::random::<[u8; 32]>();
    let tcp = tcp_transport(CHAIN, Keypair::from_seed(&seed), 4096).unwrap();
    libp2p::SwarmBuilder::with_existing_identity(identity::Keypair::ed25519_from_bytes(&mut seed).unwrap())
        .with_tokio()
        .with_other_transport(|_| tcp)
        .unwrap()
        .with_behaviour(|_| request_response::Behaviour::new([(name, ProtocolSupport::Full)], bounds))
        .unwrap()
        .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(Duration::from_secs(60)))
        .build()
}

fn peer_of(node: &SwarmHandle) -> PeerId {
    ostrakon_net::peer_id_text(&node.local()).parse().unwrap()
}

fn dial(attacker: &mut RawSwarm, node: &SwarmHandle) {
    let addresses: Vec<Multiaddr> = node.listening().iter().map(|address| address.parse().unwrap()).collect();
    attacker.dial(libp2p::swarm::dial_opts::DialOpts::peer_id(peer_of(node)).addresses(addresses).build()).unwrap();
}

/// Sends these bytes as requests, all at once; returns each answer.
async fn send(attacker: &mut RawSwarm, to: PeerId, requests: Vec<Vec<u8>>) -> Vec<Result<Vec<u8>, OutboundFailure>> {
    let behaviour = attacker.behaviour_mut();
    let ids: Vec<OutboundRequestId> = requests.into_iter().map(|bytes| behaviour.send_request(&to, bytes)).collect();
    let mut outcomes = BTreeMap::new();
    within(20, async {
        while outcomes.len() < ids.len() {
            match attacker.select_next_some().await {
                SwarmEvent::Behaviour(Event::Message {
                    message: Message::Response { request_id, response }, ..
                }) => {
                    outcomes.insert(request_id, Ok(response));
                }
                SwarmEvent::Behaviour(Event::OutboundFailure { request_id, error, .. }) => {
                    outcomes.insert(request_id, Err(error));
                }
                _ => {}
            }
        }
    })
    .await;
    ids.iter().map(|id| outcomes.remove(id).unwrap()).collect()
}

fn lengths(head: usize, body: usize) -> Vec<u8> {
    [head, body].iter().flat_map(|len| u32::try_from(*len).unwrap().to_le_bytes()).collect()
}

fn encoded(frame: &Frame) -> Vec<u8> {
    [&lengths(frame.head.len(), frame.body.len())[..], &frame.head, &frame.body].concat()
}

/// Whether the answer is empty or broken off: what a request that breaks the frame deserves.
fn is_refused(outcome: &Result<Vec<u8>, OutboundFailure>) -> bool {
    outcome.as_ref().map_or(true, Vec::is_empty)
}

#[tokio::test]
async fn bad_lengths_are_refused_and_the_peer_stays_usable() {
    let server = serve(config(1, &[TCP]));
    let mut attacker = raw_swarm(Protocol::Chain);
    dial(&mut attacker, &server.swarm);
    let peer = peer_of(&server.swarm);
    let bad = vec![
        lengths(limits::HEAD + 1, 0),
        lengths(0, limits::TX + 1),
        vec![0xff; 8],
        [vec![0xff; 8], vec![0; 100_000]].concat(),
        lengths(10, 10),
        vec![1, 2, 3],
        Vec::new(),
    ];
    for outcome in send(&mut attacker, peer, bad).await {
        assert!(is_refused(&outcome), "{outcome:?}");
    }
    let fine = send(&mut attacker, peer, vec![encoded(&head("fine"))]).await;
    assert_eq!(fine[0].as_ref().unwrap(), &encoded(&head("fine")), "on the same connection");
}

#[tokio::test]
async fn a_flood_is_bounded_and_leaves_room_for_others() {
    let (server, mut requests) = start(config(1, &[TCP]));
    let mut attacker = raw_swarm(Protocol::Chain);
    dial(&mut attacker, &server);
    let attack = tokio::spawn(async move {
        let requests = vec![encoded(&head("flood")); 400];
        let peer: PeerId =
            ostrakon_net::peer_id_text(&NodeId::new(*config(1, &[]).keypair.public::<()>().bytes())).parse().unwrap();
        send(&mut attacker, peer, requests).await
    });
    let client = start(config(2, &[])).0;
    introduce(&client, &server);
    // Hold what the attacker sends, and answer the client.
    let mut held = Vec::new();
    let serve = async {
        loop {
            let inbound = requests.recv().await.unwrap();
            if inbound.from == client.local() { inbound.reply.send(head("you")) } else { held.push(inbound) }
        }
    };
    let ask = async {
        for _ in 0..50 {
            assert_eq!(client.call(server.local(), Protocol::Chain, head("me")).await, Ok(head("you")));
        }
    };
    within(20, futures::future::select(Box::pin(serve), Box::pin(ask))).await;
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
    matches!(refusal.code, Code::Busy | Code::Internal)
}

/// A server that answers every request with these bytes.
async fn answer_with(mut attacker: RawSwarm, answers: Vec<Vec<u8>>) {
    let mut answers = answers.into_iter();
    loop {
        if let SwarmEvent::Behaviour(Event::Message { message: Message::Request { channel, .. }, .. }) =
            attacker.select_next_some().await
        {
            attacker.behaviour_mut().send_response(channel, answers.next().unwrap()).unwrap();
        }
    }
}

#[tokio::test]
async fn bad_answers_are_errors_and_good_ones_still_arrive() {
    let mut attacker = raw_swarm(Protocol::Get);
    attacker.listen_on(TCP.parse().unwrap()).unwrap();
    let address = within(5, async {
        loop {
            if let SwarmEvent::NewListenAddr { address, .. } = attacker.select_next_some().await {
                break address.to_string();
            }
        }
    })
    .await;
    let node = ostrakon_net::identity::parse_peer_id(&attacker.local_peer_id().to_string()).unwrap();
    let good = Frame { head: bytes::Bytes::new(), body: vec![7; limits::CHUNK].into() };
    let answers =
        vec![lengths(0, limits::CHUNK + 1), lengths(limits::HEAD + 1, 0), lengths(3, 3), Vec::new(), encoded(&good)];
    let server = tokio::spawn(answer_with(attacker, answers));
    let client = start(config(2, &[])).0;
    client.learn(node, &[address]);
    let mut errors = Vec::new();
    for _ in 0..4 {
        errors.push(within(5, client.call(node, Protocol::Get, Frame::default())).await.unwrap_err());
    }
    let bad = |error: &CallError| matches!(error, CallError::BadAnswer { .. });
    let closed = |error: &CallError| matches!(error, CallError::Closed { .. });
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
    let sockets: Vec<TcpStream> = (0..100u8)
        .map(|number| {
            let mut socket = TcpStream::connect(("127.0.0.1", port.unwrap())).unwrap();
            // The server may close first; that is its right.
            let _closed = socket.write_all(&vec![number; usize::from(number) * 50]);
            socket
        })
        .collect();
    let client = start(config(2, &[])).0;
    introduce(&client, &server.swarm);
    within(5, client.call(server.id(), Protocol::Chain, head("still there"))).await.unwrap();
    drop(sockets);
}
