//! How connections are made: TCP with our Noise channel and Yamux, the same through a relay, and QUIC; each with an
//! account in the budget.
//!
//! In goes a socket; out comes a muxer with the node at its other end. There is nothing to negotiate: a connection over
//! TCP or through a relay begins with the handshake of [`super::secure`], and what follows is Yamux: a relay carries
//! what it cannot read. A node of another network at the other end is reported. Not here: when connections are made and
//! how many ([`super::dials`], [`super::behaviour`]).

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite, TryFutureExt, future};
use libp2p::{
    PeerId, Transport,
    core::{
        ConnectedPoint, Endpoint,
        muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent},
        transport::Boxed,
    },
    identity, quic, relay, tcp,
};
use ostrakon_proto::{id::ChainId, sign::Keypair};
use yamux::Mode;

use super::{
    behaviour::{CONNECT_TIMEOUT, STREAMS},
    config::{BUFFER_BYTES, StartError, SwarmConfig},
    foreign::Foreign,
    memory::{Account, Budget},
    muxer::{self, Muxer},
    secure::{self, Role, SecureError},
};
use crate::Members;

/// What a QUIC connection's streams may be ahead by together: its window, which is fixed, and memory when nobody reads.
/// 160 Mbit/s at 100 ms; a TCP connection, which is tried first, has more.
const QUIC_WINDOW: u32 = 2 * 1024 * 1024;
/// The same of one stream.
const QUIC_STREAM_WINDOW: u32 = 1024 * 1024;
/// What is reserved for a QUIC connection: its window, and as much that is sent and not acknowledged on a good line.
/// (What a line without acknowledgements holds until it is closed after ten seconds is bounded by the crate, at 10 MB.)
/// So strangers get about twenty QUIC connections of the default budget, and leave room for those over TCP.
const QUIC_BYTES: usize = 4 * 1024 * 1024;

/// The nodes at the other ends, and their streams.
pub(super) type Connections = Boxed<(PeerId, StreamMuxerBox)>;

/// The TCP transport of this network, for the node with this key; a connection has at most `streams` streams
/// at a time, up to 4,096. Public for libp2p nodes other than ours, such as those that attack in tests.
///
/// # Errors
/// [`StartError::Transport`] when the system provides no randomness.
pub fn tcp_transport(chain: ChainId, keypair: Keypair, streams: usize) -> Result<Connections, StartError> {
    let budget = Budget::new(BUFFER_BYTES, Members::default());
    let secure = secure::Config::new(chain, keypair, budget).map_err(failed)?;
    Ok(over_tcp(secure, muxer::Config::new(streams), Foreign::default()))
}

/// TCP, QUIC and connections through relays, for a swarm; with the behaviour of the relay client, to which its
/// transport belongs.
pub(super) fn new(
    config: &SwarmConfig,
    key: &identity::Keypair,
    budget: &Budget,
    foreign: Foreign,
) -> Result<(Connections, relay::client::Behaviour), StartError> {
    let secure = secure::Config::new(config.chain, config.keypair.clone(), budget.clone()).map_err(failed)?;
    let muxer = muxer::Config::new(STREAMS);
    let (relayed, relays) = relay::client::new(key.public().to_peer_id());
    let relayed = secured(relayed, secure.clone(), muxer.clone(), foreign.clone());
    let tcp = over_tcp(secure, muxer, foreign);
    let quic = over_quic(key, budget.clone());
    // Relays first: TCP would take an address through one for the relay's own.
    let sockets = tcp.or_transport(quic).map(|either, _| either.into_inner());
    Ok((relayed.or_transport(sockets).map(|either, _| either.into_inner()).boxed(), relays))
}

fn failed(error: SecureError) -> StartError {
    StartError::Transport(error.to_string())
}

fn over_tcp(secure: secure::Config, muxer: muxer::Config, foreign: Foreign) -> Connections {
    secured(tcp::tokio::Transport::new(tcp::Config::default().nodelay(true)), secure, muxer, foreign)
}

/// Connections of this network over the byte streams of a transport: our Noise channel, then Yamux.
fn secured<T>(transport: T, secure: secure::Config, muxer: muxer::Config, foreign: Foreign) -> Connections
where
    T: Transport<Output: AsyncRead + AsyncWrite + Send + Unpin + 'static> + Send + Unpin + 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
    T::Error: Send + Sync + 'static,
{
    transport
        .and_then(move |socket, endpoint: ConnectedPoint| {
            // Two that open a connection through their NATs both dial, and agree who listens.
            let is_initiator = matches!(endpoint, ConnectedPoint::Dialer { role_override: Endpoint::Dialer, .. });
            let (role, mode) =
                if is_initiator { (Role::Initiator, Mode::Client) } else { (Role::Responder, Mode::Server) };
            secure
                .connect(socket, role)
                .map_ok(move |(peer, channel, account)| {
                    (peer, StreamMuxerBox::new(Muxer::new(channel, muxer, mode, account)))
                })
                .inspect_err(move |error| {
                    if let SecureError::OtherNetwork(chain) = error {
                        foreign.met_at(endpoint.get_remote_address(), endpoint.is_dialer(), chain);
                    }
                })
        })
        .boxed()
}

fn over_quic(key: &identity::Keypair, budget: Budget) -> Connections {
    let mut config = quic::Config::new(key);
    config.max_concurrent_stream_limit = u32::try_from(STREAMS).expect("a few hundred");
    config.handshake_timeout = CONNECT_TIMEOUT;
    config.max_connection_data = QUIC_WINDOW;
    config.max_stream_data = QUIC_STREAM_WINDOW;
    let quic = quic::tokio::Transport::new(config);
    quic.and_then(move |(peer, muxer), _| {
        let account = budget.open(&peer).filter(|account| account.reserve(QUIC_BYTES));
        let held = account.map(|account| (peer, StreamMuxerBox::new(Held { muxer, _account: account })));
        future::ready(held.ok_or(SecureError::Full))
    })
    .boxed()
}

/// A muxer that bounds its own memory, which is on this account for as long as it lives.
struct Held<M> {
    muxer: M,
    _account: Arc<Account>,
}

impl<M: StreamMuxer + Unpin> StreamMuxer for Held<M>
where
    M::Substream: AsyncRead + AsyncWrite,
{
    type Substream = M::Substream;
    type Error = M::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<M::Substream, M::Error>> {
        Pin::new(&mut self.muxer).poll_inbound(cx)
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<M::Substream, M::Error>> {
        Pin::new(&mut self.muxer).poll_outbound(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        Pin::new(&mut self.muxer).poll_close(cx)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, M::Error>> {
        Pin::new(&mut self.muxer).poll(cx)
    }
}
