//! The swarm as the rest of the program holds it: [`SwarmHandle`], cloned freely. Every method hands over to the actor
//! or reads what the actor has noted; none blocks.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use futures::future::BoxFuture;
use libp2p::{Multiaddr, PeerId, multiaddr};
use ostrakon_proto::{
    id::NodeId,
    limits,
    wire::{Frame, Protocol},
};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time,
};
use tokio_util::sync::CancellationToken;

use super::{
    answers,
    calls::{Call, Caller},
};
use crate::{
    identity,
    peers::{Bounds, CallError, Inbound, Peers},
};

/// Calls that have no answer yet, to all nodes; more wait before they begin.
const CALLS: usize = 1024;
/// Nodes whose addresses are kept.
const NODES: usize = 65_536;

/// A running swarm. Clones share it; it stops with [`SwarmHandle::shutdown`], or when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct SwarmHandle {
    shared: Arc<Shared>,
    calls: mpsc::Sender<Call>,
    /// For what the node asks itself. Weak, so that whoever takes requests hears when the network has stopped.
    inbound: mpsc::WeakSender<Inbound>,
}

/// What handles and actor share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) local: NodeId,
    pub(super) places: Arc<Semaphore>,
    book: Mutex<BTreeMap<PeerId, Vec<Multiaddr>>>,
    listening: Mutex<BTreeSet<Multiaddr>>,
    connected: Mutex<BTreeSet<NodeId>>,
    /// Asks the actor to stop.
    pub(super) stop: CancellationToken,
    /// Cancelled when the actor's thread has let go of everything.
    pub(super) stopped: CancellationToken,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

impl Shared {
    pub(super) fn new(local: NodeId) -> Self {
        Self {
            local,
            places: Arc::new(Semaphore::new(CALLS)),
            book: Mutex::default(),
            listening: Mutex::default(),
            connected: Mutex::default(),
            stop: CancellationToken::new(),
            stopped: CancellationToken::new(),
            thread: Mutex::default(),
        }
    }

    /// Replaces the addresses of a node. Those that are no addresses, or another node's, are left out.
    pub(super) fn learn(&self, node: NodeId, addresses: &[String]) {
        let peer = identity::peer_id(&node);
        let known: Vec<Multiaddr> =
            addresses.iter().take(limits::ADDRESSES).filter_map(|text| plain(&peer, text)).collect();
        let mut book = lock(&self.book);
        if book.len() < NODES || book.contains_key(&peer) {
            book.insert(peer, known);
        } else {
            tracing::warn!(%peer, "the address book is full: the node's addresses are not kept");
        }
    }

    /// The learned addresses of a node.
    pub(super) fn addresses(&self, peer: PeerId) -> Vec<Multiaddr> {
        lock(&self.book).get(&peer).cloned().unwrap_or_default()
    }

    /// Some nodes whose addresses are known, to begin a search with.
    pub(super) fn some_addresses(&self, count: usize) -> Vec<(PeerId, Multiaddr)> {
        let book = lock(&self.book);
        book.iter().filter_map(|(peer, known)| Some((*peer, known.first()?.clone()))).take(count).collect()
    }

    pub(super) fn set_listening(&self, address: Multiaddr, listens: bool) {
        let mut listening = lock(&self.listening);
        if listens {
            listening.insert(address)
        } else {
            listening.remove(&address)
        };
    }

    pub(super) fn set_connected(&self, peer: PeerId, connected: bool) {
        let Some(node) = identity::node_id(&peer) else { return };
        let mut all = lock(&self.connected);
        if connected {
            all.insert(node)
        } else {
            all.remove(&node)
        };
    }
}

impl SwarmHandle {
    pub(super) const fn new(
        shared: Arc<Shared>,
        calls: mpsc::Sender<Call>,
        inbound: mpsc::WeakSender<Inbound>,
    ) -> Self {
        Self { shared, calls, inbound }
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// The swarm has a thread of its own, which ends with it.
    pub(super) fn joins(&self, thread: thread::JoinHandle<()>) {
        *lock(&self.shared.thread) = Some(thread);
    }

    /// The addresses on which the node listens: real ports, without `/p2p/`.
    pub fn listening(&self) -> Vec<String> {
        lock(&self.shared.listening).iter().map(ToString::to_string).collect()
    }

    /// The nodes with which there is a connection.
    pub fn connected(&self) -> Vec<NodeId> {
        lock(&self.shared.connected).iter().copied().collect()
    }

    /// Waits until the swarm has stopped: after [`SwarmHandle::shutdown`], or because its thread failed.
    pub async fn stopped(&self) {
        self.shared.stopped.cancelled().await;
    }

    /// Closes all connections and stops. Calls without an answer end as [`CallError::Stopped`]; so do later ones.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        self.shared.stopped.cancelled().await;
        let thread = lock(&self.shared.thread).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the network's thread had panicked");
        }
    }

    async fn ask(&self, to: NodeId, protocol: Protocol, request: Frame) -> Result<Frame, CallError> {
        let place = self.shared.places.clone().acquire_owned().await.map_err(|_| CallError::Stopped)?;
        let (answer, answered) = oneshot::channel();
        let call = Call { to, protocol, request, caller: Caller::new(to, answer, place) };
        self.calls.send(call).await.map_err(|_| CallError::Stopped)?;
        match answered.await {
            // The connections close because this node stops.
            Ok(Err(CallError::Closed { .. })) if self.is_stopping() => Err(CallError::Stopped),
            outcome => outcome.unwrap_or(Err(CallError::Stopped)),
        }
    }

    async fn ask_oneself(&self, protocol: Protocol, request: Frame) -> Result<Frame, CallError> {
        let _place = self.shared.places.acquire().await.map_err(|_| CallError::Stopped)?;
        match self.inbound.upgrade() {
            Some(inbound) if !self.is_stopping() => {
                Ok(answers::ask_oneself(inbound, self.shared.local, protocol, request).await)
            }
            _ => Err(CallError::Stopped),
        }
    }

    fn is_stopping(&self) -> bool {
        self.shared.stop.is_cancelled() || self.shared.stopped.is_cancelled()
    }
}

impl Peers for SwarmHandle {
    fn local(&self) -> NodeId {
        self.shared.local
    }

    fn learn(&self, node: NodeId, addresses: &[String]) {
        self.shared.learn(node, addresses);
    }

    fn call(&self, to: NodeId, protocol: Protocol, request: Frame) -> BoxFuture<'static, Result<Frame, CallError>> {
        let this = self.clone();
        Box::pin(async move {
            Bounds::request(protocol).admit_frame(&request).map_err(|over| CallError::TooLong { node: to, over })?;
            let exchange = async {
                if to == this.shared.local {
                    this.ask_oneself(protocol, request).await
                } else {
                    this.ask(to, protocol, request).await
                }
            };
            let outcome = time::timeout(Duration::from_secs(limits::STALL_SECONDS), exchange).await;
            outcome.unwrap_or(Err(CallError::Timeout { node: to }))
        })
    }
}

/// The address without its peer id, when it is an address of this node.
fn plain(peer: &PeerId, text: &str) -> Option<Multiaddr> {
    let parsed: Result<Multiaddr, _> = text.parse();
    let Ok(mut address) = parsed else {
        tracing::warn!(%peer, address = text, "not a multiaddress: left out");
        return None;
    };
    if let Some(multiaddr::Protocol::P2p(named)) = address.iter().last() {
        address.pop();
        if named != *peer {
            tracing::warn!(%peer, address = text, "the address of another node: left out");
            return None;
        }
    }
    Some(address)
}

/// What is locked is whole at every moment, so that a panic elsewhere does not matter.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
