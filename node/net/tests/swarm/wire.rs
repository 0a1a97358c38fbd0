//! The wire below streams, by hand: a TCP connection after SPEC, "Connection", whose frames of Yamux keep to no rule.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use libp2p::Multiaddr;
use ostrakon_net::swarm::SwarmHandle;
use ostrakon_proto::{
    codec,
    id::NodeId,
    sign::{Keypair, Purpose},
    wire::Protocol,
};
use snow::TransportState;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::nodes::CHAIN;

pub(crate) const DATA: u8 = 0;
pub(crate) const WINDOW: u8 = 1;
pub(crate) const SYN: u8 = 1;

/// A connection to a node.
pub(crate) struct Wire {
    socket: TcpStream,
    noise: TransportState,
}

impl Wire {
    /// Connects as the node with this key.
    pub(crate) async fn dial(seed: u8, node: &SwarmHandle) -> Self {
        Self::connect(seed, Ipv4Addr::LOCALHOST, address_of(node)).await
    }

    /// The same from another address of this machine.
    pub(crate) async fn connect(seed: u8, from: Ipv4Addr, to: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let mut socket = socket.connect(to).await.unwrap();
        let builder = || snow::Builder::new("Noise_XX_25519_AESGCM_SHA256".parse().unwrap());
        let key = builder().generate_keypair().unwrap();
        let builder = builder().prologue(CHAIN.bytes()).unwrap().local_private_key(&key.private).unwrap();
        let mut noise = builder.build_initiator().unwrap();
        let keypair = Keypair::from_seed(&[seed; 32]);
        let signature = keypair.sign(Purpose::Channel, &CHAIN, &<[u8; 32]>::try_from(key.public).unwrap());
        let mut buffer = [0; 1024];
        let len = noise.write_message(CHAIN.bytes(), &mut buffer).unwrap();
        write(&mut socket, &buffer[..len]).await.unwrap();
        let answer = read(&mut socket).await.unwrap();
        noise.read_message(&answer, &mut buffer).unwrap();
        let node: NodeId = keypair.public();
        let len = noise.write_message(&codec::encode(&(node, signature)), &mut buffer).unwrap();
        write(&mut socket, &buffer[..len]).await.unwrap();
        Self { socket, noise: noise.into_transport_mode().unwrap() }
    }

    /// Sends these bytes in one message.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut message = vec![0; bytes.len() + 16];
        self.noise.write_message(bytes, &mut message).unwrap();
        write(&mut self.socket, &message).await
    }

    /// The bytes of the next message.
    pub(crate) async fn receive(&mut self) -> io::Result<Vec<u8>> {
        let message = read(&mut self.socket).await?;
        let mut bytes = vec![0; message.len()];
        let len = self.noise.read_message(&message, &mut bytes).unwrap();
        bytes.truncate(len);
        Ok(bytes)
    }
}

async fn write(socket: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let len = u16::try_from(message.len()).unwrap();
    socket.write_all(&[&len.to_be_bytes(), message].concat()).await
}

async fn read(socket: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; usize::from(socket.read_u16().await?)];
    socket.read_exact(&mut message).await?;
    Ok(message)
}

/// Where the node listens for TCP.
pub(crate) fn address_of(node: &SwarmHandle) -> SocketAddr {
    let address: Multiaddr = node.listening()[0].parse().unwrap();
    let port = address.iter().find_map(|part| match part {
        libp2p::multiaddr::Protocol::Tcp(port) => Some(port),
        _ => None,
    });
    ([127, 0, 0, 1], port.unwrap()).into()
}

/// A frame without data.
pub(crate) fn header(kind: u8, flags: u8, stream: u32, len: u32) -> Vec<u8> {
    [&[0, kind, 0, flags][..], &stream.to_be_bytes(), &len.to_be_bytes()].concat()
}

/// A frame of data.
pub(crate) fn data(flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    [&header(DATA, flags, stream, u32::try_from(body.len()).unwrap())[..], body].concat()
}

/// What opens a stream of a protocol: multistream-select without waiting for its answers.
pub(crate) fn hello(protocol: Protocol) -> Vec<u8> {
    let name = format!("{}\n", protocol.name(&CHAIN));
    [b"\x13/multistream/1.0.0\n", &[u8::try_from(name.len()).unwrap()][..], name.as_bytes()].concat()
}
