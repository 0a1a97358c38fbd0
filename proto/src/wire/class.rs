//! Classes of requests: what is served apart from what, so that none of them waits for another (ARCHITECTURE 6,
//! "Admission").
//!
//! In goes a request as it arrived, out comes its class. Not here: how much of a class a node takes, which is each
//! node's own choice.

use super::{Frame, Protocol, chain::ChainRequest};

/// What a request is for. Each class has its own queue and turns at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestClass {
    /// What validators send each other to decide the next block: nothing may delay it.
    Consensus,
    /// Queries of the ledger and transactions: cheap, and somebody waits for each.
    Chain,
    /// Columns and manifests: as many bytes as the lines carry.
    Bulk,
    /// What costs this node much and hurries nobody: snapshots, the history, and the transactions of an account.
    Background,
}

impl RequestClass {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 4] = [Self::Consensus, Self::Chain, Self::Bulk, Self::Background];

    /// The class of a request. One that does not decode is refused where its protocol is served.
    pub fn of(protocol: Protocol, request: &Frame) -> Self {
        match protocol {
            Protocol::Consensus => Self::Consensus,
            Protocol::Put | Protocol::Get | Protocol::Manifest => Self::Bulk,
            Protocol::Chain => match request.decode() {
                Ok(ChainRequest::Chunk { .. } | ChainRequest::Past(_) | ChainRequest::Activity { .. }) => {
                    Self::Background
                }
                _ => Self::Chain,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::id::Height;

    #[test]
    fn what_is_costly_and_not_urgent_is_apart() {
        let check = |request: ChainRequest, class| {
            assert_eq!(RequestClass::of(Protocol::Chain, &Frame::new(&request, Bytes::new())), class, "{request:?}");
        };
        check(ChainRequest::Head, RequestClass::Chain);
        check(ChainRequest::Blocks { from: Height(1) }, RequestClass::Chain);
        check(ChainRequest::Chunk { height: Height(1), after: None }, RequestClass::Background);
        assert_eq!(RequestClass::of(Protocol::Chain, &Frame::default()), RequestClass::Chain, "it is refused there");
        assert_eq!(RequestClass::of(Protocol::Consensus, &Frame::default()), RequestClass::Consensus);
        for protocol in [Protocol::Put, Protocol::Get, Protocol::Manifest] {
            assert_eq!(RequestClass::of(protocol, &Frame::default()), RequestClass::Bulk);
        }
    }
}
