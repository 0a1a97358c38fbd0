//! Which relays a node behind NAT listens through: two that it has met and that are members of the network, so that one
//! may fail.
//!
//! Pure state of the actor: in go nodes that relay, and which of them were listened through and no longer are; out
//! comes the next one to try. Not here: listening itself, which is libp2p's.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use libp2p::{Multiaddr, PeerId, core::transport::ListenerId, kad::KBucketKey};
use tokio::time::Instant;

use super::circuit;

/// Relays that a node listens through.
pub(super) const RELAYS: usize = 2;
/// Nodes that could relay and that are remembered: more than enough to choose from.
const KNOWN: usize = 64;
/// A relay that failed is not tried again before this has passed.
const BACKOFF: Duration = Duration::from_secs(30);
/// How often a relay may report the addresses through it, which are not believed, before it is left.
const REPORTS: u32 = 64;

/// A node that relays.
#[derive(Debug)]
struct Relay {
    /// Where it is, QUIC first.
    addresses: Vec<Multiaddr>,
    /// Listening through it, or trying to.
    listener: Option<ListenerId>,
    /// How often it has reported that it relays, since then.
    reports: u32,
    /// When it may be tried.
    from: Instant,
}

/// The relays of a node behind NAT.
#[derive(Debug)]
pub(super) struct Relays {
    local: KBucketKey<PeerId>,
    known: BTreeMap<PeerId, Relay>,
}

impl Relays {
    /// Of the node with this id, without relays.
    pub(super) fn new(local: PeerId) -> Self {
        Self { local: local.into(), known: BTreeMap::new() }
    }

    /// A connected node that relays is at these addresses. When there are too many, one that is not a member makes
    /// place.
    pub(super) fn met(
        &mut self,
        peer: PeerId,
        addresses: impl IntoIterator<Item = Multiaddr>,
        is_member: impl Fn(PeerId) -> bool,
        now: Instant,
    ) {
        let mut addresses: Vec<Multiaddr> = addresses.into_iter().collect();
        addresses.sort_by_key(|address| !circuit::is_quic(address));
        if addresses.is_empty() {
            return;
        }
        if let Some(known) = self.known.get_mut(&peer) {
            known.addresses = addresses;
            return;
        }
        if self.known.len() >= KNOWN {
            let stranger = |(peer, relay): &(&PeerId, &Relay)| relay.listener.is_none() && !is_member(**peer);
            let Some(stranger) = self.known.iter().find(stranger).map(|(peer, _)| *peer) else { return };
            self.known.remove(&stranger);
        }
        self.known.insert(peer, Relay { addresses, listener: None, reports: 0, from: now });
    }

    /// Where to listen next: the address through a relay for which `is_eligible`. Nothing when there are enough.
    pub(super) fn next(&self, is_eligible: impl Fn(PeerId) -> bool, now: Instant) -> Option<(PeerId, Multiaddr)> {
        if self.known.values().filter(|relay| relay.listener.is_some()).count() >= RELAYS {
            return None;
        }
        let free = self.known.iter().filter(|(_, relay)| relay.listener.is_none() && relay.from <= now);
        let eligible = free.filter(|(peer, _)| is_eligible(**peer));
        // Over TCP alone, no direct connection can be opened. By distance, so that not all nodes choose the same ones.
        let rank = |(peer, relay): &(&PeerId, &Relay)| {
            let distance = self.local.distance(&KBucketKey::from(**peer));
            (!relay.addresses.iter().any(circuit::is_quic), distance)
        };
        let (peer, relay) = eligible.min_by_key(rank)?;
        Some((*peer, circuit::through(*peer, relay.addresses.first()?)))
    }

    /// This is listening through the relay, or could not even begin.
    pub(super) fn listens(&mut self, peer: PeerId, listener: Option<ListenerId>, now: Instant) {
        if let Some(relay) = self.known.get_mut(&peer) {
            (relay.listener, relay.reports, relay.from) = (listener, 0, now + BACKOFF);
        }
    }

    /// The relay of this listener reports that it relays; false when it does too often, and must be left.
    pub(super) fn confirmed(&mut self, listener: ListenerId) -> bool {
        let relay = self.known.values_mut().find(|relay| relay.listener == Some(listener));
        relay.is_none_or(|relay| {
            relay.reports = relay.reports.saturating_add(1);
            relay.reports <= REPORTS
        })
    }

    /// The addresses at which the node is reached through the relays that have reported that they relay: where the
    /// relays are known to be, whatever they report.
    pub(super) fn addresses(&self) -> BTreeSet<Multiaddr> {
        let confirmed = self.known.iter().filter(|(_, relay)| relay.listener.is_some() && relay.reports > 0);
        confirmed
            .flat_map(|(peer, relay)| relay.addresses.iter().map(|address| circuit::through(*peer, address)))
            .collect()
    }

    /// A listener has ended; true when it was one of these.
    pub(super) fn ended(&mut self, listener: ListenerId, now: Instant) -> bool {
        let ended = self.known.values_mut().find(|relay| relay.listener == Some(listener));
        ended.map(|relay| (relay.listener, relay.reports, relay.from) = (None, 0, now + BACKOFF)).is_some()
    }

    /// The relays that are listened through, each with its address over QUIC.
    pub(super) fn over_quic(&self) -> impl Iterator<Item = (PeerId, Multiaddr)> {
        let used = self.known.iter().filter(|(_, relay)| relay.listener.is_some());
        used.filter_map(|(peer, relay)| {
            Some((*peer, relay.addresses.first().filter(|at| circuit::is_quic(at))?.clone()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn two_relays_are_used_and_one_that_failed_rests() {
        let (now, mut relays) = (Instant::now(), Relays::new(PeerId::random()));
        let at = |text: &str| text.parse::<Multiaddr>().expect("an address");
        let (tcp, quic) = (at("/ip4/192.0.2.1/tcp/1"), at("/ip4/192.0.2.1/udp/1/quic-v1"));
        let peers: Vec<PeerId> = (0..3).map(|_| PeerId::random()).collect();
        peers.iter().for_each(|peer| relays.met(*peer, [tcp.clone(), quic.clone()], |_| true, now));
        relays.met(PeerId::random(), [], |_| true, now);
        relays.met(peers[0], [], |_| true, now);
        assert_eq!(relays.next(|_| false, now), None, "none is a member");
        let mut used = Vec::new();
        while let Some((peer, address)) = relays.next(|_| true, now) {
            assert_eq!(address, circuit::through(peer, &quic), "QUIC comes first");
            let listener = ListenerId::next();
            relays.listens(peer, Some(listener), now);
            used.push((peer, listener));
        }
        assert_eq!((used.len(), relays.over_quic().count(), relays.addresses().len()), (RELAYS, RELAYS, 0));
        assert!(relays.confirmed(used[0].1));
        let through = [&quic, &tcp].map(|at| circuit::through(used[0].0, at));
        assert_eq!(relays.addresses(), through.into(), "of the one that relays");
        assert!((1..REPORTS).all(|_| relays.confirmed(used[0].1)) && !relays.confirmed(used[0].1), "too often");
        assert!(relays.ended(used[0].1, now) && !relays.ended(used[0].1, now));
        let (third, _) = relays.next(|_| true, now).expect("another one");
        assert!(used.iter().all(|(peer, _)| *peer != third));
        relays.listens(third, None, now);
        assert_eq!(relays.next(|_| true, now), None);
        assert!(relays.next(|_| true, now + BACKOFF).is_some());
    }

    #[test]
    fn strangers_make_place_for_members() {
        let (now, mut relays) = (Instant::now(), Relays::new(PeerId::random()));
        let at: Multiaddr = "/ip4/192.0.2.1/tcp/1".parse().expect("an address");
        let member = PeerId::random();
        (0..KNOWN).for_each(|_| relays.met(PeerId::random(), [at.clone()], |_| false, now));
        relays.met(member, [at.clone()], |peer| peer == member, now);
        assert_eq!(relays.next(|peer| peer == member, now), Some((member, circuit::through(member, &at))));
        (0..2 * KNOWN).for_each(|_| relays.met(PeerId::random(), [at.clone()], |peer| peer == member, now));
        assert!(relays.known.len() == KNOWN && relays.known.contains_key(&member));
    }
}
