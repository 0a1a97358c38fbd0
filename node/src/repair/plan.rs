//! What this node repairs next, and whom it asks to store which column. Pure.
//!
//! In come the ledger's tickets, the most endangered first, and how the jobs end; out come those to look at: a draw
//! says for each whether it is this node's. One that is not is not looked at again before something of it changes: how
//! many columns are left, or the newest epoch that can be drawn. One that failed has a pause, which grows.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ostrakon_proto::{
    id::{Epoch, NodeId},
    ledger::{repair::Assignment, state::CommitmentId},
    placement::{DomainTags, RosterEntry},
};
use tokio::time::Instant;

/// The first pause after a job that failed; each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(10);
/// How often the pause doubles.
const DOUBLED: u32 = 6;

/// A ticket: a commitment, and how many columns more than k it has.
pub(super) type Ticket = (CommitmentId, u8);

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing is left to do by this draw.
    Done,
    /// It may succeed later.
    Failed,
    /// It cannot succeed by the draw of this epoch.
    Hopeless(Epoch),
}

/// What is done, and what was looked at.
#[derive(Debug)]
pub(super) struct Plan {
    most: usize,
    newest: Option<Epoch>,
    passed: BTreeSet<Ticket>,
    running: BTreeSet<CommitmentId>,
    paused: BTreeMap<CommitmentId, (u32, Instant)>,
    /// Those that cannot be repaired by the draw of this epoch.
    hopeless: BTreeMap<CommitmentId, Epoch>,
}

impl Plan {
    /// Nothing is done yet; at most this many jobs are at a time.
    pub(super) const fn new(most: usize) -> Self {
        Self {
            most,
            newest: None,
            passed: BTreeSet::new(),
            running: BTreeSet::new(),
            paused: BTreeMap::new(),
            hopeless: BTreeMap::new(),
        }
    }

    /// This is the newest epoch that can be drawn: with another one, every ticket may be this node's.
    pub(super) fn draw_by(&mut self, newest: Option<Epoch>) {
        if self.newest != newest {
            self.newest = newest;
            self.passed.clear();
        }
    }

    /// How many jobs may begin.
    pub(super) fn room(&self) -> usize {
        self.most.saturating_sub(self.running.len())
    }

    /// Whether the ticket is to be looked at.
    pub(super) fn is_open(&self, ticket: &Ticket, now: Instant) -> bool {
        let is_paused = self.paused.get(&ticket.0).is_some_and(|(_, until)| now < *until);
        !is_paused && !self.running.contains(&ticket.0) && !self.passed.contains(ticket)
    }

    /// How many halves of its turn this node leaves to others before it repairs; `None` where it does not, or cannot
    /// succeed.
    pub(super) fn waits(&self, id: &CommitmentId, assignment: &Assignment, node: NodeId) -> Option<u64> {
        let is_hopeless = self.hopeless.get(id) == Some(&assignment.draw.epoch);
        // More than one other do not fit a turn.
        let rank = assignment.rank(node).filter(|rank| *rank <= 1 && !is_hopeless)?;
        u64::try_from(rank).ok()
    }

    /// It is not this node's.
    pub(super) fn pass(&mut self, ticket: Ticket) {
        self.passed.insert(ticket);
    }

    /// It is this node's, and a job begins.
    pub(super) fn begin(&mut self, ticket: &Ticket) {
        self.running.insert(ticket.0);
    }

    /// The job ended.
    pub(super) fn end(&mut self, ticket: Ticket, end: End, now: Instant) {
        self.running.remove(&ticket.0);
        match end {
            End::Done => {
                self.paused.remove(&ticket.0);
                self.passed.insert(ticket);
            }
            End::Hopeless(draw) => _ = self.hopeless.insert(ticket.0, draw),
            End::Failed => {
                let failed = self.paused.get(&ticket.0).map_or(0, |(failed, _)| (failed + 1).min(DOUBLED));
                self.paused.insert(ticket.0, (failed, now + PAUSE * (1 << failed)));
            }
        }
    }

    /// Forgets what is no longer to be repaired.
    pub(super) fn keep(&mut self, is_open: impl Fn(&CommitmentId) -> bool) {
        self.paused.retain(|id, _| is_open(id));
        self.hopeless.retain(|id, _| is_open(id));
    }
}

/// Which provider is asked for which column of an assignment: each for one, in the order of the draw, and together
/// within the domain rule.
#[derive(Debug)]
pub(super) struct Targets<'a> {
    assignment: &'a Assignment,
    refused: BTreeSet<NodeId>,
    chosen: BTreeMap<u8, RosterEntry>,
}

impl<'a> Targets<'a> {
    /// Nobody was asked yet.
    pub(super) const fn new(assignment: &'a Assignment) -> Self {
        Self { assignment, refused: BTreeSet::new(), chosen: BTreeMap::new() }
    }

    /// Chooses a provider for each column that has none, as far as there are any; those that are to be asked now.
    pub(super) fn choose(&mut self) -> Vec<(u8, RosterEntry)> {
        let mut asked = Vec::new();
        for index in &self.assignment.columns {
            if self.chosen.contains_key(index) {
                continue;
            }
            let Some(target) = self.next() else { break };
            self.chosen.insert(*index, target);
            asked.push((*index, target));
        }
        asked
    }

    fn next(&self) -> Option<RosterEntry> {
        let domains: Vec<DomainTags> = self.chosen.values().map(|target| target.offer.domain).collect();
        let is_free = |target: &&RosterEntry| {
            !self.refused.contains(&target.provider)
                && self.chosen.values().all(|chosen| chosen.provider != target.provider)
                && self.assignment.admits(&[&domains[..], &[target.offer.domain]].concat())
        };
        self.assignment.targets.iter().find(is_free).copied()
    }

    /// The column's provider does not take it.
    pub(super) fn refuse(&mut self, index: u8) {
        self.refused.extend(self.chosen.remove(&index).map(|target| target.provider));
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::id::{AccountId, ObjectId};

    use super::*;

    fn id(number: u8) -> CommitmentId {
        CommitmentId { object: ObjectId::new([number; 32]), extent: 0, owner: AccountId::LEAST }
    }

    enum Step {
        Newest(u64),
        Pass(u8, u8),
        Begin(u8, u8),
        End(u8, u8, End),
        /// Seconds.
        Wait(u64),
    }

    #[test]
    fn tickets_are_looked_at_when_something_of_them_changes() {
        let (mut plan, mut now) = (Plan::new(2), Instant::now());
        // What is done, and then the room and which of the tickets (1, 0), (1, 1), (2, 0), (3, 0) are open.
        let steps: [(&str, Step, usize, [bool; 4]); 12] = [
            ("all is new", Step::Newest(4), 2, [true; 4]),
            ("another's", Step::Pass(1, 1), 2, [true, false, true, true]),
            ("the same draws", Step::Newest(4), 2, [true, false, true, true]),
            ("its own", Step::Begin(2, 0), 1, [true, false, false, true]),
            ("no more", Step::Begin(3, 0), 0, [true, false, false, false]),
            ("another draw, while two run", Step::Newest(5), 0, [true, true, false, false]),
            ("one is done", Step::End(3, 0, End::Done), 1, [true, true, false, false]),
            ("one has failed", Step::End(2, 0, End::Failed), 2, [true, true, false, false]),
            ("not yet", Step::Wait(9), 2, [true, true, false, false]),
            ("again", Step::Wait(1), 2, [true, true, true, false]),
            ("twice as long", Step::End(2, 0, End::Failed), 2, [true, true, false, false]),
            ("the draw after", Step::Newest(6), 2, [true, true, false, true]),
        ];
        for (what, step, room, open) in steps {
            match step {
                Step::Newest(epoch) => plan.draw_by(Some(Epoch(epoch))),
                Step::Pass(number, spare) => plan.pass((id(number), spare)),
                Step::Begin(number, spare) => plan.begin(&(id(number), spare)),
                Step::End(number, spare, end) => plan.end((id(number), spare), end, now),
                Step::Wait(seconds) => now += Duration::from_secs(seconds),
            }
            let found = [(1, 0), (1, 1), (2, 0), (3, 0)].map(|(number, spare)| plan.is_open(&(id(number), spare), now));
            assert_eq!((plan.room(), found), (room, open), "{what}");
        }
        assert!(!plan.is_open(&(id(2), 0), now + Duration::from_secs(19)));
        assert!(plan.is_open(&(id(2), 0), now + Duration::from_secs(20)));
        plan.keep(|kept| *kept != id(2));
        assert!(plan.is_open(&(id(2), 0), now), "its ticket ended meanwhile");
    }
}
