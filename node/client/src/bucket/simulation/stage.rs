//! What all that happens in one seed shares: the network, the history, and what every object's bytes are.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use ostrakon_net::sim::SimConfig;
use tokio::time::{Instant, sleep};

use super::{history::History, process::Process};
use crate::fake::World;

/// The bucket of every seed.
pub(super) const BUCKET: &str = "bucket";

/// Random choices that follow from a seed: SplitMix64.
#[derive(Clone, Debug)]
pub(super) struct SeededRng(pub(super) u64);

impl SeededRng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(super) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub(super) fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let len = u64::try_from(all.len()).expect("a length");
        &all[usize::try_from(self.below(len)).expect("an index")]
    }

    pub(super) async fn pause(&mut self, ms_below: u64) {
        sleep(Duration::from_millis(self.below(ms_below))).await;
    }
}

/// What may happen in a seed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) writers: usize,
    /// Operations of each writer.
    pub(super) ops: u64,
    /// Batches before anything goes wrong.
    pub(super) batches: u64,
    pub(super) crashes: bool,
    /// Messages are lost.
    pub(super) losses: bool,
    /// Nodes lack the newest blocks for a time, and blocks come late.
    pub(super) lags: bool,
    /// At times too few validators respond.
    pub(super) halts: bool,
    /// One node, always the same, does what it likes; another does not respond for a time.
    pub(super) liar: bool,
    /// Bodies of more than a MiB, and of several parts.
    pub(super) large: bool,
}

impl Plan {
    pub(super) fn of(seed: u64, chance: &mut SeededRng) -> Self {
        let writers = if chance.one_in(3) { 1 } else { 2 };
        let batches = if chance.one_in(12) { 52 + chance.below(6) } else { 0 };
        let liar = chance.one_in(2);
        Self {
            seed,
            writers,
            ops: 12 + chance.below(if writers == 1 { 24 } else { 14 }),
            batches,
            crashes: !chance.one_in(3),
            losses: chance.one_in(3),
            lags: chance.one_in(2),
            halts: !liar && chance.one_in(2),
            liar,
            large: chance.one_in(10),
        }
    }
}

/// One seed.
pub(super) struct Stage {
    pub(super) plan: Plan,
    pub(super) world: World,
    pub(super) history: RefCell<History>,
    /// Bytes by their entity tag; of parts too.
    pub(super) bodies: RefCell<BTreeMap<String, Bytes>>,
    /// What must not be.
    pub(super) wrong: RefCell<Vec<String>>,
    /// Processes so far.
    count: Cell<u64>,
    began: Instant,
}

impl Stage {
    /// Five nodes, of which four vote: two of four columns restore an object.
    pub(super) fn new(plan: Plan) -> Self {
        let give_up = Duration::from_secs(1);
        let world = World::council(5, 4, (SimConfig { give_up, ..SimConfig::default() }, plan.seed));
        let (history, bodies, wrong, count) = Default::default();
        Self { plan, world, history, bodies, wrong, count, began: Instant::now() }
    }

    /// A new process, which dies after so many steps.
    pub(super) fn process(&self, steps: u64) -> Rc<Process> {
        self.count.set(self.count.get() + 1);
        Rc::new(Process::start(&self.world, (self.plan.seed, self.count.get()), steps))
    }

    pub(super) fn processes(&self) -> u64 {
        self.count.get()
    }

    pub(super) fn fail(&self, what: impl Into<String>) {
        self.wrong.borrow_mut().push(what.into());
    }

    /// The clients' clock follows the virtual time.
    pub(super) fn set_clock(&self) {
        self.world.set_clock(u64::try_from(self.began.elapsed().as_millis()).expect("days"));
    }
}
