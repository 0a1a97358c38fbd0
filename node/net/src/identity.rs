//! Node ids as libp2p knows them. A node's key is an ed25519 public key, and libp2p's peer id is that key in an
//! identity multihash: the two are the same 32 bytes, and turn into each other without a lookup.
//!
//! In goes an id or a text, out comes the other form. Not here: keys that sign (`ostrakon_proto::sign`).

use libp2p::{Multiaddr, PeerId, multiaddr};
use ostrakon_proto::id::NodeId;

/// What a peer id of an ed25519 key has before the key: identity multihash, 36 bytes; protobuf key type 1, 32 bytes.
const PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// The text does not name a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotANode {
    /// No peer id of an ed25519 key.
    #[error("not a peer id of an ed25519 key (12D3Koo..): {0:?}")]
    PeerId(String),
    /// No multiaddress that ends with a peer id.
    #[error("not an address with a peer id (/ip4/192.0.2.1/tcp/4001/p2p/12D3Koo..): {0:?}")]
    Address(String),
}

/// The peer id of a node.
pub(crate) fn peer_id(node: &NodeId) -> PeerId {
    let bytes = [&PREFIX[..], node.bytes()].concat();
    PeerId::from_bytes(&bytes).expect("an identity multihash of 36 bytes is a peer id")
}

/// The node of a peer id; `None` when its key is not ed25519.
pub(crate) fn node_id(peer: &PeerId) -> Option<NodeId> {
    let bytes = peer.to_bytes();
    let key = bytes.strip_prefix(&PREFIX)?;
    key.try_into().ok().map(NodeId::new)
}

/// The node's peer id, as other libp2p tools write it: `12D3Koo..`.
pub fn peer_id_text(node: &NodeId) -> String {
    peer_id(node).to_base58()
}

/// The node that a peer id's text names.
///
/// # Errors
/// [`NotANode::PeerId`] when it is none, or one of another kind of key.
pub fn parse_peer_id(text: &str) -> Result<NodeId, NotANode> {
    let node = text.parse().ok().and_then(|peer| node_id(&peer));
    node.ok_or_else(|| NotANode::PeerId(cut(text)))
}

/// The node and the plain address in a full address such as `/ip4/192.0.2.1/tcp/4001/p2p/12D3Koo..`.
///
/// # Errors
/// [`NotANode::Address`] when it is no multiaddress, or does not end with the peer id of an ed25519 key.
pub fn parse_address(text: &str) -> Result<(NodeId, String), NotANode> {
    let split = || {
        let mut address: Multiaddr = text.parse().ok()?;
        match address.pop()? {
            multiaddr::Protocol::P2p(peer) if !address.is_empty() => Some((node_id(&peer)?, address.to_string())),
            _ => None,
        }
    };
    split().ok_or_else(|| NotANode::Address(cut(text)))
}

/// As much of a stranger's text as an error repeats.
fn cut(text: &str) -> String {
    text.chars().take(128).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::identity::Keypair;

    #[test]
    fn is_libp2p_s_own_peer_id() {
        let key = Keypair::ed25519_from_bytes([3; 32]).expect("a seed");
        let node = ostrakon_proto::sign::Keypair::from_seed(&[3; 32]).public();
        assert_eq!(peer_id(&node), key.public().to_peer_id());
        assert_eq!(node_id(&key.public().to_peer_id()), Some(node));
        assert_eq!(parse_peer_id(&peer_id_text(&node)), Ok(node));
    }

    #[test]
    fn splits_full_addresses_and_refuses_others() {
        let node = NodeId::new([9; 32]);
        let name = peer_id_text(&node);
        let plain = "/ip4/127.0.0.1/udp/4001/quic-v1".to_string();
        assert_eq!(parse_address(&format!("{plain}/p2p/{name}")), Ok((node, plain.clone())));
        for bad in [plain.as_str(), "", "/p2p/x", &format!("/p2p/{name}"), "/ip4/127.0.0.1/tcp/1/p2p/QmQUj"] {
            assert_eq!(parse_address(bad), Err(NotANode::Address(bad.to_string())));
        }
        // A peer id of another kind of key is a hash, from which no key follows.
        let hashed = "QmQUjB8YSuM3SpFvQYQTSYJSKjVbSVPKfdvq3NRkXFrEQh";
        assert_eq!(parse_peer_id(hashed), Err(NotANode::PeerId(hashed.to_string())));
    }
}
