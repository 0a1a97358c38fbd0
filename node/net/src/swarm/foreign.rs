//! Nodes of other networks: reports each once, since an operator with the wrong genesis or address sees nothing else
//! of it.
//!
//! In go addresses and what the other side says of its network; out come lines in the log, a bounded number of them.
//! Not here: closing the connection.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex},
};

use libp2p::Multiaddr;
use ostrakon_proto::id::{ChainId, NodeId};

use crate::lock;

/// Nodes that are reported at most.
const REPORTED: usize = 256;
/// Characters of a name that another node gives its network.
const NAME: usize = 64;

/// Those that were reported. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Foreign(Arc<Mutex<BTreeSet<String>>>);

impl Foreign {
    /// A handshake failed because the other side is of that network: this node dialed the address, or was dialed.
    pub(super) fn met_at(&self, address: &Multiaddr, dialed: bool, chain: &ChainId) {
        // Those that dial come from a port of their own each time.
        let whole = address.to_string();
        let host = address.iter().next().map(|host| host.to_string()).unwrap_or_default();
        if self.is_new(if dialed { whole } else { host }) {
            tracing::warn!(
                %address,
                dialed,
                other = %chain,
                "the node at this address is of another network: one of the two has the wrong genesis or address"
            );
        }
    }

    /// A connected node says that it is of another network.
    pub(super) fn met(&self, node: Option<NodeId>, name: &str) {
        let id = node.map(|node| node.to_string()).unwrap_or_default();
        if self.is_new(id) {
            tracing::warn!(
                node = node.map(tracing::field::display),
                other = ?name.chars().take(NAME).collect::<String>(),
                "this node is of another network: one of the two has the wrong genesis or address"
            );
        }
    }

    fn is_new(&self, whom: impl fmt::Display) -> bool {
        let mut reported = lock(&self.0);
        reported.len() < REPORTED && reported.insert(whom.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_reported_once_and_not_too_many() {
        let foreign = Foreign::default();
        assert!(foreign.is_new("one") && !foreign.is_new("one") && foreign.is_new("other"));
        let reported = (0..2 * REPORTED).filter(|number| foreign.is_new(number)).count();
        assert_eq!(reported, REPORTED - 2);
    }
}
