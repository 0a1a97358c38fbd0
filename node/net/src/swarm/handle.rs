//! The swarm as the rest of the program holds it: [`SwarmHandle`], cloned freely. Every method hands over to the actor
//! or reads what the actor has noted; none blocks.

use std::{
    collections::{BTreeMap, BTreeSet},
    future,
    sync::{Arc, Mutex},
    thread,
};

use futures::future::BoxFuture;
use libp2p::{Multiaddr, PeerId};
use ostrakon_proto::{
    id::NodeId,
    limits,
    wire::{Frame, Protocol},
};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    calls::{Call, Caller},
    dial_back::DialBack,
    foreign::Foreign,
    memory::{Budget, Buffered},
    names::is_named,
};
use crate::{
    AskError, DialBackError, Failure, Members,
    admission::{
        Source,
        requests::{self, WeakIntake},
    },
    ask::STALL,
    awake, identity, lock,
    peers::{Bounds, Peers},
};

/// Calls in progress, to all nodes; more wait before they start.
const CALLS: usize = 1024;
/// Nodes whose addresses are stored.
const NODES: usize = 65_536;

/// A running swarm. Clones share it; it stops with [`SwarmHandle::shutdown`], or when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct SwarmHandle {
    shared: Arc<Shared>,
    calls: mpsc::Sender<Call>,
    /// For what the node asks itself. Weak, so that the receiver ends when the network has stopped.
    intake: WeakIntake,
}

/// What handles and actor share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) local: NodeId,
    pub(super) members: Members,
    pub(super) permits: Arc<Semaphore>,
    book: Mutex<BTreeMap<PeerId, Known>>,
    own: Mutex<OwnAddresses>,
    connected: Mutex<BTreeSet<NodeId>>,
    asked: Mutex<Asked>,
    /// Memory for what connections buffer.
    pub(super) budget: Budget,
    /// Nodes of other networks that were met.
    pub(super) foreign: Foreign,
    /// Asks the actor to stop.
    pub(super) stop: CancellationToken,
    /// Cancelled when the actor has stopped.
    pub(super) stopped: CancellationToken,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

/// What the actor is to do next.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Nodes whose connections are to be closed.
    pub(super) stale: BTreeSet<PeerId>,
    /// Nodes that are to be dialed, to see whether they can be reached.
    pub(super) dials_back: Vec<DialBack>,
}

/// Where this node is.
#[derive(Debug, Default)]
struct OwnAddresses {
    listening: BTreeSet<Multiaddr>,
    /// Through relays.
    relayed: BTreeSet<Multiaddr>,
    /// Public addresses that the actor has not taken yet.
    announced: Option<Vec<Multiaddr>>,
}

/// Where a node is.
#[derive(Clone, Debug, Default)]
struct Known {
    addresses: Vec<Multiaddr>,
    /// What a name among these was last resolved to.
    resolved: Option<Multiaddr>,
}

impl Known {
    /// An address that needs no resolver.
    fn plain(&self) -> Option<&Multiaddr> {
        self.addresses.iter().find(|address| !is_named(address)).or(self.resolved.as_ref())
    }
}

impl Shared {
    /// What a swarm starts with that buffers at most so many bytes.
    pub(super) fn new(local: NodeId, buffer_bytes: usize) -> Self {
        let members = Members::default();
        Self {
            local,
            budget: Budget::new(buffer_bytes, members.clone()),
            foreign: Foreign::default(),
            members,
            permits: Arc::new(Semaphore::new(CALLS)),
            book: Mutex::default(),
            own: Mutex::default(),
            connected: Mutex::default(),
            asked: Mutex::default(),
            stop: CancellationToken::new(),
            stopped: CancellationToken::new(),
            thread: Mutex::default(),
        }
    }

    /// Replaces the addresses of a node. Invalid ones, and those of another node, are left out.
    pub(super) fn learn(&self, node: NodeId, addresses: &[String]) {
        let peer = identity::peer_id(&node);
        let addresses: Vec<Multiaddr> =
            addresses.iter().take(limits::ADDRESSES).filter_map(|text| plain(node, text)).collect();
        let mut book = lock(&self.book);
        if book.len() < NODES || book.contains_key(&peer) {
            book.insert(peer, Known { addresses, resolved: None });
        } else {
            tracing::warn!(%node, "address book full: ignoring the addresses of another node");
        }
    }

    /// The stored addresses of a node.
    pub(super) fn addresses(&self, peer: PeerId) -> Vec<Multiaddr> {
        lock(&self.book).get(&peer).map(|known| known.addresses.clone()).unwrap_or_default()
    }

    /// Notes what a name of the node was resolved to, if to anything.
    pub(super) fn set_resolved(&self, peer: PeerId, address: Option<&Multiaddr>) {
        if let Some((known, address)) = lock(&self.book).get_mut(&peer).zip(address) {
            known.resolved = Some(address.clone());
        }
    }

    /// Some nodes whose addresses are known, to start a search with.
    pub(super) fn some_addresses(&self, count: usize) -> Vec<(PeerId, Multiaddr)> {
        let book = lock(&self.book);
        book.iter().filter_map(|(peer, known)| Some((*peer, known.plain()?.clone()))).take(count).collect()
    }

    pub(super) fn set_listening(&self, address: Multiaddr, listens: bool) {
        let listening = &mut lock(&self.own).listening;
        if listens {
            listening.insert(address)
        } else {
            listening.remove(&address)
        };
    }

    pub(super) fn set_relayed(&self, addresses: BTreeSet<Multiaddr>) {
        lock(&self.own).relayed = addresses;
    }

    /// Takes the public addresses, if they have changed.
    pub(super) fn take_announced(&self) -> Option<Vec<Multiaddr>> {
        lock(&self.own).announced.take()
    }

    /// Takes what is to be done.
    pub(super) fn take_asked(&self) -> Asked {
        std::mem::take(&mut lock(&self.asked))
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
    pub(super) const fn new(shared: Arc<Shared>, calls: mpsc::Sender<Call>, intake: WeakIntake) -> Self {
        Self { shared, calls, intake }
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
        lock(&self.shared.own).listening.iter().map(ToString::to_string).collect()
    }

    /// The addresses through relays at which the node is reached, without its id: none before a relay has taken it.
    pub fn relayed(&self) -> Vec<String> {
        lock(&self.shared.own).relayed.iter().map(ToString::to_string).collect()
    }

    /// Says at which public addresses others reach this node: from then on it relays for nodes that others cannot
    /// reach.
    pub fn announce(&self, addresses: &[String]) {
        let addresses = addresses.iter().filter_map(|text| plain(self.shared.local, text));
        lock(&self.shared.own).announced = Some(addresses.collect());
    }

    /// The nodes with which there is a connection.
    pub fn connected(&self) -> Vec<NodeId> {
        lock(&self.shared.connected).iter().copied().collect()
    }

    /// Bytes of memory in which connections hold what is not read or not sent yet.
    pub fn buffered(&self) -> Buffered {
        self.shared.budget.held()
    }

    /// Waits until the swarm has stopped: after [`SwarmHandle::shutdown`], or because its thread failed.
    pub async fn stopped(&self) {
        self.shared.stopped.cancelled().await;
    }

    /// Closes all connections and stops. Calls without an answer end as [`Failure::ShutDown`]; so do later ones.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        self.shared.stopped.cancelled().await;
        let thread = lock(&self.shared.thread).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the network thread panicked");
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

    fn recognise(&self, members: BTreeSet<NodeId>) {
        self.shared.members.set(members);
    }

    fn reconnect(&self, node: NodeId) {
        lock(&self.shared.asked).stale.insert(identity::peer_id(&node));
    }

    fn dial_back(&self, node: NodeId, address: &str) -> BoxFuture<'static, Result<(), DialBackError>> {
        let Some(address) = plain(node, address) else { return Box::pin(future::ready(Err(DialBackError::Elsewhere))) };
        let (answer, answered) = oneshot::channel();
        let asked = DialBack { peer: identity::peer_id(&node), address, answer };
        lock(&self.shared.asked).dials_back.push(asked);
        // The network stops where nobody answers.
        Box::pin(async move { answered.await.unwrap_or(Err(DialBackError::Busy)) })
    }

    fn leave(&self) -> BoxFuture<'static, ()> {
        let this = self.clone();
        Box::pin(async move { this.shutdown().await })
    }

    fn call(&self, to: NodeId, protocol: Protocol, request: Frame) -> BoxFuture<'static, Result<Frame, AskError>> {
        let this = self.clone();
        Box::pin(async move {
            Bounds::request(protocol)
                .admit_frame(&request)
                .map_err(|over| AskError::new(to, Failure::TooLong(over)))?;
            let shut_down = || AskError::new(to, Failure::ShutDown);
            let exchange = async {
                let permit = this.shared.permits.clone().acquire_owned().await.map_err(|_| shut_down())?;
                if to == this.shared.local {
                    let intake = this.intake.upgrade().filter(|_| !this.is_stopping()).ok_or_else(shut_down)?;
                    let answered = intake.put(Source::member(to), protocol, request, None);
                    // The requests must end when the network has stopped.
                    drop(intake);
                    return Ok(requests::answer(answered).await);
                }
                let (answer, answered) = oneshot::channel();
                let call = Call { to, protocol, request, caller: Caller::new(to, answer, permit) };
                this.calls.send(call).await.map_err(|_| shut_down())?;
                match answered.await {
                    // The connections close because this node stops.
                    Ok(Err(AskError { failure: Failure::Closed(_), .. })) if this.is_stopping() => Err(shut_down()),
                    outcome => outcome.unwrap_or_else(|_| Err(shut_down())),
                }
            };
            let outcome = awake::timeout(STALL, exchange).await;
            outcome.unwrap_or(Err(AskError::new(to, Failure::Timeout(STALL))))
        })
    }
}

/// The address without its `/p2p/`, when it is an address of this node.
fn plain(node: NodeId, text: &str) -> Option<Multiaddr> {
    let plain = match identity::parse_address(text) {
        Ok((named, plain)) if named == node => plain,
        Ok(_) => {
            tracing::warn!(%node, address = text, "ignoring an address that names another node");
            return None;
        }
        Err(_) => text.to_string(),
    };
    let address = plain.parse().ok();
    if address.is_none() {
        tracing::warn!(%node, address = text, "ignoring an invalid multiaddress");
    }
    address
}
