//! The TCP transport: sockets, made secure, shared by streams.

use libp2p::{
    PeerId, Transport,
    core::{muxing::StreamMuxerBox, transport::Boxed, upgrade::Version},
    tcp,
};
use ostrakon_proto::{id::ChainId, sign::Keypair};

use super::{config::StartError, muxer, secure};

/// TCP as the nodes of this network speak it, for the node with this key; a connection has at most `streams` streams
/// at once, up to 4,096. Public for libp2p nodes that are none of ours, such as those that attack in tests.
///
/// # Errors
/// [`StartError::Transport`] when the system has no chance to give.
pub fn tcp_transport(
    chain: ChainId,
    keypair: Keypair,
    streams: usize,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, StartError> {
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    let secure = secure::Config::new(chain, keypair).map_err(|error| StartError::Transport(error.to_string()))?;
    Ok(tcp.upgrade(Version::V1Lazy).authenticate(secure).multiplex(muxer::Config::new(streams)).boxed())
}
