//! The way in: requests of consensus/1, from whoever serves to the order.
//!
//! In goes each request as it arrives; it waits here, within bounds for each node, or is refused at once. Validators'
//! nodes have room of their own, so that no stranger and no single validator keeps the others out; all strangers
//! together have a little, because what counts is who signed and not who brings it. Not here: reading them.

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

/// Requests that wait, and the bytes of their bodies, of one validator's node: some rounds of votes, and three blocks.
const MEMBER: Room = Room { requests: 128, bytes: 4 * 1024 * 1024 };
/// The same of all others together.
const STRANGERS: Room = Room { requests: 32, bytes: 2 * 1024 * 1024 };
/// Requests that wait, of all.
const QUEUE: usize = 4096;

#[derive(Clone, Copy, Debug, Default)]
struct Room {
    requests: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Door {
    members: BTreeSet<NodeId>,
    /// What waits of each validator's node, and of all strangers under `None`.
    taken: BTreeMap<Option<NodeId>, Room>,
}

/// Where requests of consensus/1 are put. Clones are the same.
#[derive(Clone, Debug)]
pub struct Inbox {
    queue: mpsc::Sender<(Option<NodeId>, Inbound)>,
    door: Arc<Mutex<Door>>,
}

/// Where a node's inbox is found as soon as it has one: it may come to vote while it runs. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Post(Arc<OnceLock<Inbox>>);

/// Where they come out.
#[derive(Debug)]
pub(super) struct Arrivals {
    queue: mpsc::Receiver<(Option<NodeId>, Inbound)>,
    door: Arc<Mutex<Door>>,
}

/// An inbox, and its other end.
pub(super) fn inbox() -> (Inbox, Arrivals) {
    let ((sender, receiver), door) = (mpsc::channel(QUEUE), Arc::default());
    (Inbox { queue: sender, door: Arc::clone(&door) }, Arrivals { queue: receiver, door })
}

fn lock(door: &Mutex<Door>) -> MutexGuard<'_, Door> {
    door.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Post {
    /// The inbox, if an order runs.
    pub fn inbox(&self) -> Option<&Inbox> {
        self.0.get()
    }

    /// Requests go to `inbox` from now on. The first stays.
    pub fn open(&self, inbox: Inbox) {
        self.0.get_or_init(|| inbox);
    }
}

impl Inbox {
    /// Puts a request in, or refuses it. Does not wait.
    pub fn put(&self, inbound: Inbound) {
        let busy = Refusal::new(RefusalCode::Busy, "too many consensus messages wait here");
        let length = inbound.request.body.len();
        let place = {
            let mut door = lock(&self.door);
            let place = door.members.contains(&inbound.from).then_some(inbound.from);
            let most = if place.is_some() { MEMBER } else { STRANGERS };
            let taken = door.taken.entry(place).or_default();
            if taken.requests >= most.requests || taken.bytes + length > most.bytes {
                drop(door);
                return inbound.reply.refuse(&busy);
            }
            *taken = Room { requests: taken.requests + 1, bytes: taken.bytes + length };
            place
        };
        if let Err(error) = self.queue.try_send((place, inbound)) {
            lock(&self.door).leave(place, length);
            error.into_inner().1.reply.refuse(&busy);
        }
    }
}

impl Arrivals {
    /// From now on these nodes are the validators'.
    pub(super) fn expect(&self, members: impl IntoIterator<Item = NodeId>) {
        lock(&self.door).members = members.into_iter().collect();
    }

    /// The next request. Never ends when nothing will come any more. Cancel-safe.
    pub(super) async fn next(&mut self) -> Inbound {
        let Some((place, inbound)) = self.queue.recv().await else { return std::future::pending().await };
        lock(&self.door).leave(place, inbound.request.body.len());
        inbound
    }
}

impl Door {
    fn leave(&mut self, place: Option<NodeId>, bytes: usize) {
        if let Some(taken) = self.taken.get_mut(&place) {
            *taken = Room { requests: taken.requests.saturating_sub(1), bytes: taken.bytes.saturating_sub(bytes) };
            if taken.requests == 0 {
                self.taken.remove(&place);
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
    async fn each_has_its_own_room() {
        let (inbox, mut arrivals) = inbox();
        arrivals.expect([NodeId::new([1; 32]), NodeId::new([2; 32])]);
        assert_eq!(taken(&inbox, 1, 0, 1000), MEMBER.requests);
        assert_eq!(taken(&inbox, 2, 1024 * 1024, 1000), 4);
        assert_eq!(taken(&inbox, 7, 0, 30), 30);
        assert_eq!(taken(&inbox, 8, 0, 1000), STRANGERS.requests - 30, "all strangers share one room");
        for _ in 0..MEMBER.requests {
            arrivals.next().await;
        }
        assert_eq!(taken(&inbox, 1, 0, 1), 1, "who was heard may speak again");
    }
}
