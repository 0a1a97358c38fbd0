//! The encrypted TCP connection: Noise XX, as libp2p's, with AES-256-GCM and large pieces (ARCHITECTURE 6; SPEC,
//! "Wire").
//!
//! libp2p's own Noise is fixed to ChaCha20-Poly1305, which costs eight times as much on processors that have AES, reads
//! 8 KiB at a time and sends after each frame; together that was a third of what an add costs. The cryptography is the
//! crate `snow`'s. Here is what libp2p needs around it: [`handshake`] authenticates the other side, and [`channel`]
//! carries bytes.
//!
//! Not here: streams, which are [`super::muxer`]'s.

use std::sync::Arc;

use futures::{AsyncRead, AsyncWrite, FutureExt, future::BoxFuture};
use libp2p::{
    PeerId,
    core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo},
};
use ostrakon_proto::{id::ChainId, sign::Keypair};

mod channel;
mod handshake;

use channel::Channel;
pub(super) use handshake::SecureError;
use handshake::{Identity, Role};

/// The upgrade's name in the negotiation.
const NAME: &str = "/ostrakon/noise/1";

/// Turns a socket into a channel with a known node.
#[derive(Clone, Debug)]
pub(super) struct Config(Arc<Identity>);

impl Config {
    /// The channels of the node with this key, on this network.
    pub(super) fn new(chain: ChainId, keypair: Keypair) -> Result<Self, SecureError> {
        Ok(Self(Arc::new(Identity::new(chain, keypair)?)))
    }

    fn upgrade<T>(self, socket: T, role: Role) -> BoxFuture<'static, Result<(PeerId, Channel<T>), SecureError>>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        async move { handshake::run(&self.0, socket, role).await }.boxed()
    }
}

impl UpgradeInfo for Config {
    type Info = &'static str;
    type InfoIter = std::iter::Once<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once(NAME)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> InboundConnectionUpgrade<T> for Config {
    type Output = (PeerId, Channel<T>);
    type Error = SecureError;
    type Future = BoxFuture<'static, Result<Self::Output, SecureError>>;

    fn upgrade_inbound(self, socket: T, _: Self::Info) -> Self::Future {
        self.upgrade(socket, Role::Responder)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> OutboundConnectionUpgrade<T> for Config {
    type Output = (PeerId, Channel<T>);
    type Error = SecureError;
    type Future = BoxFuture<'static, Result<Self::Output, SecureError>>;

    fn upgrade_outbound(self, socket: T, _: Self::Info) -> Self::Future {
        self.upgrade(socket, Role::Initiator)
    }
}
