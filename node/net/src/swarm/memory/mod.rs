//! Memory of all that connections buffer: one budget of the process, in bytes of memory.
//!
//! In go the sizes that the layers of a connection report: the channel its buffers, the muxer what has arrived and is
//! not read, what is queued to be written, and what each stream and frame costs beside its bytes. Out come permissions
//! to hold more. Members and strangers (see [`Members`]) have half of the budget each, so that strangers can never take
//! what members need. `half` shares one out, `account` is what one connection has of it, and `holdings` says what that
//! is worth in memory. Not here: the requests that are read and not answered yet ([`super::codec`]).
//!
//! # The rule
//! Of a half, a quarter are floors: each open connection has one of [`half::FLOOR`] bytes to itself, and when all are
//! taken, no more connections are made. The rest is shared: a connection may hold beyond its floor what nobody has
//! taken of it. So one connection alone may take half of what is shared (and [`half::MOST`] at most), and n of them get
//! an (n + 1)th each, which leaves as much for the next: of the default budget, 512 greedy strangers get 200 KiB each.
//!
//! # Why no connection waits forever
//! Only data frames and new streams need permission; window updates and pongs that come before one pass. A data frame
//! waits only while the connection has unread ones, and a write only while it has unsent ones. Unread frames are given
//! back by the streams' readers, which wait for workers and never for this socket, or are dropped at their deadline;
//! unsent ones are taken by the other side, or its connection ends at the next ping. So one connection always advances
//! by a frame at a time, whatever the others hold. That takes a frame and two messages ([`holdings::RESERVE`]), which
//! is within the budget for 512 greedy connections of a half, and beyond it for more.

mod account;
mod half;
mod holdings;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use libp2p::PeerId;
use ostrakon_proto::id::NodeId;

use self::half::Half;
pub(super) use self::{account::Account, holdings::Arrival};
use crate::{Members, identity};

/// The budget of a process. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<Halves>);

#[derive(Debug)]
struct Halves {
    members: Half,
    strangers: Half,
    known: Members,
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
    pub(super) fn new(bytes: usize, known: Members) -> Self {
        Self(Arc::new(Halves { members: Half::new(bytes / 2), strangers: Half::new(bytes / 2), known }))
    }

    /// The account of a new connection with this node; `None` when all places are taken.
    pub(super) fn open(&self, peer: &PeerId) -> Option<Arc<Account>> {
        Account::open(self.clone(), identity::node_id(peer)).map(Arc::new)
    }

    pub(super) fn held(&self) -> Buffered {
        Buffered { members: self.0.members.held(), strangers: self.0.strangers.held() }
    }

    /// How often the members have changed.
    fn changes(&self) -> u64 {
        self.0.known.changes()
    }

    fn is_member(&self, node: Option<&NodeId>) -> bool {
        node.is_some_and(|node| self.0.known.contains(node))
    }

    fn half(&self, is_member: bool) -> &Half {
        if is_member { &self.0.members } else { &self.0.strangers }
    }
}
