//! Attempts to connect: which addresses are dialed when, and how each failed.
//!
//! Pure state of the actor, one [`Attempt`] per node. TCP is tried first, because it costs half the processor time of
//! QUIC; QUIC follows when TCP fails, or has not succeeded after [`HEAD_START`], and relays when neither has. Not
//! here: sockets.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    error::Error,
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId,
    kad::QueryId,
    multiaddr::Protocol,
    swarm::{ConnectionId, DialError},
};
use tokio::time::Instant;

use super::{
    circuit::{is_quic, is_relayed, plain, relay},
    dial_back::DialsBack,
    names::Resolved,
    secure::SecureError,
};
use crate::identity;

/// How long TCP alone is tried.
const HEAD_START: Duration = Duration::from_millis(500);
/// How long bulk waits for a direct connection with a node that is reached through a relay.
const PUNCHING: Duration = Duration::from_secs(3);
/// How often an address is dialed again whose node closes the connection: it is there, and at a limit of its own.
const TRIES: u32 = 4;
/// Before the first time; twice as long before each further one.
const PAUSE: Duration = Duration::from_millis(250);
/// A node that is not connected after this is searched for meanwhile: it may have moved, and nothing answers at its old
/// address.
const SEARCH_AFTER: Duration = Duration::from_secs(1);
/// Addresses of one node that are tried at most.
const ADDRESSES: usize = 16;
/// Searches for nodes in progress at most.
const LOOKUPS: usize = 16;
/// A node is not searched again before this has passed.
const LOOKUP_PAUSE: Duration = Duration::from_secs(10);

/// The attempt to connect to one node.
#[derive(Debug)]
pub(super) struct Attempt {
    /// Addresses that are not dialed yet, in batches that are dialed one after the other.
    batches: VecDeque<Vec<Multiaddr>>,
    /// All that were to be dialed so far.
    known: Vec<Multiaddr>,
    began: Instant,
    /// When the next batch is dialed even if the one before has not failed.
    next_at: Instant,
    in_progress: BTreeSet<ConnectionId>,
    failures: Vec<String>,
    /// Addresses to dial again, when it is time.
    again: Vec<Multiaddr>,
    again_at: Instant,
    tries: u32,
    /// Whether the attempt waits for a search, because no address was known.
    searching: bool,
    /// Whether the attempt waits for names that are being resolved.
    resolving: bool,
    /// Whether relays have been asked at which address they observe this node.
    observation: Observation,
}

/// Whether relays have been asked, which an attempt does once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Observation {
    NotAsked,
    /// The next batch waits for it.
    Awaited,
    Over,
}

impl Attempt {
    /// An attempt on these addresses.
    fn on(addresses: Vec<Multiaddr>, now: Instant) -> Self {
        let (in_progress, failures, again) = Default::default();
        let (began, next_at, again_at) = (now, now, now);
        let (tries, searching, resolving, observation) = (0, false, false, Observation::NotAsked);
        let (known, batches) = (addresses.clone(), batches(addresses));
        Self {
            batches,
            known,
            began,
            next_at,
            in_progress,
            failures,
            again,
            again_at,
            tries,
            searching,
            resolving,
            observation,
        }
    }

    /// An attempt that starts with a search.
    fn search(now: Instant) -> Self {
        Self { searching: true, ..Self::on(Vec::new(), now) }
    }

    /// The addresses to dial now, if it is time.
    fn next_batch(&mut self, now: Instant) -> Option<Vec<Multiaddr>> {
        if !self.again.is_empty() && now >= self.again_at {
            return Some(std::mem::take(&mut self.again));
        }
        if (self.observation == Observation::Awaited || !self.in_progress.is_empty()) && now < self.next_at {
            return None;
        }
        if self.observation == Observation::Awaited {
            self.observation = Observation::Over;
        }
        self.next_at = now + HEAD_START;
        self.batches.pop_front()
    }

    /// These addresses are dialed again, after a pause, unless that has been tried often enough.
    fn dial_again(&mut self, addresses: Vec<Multiaddr>, now: Instant) {
        if !addresses.is_empty() && self.tries < TRIES {
            self.again_at = now + PAUSE * 2_u32.pow(self.tries);
            self.tries += 1;
            self.again.extend(addresses);
        }
    }

    /// Those of the addresses that are new are dialed next.
    fn learn(&mut self, addresses: Vec<Multiaddr>, now: Instant) {
        let fresh = addresses.into_iter().filter(|address| !self.known.contains(address));
        let fresh: Vec<Multiaddr> = fresh.take(ADDRESSES.saturating_sub(self.known.len())).collect();
        if !fresh.is_empty() {
            self.known.extend(fresh.iter().cloned());
            self.batches.extend(batches(fresh));
            if self.observation != Observation::Awaited {
                self.next_at = now;
            }
        }
    }

    fn has_failed(&self) -> bool {
        let waits = self.searching || self.resolving;
        self.in_progress.is_empty() && self.batches.is_empty() && self.again.is_empty() && !waits
    }
}

/// The addresses in the order in which they are dialed.
fn batches(addresses: Vec<Multiaddr>) -> VecDeque<Vec<Multiaddr>> {
    let mut unique = Vec::new();
    for address in addresses {
        if !unique.contains(&address) && unique.len() < ADDRESSES {
            unique.push(address);
        }
    }
    let (direct, relayed): (Vec<_>, Vec<_>) = unique.into_iter().partition(|at| !is_relayed(at));
    let (tcp, others): (Vec<_>, Vec<_>) = direct.into_iter().partition(is_tcp);
    // One address of each relay at a time: it is connected with once.
    let (over_quic, over_tcp): (Vec<_>, Vec<_>) = relayed.into_iter().partition(is_quic);
    [tcp, others, over_quic, over_tcp].into_iter().filter(|batch| !batch.is_empty()).collect()
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failed {
    /// Each address that was tried, with what happened.
    pub(super) reason: String,
    /// How long it took.
    pub(super) after: Duration,
}

/// Whether the address names one socket and nothing else. Transports look at its end, and others at its beginning: one
/// with more in it could be another node's for them.
pub(super) fn is_plain(address: &Multiaddr) -> bool {
    use Protocol::{Ip4, Ip6, P2p, QuicV1, Tcp, Udp};
    let parts: Vec<Protocol<'_>> = address.iter().collect();
    matches!(
        parts.as_slice(),
        [Ip4(_) | Ip6(_), Tcp(_)]
            | [Ip4(_) | Ip6(_), Tcp(_), P2p(_)]
            | [Ip4(_) | Ip6(_), Udp(_), QuicV1]
            | [Ip4(_) | Ip6(_), Udp(_), QuicV1, P2p(_)]
    )
}

/// Whether the address is reached over TCP.
pub(super) fn is_tcp(address: &Multiaddr) -> bool {
    address.iter().any(|part| matches!(part, Protocol::Tcp(_)))
}

/// All attempts to connect.
#[derive(Debug, Default)]
pub(super) struct Dials {
    attempts: BTreeMap<PeerId, Attempt>,
    searches: BTreeMap<PeerId, QueryId>,
    searched: BTreeMap<PeerId, Instant>,
    /// Nodes that are reached through a relay while a direct connection is being opened, each with until when.
    punching: BTreeMap<PeerId, Instant>,
    /// Nodes that asked to be dialed.
    pub(super) back: DialsBack,
}

impl Dials {
    /// Whether an attempt on this node is in progress.
    pub(super) fn has(&self, peer: PeerId) -> bool {
        self.attempts.contains_key(&peer)
    }

    /// Nodes that have attempts.
    pub(super) fn peers(&self) -> Vec<PeerId> {
        self.attempts.keys().copied().collect()
    }

    /// Starts an attempt on these addresses.
    pub(super) fn begin(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, now: Instant) {
        self.attempts.insert(peer, Attempt::on(addresses, now));
    }

    /// Starts an attempt that waits for the search in progress.
    pub(super) fn begin_search(&mut self, peer: PeerId, now: Instant) {
        self.attempts.insert(peer, Attempt::search(now));
    }

    /// The attempt waits for the search in progress too.
    pub(super) fn await_search(&mut self, peer: PeerId) {
        if let Some(attempt) = self.attempts.get_mut(&peer) {
            attempt.searching = true;
        }
    }

    /// Whether the attempt takes so long that the node is to be searched for.
    pub(super) fn is_late(&self, peer: PeerId, now: Instant) -> bool {
        let attempt = self.attempts.get(&peer);
        attempt.is_some_and(|attempt| !attempt.searching && now.duration_since(attempt.began) >= SEARCH_AFTER)
    }

    /// The node has these addresses now: those that are new are dialed next, by the attempt that began without them.
    pub(super) fn learned(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, now: Instant) {
        if let Some(attempt) = self.attempts.get_mut(&peer) {
            attempt.learn(addresses, now);
        }
    }

    /// The search has come upon these addresses: those that are new are dialed next.
    pub(super) fn found(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, now: Instant) {
        if let Some(attempt) = self.attempts.get_mut(&peer).filter(|attempt| attempt.searching) {
            attempt.learn(addresses, now);
        }
    }

    /// The attempt waits for names of the node too.
    pub(super) fn resolving(&mut self, peer: PeerId) {
        if let Some(attempt) = self.attempts.get_mut(&peer) {
            attempt.resolving = true;
        }
    }

    /// The names are resolved: their addresses come after those that were known.
    pub(super) fn resolved(&mut self, peer: PeerId, Resolved { addresses, failures }: Resolved) {
        if let Some(attempt) = self.attempts.get_mut(&peer).filter(|attempt| attempt.resolving) {
            attempt.resolving = false;
            attempt.batches.extend(batches(addresses));
            attempt.failures.extend(failures);
        }
    }

    /// The addresses to dial now, if it is time.
    pub(super) fn next_batch(&mut self, peer: PeerId, now: Instant) -> Option<Vec<Multiaddr>> {
        self.attempts.get_mut(&peer)?.next_batch(now)
    }

    /// These addresses, which lead through relays, are dialed when a relay has told at which address it observes this
    /// node, or has had the time to.
    pub(super) fn await_observation(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, until: Instant) {
        if let Some(attempt) = self.attempts.get_mut(&peer) {
            attempt.batches.push_front(addresses);
            attempt.next_at = until;
            attempt.observation = Observation::Awaited;
        }
    }

    /// Whether the attempt has asked no relay yet.
    pub(super) fn may_ask_relays(&self, peer: PeerId) -> bool {
        self.attempts.get(&peer).is_some_and(|attempt| attempt.observation == Observation::NotAsked)
    }

    /// A node has told what it observes, or cannot be asked: the attempts that may continue, through this relay.
    pub(super) fn observed_by(&mut self, relays: PeerId, now: Instant) -> Vec<PeerId> {
        let through = |address: &Multiaddr| relay(address).is_some_and(|(peer, _)| peer == relays);
        let waiting = self.attempts.iter_mut().filter(|(_, attempt)| {
            attempt.observation == Observation::Awaited
                && attempt.batches.front().is_some_and(|batch| batch.iter().any(through))
        });
        waiting.map(|(peer, attempt)| (*peer, attempt.next_at = now).0).collect()
    }

    /// Notes that a dial is in progress.
    pub(super) fn dialing(&mut self, peer: PeerId, connection: ConnectionId) {
        if let Some(attempt) = self.attempts.get_mut(&peer) {
            attempt.in_progress.insert(connection);
        }
    }

    /// Notes that a dial has failed; false when it was not ours.
    pub(super) fn failed(&mut self, peer: PeerId, connection: ConnectionId, error: &DialError, now: Instant) -> bool {
        let Some(attempt) = self.attempts.get_mut(&peer) else { return false };
        let ours = attempt.in_progress.remove(&connection);
        if ours {
            attempt.failures.extend(describe(error));
            attempt.dial_again(closed_early(error), now);
        }
        ours
    }

    /// Notes that a dial could not even start.
    pub(super) fn refused(&mut self, peer: PeerId, error: &DialError) {
        if let Some(attempt) = self.attempts.get_mut(&peer) {
            attempt.failures.extend(describe(error));
        }
    }

    /// Ends the attempt when nothing is left to try.
    pub(super) fn end_if_failed(&mut self, peer: PeerId, now: Instant) -> Option<Failed> {
        if !self.attempts.get(&peer)?.has_failed() {
            return None;
        }
        let Attempt { failures, began, .. } = self.attempts.remove(&peer)?;
        // The same address may have been learned from several sources.
        let failures: BTreeSet<String> = failures.into_iter().collect();
        let failures: Vec<String> = failures.into_iter().collect();
        let reason = if failures.is_empty() { "no address of it is known".to_string() } else { failures.join("; ") };
        Some(Failed { reason, after: now.duration_since(began) })
    }

    /// Ends the attempt: the node is connected, and nothing waits for another connection.
    pub(super) fn connected(&mut self, peer: PeerId) {
        self.attempts.remove(&peer);
        self.punching.remove(&peer);
    }

    /// Ends the attempt: the node is connected through a relay, and a direct connection is being opened.
    pub(super) fn punch(&mut self, peer: PeerId, now: Instant) {
        self.connected(peer);
        self.punching.insert(peer, now + PUNCHING);
    }

    /// No direct connection is being opened any more; false when none was.
    pub(super) fn stop_punching(&mut self, peer: PeerId) -> bool {
        self.punching.remove(&peer).is_some()
    }

    /// Whether a direct connection is being opened.
    pub(super) fn is_punching(&self, peer: PeerId) -> bool {
        self.punching.contains_key(&peer)
    }

    /// Nodes with which a direct connection takes too long to be waited for.
    pub(super) fn late_to_punch(&self, now: Instant) -> Vec<PeerId> {
        self.punching.iter().filter(|(_, until)| **until <= now).map(|(peer, _)| *peer).collect()
    }

    /// Whether the node may be searched for now.
    pub(super) fn may_search(&mut self, peer: PeerId, now: Instant) -> bool {
        self.searched.retain(|_, at| now.duration_since(*at) < LOOKUP_PAUSE);
        self.searches.len() < LOOKUPS && !self.searched.contains_key(&peer)
    }

    /// Whether a search for this node is in progress.
    pub(super) fn is_searched(&self, peer: PeerId) -> bool {
        self.searches.contains_key(&peer)
    }

    /// Notes a search.
    pub(super) fn searching(&mut self, peer: PeerId, query: QueryId, now: Instant) {
        self.searches.insert(peer, query);
        self.searched.insert(peer, now);
    }

    /// Notes the end of a search: whose it was. Kademlia has dialed the node itself, if it was found.
    pub(super) fn search_ended(&mut self, query: QueryId) -> Option<PeerId> {
        let peer = self.searches.iter().find_map(|(peer, of)| (*of == query).then_some(*peer))?;
        self.searches.remove(&peer);
        if let Some(attempt) = self.attempts.get_mut(&peer) {
            attempt.searching = false;
        }
        Some(peer)
    }
}

/// The addresses whose node has closed the connection during the handshake. libp2p's layers hide the error's type, but
/// not its words.
fn closed_early(error: &DialError) -> Vec<Multiaddr> {
    let DialError::Transport(errors) = error else { return Vec::new() };
    let words = SecureError::Closed.to_string();
    errors.iter().filter(|(_, error)| cause(error) == words).map(|(address, _)| address.clone()).collect()
}

/// Each address with what happened.
pub(super) fn describe(error: &DialError) -> Vec<String> {
    match error {
        DialError::Transport(errors) => {
            errors.iter().map(|(address, error)| format!("{}: {}", plain(address), cause(error))).collect()
        }
        DialError::WrongPeerId { obtained, address } => {
            let name = identity::node_id(obtained).map_or_else(|| obtained.to_base58(), |node| node.to_string());
            vec![format!("{}: another node listens there, {name}", plain(address))]
        }
        DialError::Denied { .. } => {
            vec![format!("this process has reached its limit on connections: {}", cause(error))]
        }
        other => vec![cause(other)],
    }
}

/// The innermost reason: the system's message.
fn cause(error: &dyn Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    #[test]
    fn tcp_goes_first_and_quic_after_its_head_start_or_failure() {
        let (peer, now, mut dials) = (PeerId::random(), Instant::now(), Dials::default());
        let (tcp, quic) = ("/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/udp/1/quic-v1");
        dials.begin(peer, addresses(&[quic, tcp, tcp]), now);
        assert_eq!(dials.next_batch(peer, now), Some(addresses(&[tcp])));
        let first = ConnectionId::new_unchecked(1);
        dials.dialing(peer, first);
        assert_eq!(dials.next_batch(peer, now + HEAD_START / 2), None);
        assert_eq!(dials.next_batch(peer, now + HEAD_START), Some(addresses(&[quic])));
        dials.dialing(peer, ConnectionId::new_unchecked(2));
        assert!(dials.failed(peer, first, &DialError::Aborted, now));
        assert!(!dials.failed(peer, first, &DialError::Aborted, now), "each failure counts once");
        assert_eq!(dials.end_if_failed(peer, now), None, "QUIC is still in progress");
        dials.failed(peer, ConnectionId::new_unchecked(2), &DialError::Aborted, now);
        assert!(dials.end_if_failed(peer, now).is_some());
        assert!(!dials.has(peer));
    }

    #[test]
    fn relays_go_last_and_after_one_has_told_what_it_observes() {
        let (peer, relay, now, mut dials) = (PeerId::random(), PeerId::random(), Instant::now(), Dials::default());
        let direct = addresses(&["/ip4/127.0.0.1/tcp/1"]);
        let relayed = addresses(&[&format!("/ip4/127.0.0.1/udp/2/quic-v1/p2p/{relay}/p2p-circuit")]);
        dials.begin(peer, [relayed.clone(), direct.clone()].concat(), now);
        assert_eq!(dials.next_batch(peer, now), Some(direct));
        assert_eq!(dials.next_batch(peer, now), Some(relayed.clone()), "nothing is being dialed");
        assert!(dials.may_ask_relays(peer));
        dials.await_observation(peer, relayed.clone(), now + HEAD_START);
        assert!(!dials.may_ask_relays(peer));
        assert_eq!(dials.next_batch(peer, now + HEAD_START / 2), None);
        assert_eq!(dials.observed_by(PeerId::random(), now), [], "another node told something");
        assert_eq!(dials.observed_by(relay, now), [peer]);
        assert_eq!(dials.next_batch(peer, now), Some(relayed.clone()));
        dials.await_observation(peer, relayed.clone(), now + HEAD_START);
        assert_eq!(dials.next_batch(peer, now + HEAD_START), Some(relayed), "a relay may tell nothing");
    }

    #[test]
    fn a_direct_connection_is_waited_for_as_long_as_it_is_being_opened() {
        let (peer, now, mut dials) = (PeerId::random(), Instant::now(), Dials::default());
        dials.begin(peer, Vec::new(), now);
        dials.punch(peer, now);
        assert!(dials.is_punching(peer) && !dials.has(peer) && dials.late_to_punch(now).is_empty());
        assert_eq!(dials.late_to_punch(now + PUNCHING), [peer]);
        dials.connected(peer);
        assert!(!dials.is_punching(peer));
    }

    #[test]
    fn a_node_that_does_not_answer_is_dialed_where_a_search_finds_it() {
        let (peer, now, mut dials) = (PeerId::random(), Instant::now(), Dials::default());
        let [old, new] = ["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2"].map(|text| addresses(&[text]));
        dials.begin(peer, old.clone(), now);
        assert_eq!(dials.next_batch(peer, now), Some(old.clone()));
        dials.dialing(peer, ConnectionId::new_unchecked(1));
        assert!(!dials.is_late(peer, now + SEARCH_AFTER / 2) && dials.is_late(peer, now + SEARCH_AFTER));
        dials.found(peer, new.clone(), now);
        assert_eq!(dials.next_batch(peer, now + SEARCH_AFTER), None, "nothing was searched for");
        dials.await_search(peer);
        assert!(!dials.is_late(peer, now + SEARCH_AFTER));
        let both: Vec<Multiaddr> = [old, new.clone()].concat();
        dials.found(peer, both.clone(), now + SEARCH_AFTER);
        assert_eq!(dials.next_batch(peer, now + SEARCH_AFTER), Some(new));
        dials.found(peer, both, now + SEARCH_AFTER);
        assert_eq!(dials.next_batch(peer, now + 2 * SEARCH_AFTER), None, "each is dialed once");
    }

    #[test]
    fn an_attempt_continues_with_what_is_learned_while_it_fails() {
        let (peer, now, mut dials) = (PeerId::random(), Instant::now(), Dials::default());
        let [old, new] = ["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2"].map(|text| addresses(&[text]));
        dials.begin(peer, old.clone(), now);
        assert_eq!(dials.next_batch(peer, now), Some(old.clone()));
        dials.dialing(peer, ConnectionId::new_unchecked(1));
        assert!(dials.failed(peer, ConnectionId::new_unchecked(1), &DialError::Aborted, now));
        dials.learned(peer, [new.clone(), old].concat(), now);
        assert_eq!(dials.end_if_failed(peer, now), None);
        assert_eq!(dials.next_batch(peer, now), Some(new));
    }

    #[test]
    fn an_attempt_waits_for_names() {
        let (peer, now, mut dials) = (PeerId::random(), Instant::now(), Dials::default());
        dials.begin(peer, Vec::new(), now);
        dials.resolving(peer);
        assert_eq!(dials.end_if_failed(peer, now), None);
        let found = addresses(&["/ip4/127.0.0.1/tcp/1"]);
        dials.resolved(peer, Resolved { addresses: found.clone(), failures: vec!["no such name".to_owned()] });
        assert_eq!(dials.next_batch(peer, now), Some(found));
        assert_eq!(dials.end_if_failed(peer, now).expect("nothing is in progress").reason, "no such name");
        dials.resolved(peer, Resolved::default());
        assert!(!dials.has(peer), "late answers begin nothing");
    }

    #[test]
    fn a_node_without_addresses_fails_when_its_search_ends_at_the_latest() {
        let (peer, now, mut dials) = (PeerId::random(), Instant::now(), Dials::default());
        dials.begin_search(peer, now);
        assert_eq!(dials.end_if_failed(peer, now), None);
        dials.begin(peer, Vec::new(), now);
        let failed = dials.end_if_failed(peer, now).expect("no search is in progress any more");
        assert_eq!(failed.reason, "no address of it is known");
    }
}
