//! Authentication of the other side: the three messages of Noise XX, the last two of which carry each node's signature.
//!
//! A process has one Noise key, made at its start. The node's key signs it for this network, and that signature, with
//! the node's id, is the payload of the message that carries the Noise key: encrypted, and read only after the key is
//! proven. The network's id is part of every handshake, so that nodes of different networks cannot connect.

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::PeerId;
use ostrakon_proto::{
    codec,
    id::{ChainId, NodeId},
    sign::{self, BadSignature, Keypair, Purpose, Signature},
};
use snow::HandshakeState;
use zeroize::Zeroizing;

use super::channel::Channel;
use crate::identity;

const PATTERN: &str = "Noise_XX_25519_AESGCM_SHA256";
/// Bytes of a handshake message at most: two keys, two tags and a payload.
const MESSAGE: usize = 256;

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(in crate::swarm) enum SecureError {
    /// The connection ended or failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The message is not a handshake of this network.
    #[error("Noise handshake failed (wrong network or not an Ostrakon node): {0}")]
    Noise(snow::Error),
    /// The message is longer than any message of the handshake.
    #[error("handshake message of {0} bytes is over the limit of {max} (not an Ostrakon node?)", max = MESSAGE)]
    Length(usize),
    /// The payload is not a node id with a signature.
    #[error("the other side sent an invalid handshake payload")]
    Payload,
    /// The signature is not of the node that the other side claims to be.
    #[error("the other side sent an invalid handshake signature: {0}")]
    Signature(#[from] BadSignature),
}

// Not by derive: snow's message would be shown instead of ours.
impl From<snow::Error> for SecureError {
    fn from(error: snow::Error) -> Self {
        Self::Noise(error)
    }
}

/// Which side sends first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Initiator,
    Responder,
}

/// Each side's proof of who it is.
#[derive(BorshSerialize, BorshDeserialize)]
struct Payload {
    node: NodeId,
    /// Over the 32 bytes of its Noise key.
    signature: Signature,
}

/// This side: its network, its Noise key, and the proof of who it is.
pub(super) struct Identity {
    chain: ChainId,
    secret: Zeroizing<Vec<u8>>,
    payload: Vec<u8>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("chain", &self.chain).finish_non_exhaustive()
    }
}

impl Identity {
    pub(super) fn new(chain: ChainId, keypair: Keypair) -> Result<Self, SecureError> {
        let noise = snow::Builder::new(pattern()).generate_keypair()?;
        let public: [u8; 32] = noise.public.try_into().map_err(|_| SecureError::Payload)?;
        let signature = keypair.sign(Purpose::Channel, &chain, &public);
        let payload = codec::encode(&Payload { node: keypair.public(), signature });
        Ok(Self { chain, secret: Zeroizing::new(noise.private), payload })
    }

    fn begin(&self, role: Role) -> Result<HandshakeState, snow::Error> {
        let builder = snow::Builder::new(pattern()).prologue(self.chain.bytes())?.local_private_key(&self.secret)?;
        match role {
            Role::Initiator => builder.build_initiator(),
            Role::Responder => builder.build_responder(),
        }
    }
}

fn pattern() -> snow::params::NoiseParams {
    PATTERN.parse().expect("a pattern of the Noise specification")
}

/// Performs the handshake over a socket. Cancel-safe in that nothing but the socket is lost.
pub(super) async fn run<T: AsyncRead + AsyncWrite + Unpin>(
    identity: &Identity,
    mut socket: T,
    role: Role,
) -> Result<(PeerId, Channel<T>), SecureError> {
    let mut noise = identity.begin(role)?;
    let peer = match role {
        Role::Initiator => {
            send(&mut noise, &mut socket, &[]).await?;
            let payload = receive(&mut noise, &mut socket).await?;
            let peer = authenticate(identity, &noise, &payload)?;
            send(&mut noise, &mut socket, &identity.payload).await?;
            peer
        }
        Role::Responder => {
            receive(&mut noise, &mut socket).await?;
            send(&mut noise, &mut socket, &identity.payload).await?;
            let payload = receive(&mut noise, &mut socket).await?;
            authenticate(identity, &noise, &payload)?
        }
    };
    Ok((peer, Channel::new(socket, noise.into_transport_mode()?)))
}

async fn send(
    noise: &mut HandshakeState,
    socket: &mut (impl AsyncWrite + Unpin),
    payload: &[u8],
) -> Result<(), SecureError> {
    let mut message = [0; 2 + MESSAGE];
    let len = noise.write_message(payload, &mut message[2..])?;
    let prefix = u16::try_from(len).map_err(|_| SecureError::Length(len))?;
    message[..2].copy_from_slice(&prefix.to_be_bytes());
    socket.write_all(&message[..2 + len]).await?;
    Ok(socket.flush().await?)
}

/// The next message's payload.
async fn receive(noise: &mut HandshakeState, socket: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, SecureError> {
    let mut prefix = [0; 2];
    socket.read_exact(&mut prefix).await?;
    let len = usize::from(u16::from_be_bytes(prefix));
    if len > MESSAGE {
        return Err(SecureError::Length(len));
    }
    let (mut message, mut payload) = ([0; MESSAGE], vec![0; MESSAGE]);
    socket.read_exact(&mut message[..len]).await?;
    let len = noise.read_message(&message[..len], &mut payload)?;
    payload.truncate(len);
    Ok(payload)
}

/// The node whose key signed the Noise key that the other side has proven to have.
fn authenticate(identity: &Identity, noise: &HandshakeState, payload: &[u8]) -> Result<PeerId, SecureError> {
    let Payload { node, signature } = codec::decode(payload, MESSAGE).map_err(|_| SecureError::Payload)?;
    let remote: Option<[u8; 32]> = noise.get_remote_static().and_then(|key| key.try_into().ok());
    let remote = remote.ok_or(SecureError::Payload)?;
    sign::verify(&node, &signature, Purpose::Channel, &identity.chain, &remote)?;
    Ok(identity::peer_id(&node))
}

#[cfg(test)]
mod tests {
    use futures::{AsyncReadExt, AsyncWriteExt, executor::block_on, future::join};
    use tokio::io::DuplexStream;
    use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

    use super::*;

    type Outcome = Result<(PeerId, Channel<Compat<DuplexStream>>), SecureError>;

    fn identity_of(chain: u8, seed: u8) -> Identity {
        Identity::new(ChainId::new([chain; 32]), Keypair::from_seed(&[seed; 32])).expect("a key")
    }

    fn peer(seed: u8) -> PeerId {
        identity::peer_id(&Keypair::from_seed(&[seed; 32]).public())
    }

    fn meet(one: &Identity, other: &Identity) -> (Outcome, Outcome) {
        let (near, far) = tokio::io::duplex(1 << 20);
        block_on(join(run(one, near.compat(), Role::Initiator), run(other, far.compat(), Role::Responder)))
    }

    #[test]
    fn both_sides_are_authenticated() {
        let (near, far) = meet(&identity_of(1, 1), &identity_of(1, 2));
        let ((theirs, mut near), (ours, mut far)) = (near.expect("a channel"), far.expect("a channel"));
        assert_eq!((theirs, ours), (peer(2), peer(1)));
        block_on(async {
            near.write_all(b"hello").await.expect("written");
            near.flush().await.expect("flushed");
            // The next read sends it; nothing comes back yet.
            assert!(futures::FutureExt::now_or_never(near.read(&mut [0])).is_none());
            let mut read = [0; 5];
            far.read_exact(&mut read).await.expect("read");
            assert_eq!(&read, b"hello");
        });
    }

    #[test]
    fn different_networks_cannot_connect() {
        let (near, far) = meet(&identity_of(1, 1), &identity_of(2, 2));
        assert!(matches!(near, Err(SecureError::Noise(_))), "{near:?}");
        assert!(far.is_err(), "{far:?}");
    }

    #[test]
    fn another_node_cannot_be_impersonated() {
        let check = |payload: Vec<u8>, expect: fn(&SecureError) -> bool| {
            let liar = Identity { payload, ..identity_of(1, 1) };
            let (_, far) = meet(&liar, &identity_of(1, 2));
            let error = far.expect_err("refused");
            assert!(expect(&error), "{error:?}");
        };
        // Another node's payload: its signature is over another Noise key.
        check(identity_of(1, 3).payload, |error| matches!(error, SecureError::Signature(_)));
        check(Vec::new(), |error| matches!(error, SecureError::Payload));
        let mut longer = identity_of(1, 1).payload;
        longer.push(0);
        check(longer, |error| matches!(error, SecureError::Payload));
    }

    #[test]
    fn garbage_is_refused() {
        let check = |bytes: &'static [u8], expect: fn(&SecureError) -> bool| {
            let socket = futures::io::AllowStdIo::new(std::io::Cursor::new(bytes.to_vec()));
            let error = block_on(run(&identity_of(1, 1), socket, Role::Responder)).expect_err("refused");
            assert!(expect(&error), "{bytes:?}: {error:?}");
        };
        check(b"", |error| matches!(error, SecureError::Io(_)));
        check(&[0, 32, 1, 2], |error| matches!(error, SecureError::Io(_)));
        check(&[0, 1, 7], |error| matches!(error, SecureError::Noise(_)));
        check(b"GET / HTTP/1.1\r\n", |error| matches!(error, SecureError::Length(_)));
    }
}
