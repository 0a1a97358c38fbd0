//! Moves packets between the places of a router: from a TUN device through two links to another, in order of time.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use tappers::Tun;
use tokio::{
    io::unix::AsyncFd,
    sync::mpsc,
    time::{self, Instant},
};

use super::{
    MTU,
    line::{LineState, Link},
    nat::{Kind, Nat},
    packet::{self, End},
};

/// Packets that were read and are not scheduled yet.
pub(super) const READ: usize = 4_096;

/// All ports of a router.
#[derive(Debug, Default)]
pub(super) struct Plumbing {
    pub(super) ports: Vec<Port>,
    pub(super) dropped: u64,
}

/// Where one place is joined: its device, and its link in both directions.
pub(super) struct Port {
    tun: Arc<AsyncFd<Tun>>,
    addresses: [IpAddr; 2],
    nat: Option<Nat>,
    link: Link,
    outward: LineState,
    inward: LineState,
    record: Option<Vec<Passed>>,
}

/// A packet that a place sent or was handed, and that was no mere acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// When.
    pub at: Instant,
    /// Whether the place sent it.
    pub sent: bool,
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port").field("addresses", &self.addresses).field("link", &self.link).finish_non_exhaustive()
    }
}

/// A packet that left a place.
pub(super) type FromSite = (usize, Vec<u8>);

/// A packet on its way, and what happens to it then. Those of one moment keep the order in which they came.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Scheduled {
    at: Instant,
    number: u64,
    to: usize,
    /// Whether it has passed the first of its two links only.
    is_half_way: bool,
    packet: Vec<u8>,
}

impl Port {
    /// The port of the place at these addresses, behind a NAT when it has another one of IPv4 inside.
    pub(super) fn new(
        tun: Arc<AsyncFd<Tun>>,
        (address, address_v6): (Ipv4Addr, Ipv6Addr),
        inner: Ipv4Addr,
        line: LineState,
    ) -> Self {
        let nat = (inner != address).then(|| Nat::new(Kind::PortRestricted, address, inner));
        let addresses = [address.into(), address_v6.into()];
        Self { tun, addresses, nat, link: Link::default(), outward: line.clone(), inward: line, record: None }
    }

    pub(super) fn set(&mut self, link: Link) {
        self.link = link;
    }

    /// Replaces its NAT, if it has one: what the old one knew is forgotten.
    pub(super) fn translate(&mut self, kind: Kind) {
        self.nat = self.nat.take().map(|nat| nat.changed(kind));
    }

    /// Has its NAT forward an outer TCP port to an inner one, or no longer.
    pub(super) fn forward(&mut self, outer: u16, inner: Option<u16>) {
        self.nat.iter_mut().for_each(|nat| nat.forward(outer, inner));
    }

    /// How many outer ports its NAT forwards.
    pub(super) fn forwarded(&self) -> usize {
        self.nat.as_ref().map_or(0, Nat::forwarded)
    }

    /// What passed since this was last called; from now on, packets are recorded.
    pub(super) fn record(&mut self) -> Vec<Passed> {
        self.record.replace(Vec::new()).unwrap_or_default()
    }

    fn note(&mut self, packet: &[u8], at: Instant, sent: bool) {
        if let Some(record) = &mut self.record
            && packet::carries(packet)
        {
            record.push(Passed { at, sent });
        }
    }
}

impl Plumbing {
    /// A packet leaves the place `from`: rewritten if it must be, with whose it is and when it is half-way.
    fn leave(&mut self, from: usize, packet: &mut [u8], now: Instant) -> Option<(usize, Instant)> {
        let port = &mut self.ports[from];
        port.note(packet, now, true);
        if port.nat.as_mut().is_some_and(|nat| !nat.outward(packet)) {
            return None;
        }
        let half_way = port.outward.pass(&port.link, packet.len(), now)?;
        let to = packet::address(packet, End::Destination)?;
        let to = self.ports.iter().position(|port| port.addresses.contains(&to))?;
        Some((to, half_way))
    }

    /// A packet that is half-way to the place `to`: when it arrives.
    fn arrive(&mut self, to: usize, packet: &mut [u8], now: Instant) -> Option<Instant> {
        let port = &mut self.ports[to];
        let arrives = port.inward.pass(&port.link, packet.len(), now)?;
        port.nat.as_ref().is_none_or(|nat| nat.inward(packet)).then_some(arrives)
    }
}

/// Reads the packets of one place, until its device is gone.
pub(super) async fn read(tun: Arc<AsyncFd<Tun>>, from: usize, packets: mpsc::Sender<FromSite>) {
    let mut buffer = vec![0; MTU + 100];
    loop {
        let Ok(mut ready) = tun.readable().await else { return };
        let packet = match ready.try_io(|tun| tun.get_ref().recv(&mut buffer)) {
            Ok(Ok(len)) => buffer[..len].to_vec(),
            // A device that is not up yet.
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(Err(_)) => return,
            Err(_would_block) => continue,
        };
        // What IPv6 announces on every new device is meant for no place, and is no loss.
        let is_for_one = packet::address(&packet, End::Destination).is_some_and(|to| !to.is_multicast());
        if is_for_one && packets.send((from, packet)).await.is_err() {
            return;
        }
    }
}

/// Takes packets through both links, each when it is time, until all who read are gone.
pub(super) async fn pump(plumbing: Arc<Mutex<Plumbing>>, mut packets: mpsc::Receiver<FromSite>) {
    let (mut scheduled, mut number) = (BinaryHeap::<Reverse<Scheduled>>::new(), 0);
    loop {
        let due = scheduled.peek().map(|Reverse(next)| next.at);
        let arrived = tokio::select! {
            biased;
            () = time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => None,
            arrived = packets.recv() => match arrived {
                Some(arrived) => Some(arrived),
                None => return,
            },
        };
        let mut joined = plumbing.lock().unwrap_or_else(PoisonError::into_inner);
        let next = match arrived {
            Some((from, mut packet)) => {
                let left = joined.leave(from, &mut packet, Instant::now());
                left.map(|(to, at)| Scheduled { at, number, to, is_half_way: true, packet })
            }
            None => {
                let Some(Reverse(now)) = scheduled.pop() else { continue };
                if !now.is_half_way {
                    let port = &mut joined.ports[now.to];
                    port.note(&now.packet, Instant::now(), false);
                    // A device whose queue is full loses it, as a host that is too slow does.
                    let _lost = port.tun.get_ref().send(&now.packet);
                    continue;
                }
                let Scheduled { at, to, mut packet, .. } = now;
                let arrives = joined.arrive(to, &mut packet, at);
                arrives.map(|at| Scheduled { at, number, to, is_half_way: false, packet })
            }
        };
        number += 1;
        joined.dropped += u64::from(next.is_none());
        scheduled.extend(next.map(Reverse));
    }
}
