//! Long and narrow lines: blocks that take long to reach the others cost no rounds.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use ostrakon_net::{AskError, Peers, sim::SimConfig};
use ostrakon_proto::{
    id::NodeId,
    wire::{Frame, Protocol},
};
use tokio::time::{Instant, sleep_until};

use super::world::{World, seeds};

/// What a full block of 896 KiB takes at 100 Mbit/s.
const FULL_BLOCK: Duration = Duration::from_millis(72);
/// Heights after which every validator has measured every other one.
const MEASURED: usize = 16;

/// A node's line, on which one block after the other is sent.
struct Line {
    inner: Arc<dyn Peers>,
    /// How long one copy of a block takes.
    copy: Duration,
    free_at: Mutex<Option<Instant>>,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

impl Peers for Line {
    fn local(&self) -> NodeId {
        self.inner.local()
    }

    fn learn(&self, node: NodeId, addresses: &[String]) {
        self.inner.learn(node, addresses);
    }

    fn call(&self, to: NodeId, protocol: Protocol, request: Frame) -> BoxFuture<'static, Result<Frame, AskError>> {
        if protocol != Protocol::Consensus || request.body.is_empty() {
            return self.inner.call(to, protocol, request);
        }
        let inner = Arc::clone(&self.inner);
        let sent = {
            let mut free_at = self.free_at.lock().expect("no holder panics");
            let sent = free_at.map_or_else(Instant::now, |free| free.max(Instant::now())) + self.copy;
            *free_at = Some(sent);
            sent
        };
        async move {
            sleep_until(sent).await;
            inner.call(to, protocol, request).await
        }
        .boxed()
    }
}

/// Validators at a distance of 100 ms from each other, on whose lines a copy of a block takes so long.
fn far_apart(seed: u64, count: usize, copy: Duration) -> World {
    let latency = Duration::from_millis(100)..=Duration::from_millis(100);
    let mut world = World::new(seed, &vec![1; count], SimConfig { latency, ..SimConfig::default() });
    for machine in &mut world.machines {
        let line = move |inner| Arc::new(Line { inner, copy, free_at: Mutex::default() }) as Arc<dyn Peers>;
        machine.wrap = Some(Arc::new(line));
    }
    world.start_all();
    world
}

fn rounds(world: &World, from: usize) -> Vec<u32> {
    let certificates = world.machines[0].ledger.certificates();
    certificates.iter().skip(from).map(|certificate| certificate.round).collect()
}

#[test]
fn full_blocks_reach_four_validators_within_the_first_round() {
    seeds(0..2, async |seed| {
        let world = far_apart(seed, 4, FULL_BLOCK);
        world.reach(0..4, 60).await;
        world.check(0..4);
        let rounds = rounds(&world, 0);
        assert!(rounds.iter().all(|round| *round == 0), "{rounds:?}");
        let mut waits = world.machines[0].ledger.waits();
        waits.sort_unstable();
        assert!(waits[waits.len() * 95 / 100] <= Duration::from_secs(2), "{waits:?}");
    });
}

#[test]
fn validators_learn_how_long_blocks_take() {
    for (count, copy) in [(4, 5 * FULL_BLOCK), (10, 2 * FULL_BLOCK)] {
        seeds(0..2, async |seed| {
            let world = far_apart(seed, count, copy);
            world.reach(0..count, 80).await;
            world.check(0..count);
            let rounds = rounds(&world, MEASURED);
            assert!(rounds.iter().all(|round| *round == 0), "{count} validators: {rounds:?}");
        });
    }
}

#[test]
fn a_dead_proposer_costs_little_over_long_lines_too() {
    seeds(0..2, async |seed| {
        let mut world = far_apart(seed, 4, 5 * FULL_BLOCK);
        world.reach(0..4, 40).await;
        world.crash(2);
        let from = usize::try_from(world.height(0)).expect("few");
        world.reach([0, 1, 3], 120).await;
        world.check([0, 1, 3]);
        let waits = world.machines[0].ledger.waits();
        let slowest = waits[from - 1..].iter().max().expect("blocks");
        assert!(*slowest < Duration::from_secs(8), "{slowest:?}");
        let missed = rounds(&world, from).into_iter().filter(|round| *round > 0).count();
        assert!(missed <= 6, "{missed} of 80 turns missed");
    });
}
