//! The inbox: requests of consensus/1 on their way from the server to the order.
//!
//! In goes each request as it arrives; it is queued within its node's quota, or refused immediately. Each validator's
//! node has a quota of its own, so that neither strangers nor one validator can crowd out the others. All other nodes
//! share a small one: what counts is who signed a message, not who delivers it. Not here: decoding them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use ostrakon_net::Inbound;
use ostrakon_proto::{
    id::NodeId,
    wire::{Refusal, RefusalCode},
};
use tokio::sync::mpsc;

/// Quota of one validator's node: some rounds of votes, and three blocks.
const MEMBER: Quota = Quota { requests: 128, bytes: 4 * 1024 * 1024 };
/// Quota of all other nodes together.
const STRANGERS: Quota = Quota { requests: 32, bytes: 2 * 1024 * 1024 };
/// Queued requests of all nodes.
const QUEUE: usize = 4096;

/// Queued requests, and the bytes of their bodies.
#[derive(Clone, Copy, Debug, Default)]
struct Quota {
    requests: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Quotas {
    members: BTreeSet<NodeId>,
    /// What is queued of each validator's node, and of all other nodes under `None`.
    used: BTreeMap<Option<NodeId>, Quota>,
}

/// Where requests of consensus/1 are put. Clones share it.
#[derive(Clone, Debug)]
pub struct Inbox {
    queue: mpsc::Sender<(Option<NodeId>, Inbound)>,
    quotas: Arc<Mutex<Quotas>>,
}

/// Holds a node's inbox once it has one: a node may become a validator while it runs. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct InboxCell(Arc<OnceLock<Inbox>>);

/// The receiving end of an inbox.
#[derive(Debug)]
pub(super) struct Arrivals {
    queue: mpsc::Receiver<(Option<NodeId>, Inbound)>,
    quotas: Arc<Mutex<Quotas>>,
}

/// An inbox and its receiving end.
pub(super) fn inbox() -> (Inbox, Arrivals) {
    let ((sender, receiver), quotas) = (mpsc::channel(QUEUE), Arc::default());
    (Inbox { queue: sender, quotas: Arc::clone(&quotas) }, Arrivals { queue: receiver, quotas })
}

fn lock(quotas: &Mutex<Quotas>) -> MutexGuard<'_, Quotas> {
    quotas.lock().unwrap_or_else(PoisonError::into_inner)
}

impl InboxCell {
    /// The inbox, if an order runs.
    pub fn get(&self) -> Option<&Inbox> {
        self.0.get()
    }

    /// Requests go to `inbox` from now on; the first one set stays.
    pub fn set(&self, inbox: Inbox) {
        self.0.get_or_init(|| inbox);
    }
}

impl Inbox {
    /// Queues a request, or refuses it. Does not wait.
    pub fn put(&self, inbound: Inbound) {
        let busy = Refusal::new(RefusalCode::Busy, "the inbox for consensus messages is full");
        let length = inbound.request.body.len();
        let owner = {
            let mut quotas = lock(&self.quotas);
            let owner = quotas.members.contains(&inbound.from).then_some(inbound.from);
            let most = if owner.is_some() { MEMBER } else { STRANGERS };
            let used = quotas.used.entry(owner).or_default();
            if used.requests >= most.requests || used.bytes + length > most.bytes {
                drop(quotas);
                return inbound.reply.refuse(&busy);
            }
            *used = Quota { requests: used.requests + 1, bytes: used.bytes + length };
            owner
        };
        if let Err(error) = self.queue.try_send((owner, inbound)) {
            lock(&self.quotas).release(owner, length);
            error.into_inner().1.reply.refuse(&busy);
        }
    }
}

impl Arrivals {
    /// From now on these nodes are the validators'.
    pub(super) fn expect(&self, members: impl IntoIterator<Item = NodeId>) {
        lock(&self.quotas).members = members.into_iter().collect();
    }

    /// The next request; pending forever once the inbox is dropped. Cancel-safe.
    pub(super) async fn next(&mut self) -> Inbound {
        let Some((owner, inbound)) = self.queue.recv().await else { return std::future::pending().await };
        lock(&self.quotas).release(owner, inbound.request.body.len());
        inbound
    }
}

impl Quotas {
    fn release(&mut self, owner: Option<NodeId>, bytes: usize) {
        if let Some(used) = self.used.get_mut(&owner) {
            *used = Quota { requests: used.requests.saturating_sub(1), bytes: used.bytes.saturating_sub(bytes) };
            if used.requests == 0 {
                self.used.remove(&owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ostrakon_net::Reply;
    use ostrakon_proto::wire::{Frame, Protocol};
    use tokio::sync::oneshot;

    use super::*;

    fn request(from: u8, body: usize) -> (Inbound, oneshot::Receiver<Frame>) {
        let (reply, answered) = Reply::pair(Protocol::Consensus);
        let request = Frame { head: Bytes::new(), body: vec![0; body].into() };
        (Inbound { from: NodeId::new([from; 32]), protocol: Protocol::Consensus, request, reply }, answered)
    }

    /// How many of `count` requests are not refused.
    fn taken(inbox: &Inbox, from: u8, body: usize, count: usize) -> usize {
        let put = |_: usize| {
            let (inbound, mut answered) = request(from, body);
            inbox.put(inbound);
            answered.try_recv().is_err()
        };
        (0..count).filter(|number| put(*number)).count()
    }

    #[tokio::test]
    async fn each_validator_has_its_own_quota() {
        let (inbox, mut arrivals) = inbox();
        arrivals.expect([NodeId::new([1; 32]), NodeId::new([2; 32])]);
        assert_eq!(taken(&inbox, 1, 0, 1000), MEMBER.requests);
        assert_eq!(taken(&inbox, 2, 1024 * 1024, 1000), 4);
        assert_eq!(taken(&inbox, 7, 0, 30), 30);
        assert_eq!(taken(&inbox, 8, 0, 1000), STRANGERS.requests - 30, "all strangers share one quota");
        for _ in 0..MEMBER.requests {
            arrivals.next().await;
        }
        assert_eq!(taken(&inbox, 1, 0, 1), 1, "what was received frees its quota");
    }
}
