//! The encrypted TCP connection: Noise XX, as libp2p's, with AES-256-GCM and large pieces (ARCHITECTURE 6; SPEC,
//! "Connection").
//!
//! libp2p's own Noise is fixed to ChaCha20-Poly1305, which costs eight times as much on processors that have AES, reads
//! 8 KiB at a time and sends after each frame; together that was a third of what an add costs. The cryptography is the
//! crate `snow`'s. Here is what is needed around it: [`handshake`] authenticates the other side, and [`channel`]
//! carries bytes, in memory that is on the connection's account.
//!
//! Not here: streams, which are [`super::muxer`]'s.

use std::sync::Arc;

use futures::{AsyncRead, AsyncWrite};
use libp2p::PeerId;
use ostrakon_proto::{id::ChainId, sign::Keypair};

use super::memory::{Account, Budget};

mod channel;
mod handshake;

use channel::Channel;
use handshake::Identity;
pub(super) use handshake::{Role, SecureError};

/// Turns a socket into a channel with a known node.
#[derive(Clone, Debug)]
pub(super) struct Config {
    identity: Arc<Identity>,
    budget: Budget,
}

impl Config {
    /// The channels of the node with this key, on this network, whose memory is in this budget.
    pub(super) fn new(chain: ChainId, keypair: Keypair, budget: Budget) -> Result<Self, SecureError> {
        Ok(Self { identity: Arc::new(Identity::new(chain, keypair)?), budget })
    }

    /// A channel over this socket, the node at its other end, and the account that both share.
    pub(super) async fn connect<T>(
        self,
        mut socket: T,
        role: Role,
    ) -> Result<(PeerId, Channel<T>, Arc<Account>), SecureError>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let (peer, noise) = handshake::run(&self.identity, &mut socket, role).await?;
        let account = self.budget.open(&peer).ok_or(SecureError::Full)?;
        Ok((peer, Channel::new(socket, noise, account.clone()), account))
    }
}
