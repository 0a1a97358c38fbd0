//! Authentication of the other side: the three messages of Noise XX, the last two of which carry each node's signature.
//!
//! A process has one Noise key, made at its start. The node's key signs it for this network, and that signature, with
//! the node's id, is the payload of the message that carries the Noise key: encrypted, and read only after the key is
//! proven. The network's id is part of every handshake, so that nodes of different networks cannot connect; it is also
//! the first message's payload, and the answer to one with another id, so that both can say why.

use std::{
    fmt,
    io::{self, ErrorKind},
};

use borsh::{BorshDeserialize, BorshSerialize};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::PeerId;
use ostrakon_proto::{
    codec,
    id::{ChainId, NodeId},
    sign::{self, BadSignature, Keypair, Purpose, Signature},
};
use snow::{HandshakeState, TransportState};
use zeroize::Zeroizing;

use crate::identity;

const PATTERN: &str = "Noise_XX_25519_AESGCM_SHA256";
/// Bytes of a handshake message at most: two keys, two tags and a payload.
const MESSAGE: usize = 256;
/// Bytes of the answer to a node of another network: shorter than any message of the handshake.
const CHAIN: usize = 32;

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(in crate::swarm) enum SecureError {
    /// The connection failed.
    #[error(transparent)]
    Io(io::Error),
    /// The other side closed the connection.
    #[error("the node closed the connection during the handshake: it may be at its connection limit; retry later")]
    Closed,
    /// The other side is a node of this network.
    #[error("the node is of another network, {0}")]
    OtherNetwork(ChainId),
    /// As many connections are open as this process has memory for.
    #[error("this process is at its connection limit, which its memory sets; retry later")]
    Full,
    /// The message is not a handshake of this network.
    #[error("Noise handshake failed (not an Ostrakon node?): {0}")]
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

impl From<io::Error> for SecureError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

// Not by derive: snow's message would be shown instead of ours.
impl From<snow::Error> for SecureError {
    fn from(error: snow::Error) -> Self {
        Self::Noise(error)
    }
}

/// Which side sends first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::swarm) enum Role {
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
pub(super) async fn run(
    identity: &Identity,
    socket: &mut (impl AsyncRead + AsyncWrite + Unpin),
    role: Role,
) -> Result<(PeerId, TransportState), SecureError> {
    let mut noise = identity.begin(role)?;
    let peer = match role {
        Role::Initiator => {
            send(&mut noise, socket, identity.chain.bytes()).await?;
            let message = receive(socket).await?;
            if let Ok(chain) = <[u8; CHAIN]>::try_from(&message[..]) {
                return Err(SecureError::OtherNetwork(ChainId::new(chain)));
            }
            let payload = open(&mut noise, &message)?;
            let peer = authenticate(identity, &noise, &payload)?;
            send(&mut noise, socket, &identity.payload).await?;
            peer
        }
        Role::Responder => {
            let message = receive(socket).await?;
            let payload = open(&mut noise, &message)?;
            let chain = <[u8; CHAIN]>::try_from(&payload[..]).map_err(|_| SecureError::Payload)?;
            if chain != *identity.chain.bytes() {
                write(socket, identity.chain.bytes()).await?;
                return Err(SecureError::OtherNetwork(ChainId::new(chain)));
            }
            send(&mut noise, socket, &identity.payload).await?;
            let message = receive(socket).await?;
            let payload = open(&mut noise, &message)?;
            authenticate(identity, &noise, &payload)?
        }
    };
    Ok((peer, noise.into_transport_mode()?))
}

async fn send(
    noise: &mut HandshakeState,
    socket: &mut (impl AsyncWrite + Unpin),
    payload: &[u8],
) -> Result<(), SecureError> {
    let mut message = [0; MESSAGE];
    let len = noise.write_message(payload, &mut message)?;
    write(socket, &message[..len]).await
}

async fn write(socket: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> Result<(), SecureError> {
    let prefix = u16::try_from(message.len()).map_err(|_| SecureError::Length(message.len()))?;
    socket.write_all(&[&prefix.to_be_bytes(), message].concat()).await?;
    Ok(socket.flush().await?)
}

/// The next message, not opened yet.
async fn receive(socket: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, SecureError> {
    let mut prefix = [0; 2];
    socket.read_exact(&mut prefix).await?;
    let len = usize::from(u16::from_be_bytes(prefix));
    if len > MESSAGE {
        return Err(SecureError::Length(len));
    }
    let mut message = vec![0; len];
    socket.read_exact(&mut message).await?;
    Ok(message)
}

/// The payload of a message.
fn open(noise: &mut HandshakeState, message: &[u8]) -> Result<Vec<u8>, SecureError> {
    let mut payload = vec![0; MESSAGE];
    let len = noise.read_message(message, &mut payload)?;
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

    use super::{super::channel::Channel, *};
    use crate::{Members, swarm::memory::Budget};

    type Outcome = Result<(PeerId, Channel<Compat<DuplexStream>>), SecureError>;

    async fn connect(identity: &Identity, mut socket: Compat<DuplexStream>, role: Role) -> Outcome {
        let (peer, noise) = run(identity, &mut socket, role).await?;
        let account = Budget::new(1 << 20, Members::default()).open(&peer).expect("a place");
        Ok((peer, Channel::new(socket, noise, account)))
    }

    fn identity_of(chain: u8, seed: u8) -> Identity {
        Identity::new(ChainId::new([chain; 32]), Keypair::from_seed(&[seed; 32])).expect("a key")
    }

    fn peer(seed: u8) -> PeerId {
        identity::peer_id(&Keypair::from_seed(&[seed; 32]).public())
    }

    fn meet(one: &Identity, other: &Identity) -> (Outcome, Outcome) {
        let (near, far) = tokio::io::duplex(1 << 20);
        block_on(join(connect(one, near.compat(), Role::Initiator), connect(other, far.compat(), Role::Responder)))
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
        let other = |outcome: &Outcome| match outcome {
            Err(SecureError::OtherNetwork(chain)) => Some(*chain),
            _ => None,
        };
        let expect = [2, 1].map(|chain| Some(ChainId::new([chain; 32])));
        assert_eq!([other(&near), other(&far)], expect, "{near:?} {far:?}");
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
            let mut socket = futures::io::AllowStdIo::new(std::io::Cursor::new(bytes.to_vec()));
            let error = block_on(run(&identity_of(1, 1), &mut socket, Role::Responder)).expect_err("refused");
            assert!(expect(&error), "{bytes:?}: {error:?}");
        };
        check(b"", |error| matches!(error, SecureError::Closed));
        check(&[0, 32, 1, 2], |error| matches!(error, SecureError::Closed));
        check(&[0, 1, 7], |error| matches!(error, SecureError::Noise(_)));
        check(b"GET / HTTP/1.1\r\n", |error| matches!(error, SecureError::Length(_)));
    }
}
