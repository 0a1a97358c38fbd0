//! libp2p nodes that are none of ours: they open and take streams of one protocol, and write whatever bytes they like.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    task::{Context, Poll},
    time::Duration,
};

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol,
    core::{Endpoint, transport::PortUse, upgrade::ReadyUpgrade},
    identity,
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
        NotifyHandler, SubstreamProtocol, SwarmEvent, ToSwarm,
        dial_opts::DialOpts,
        handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound},
    },
};
use ostrakon_net::{
    Peers,
    swarm::{SwarmHandle, tcp_transport},
};
use ostrakon_proto::{
    id::NodeId,
    sign::Keypair,
    wire::{Frame, Protocol},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use crate::nodes::{CHAIN, within};

/// Streams that wait to be taken by the test.
const TAKEN: usize = 1000;

type Upgrade = ReadyUpgrade<StreamProtocol>;
type Opened = oneshot::Sender<Stream>;

/// A node that keeps to no rule; it ends with this.
pub(crate) struct Raw {
    opens: mpsc::Sender<Opened>,
    pub(crate) node: NodeId,
    pub(crate) streams: mpsc::Receiver<Stream>,
    pub(crate) listening: Vec<String>,
    _driver: JoinSet<()>,
}

impl Raw {
    /// Connects to a node.
    pub(crate) async fn dial(protocol: Protocol, node: &SwarmHandle) -> Self {
        let (mut swarm, streams) = swarm(protocol);
        let key = identity::ed25519::PublicKey::try_from_bytes(node.local().bytes()).unwrap();
        let peer = identity::PublicKey::from(key).to_peer_id();
        let addresses = node.listening().iter().map(|address| address.parse().unwrap()).collect();
        swarm.dial(DialOpts::peer_id(peer).addresses(addresses).build()).unwrap();
        let connected = |event: &_| matches!(event, SwarmEvent::ConnectionEstablished { .. });
        within(5, swarm.by_ref().filter(|event| std::future::ready(connected(event))).next()).await.unwrap();
        Self::drive(swarm, streams, peer, Vec::new())
    }

    /// Listens; takes streams of anyone who connects.
    pub(crate) async fn listen(protocol: Protocol, address: &str) -> Self {
        let (mut swarm, streams) = swarm(protocol);
        swarm.listen_on(address.parse().unwrap()).unwrap();
        let listening = within(5, async {
            loop {
                if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                    break address.to_string();
                }
            }
        })
        .await;
        let nobody = *swarm.local_peer_id();
        Self::drive(swarm, streams, nobody, vec![listening])
    }

    fn drive(
        mut swarm: libp2p::Swarm<Behaviour>,
        streams: mpsc::Receiver<Stream>,
        peer: PeerId,
        listening: Vec<String>,
    ) -> Self {
        let (opens, mut asked) = mpsc::channel::<Opened>(TAKEN);
        let address = format!("/ip4/127.0.0.1/tcp/1/p2p/{}", swarm.local_peer_id());
        let (node, _) = ostrakon_net::identity::parse_address(&address).unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    Some(opened) = asked.recv() => swarm.behaviour_mut().open(peer, opened),
                    _ = swarm.select_next_some() => {}
                }
            }
        });
        Self { opens, node, streams, listening, _driver: driver }
    }

    /// A new stream to the node that was dialed.
    pub(crate) async fn open(&self) -> io::Result<Stream> {
        let (opened, stream) = oneshot::channel();
        self.opens.send(opened).await.unwrap();
        within(10, stream).await.map_err(io::Error::other)
    }

    /// Writes these bytes to a new stream, ends it, and returns what comes.
    pub(crate) async fn send(&self, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut stream = self.open().await?;
        // The node may end the stream first; that is its right.
        let _ended = stream.write_all(&bytes).await;
        let _ended = stream.close().await;
        rest(&mut stream).await
    }
}

/// What still comes on a stream.
pub(crate) async fn rest(stream: &mut Stream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    within(20, stream.read_to_end(&mut bytes)).await.map(|_| bytes)
}

/// The next frame on a stream; nothing when it has ended.
pub(crate) async fn frame(stream: &mut Stream) -> Option<Frame> {
    let mut lengths = [[0; 4]; 2];
    stream.read_exact(lengths.as_flattened_mut()).await.ok()?;
    let [mut head, mut body] = lengths.map(|len| vec![0; usize::try_from(u32::from_le_bytes(len)).unwrap()]);
    stream.read_exact(&mut head).await.ok()?;
    stream.read_exact(&mut body).await.ok()?;
    Some(Frame { head: head.into(), body: body.into() })
}

pub(crate) async fn write(stream: &mut Stream, bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
    stream.flush().await.unwrap();
}

pub(crate) fn lengths(head: usize, body: usize) -> Vec<u8> {
    [head, body].iter().flat_map(|len| u32::try_from(*len).unwrap().to_le_bytes()).collect()
}

pub(crate) fn encoded(frame: &Frame) -> Vec<u8> {
    [&lengths(frame.head.len(), frame.body.len())[..], &frame.head, &frame.body].concat()
}

fn swarm(protocol: Protocol) -> (libp2p::Swarm<Behaviour>, mpsc::Receiver<Stream>) {
    let name = StreamProtocol::try_from_owned(protocol.name(&CHAIN)).unwrap();
    let (taken, streams) = mpsc::channel(TAKEN);
    let mut seed = rand::random::<[u8; 32]>();
    let tcp = tcp_transport(CHAIN, Keypair::from_seed(&seed), 4096).unwrap();
    let swarm = libp2p::SwarmBuilder::with_existing_identity(identity::Keypair::ed25519_from_bytes(&mut seed).unwrap())
        .with_tokio()
        .with_quic()
        .with_other_transport(|_| tcp)
        .unwrap()
        .with_behaviour(|_| Behaviour { name, taken, opens: VecDeque::new() })
        .unwrap()
        .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(Duration::from_secs(60)))
        .build();
    (swarm, streams)
}

struct Behaviour {
    name: StreamProtocol,
    taken: mpsc::Sender<Stream>,
    opens: VecDeque<ToSwarm<Infallible, Opened>>,
}

impl Behaviour {
    fn open(&mut self, peer_id: PeerId, event: Opened) {
        self.opens.push_back(ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::Any, event });
    }

    fn handler(&self) -> Handler {
        Handler { name: self.name.clone(), taken: self.taken.clone(), opens: VecDeque::new() }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.handler())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.handler())
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: Infallible) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, Opened>> {
        self.opens.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

struct Handler {
    name: StreamProtocol,
    taken: mpsc::Sender<Stream>,
    opens: VecDeque<Opened>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Opened;
    type ToBehaviour = Infallible;
    type InboundProtocol = Upgrade;
    type OutboundProtocol = Upgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Opened;

    fn listen_protocol(&self) -> SubstreamProtocol<Upgrade> {
        SubstreamProtocol::new(ReadyUpgrade::new(self.name.clone()), ())
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Upgrade, Opened, Infallible>> {
        let Some(opened) = self.opens.pop_front() else { return Poll::Pending };
        let protocol = SubstreamProtocol::new(ReadyUpgrade::new(self.name.clone()), opened);
        Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol })
    }

    fn on_behaviour_event(&mut self, opened: Opened) {
        self.opens.push_back(opened);
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Upgrade, Upgrade, (), Opened>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol: stream, .. }) => {
                self.taken.try_send(stream).unwrap();
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol: stream, info }) => {
                // The test may have given up.
                let _gone = info.send(stream);
            }
            _ => {}
        }
    }
}
