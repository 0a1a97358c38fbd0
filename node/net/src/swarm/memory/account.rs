//! What one connection has of the budget. Its layers share it: each reports what it holds, and asks before it holds
//! more.

use std::{
    mem,
    sync::Mutex,
    task::{Context, Poll, Waker},
};

use ostrakon_proto::id::NodeId;

use super::{
    Arrival, Budget,
    half::{Half, register},
    holdings::{Holdings, Sparse},
};
use crate::lock;

/// With less than this to take, a connection keeps its buffers as small as it can.
const TIGHT: usize = 256 * 1024;

/// What one connection holds. It is all given back when the last layer of the connection is gone.
#[derive(Debug)]
pub(in crate::swarm) struct Account {
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

impl Account {
    /// `None` when all places are taken.
    pub(super) fn open(budget: Budget, node: Option<NodeId>) -> Option<Self> {
        let (changes, is_member) = (budget.changes(), budget.is_member(node.as_ref()));
        budget.half(is_member).take_place().then(|| {
            let state = State { changes, is_member, holdings: Holdings::default(), wakers: Vec::new() };
            Self { budget, node, state: Mutex::new(state) }
        })
    }

    /// Whether the connection must keep its buffers small.
    pub(in crate::swarm) fn is_tight(&self) -> bool {
        let mut state = lock(&self.state);
        self.half(&mut state).shared_room(state.holdings.held()) < TIGHT
    }

    /// The channel has buffers of `buffers` bytes, in which `unsent` bytes wait to be sent.
    pub(in crate::swarm) fn set_buffers(&self, buffers: usize, unsent: usize) {
        self.change(|holdings| (holdings.buffers, holdings.unsent) = (buffers, unsent));
    }

    /// Reserves this much for the whole life of the connection; false when there is too little.
    pub(in crate::swarm) fn reserve(&self, bytes: usize) -> bool {
        let mut state = lock(&self.state);
        let may = self.half(&mut state).room(state.holdings.held()) >= bytes;
        drop(state);
        if may {
            self.set_buffers(bytes, 0);
        }
        may
    }

    /// Waits until a frame may be received, which is held from then on.
    pub(in crate::swarm) fn poll_arrive(&self, cx: &Context<'_>, arrival: Arrival) -> Poll<Result<(), Sparse>> {
        self.poll_room(cx, |holdings| holdings.needs(arrival))
            .map(|()| self.change(|holdings| holdings.arrived(arrival)))
    }

    /// This side has opened a stream.
    pub(in crate::swarm) fn opened(&self, stream: u32) {
        self.change(|holdings| holdings.opened(stream));
    }

    /// A data frame of so many bytes has been read out of its stream.
    pub(in crate::swarm) fn read(&self, stream: u32, bytes: usize) {
        self.change(|holdings| holdings.read(stream, bytes));
    }

    /// Nobody will read the stream any more; it is held until [`Account::swept`].
    pub(in crate::swarm) fn closed(&self, stream: u32) {
        self.change(|holdings| holdings.closed(stream));
    }

    /// The muxer has had its turn, and now waits: unless it waits to write, it has forgotten the streams that were
    /// closed before.
    pub(in crate::swarm) fn swept(&self) {
        let may_sweep = lock(&self.state).holdings.may_sweep();
        if may_sweep {
            self.change(Holdings::sweep);
        }
    }

    /// Waits until a stream may write so many bytes.
    pub(in crate::swarm) fn poll_queue(&self, cx: &Context<'_>, bytes: usize) -> Poll<()> {
        self.poll_room(cx, |holdings| holdings.needs_to_queue(bytes))
    }

    /// A stream has written a frame.
    pub(in crate::swarm) fn queued(&self, bytes: usize) {
        self.change(|holdings| holdings.queue(bytes));
    }

    /// The channel has taken a frame that a stream had written.
    pub(in crate::swarm) fn sent(&self, bytes: usize) {
        self.change(|holdings| holdings.sent(bytes));
    }

    /// Whether the channel takes no more for now.
    pub(in crate::swarm) fn set_blocked(&self, is_blocked: bool) {
        lock(&self.state).holdings.is_blocked = is_blocked;
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        lock(&self.state).holdings.held()
    }

    /// Waits until there is as much room as is needed.
    fn poll_room(&self, cx: &Context<'_>, needs: impl Fn(&Holdings) -> usize) -> Poll<()> {
        let mut state = lock(&self.state);
        // Again after this task is on the lists: what was given back in between woke nobody.
        for is_listed in [false, true] {
            let half = self.half(&mut state);
            if half.room(state.holdings.held()) >= needs(&state.holdings) {
                return Poll::Ready(());
            }
            if !is_listed {
                register(&mut state.wakers, cx);
                half.wait(cx);
            }
        }
        Poll::Pending
    }

    /// The half in which this connection is now.
    fn half(&self, state: &mut State) -> &Half {
        let changes = self.budget.changes();
        if state.changes != changes {
            let is_member = self.budget.is_member(self.node.as_ref());
            if is_member == state.is_member {
                state.changes = changes;
            } else if self.budget.half(is_member).take_place() {
                let held = state.holdings.held();
                self.budget.half(state.is_member).leave(held);
                self.budget.half(is_member).moved(0, held);
                (state.is_member, state.changes) = (is_member, changes);
            }
        }
        self.budget.half(state.is_member)
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
        let state = lock(&self.state);
        self.budget.half(state.is_member).leave(state.holdings.held());
    }
}
