//! Memory of all that connections buffer: one budget of the process, in bytes of memory.
//!
//! In go the sizes that the layers of a connection report: the channel its buffers, the muxer what has arrived and is
//! not read, what is queued to be written, and what each stream and frame costs beside its bytes. Out come permissions
//! to hold more. Members and strangers (see [`Members`]) have half the budget each, so that strangers can never take
//! what members need. Not here: the requests that are read and not answered yet ([`super::codec`]).
//!
//! # The rule
//! Of a half, a quarter are floors: each open connection has one of [`FLOOR`] bytes to itself, and when all are taken,
//! no more connections are made. The rest is shared: a connection may hold beyond its floor what nobody has taken of
//! it. So one connection alone may take half of what is shared (and [`MOST`] at most), and n of them get an (n + 1)th
//! each, which leaves as much for the next: of the default budget, 512 greedy strangers get 200 KiB each.
//!
//! # Why no connection waits forever
//! Only data frames and new streams need permission; window updates and pongs that come before one pass. A data frame
//! waits only while the connection has unread ones, and a write only while it has unsent ones. Unread frames are given
//! back by the streams' readers, which wait for workers and never for this socket, or are dropped at their deadline;
//! unsent ones are taken by the other side, or its connection ends at the next ping. So one connection always advances
//! by a frame at a time, whatever the others hold. That takes a frame and two messages ([`RESERVE`]), which is within
//! the budget for 512 greedy connections of a half, and beyond it for more.

use std::{
    collections::BTreeMap,
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
};

use libp2p::PeerId;
use ostrakon_proto::id::NodeId;

use crate::{Members, identity, lock};

/// Bytes that every open connection has to itself: sixteen streams, which wait for something.
const FLOOR: usize = 16 * 1024;
/// What the channel of a busy connection needs at least: a message that comes, and one that is sent. It counts as held
/// from the first frame on, so that what is permitted then does not take its room.
const RESERVE: usize = 128 * 1024;
/// Bytes that one connection holds at most beyond its floor: bandwidth x delay of 400 Mbit/s and 300 ms.
const MOST: usize = 16 * 1024 * 1024;
/// With less than this to take, a connection keeps its buffers as small as it can.
const TIGHT: usize = 256 * 1024;
/// What a frame costs beside its bytes: its place in a queue, two allocations and what they round up.
const FRAME: usize = 128;
/// What a stream costs while it is open: its state, its queue, and the task that serves it.
const STREAM: usize = 1024;
/// Streams that a connection may have without asking.
const STREAMS: usize = 16;
/// Bytes that one connection queues for writing at most, however much there is.
const QUEUE: usize = 1024 * 1024;
/// From this many unread bytes on, data frames must carry [`DENSE`] bytes on average.
const SPARSE: usize = 64 * 1024;
const DENSE: usize = 1024;

/// The budget of a process. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    members: Members,
    halves: [Half; 2],
}

/// What members, or strangers, may hold.
#[derive(Debug)]
struct Half {
    places: usize,
    shared: usize,
    /// Places that are taken.
    taken: AtomicUsize,
    /// Bytes that are held beyond the floors.
    excess: AtomicUsize,
    held: AtomicUsize,
    waiting: Mutex<Waiting>,
}

/// Who waits until more of a half is free.
#[derive(Debug, Default)]
struct Waiting {
    wakers: Vec<Waker>,
    /// Bytes given back since they were last woken: each byte need not wake all.
    freed: usize,
}

/// Bytes that may still be taken of what is shared, by one that holds `own` of it while all together hold `excess`.
fn shared_room(own: usize, excess: usize, shared: usize) -> usize {
    let fair = shared.saturating_sub(excess).saturating_sub(own) / 2;
    fair.min(MOST.saturating_sub(own))
}

impl Half {
    fn new(bytes: usize) -> Self {
        let shared = bytes / 4 * 3;
        let places = (bytes - shared) / FLOOR;
        let (taken, excess, held, waiting) = Default::default();
        Self { places, shared, taken, excess, held, waiting }
    }

    fn take_place(&self) -> bool {
        self.taken.fetch_update(SeqCst, SeqCst, |taken| (taken < self.places).then_some(taken + 1)).is_ok()
    }

    fn room(&self, held: usize) -> usize {
        FLOOR.saturating_sub(held) + self.shared_room(held)
    }

    fn shared_room(&self, held: usize) -> usize {
        shared_room(held.saturating_sub(FLOOR), self.excess.load(SeqCst), self.shared)
    }

    /// A connection that held `before` bytes holds `after`.
    fn moved(&self, before: usize, after: usize) {
        let shift = |total: &AtomicUsize, before: usize, after: usize| match after.checked_sub(before) {
            Some(more) => total.fetch_add(more, SeqCst),
            None => total.fetch_sub(before - after, SeqCst),
        };
        shift(&self.held, before, after);
        let (before, after) = (before.saturating_sub(FLOOR), after.saturating_sub(FLOOR));
        if before == after {
            return;
        }
        shift(&self.excess, before, after);
        if after < before {
            self.wake(before - after);
        }
    }

    fn wake(&self, freed: usize) {
        let mut waiting = lock(&self.waiting);
        waiting.freed += freed;
        if waiting.freed >= self.shared / 32 || self.excess.load(SeqCst) == 0 {
            waiting.freed = 0;
            let wakers = mem::take(&mut waiting.wakers);
            drop(waiting);
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

fn register(wakers: &mut Vec<Waker>, cx: &Context<'_>) {
    if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
        wakers.push(cx.waker().clone());
    }
}

/// Bytes that connections hold: those of members, and those of strangers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffered {
    /// Of members.
    pub members: usize,
    /// Of strangers.
    pub strangers: usize,
}

impl Budget {
    /// A budget of so many bytes: 256 MiB have places for 2,048 connections of members and as many of strangers.
    pub(super) fn new(bytes: usize, members: Members) -> Self {
        Self(Arc::new(Shared { members, halves: [Half::new(bytes / 2), Half::new(bytes / 2)] }))
    }

    /// The account of a new connection with this node; `None` when all places are taken.
    pub(super) fn open(&self, peer: &PeerId) -> Option<Arc<Account>> {
        let (node, changes) = (identity::node_id(peer), self.0.members.changes());
        let is_member = self.is_member(node.as_ref());
        self.half(is_member).take_place().then(|| {
            let state = State { changes, is_member, holdings: Holdings::default(), wakers: Vec::new() };
            Arc::new(Account { budget: self.clone(), node, state: Mutex::new(state) })
        })
    }

    pub(super) fn held(&self) -> Buffered {
        let [members, strangers] = [true, false].map(|is_member| self.half(is_member).held.load(SeqCst));
        Buffered { members, strangers }
    }

    fn is_member(&self, node: Option<&NodeId>) -> bool {
        node.is_some_and(|node| self.0.members.contains(node))
    }

    fn half(&self, is_member: bool) -> &Half {
        &self.0.halves[usize::from(!is_member)]
    }
}

/// What one connection holds. It is all given back when the last layer of the connection is gone.
#[derive(Debug)]
pub(super) struct Account {
    budget: Budget,
    node: Option<NodeId>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    is_member: bool,
    /// How often the members had changed when this was known.
    changes: u64,
    holdings: Holdings,
    /// Of this connection's tasks that wait for permission.
    wakers: Vec<Waker>,
}

#[derive(Debug, Default)]
struct Holdings {
    /// Capacity of the channel's buffers, or all that a QUIC connection may buffer.
    buffers: usize,
    /// Bytes that the channel has not sent yet.
    unsent: usize,
    /// Frames that streams have written and the channel has not taken yet, with their cost.
    queued: usize,
    /// Streams that are open, and what they have not read.
    streams: BTreeMap<u32, Frames>,
    unread: Frames,
    /// Streams and frames that nobody will read, until the muxer has forgotten them.
    gone: usize,
    /// Whether the muxer waits for the channel to take more.
    is_blocked: bool,
}

/// Data frames that have arrived.
#[derive(Clone, Copy, Debug, Default)]
struct Frames {
    count: usize,
    bytes: usize,
}

impl Frames {
    const fn cost(self) -> usize {
        self.bytes + self.count * FRAME
    }
}

impl Holdings {
    fn held(&self) -> usize {
        let is_busy = self.unread.count > 0 || self.queued > 0;
        let buffers = if is_busy { self.buffers.max(RESERVE) } else { self.buffers };
        buffers + self.queued + self.unread.cost() + self.streams.len() * STREAM + self.gone
    }

    fn is_sparse(&self) -> bool {
        self.unread.cost() > SPARSE && self.unread.bytes < self.unread.count * DENSE
    }
}

/// A frame of the muxer that is about to arrive: a data frame, or one that opens a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) stream: u32,
    pub(super) bytes: usize,
    pub(super) opens: bool,
}

/// The other side sends many tiny frames, which cost more than they carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes in {count} frames are unread: a frame must carry {DENSE} bytes on average")]
pub(super) struct Sparse {
    count: usize,
    bytes: usize,
}

impl Account {
    /// Whether the connection must keep its buffers small.
    pub(super) fn is_tight(&self) -> bool {
        let mut state = lock(&self.state);
        self.half(&mut state).shared_room(state.holdings.held()) < TIGHT
    }

    /// The channel has buffers of `buffers` bytes, in which `unsent` bytes wait to be sent.
    pub(super) fn set_buffers(&self, buffers: usize, unsent: usize) {
        self.change(|holdings| (holdings.buffers, holdings.unsent) = (buffers, unsent));
    }

    /// Reserves this much for the whole life of the connection; false when there is too little.
    pub(super) fn reserve(&self, bytes: usize) -> bool {
        let mut state = lock(&self.state);
        let may = self.half(&mut state).room(state.holdings.held()) >= bytes;
        drop(state);
        if may {
            self.set_buffers(bytes, 0);
        }
        may
    }

    /// Waits until a frame may be received, which is held from then on.
    pub(super) fn poll_arrive(&self, cx: &Context<'_>, arrival: Arrival) -> Poll<Result<(), Sparse>> {
        let Arrival { stream, bytes, opens } = arrival;
        let data = if bytes > 0 { Frames { count: 1, bytes } } else { Frames::default() };
        let cost = data.cost() + if opens { STREAM } else { 0 };
        let is_free = |holdings: &Holdings| {
            let first = data.count == 0 || (holdings.unread.count == 0 && holdings.gone == 0);
            first && (!opens || holdings.streams.len() < STREAMS)
        };
        self.poll_room(cx, cost, is_free).map(|()| {
            self.change(|holdings| {
                if opens {
                    holdings.streams.entry(stream).or_default();
                }
                let Some(tally) = holdings.streams.get_mut(&stream) else {
                    holdings.gone += data.cost();
                    return Ok(());
                };
                for total in [tally, &mut holdings.unread] {
                    total.count += data.count;
                    total.bytes += data.bytes;
                }
                let Frames { count, bytes } = holdings.unread;
                if holdings.is_sparse() { Err(Sparse { count, bytes }) } else { Ok(()) }
            })
        })
    }

    /// This side has opened a stream.
    pub(super) fn opened(&self, stream: u32) {
        self.change(|holdings| {
            holdings.streams.entry(stream).or_default();
        });
    }

    /// A data frame of so many bytes has been read out of its stream.
    pub(super) fn read(&self, stream: u32, bytes: usize) {
        self.change(|holdings| {
            if let Some(tally) = holdings.streams.get_mut(&stream) {
                for total in [tally, &mut holdings.unread] {
                    total.count = total.count.saturating_sub(1);
                    total.bytes = total.bytes.saturating_sub(bytes);
                }
            }
        });
    }

    /// Nobody will read the stream any more; it is held until [`Account::swept`].
    pub(super) fn closed(&self, stream: u32) {
        self.change(|holdings| {
            if let Some(tally) = holdings.streams.remove(&stream) {
                holdings.unread.count = holdings.unread.count.saturating_sub(tally.count);
                holdings.unread.bytes = holdings.unread.bytes.saturating_sub(tally.bytes);
                holdings.gone += tally.cost() + STREAM;
            }
        });
    }

    /// The muxer has had its turn, and now waits: unless it waits to write, it has forgotten the streams that were
    /// closed before.
    pub(super) fn swept(&self) {
        let is_due = {
            let state = lock(&self.state);
            state.holdings.gone > 0 && !state.holdings.is_blocked
        };
        if is_due {
            self.change(|holdings| holdings.gone = 0);
        }
    }

    /// Waits until a stream may write so many bytes.
    pub(super) fn poll_queue(&self, cx: &Context<'_>, bytes: usize) -> Poll<()> {
        let is_free = |holdings: &Holdings| holdings.queued == 0 && holdings.unsent == 0;
        let is_full = |holdings: &Holdings| holdings.queued + bytes > QUEUE;
        self.poll_room_unless(cx, bytes + FRAME, is_free, is_full)
    }

    /// A stream has written a frame.
    pub(super) fn queued(&self, bytes: usize) {
        self.change(|holdings| holdings.queued += bytes + FRAME);
    }

    /// The channel has taken a frame that a stream had written.
    pub(super) fn sent(&self, bytes: usize) {
        self.change(|holdings| holdings.queued = holdings.queued.saturating_sub(bytes + FRAME));
    }

    /// Whether the channel takes no more for now.
    pub(super) fn set_blocked(&self, is_blocked: bool) {
        lock(&self.state).holdings.is_blocked = is_blocked;
    }

    fn poll_room(&self, cx: &Context<'_>, cost: usize, is_free: impl Fn(&Holdings) -> bool) -> Poll<()> {
        self.poll_room_unless(cx, cost, is_free, |_| false)
    }

    fn poll_room_unless(
        &self,
        cx: &Context<'_>,
        cost: usize,
        is_free: impl Fn(&Holdings) -> bool,
        is_full: impl Fn(&Holdings) -> bool,
    ) -> Poll<()> {
        let mut state = lock(&self.state);
        // Again after this task is on the lists: what was given back in between woke nobody.
        for is_listed in [false, true] {
            let half = self.half(&mut state);
            let holdings = &state.holdings;
            if is_free(holdings) || (!is_full(holdings) && half.room(holdings.held()) >= cost) {
                return Poll::Ready(());
            }
            if !is_listed {
                register(&mut state.wakers, cx);
                register(&mut lock(&half.waiting).wakers, cx);
            }
        }
        Poll::Pending
    }

    /// The half in which this connection is now.
    fn half(&self, state: &mut State) -> &Half {
        let members = &self.budget.0.members;
        if state.changes != members.changes() {
            state.changes = members.changes();
            let is_member = self.budget.is_member(self.node.as_ref());
            if is_member != state.is_member && self.budget.half(is_member).take_place() {
                self.leave(state);
                state.is_member = is_member;
                self.budget.half(is_member).moved(0, state.holdings.held());
            }
        }
        self.budget.half(state.is_member)
    }

    fn leave(&self, state: &State) {
        let half = self.budget.half(state.is_member);
        half.moved(state.holdings.held(), 0);
        half.taken.fetch_sub(1, SeqCst);
    }

    /// Changes what is held, and wakes this connection's tasks when that makes room.
    fn change<T>(&self, change: impl FnOnce(&mut Holdings) -> T) -> T {
        let mut state = lock(&self.state);
        let before = (state.holdings.held(), state.holdings.unsent);
        let result = change(&mut state.holdings);
        let after = (state.holdings.held(), state.holdings.unsent);
        self.budget.half(state.is_member).moved(before.0, after.0);
        if after.0 < before.0 || after.1 < before.1 {
            let wakers = mem::take(&mut state.wakers);
            drop(state);
            wakers.into_iter().for_each(Waker::wake);
        }
        result
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.leave(&lock(&self.state));
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, task::Wake};

    use ostrakon_proto::sign::Keypair;

    use super::*;

    /// A half of 1 MiB: sixteen places, and three quarters that are shared.
    const BUDGET: usize = 2 * 1024 * 1024;
    const SHARED: usize = BUDGET / 8 * 3;
    const BODY: usize = 60 * 1024;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    impl Bell {
        fn rings(&self) -> usize {
            self.0.load(SeqCst)
        }
    }

    fn node(seed: u8) -> NodeId {
        Keypair::from_seed(&[seed; 32]).public()
    }

    fn budget() -> Budget {
        Budget::new(BUDGET, Members::default())
    }

    fn open(budget: &Budget, seed: u8) -> Option<Arc<Account>> {
        budget.open(&identity::peer_id(&node(seed)))
    }

    fn strangers(budget: &Budget) -> usize {
        budget.held().strangers
    }

    /// A data frame on a stream, which it opens when it is the first.
    fn arrive(account: &Account, stream: u32, bytes: usize) -> Poll<Result<(), Sparse>> {
        let opens = !lock(&account.state).holdings.streams.contains_key(&stream);
        account.poll_arrive(&Context::from_waker(Waker::noop()), Arrival { stream, bytes, opens })
    }

    fn queue(account: &Account, bytes: usize) -> bool {
        let is_ready = account.poll_queue(&Context::from_waker(Waker::noop()), bytes).is_ready();
        if is_ready {
            account.queued(bytes);
        }
        is_ready
    }

    #[test]
    fn what_is_shared_is_shared_fairly() {
        let check = |own, excess, expect| assert_eq!(shared_room(own, excess, 1000), expect, "{own} {excess}");
        check(0, 0, 500);
        check(500, 500, 0);
        check(0, 500, 250);
        check(250, 750, 0);
        check(0, 990, 5);
        check(0, 1000, 0);
        check(0, 2000, 0);
        assert_eq!(shared_room(0, 0, 4 * MOST), MOST, "and no more than one may hold");
        assert_eq!(shared_room(MOST, MOST, 4 * MOST), 0);
    }

    #[test]
    fn the_default_has_a_place_for_2048_of_either_and_a_frame_for_512_greedy_ones() {
        let half = Half::new(crate::swarm::config::BUFFER_BYTES / 2);
        assert_eq!(half.places, 2048);
        assert!(FLOOR + half.shared / 513 >= RESERVE + BODY + FRAME + STREAM);
    }

    #[test]
    fn places_are_taken_and_given_back() {
        let budget = budget();
        let mut accounts: Vec<_> = (1..=16).map(|seed| open(&budget, seed).expect("a place")).collect();
        assert!(open(&budget, 17).is_none());
        accounts.pop();
        let account = open(&budget, 17).expect("a place");
        account.set_buffers(1000, 0);
        assert_eq!(strangers(&budget), 1000);
        drop((account, accounts));
        assert_eq!(strangers(&budget), 0);
    }

    #[test]
    fn the_greedy_take_no_more_than_their_half_and_leave_some() {
        for greedy in 1..=4 {
            let budget = budget();
            let accounts: Vec<_> = (1..=greedy).map(|seed| open(&budget, seed).expect("a place")).collect();
            // In turns, until nobody is permitted more.
            while accounts.iter().filter(|account| arrive(account, 1, BODY).is_ready()).count() > 0 {}
            assert!(strangers(&budget) <= BUDGET / 2, "{greedy}: {}", strangers(&budget));
            let each = lock(&accounts[0].state).holdings.held();
            let (fair, first) = (FLOOR + SHARED / (usize::from(greedy) + 1), RESERVE + BODY + FRAME + STREAM);
            assert!(each <= fair.max(first) && each >= first, "{greedy}: {each} of {fair}");
        }
    }

    #[test]
    fn a_waiting_connection_is_woken_by_its_own_readers_and_by_others() {
        let budget = budget();
        let (one, other) = (open(&budget, 1).expect("a place"), open(&budget, 2).expect("a place"));
        while arrive(&other, 1, BODY).is_ready() {}
        while arrive(&one, 1, BODY).is_ready() {}
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(bell.clone());
        let wait = || {
            let arrival = Arrival { stream: 1, bytes: BODY, opens: false };
            one.poll_arrive(&Context::from_waker(&waker), arrival)
        };
        assert!(wait().is_pending() && wait().is_pending());
        one.read(1, BODY);
        assert!(bell.rings() > 0);
        assert!(wait().is_ready());
        assert!(wait().is_pending());
        let before = bell.rings();
        drop(other);
        assert!(bell.rings() > before);
        assert!(wait().is_ready());
    }

    #[test]
    fn one_frame_and_one_write_are_always_possible() {
        let budget = budget();
        let account = open(&budget, 1).expect("a place");
        account.set_buffers(10 * BUDGET, 0);
        assert!(account.is_tight());
        assert!(arrive(&account, 1, BODY).is_ready() && arrive(&account, 1, BODY).is_pending());
        account.read(1, BODY);
        assert!(arrive(&account, 1, BODY).is_ready());
        assert!(queue(&account, BODY) && !queue(&account, 1));
        account.set_buffers(10 * BUDGET, BODY);
        account.sent(BODY);
        assert!(!queue(&account, 1), "it is not sent yet");
        account.set_buffers(10 * BUDGET, 0);
        assert!(queue(&account, 1));
    }

    #[test]
    fn without_unread_frames_streams_are_opened_but_not_without_end() {
        let budget = budget();
        let account = open(&budget, 1).expect("a place");
        account.set_buffers(10 * BUDGET, 0);
        let opened = (1..100).take_while(|stream| arrive(&account, *stream, 0).is_ready()).count();
        assert_eq!(opened, STREAMS);
    }

    #[test]
    fn a_closed_stream_is_held_until_the_muxer_has_forgotten_it() {
        let budget = budget();
        let account = open(&budget, 1).expect("a place");
        assert!(arrive(&account, 1, BODY).is_ready() && arrive(&account, 3, BODY).is_ready());
        let both = strangers(&budget);
        account.closed(1);
        assert_eq!(strangers(&budget), both);
        // What still comes for it is held as well, and closing it again changes nothing.
        let late = Arrival { stream: 1, bytes: 100, opens: false };
        assert!(account.poll_arrive(&Context::from_waker(Waker::noop()), late).is_ready());
        account.closed(1);
        assert_eq!(strangers(&budget), both + 100 + FRAME);
        account.set_blocked(true);
        account.swept();
        assert_eq!(strangers(&budget), both + 100 + FRAME, "the muxer waits to write");
        account.set_blocked(false);
        account.swept();
        assert_eq!(strangers(&budget), RESERVE + BODY + FRAME + STREAM);
    }

    #[test]
    fn many_tiny_frames_are_refused_once_they_are_much() {
        let budget = Budget::new(crate::swarm::config::BUFFER_BYTES, Members::default());
        let check = |bytes: usize, expect: Option<usize>| {
            let account = open(&budget, 1).expect("a place");
            let refused = (1..2000).find(|_| arrive(&account, 1, bytes) != Poll::Ready(Ok(())));
            assert_eq!(refused, expect, "{bytes}");
        };
        check(1, Some(SPARSE / (1 + FRAME) + 1));
        check(DENSE - 1, Some(SPARSE / (DENSE - 1 + FRAME) + 1));
        check(DENSE, None);
    }

    #[test]
    fn what_is_queued_is_bounded() {
        let budget = Budget::new(crate::swarm::config::BUFFER_BYTES, Members::default());
        let account = open(&budget, 1).expect("a place");
        let frames = (0..100).take_while(|_| queue(&account, BODY)).count();
        assert_eq!(frames, QUEUE / (BODY + FRAME));
        account.sent(BODY);
        assert!(queue(&account, BODY) && !queue(&account, BODY));
    }

    #[test]
    fn a_stranger_becomes_a_member_with_all_it_holds() {
        let members = Members::default();
        let budget = Budget::new(BUDGET, members.clone());
        let account = open(&budget, 1).expect("a place");
        account.set_buffers(300_000, 0);
        let others: Vec<_> = (2..=16).map(|seed| open(&budget, seed).expect("a place")).collect();
        assert!(open(&budget, 17).is_none());
        members.set(BTreeSet::from([node(1), node(17)]));
        // It hears of it when it next asks.
        let _tight = account.is_tight();
        assert_eq!(budget.held(), Buffered { members: 300_000, strangers: 0 });
        let another = open(&budget, 18).expect("the place of the one that left");
        assert!(open(&budget, 17).is_some(), "a member's place");
        drop((account, another, others));
        assert_eq!(budget.held(), Buffered { members: 0, strangers: 0 });
    }
}
