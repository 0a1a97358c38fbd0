//! Nodes for the tests: real swarms with a server that answers by rule.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use ostrakon_net::{
    Inbound, Peers, Requests,
    swarm::{Swarm, SwarmConfig, SwarmHandle},
};
use ostrakon_proto::{
    id::{ChainId, NodeId},
    sign::Keypair,
    wire::{Frame, Protocol, Refusal},
};
use tokio::{task::JoinSet, time};

pub(crate) const TCP: &str = "/ip4/127.0.0.1/tcp/0";
pub(crate) const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
pub(crate) const CHAIN: ChainId = ChainId::new([0xab; 32]);

/// A node that serves; its server ends with it.
pub(crate) struct Node {
    pub(crate) swarm: SwarmHandle,
    _server: JoinSet<()>,
}

impl Node {
    pub(crate) fn id(&self) -> NodeId {
        self.swarm.local()
    }
}

pub(crate) fn config(seed: u8, listen: &[&str]) -> SwarmConfig {
    let listen = listen.iter().map(ToString::to_string).collect();
    SwarmConfig { listen, ..SwarmConfig::client(CHAIN, Keypair::from_seed(&[seed; 32])) }
}

pub(crate) fn start(config: SwarmConfig) -> (SwarmHandle, Requests) {
    Swarm::start(config).expect("the swarm starts")
}

/// A node that answers each request by [`answer`].
pub(crate) fn serve(config: SwarmConfig) -> Node {
    let (swarm, requests) = start(config);
    let mut server = JoinSet::new();
    server.spawn(async move {
        while let Some(Inbound { protocol, request, reply, .. }) = requests.next_of_any().await {
            reply.send(answer(protocol, &request));
        }
    });
    Node { swarm, _server: server }
}

/// The rule: get gives as many bytes as the head says, put hashes its body, the others give the request back.
fn answer(protocol: Protocol, request: &Frame) -> Frame {
    match protocol {
        Protocol::Get => Frame { head: request.head.clone(), body: pattern(request.decode::<u32>().unwrap()) },
        Protocol::Put => Frame::new(blake3::hash(&request.body).as_bytes(), Bytes::new()),
        Protocol::Manifest | Protocol::Chain | Protocol::Consensus => request.clone(),
    }
}

/// Bytes that differ by position.
pub(crate) fn pattern(len: u32) -> Bytes {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect::<Vec<u8>>().into()
}

/// Tells `who` where `whom` listens.
pub(crate) fn introduce(who: &SwarmHandle, whom: &SwarmHandle) {
    who.learn(whom.local(), &whom.listening());
}

pub(crate) fn head(text: &str) -> Frame {
    Frame::new(&text, Bytes::new())
}

/// The refusal in an answer's head.
pub(crate) fn refusal(answer: &Frame) -> Refusal {
    answer.decode::<Result<(), Refusal>>().unwrap().unwrap_err()
}

/// Fails the test when `what` takes longer than `seconds`.
pub(crate) async fn within<T>(seconds: u64, what: impl Future<Output = T>) -> T {
    time::timeout(Duration::from_secs(seconds), what).await.expect("in time")
}

/// Asks again until it holds.
pub(crate) async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    within(20, async {
        while !holds().await {
            time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
