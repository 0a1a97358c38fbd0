//! Everything together, at random: loss, delay, partitions, deaths in the middle of a write, and one who lies. Each
//! seed is a world of its own.
//!
//! `OSTRAKON_SEEDS=1000` lives through that many worlds, `OSTRAKON_SEED=7` through that one.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ostrakon_net::sim::{LinkConditions, SimConfig};
use ostrakon_proto::{codec, id::BlockId, limits};

use super::{
    byzantine::{self, LIES},
    crashes::{Dying, SeededRng},
    fake::FakeBlock,
    world::{World, seeds},
};
use crate::chain::order::Equivocation;

/// Worlds of a run that is not asked for more.
const SEEDS: u64 = 24;
/// Things that happen in one world.
const STEPS: u64 = 20;
/// Powers of the validators of a world. The one that lies is the first, which has less than a third.
const SETS: [&[u64]; 5] = [&[1, 1, 1, 1], &[1; 7], &[2, 3, 1, 1, 1], &[3, 3, 2, 2], &[1, 1, 1, 1, 1]];
const LIAR: usize = 0;

/// A world in which everything may happen.
struct Storm {
    world: World,
    chance: SeededRng,
    disks: Vec<Arc<Dying>>,
    lies: bool,
}

impl Storm {
    fn new(seed: u64) -> Self {
        let mut chance = SeededRng(seed);
        let powers = SETS[chance.index(SETS.len())];
        let loss_per_mille = [0, 0, 20, 100][chance.index(4)];
        let latency = Duration::from_millis(1)..=Duration::from_millis([20, 20, 150][chance.index(3)]);
        let mut world = World::new(seed, powers, SimConfig { latency, loss_per_mille, ..SimConfig::default() });
        let disks: Vec<Arc<Dying>> = powers.iter().map(|_| Arc::default()).collect();
        for (machine, disk) in world.machines.iter_mut().zip(&disks) {
            (machine.wal, machine.signatures) = Dying::halves(disk);
        }
        let lies = chance.below(3) > 0;
        if lies {
            match chance.index(LIES.len() + 1).checked_sub(1) {
                Some(lie) => byzantine::corrupt(&mut world, LIAR, LIES[lie]),
                None => world.machines[LIAR].ledger.builds_invalid.store(true, Ordering::Relaxed),
            }
        }
        tracing::info!(?powers, loss_per_mille, lies, "a storm begins");
        Self { world, chance, disks, lies }
    }

    fn honest(&self) -> impl Iterator<Item = usize> + Clone {
        usize::from(self.lies)..self.disks.len()
    }

    async fn suffer(&mut self) {
        self.world.start_all();
        for _ in 0..STEPS {
            tokio::time::sleep(Duration::from_millis(self.chance.below(1_500))).await;
            self.step();
            self.bury();
        }
    }

    fn step(&mut self) {
        let (one, two) = (self.chance.index(self.disks.len()), self.chance.index(self.disks.len()));
        let nodes: Vec<_> = self.world.machines.iter().map(|machine| machine.node).collect();
        let what = self.chance.below(10);
        tracing::info!(what, one, two, "something happens");
        match what {
            0 => {
                *self.disks[one].fuse.lock().expect("no holder panics") =
                    Some((self.chance.below(8), self.chance.below(1_001)))
            }
            1 => self.world.crash(one),
            2 | 3 => self.restart(one),
            4 => (0..self.disks.len()).for_each(|number| self.restart(number)),
            5 => {
                let group = nodes.iter().copied().filter(|_| self.chance.below(2) == 0).collect();
                self.world.net.partition(&[group]);
            }
            6 => self.world.net.block(nodes[one], nodes[two]),
            7 => {
                let latency = Duration::from_millis(100)..=Duration::from_secs(1);
                let loss_per_mille = u16::try_from(self.chance.below(500)).expect("small");
                self.world.net.set_link(nodes[one], nodes[two], Some(LinkConditions { latency, loss_per_mille }));
            }
            8 => self.world.machines[one].ledger.set_work(self.chance.below(2) == 0),
            _ => self.world.net.heal(),
        }
    }

    fn restart(&mut self, number: usize) {
        self.world.crash(number);
        *self.disks[number].fuse.lock().expect("no holder panics") = None;
        self.world.start(number);
    }

    /// A process whose order has ended is gone.
    fn bury(&mut self) {
        for number in 0..self.disks.len() {
            if !self.world.machines[number].runs() {
                self.world.crash(number);
            }
        }
    }

    /// All is healed, and the dead come back: blocks must come.
    async fn recover(&mut self) {
        self.world.net.heal();
        let nodes: Vec<_> = self.world.machines.iter().map(|machine| machine.node).collect();
        for (from, to) in nodes.iter().flat_map(|from| nodes.iter().map(move |to| (*from, *to))) {
            self.world.net.set_link(from, to, None);
        }
        for number in 0..self.disks.len() {
            *self.disks[number].fuse.lock().expect("no holder panics") = None;
            self.world.machines[number].ledger.set_work(true);
            if !self.world.machines[number].runs() {
                self.restart(number);
            }
        }
        let height = self.honest().map(|number| self.world.height(number)).max().expect("some are honest");
        self.world.reach(self.honest(), height + 5).await;
    }

    fn judge(&self) {
        self.world.check(self.honest());
        for number in self.honest() {
            self.blocks_are_valid(number);
            self.nobody_is_slandered(number);
        }
    }

    /// Each block is one that the rules allow above the one before.
    fn blocks_are_valid(&self, number: usize) {
        let (ledger, set) = (&self.world.machines[number].ledger, &self.world.network.set);
        let mut parent = BlockId::new([0; 32]);
        for (bytes, certificate) in ledger.decided_blocks() {
            let block: FakeBlock = codec::decode(&bytes, limits::CONSENSUS_BODY).expect("canonical");
            assert!(block.is_valid && block.parent == parent && block.height == certificate.height, "{block:?}");
            assert!(block.round <= certificate.round && set.power(&block.proposer).is_some(), "{block:?}");
            certificate.verify(set, &self.world.network.chain).expect("decided");
            parent = certificate.block;
        }
    }

    fn nobody_is_slandered(&self, number: usize) {
        let liar = self.world.machines[LIAR].voter();
        for evidence in self.world.machines[number].ledger.evidence() {
            let accused = match evidence {
                Equivocation::Votes(a, _) => a.voter,
                Equivocation::Proposals(a, _) => a.proposer,
            };
            assert!(self.lies && accused == liar, "{evidence:?}");
        }
    }
}

#[test]
fn no_storm_divides_or_stops_the_honest() {
    // With a log of one world that went wrong.
    if std::env::var_os("OSTRAKON_LOG").is_some() {
        let level = tracing::Level::DEBUG;
        tracing_subscriber::fmt().with_max_level(level).without_time().with_ansi(false).init();
    }
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let only = number("OSTRAKON_SEED").map(|seed| seed..seed + 1);
    let range = only.unwrap_or(0..number("OSTRAKON_SEEDS").unwrap_or(SEEDS));
    let heights = std::sync::Mutex::new(BTreeMap::new());
    seeds(range.clone(), async |seed| {
        let mut storm = Storm::new(seed);
        storm.suffer().await;
        let before = storm.honest().map(|number| storm.world.height(number)).max().expect("some are honest");
        heights.lock().expect("no holder panics").insert(seed, before);
        storm.recover().await;
        storm.judge();
    });
    let heights = heights.into_inner().expect("no holder panics");
    let decided: u64 = heights.values().sum();
    let worlds = range.end - range.start;
    assert!(worlds == 1 || decided > 5 * worlds, "the storms let hardly anything happen: {heights:?}");
}
