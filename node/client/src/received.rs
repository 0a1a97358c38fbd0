//! Counts what other nodes answer: bytes, by the protocol of the request.
//!
//! In goes a network, out comes the same network, and what has come in over it. Frames are counted as they are read:
//! without what encryption and the transport put around them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures::{FutureExt, future::BoxFuture};
use ostrakon_net::{AskError, Peers, metrics::protocol_word};
use ostrakon_proto::{
    id::NodeId,
    wire::{Frame, Protocol},
};

/// Bytes that other nodes answered so far. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct Received(Arc<[AtomicU64; Protocol::ALL.len()]>);

impl Received {
    /// The bytes so far, each with the protocol that they came by: `get` for columns, `manifest`, and `chain` for the
    /// ledger.
    pub fn by_protocol(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Protocol::ALL.into_iter().map(protocol_word).zip(self.0.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    fn count(&self, protocol: Protocol, answer: &Frame) {
        let bytes = u64::try_from(answer.head.len() + answer.body.len()).unwrap_or(u64::MAX);
        let which = Protocol::ALL.iter().position(|one| *one == protocol);
        which.into_iter().for_each(|which| _ = self.0[which].fetch_add(bytes, Ordering::Relaxed));
    }
}

/// A network whose answers are counted.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) received: Received,
}

impl Peers for Counted {
    fn local(&self) -> NodeId {
        self.peers.local()
    }

    fn learn(&self, node: NodeId, addresses: &[String]) {
        self.peers.learn(node, addresses);
    }

    fn recognise(&self, members: std::collections::BTreeSet<NodeId>) {
        self.peers.recognise(members);
    }

    fn reconnect(&self, node: NodeId) {
        self.peers.reconnect(node);
    }

    fn leave(&self) -> BoxFuture<'static, ()> {
        self.peers.leave()
    }

    fn call(&self, to: NodeId, protocol: Protocol, request: Frame) -> BoxFuture<'static, Result<Frame, AskError>> {
        let (call, received) = (self.peers.call(to, protocol, request), self.received.clone());
        call.inspect(move |answer| answer.iter().for_each(|answer| received.count(protocol, answer))).boxed()
    }
}

#[cfg(test)]
mod tests {
    use crate::fake::World;

    #[tokio::test(start_paused = true)]
    async fn what_the_ledger_answers_is_counted() {
        let world = World::new(1);
        let client = world.client();
        let bytes = || client.received().by_protocol().collect::<std::collections::BTreeMap<_, _>>();
        assert!(bytes().values().all(|bytes| *bytes == 0), "{:?}", bytes());
        client.balance().await.expect("answered");
        let first = bytes();
        assert!(first["chain"] > 0 && first["get"] == 0, "{first:?}");
        client.balance().await.expect("answered");
        assert!(bytes()["chain"] > first["chain"]);
    }
}
