//! QUIC connections whose streams carry whatever bytes an attack writes.
//!
//! In go an identity and a node; out come streams, one after the other. The transport is libp2p's: what is malformed
//! here is what travels in it.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::{
    PeerId, Transport,
    core::{
        Endpoint,
        muxing::{StreamMuxerBox, StreamMuxerExt},
        transport::{Boxed, DialOpts, ListenerId, PortUse},
    },
    identity, quic,
};
use ostrakon_tests::attack::Victim;
use tokio::time;

use crate::{noise::offer, outsider::Outsider, tally::TALLY};

const PATIENCE: Duration = Duration::from_secs(5);
/// How long an answer to garbage is awaited.
const ANSWER: Duration = Duration::from_millis(50);

/// One connection, with the endpoint that it needs.
pub(crate) struct QuicLine {
    transport: Boxed<(PeerId, StreamMuxerBox)>,
    muxer: StreamMuxerBox,
}

impl QuicLine {
    /// Connects to `victim` as a new identity, from the attacker's host.
    ///
    /// # Errors
    /// When the node does not go along.
    pub(crate) async fn connect(outsider: &Outsider, victim: &Victim) -> io::Result<Self> {
        let connected = time::timeout(PATIENCE, Self::try_connect(outsider, victim)).await;
        let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        match &connected {
            Ok(_) => {
                TALLY.connected();
                TALLY.shook_hands();
            }
            Err(_) => TALLY.failed(),
        }
        connected
    }

    async fn try_connect(outsider: &Outsider, victim: &Victim) -> io::Result<Self> {
        let mut seed = outsider.identity().seed();
        let key = identity::Keypair::ed25519_from_bytes(seed.as_mut_slice()).map_err(io::Error::other)?;
        let transport = quic::tokio::Transport::new(quic::Config::new(&key));
        let mut transport = transport.map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer))).boxed();
        let own = format!("/ip4/{}/udp/0/quic-v1", outsider.plan.source);
        transport.listen_on(ListenerId::next(), own.parse().map_err(io::Error::other)?).map_err(io::Error::other)?;
        let to = format!("/ip4/{}/udp/{}/quic-v1", victim.quic.ip(), victim.quic.port());
        let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::Reuse };
        let mut dial = transport.dial(to.parse().map_err(io::Error::other)?, options).map_err(io::Error::other)?;
        let (_, muxer) = poll_fn(|cx| {
            drive(&mut transport, cx);
            dial.as_mut().poll(cx)
        })
        .await?;
        Ok(Self { transport, muxer })
    }

    /// Sends these bytes on a new stream of this protocol, and reads what comes back for a moment.
    ///
    /// # Errors
    /// When the connection has ended.
    pub(crate) async fn send(&mut self, protocol: &str, bytes: &[u8]) -> io::Result<()> {
        let Self { transport, muxer } = self;
        let mut stream = poll_fn(|cx| {
            drive(transport, cx);
            // What the node opens is dropped; what it says of the connection is no matter.
            while let Poll::Ready(Ok(_dropped)) = muxer.poll_inbound_unpin(cx) {}
            muxer.poll_outbound_unpin(cx)
        })
        .await
        .inspect_err(|_| TALLY.ended())
        .map_err(io::Error::other)?;
        let talk = async {
            stream.write_all(&[offer(protocol), bytes.to_vec()].concat()).await?;
            TALLY.sent(bytes.len());
            stream.close().await?;
            stream.read_to_end(&mut Vec::new()).await
        };
        let mut talk = std::pin::pin!(time::timeout(ANSWER, talk));
        // A stream that the node ended, or that it leaves open, is as good as any.
        let _refused = poll_fn(|cx| {
            drive(transport, cx);
            if let Poll::Ready(Err(_)) = muxer.poll_unpin(cx) {
                return Poll::Ready(Ok(Err(io::ErrorKind::ConnectionReset.into())));
            }
            talk.as_mut().poll(cx)
        })
        .await;
        Ok(())
    }
}

/// Lets the endpoint work; its events are about listening only.
fn drive(transport: &mut Boxed<(PeerId, StreamMuxerBox)>, cx: &mut Context<'_>) {
    while Pin::new(&mut *transport).poll(cx).is_ready() {}
}
