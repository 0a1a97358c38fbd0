//! Node ids as libp2p knows them, and the addresses of nodes. A node's key is an ed25519 public key, and libp2p's peer
//! id is that key in an identity multihash: the two are the same 32 bytes, and turn into each other without a lookup.
//!
//! In goes an id or a text, out comes the other form. People see `ostnode1..` alone; where they write an address, a
//! libp2p peer id will do as well. Not here: keys that sign (`ostrakon_proto::sign`).

use libp2p::{Multiaddr, PeerId};
use ostrakon_proto::id::NodeId;

/// What a peer id of an ed25519 key has before the key: identity multihash, 36 bytes; protobuf key type 1, 32 bytes.
const PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// The text, of which at most 128 characters are repeated, is not an address that ends with a node's id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid node address {0:?}: need one such as /ip4/192.0.2.1/tcp/4001/p2p/ostnode1..")]
pub struct InvalidAddress(String);

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

/// The node and the plain address in a full address such as `/ip4/192.0.2.1/tcp/4001/p2p/ostnode1..`, or the same with
/// a libp2p peer id (`12D3Koo..`).
///
/// # Errors
/// [`InvalidAddress`] when it is not a multiaddress, or does not end with the id of a node.
pub fn parse_address(text: &str) -> Result<(NodeId, String), InvalidAddress> {
    let split = || {
        let (address, name) = text.rsplit_once("/p2p/")?;
        let address: Multiaddr = address.parse().ok()?;
        let node = name.parse().ok()?;
        (!address.is_empty()).then(|| (node, address.to_string()))
    };
    split().ok_or_else(|| InvalidAddress(text.chars().take(128).collect()))
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;

    use super::*;

    #[test]
    fn is_libp2p_s_own_peer_id() {
        let key = Keypair::ed25519_from_bytes([3; 32]).expect("a seed");
        let node = ostrakon_proto::sign::Keypair::from_seed(&[3; 32]).public();
        assert_eq!(peer_id(&node), key.public().to_peer_id());
        assert_eq!(node_id(&key.public().to_peer_id()), Some(node));
        let seven = peer_id(&NodeId::new([7; 32])).to_base58();
        assert_eq!(seven, "12D3KooWAHoEkEqnKzM5PXFygh2movVBCSX3k8tDsT2cneU68Gyt");
    }

    #[test]
    fn splits_full_addresses_and_refuses_others() {
        let node = NodeId::new([9; 32]);
        let plain = "/ip4/127.0.0.1/udp/4001/quic-v1".to_string();
        for name in [node.to_string(), peer_id(&node).to_base58()] {
            assert_eq!(parse_address(&format!("{plain}/p2p/{name}")), Ok((node, plain.clone())));
        }
        // A peer id of another kind of key is a hash, from which no key follows.
        let hashed = format!("{plain}/p2p/QmQUjB8YSuM3SpFvQYQTSYJSKjVbSVPKfdvq3NRkXFrEQh");
        let nowhere = format!("/p2p/{node}");
        for bad in [plain.as_str(), "", "/p2p/x", &nowhere, "/ip4/127.0.0.1/tcp/1/p2p/QmQUj", &hashed] {
            assert_eq!(parse_address(bad), Err(InvalidAddress(bad.to_string())));
        }
    }
}
