//! Shares, places and permissions, without sockets.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    task::{Context, Poll, Wake, Waker},
};

use ostrakon_proto::sign::Keypair;

use super::{
    half::{FLOOR, MOST, shared_room},
    holdings::{DENSE, FRAME, QUEUE, RESERVE, SPARSE, STREAM, STREAMS, Sparse},
    *,
};
use crate::swarm::config::BUFFER_BYTES;

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

/// A data frame on a stream that is open.
fn arrive(account: &Account, stream: u32, bytes: usize) -> Poll<Result<(), Sparse>> {
    account.poll_arrive(&Context::from_waker(Waker::noop()), Arrival { stream, bytes, opens: false })
}

/// The other side opens a stream.
fn open_stream(account: &Account, stream: u32) -> Poll<Result<(), Sparse>> {
    account.poll_arrive(&Context::from_waker(Waker::noop()), Arrival { stream, bytes: 0, opens: true })
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
    let half = Half::new(BUFFER_BYTES / 2);
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
        accounts.iter().for_each(|account| account.opened(1));
        // In turns, until nobody is permitted more.
        while accounts.iter().filter(|account| arrive(account, 1, BODY).is_ready()).count() > 0 {}
        assert!(strangers(&budget) <= BUDGET / 2, "{greedy}: {}", strangers(&budget));
        let each = accounts[0].held();
        let (fair, first) = (FLOOR + SHARED / (usize::from(greedy) + 1), RESERVE + BODY + FRAME + STREAM);
        assert!(each <= fair.max(first) && each >= first, "{greedy}: {each} of {fair}");
    }
}

#[test]
fn a_waiting_connection_is_woken_by_its_own_readers_and_by_others() {
    let budget = budget();
    let (one, other) = (open(&budget, 1).expect("a place"), open(&budget, 2).expect("a place"));
    one.opened(1);
    other.opened(1);
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
    account.opened(1);
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
    let opened = (1..100).take_while(|stream| open_stream(&account, *stream).is_ready()).count();
    assert_eq!(opened, STREAMS);
}

#[test]
fn a_closed_stream_is_held_until_the_muxer_has_forgotten_it() {
    let budget = budget();
    let account = open(&budget, 1).expect("a place");
    account.opened(1);
    account.opened(3);
    assert!(arrive(&account, 1, BODY).is_ready() && arrive(&account, 3, BODY).is_ready());
    let both = strangers(&budget);
    account.closed(1);
    assert_eq!(strangers(&budget), both);
    // What still comes for it is held as well, and closing it again changes nothing.
    assert!(arrive(&account, 1, 100).is_ready());
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
fn a_tiny_frame_costs_more_than_its_byte() {
    let budget = budget();
    let account = open(&budget, 1).expect("a place");
    account.opened(1);
    let frames = (0..).take_while(|_| arrive(&account, 1, 1).is_ready()).count();
    assert_eq!(frames, (FLOOR + SHARED / 2 - RESERVE - STREAM) / (1 + FRAME));
    (0..frames).for_each(|_| account.read(1, 1));
    assert_eq!(strangers(&budget), STREAM);
}

#[test]
fn many_tiny_frames_are_refused_once_they_are_much() {
    let budget = Budget::new(BUFFER_BYTES, Members::default());
    let check = |bytes: usize, expect: Option<usize>| {
        let account = open(&budget, 1).expect("a place");
        account.opened(1);
        let refused = (1..10_000).find(|_| arrive(&account, 1, bytes) != Poll::Ready(Ok(())));
        assert_eq!(refused, expect, "{bytes}");
    };
    check(1, Some(SPARSE / (1 + FRAME) + 1));
    check(DENSE - 1, Some(SPARSE / (DENSE - 1 + FRAME) + 1));
    check(DENSE, None);
}

#[test]
fn what_is_queued_is_bounded() {
    let budget = Budget::new(BUFFER_BYTES, Members::default());
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
