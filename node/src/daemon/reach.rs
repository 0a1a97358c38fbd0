//! Whether the addresses that a node will announce lead to this machine: it listens where the node would, and sends
//! itself a few bytes at each of them.
//!
//! What this finds is a warning: a router that does not loop back hides what others can reach. What does not resolve,
//! or leads to another machine, is found. Not here: what an address must look like ([`ostrakon_net::address`]).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use ostrakon_net::address::{self, Endpoint};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket, lookup_host},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};

/// How long bytes may take to this machine itself.
const LIMIT: Duration = Duration::from_secs(3);

/// Random bytes that nobody else sends.
type Token = [u8; 16];

/// What arrives where the node would listen.
struct Arrivals {
    tokens: mpsc::Receiver<Token>,
    /// Whether another process, probably the node, listens there.
    are_hidden: bool,
    listening: JoinSet<()>,
}

/// Those of `announced` that do not lead to a node that listens on `listen`, each with the reason.
pub(super) async fn unreachable(listen: &[String], announced: &[String]) -> Vec<String> {
    let mut arrivals = Arrivals::listen(listen).await;
    let mut unreachable = Vec::new();
    for text in announced {
        unreachable.extend(arrivals.check(text).await.err().map(|reason| format!("{text} {reason}")));
    }
    arrivals.listening.shutdown().await;
    unreachable
}

impl Arrivals {
    async fn listen(listen: &[String]) -> Self {
        let (sender, tokens) = mpsc::channel(16);
        let mut listening = JoinSet::new();
        let endpoints = listen.iter().filter_map(|text| address::endpoint(text).ok());
        let places = endpoints.filter_map(|endpoint| Some((endpoint.host().parse::<IpAddr>().ok()?, endpoint)));
        let mut places: Vec<(IpAddr, Endpoint)> = places.collect();
        // IPv6 first: where its sockets take IPv4 too, those of IPv4 cannot be had any more, and need not be.
        places.sort_by_key(|(ip, _)| ip.is_ipv4());
        for (ip, endpoint) in places {
            let at = SocketAddr::new(ip, endpoint.port);
            if endpoint.is_quic {
                let socket = UdpSocket::bind(at).await.ok();
                socket.into_iter().for_each(|socket| drop(listening.spawn(receive(socket, sender.clone()))));
            } else {
                let listener = TcpListener::bind(at).await.ok();
                listener.into_iter().for_each(|listener| drop(listening.spawn(accept(listener, sender.clone()))));
            }
        }
        Self { tokens, are_hidden: listening.is_empty(), listening }
    }

    async fn check(&mut self, text: &str) -> Result<(), String> {
        let endpoint = address::endpoint(text).map_err(|error| error.to_string())?;
        let resolved = lookup_host((endpoint.host(), endpoint.port)).await;
        let resolved = resolved.map_err(|error| format!("cannot be resolved: {error}"))?;
        let mut reason = "resolves to no IP address of its version".to_owned();
        for at in resolved.filter(|at| endpoint.allows(&at.ip())) {
            reason = match timeout(LIMIT, self.arrive(at, endpoint.is_quic)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => format!("cannot be reached: {error}"),
                Err(_) => "does not lead to this machine: what is sent there does not arrive".to_owned(),
            };
        }
        Err(reason)
    }

    /// Sends a token there, and waits until it arrives here.
    async fn arrive(&mut self, at: SocketAddr, is_quic: bool) -> io::Result<()> {
        let mut token = Token::default();
        getrandom::fill(&mut token).map_err(io::Error::other)?;
        let mut connection = None;
        if is_quic {
            let any: IpAddr = if at.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            UdpSocket::bind((any, 0)).await?.send_to(&token, at).await?;
        } else {
            connection.insert(TcpStream::connect(at).await?).write_all(&token).await?;
        }
        while !self.are_hidden && self.tokens.recv().await.is_some_and(|arrived| arrived != token) {}
        Ok(())
    }
}

async fn accept(listener: TcpListener, tokens: mpsc::Sender<Token>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut token = Token::default();
        // A connection of somebody else must not hold up ours.
        if let Ok(Ok(_)) = timeout(LIMIT / 3, stream.read_exact(&mut token)).await {
            let _ended = tokens.send(token).await;
        }
    }
}

async fn receive(socket: UdpSocket, tokens: mpsc::Sender<Token>) {
    let mut token = Token::default();
    while let Ok(length) = socket.recv(&mut token).await {
        if length == token.len() {
            let _ended = tokens.send(token).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free_port() -> u16 {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("bound").port()
    }

    #[tokio::test]
    async fn an_address_leads_here_or_is_named_with_the_reason() {
        let (port, other) = (free_port(), std::net::TcpListener::bind("127.0.0.1:0").expect("a port"));
        let foreign = other.local_addr().expect("bound").port();
        let listen = [format!("/ip4/127.0.0.1/tcp/{port}"), format!("/ip4/127.0.0.1/udp/{port}/quic-v1")];
        let here = [&listen[..], &[format!("/dns4/localhost/tcp/{port}")]].concat();
        assert_eq!(unreachable(&listen, &here).await, Vec::<String>::new());
        // A name of this kind is never registered (RFC 6761).
        let elsewhere = [format!("/ip4/127.0.0.1/tcp/{foreign}"), format!("/dns/node.invalid/tcp/{port}")];
        let found = unreachable(&listen, &elsewhere).await;
        assert!(found.len() == 2 && found[0].contains("does not lead to this machine"), "{found:?}");
        assert!(found[1].contains("cannot be resolved"), "{found:?}");
    }

    #[tokio::test]
    async fn while_the_node_runs_it_is_enough_that_it_answers() {
        let node = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let listen = [format!("/ip4/127.0.0.1/tcp/{}", node.local_addr().expect("bound").port())];
        assert_eq!(unreachable(&listen, &listen).await, Vec::<String>::new());
    }
}
