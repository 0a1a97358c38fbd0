//! What goes wrong on the network of a seed, one after the other and several at the same time. No more goes wrong than
//! what a bucket promises to bear: of the five nodes one may lie and lose what it has, one more may not respond, and
//! any may lack the newest blocks.

use std::time::Duration;

use ostrakon_net::sim::LinkConditions;
use ostrakon_proto::id::NodeId;

use super::stage::{SeededRng, Stage};
use crate::fake::Fault;

/// Messages of a thousand that are lost, while some are.
const LOST_PER_MILLE: u16 = 60;

/// Makes trouble until it is dropped.
pub(super) struct Trouble<'a> {
    stage: &'a Stage,
    chance: SeededRng,
    /// The node that does what it likes.
    liar: NodeId,
}

impl<'a> Trouble<'a> {
    pub(super) fn new(stage: &'a Stage, mut chance: SeededRng) -> Self {
        let liar = *chance.of(&stage.world.nodes);
        Self { stage, chance, liar }
    }

    /// Never ends.
    pub(super) async fn make(mut self) {
        loop {
            self.chance.pause(400).await;
            self.stage.set_clock();
            let plan = self.stage.plan;
            match self.chance.below(10) {
                0 | 1 if plan.lags => self.lag(),
                2 if plan.lags => {
                    let is_slow = self.chance.one_in(2);
                    self.stage.world.slow_down(is_slow);
                }
                3 if plan.losses => self.lose(),
                4 if plan.liar => self.lie(),
                5 if plan.liar => {
                    let other = *self.chance.of(&self.stage.world.nodes);
                    self.others().for_each(|node| self.stage.world.heal_one(node));
                    if other != self.liar && self.chance.one_in(2) {
                        self.stage.world.fault(other, Fault::Silent);
                    }
                }
                6 | 7 => self.stage.world.make_blocks(),
                8 | 9 if plan.halts => self.halt(),
                _ => {}
            }
        }
    }

    fn others(&self) -> impl Iterator<Item = NodeId> {
        self.stage.world.nodes.iter().copied().filter(|node| *node != self.liar)
    }

    /// Some nodes receive no blocks any more, and the others those that they lack.
    fn lag(&mut self) {
        let lagging = self.chance.below(4);
        self.stage.world.nodes.iter().for_each(|node| self.stage.world.catch_up(*node));
        for _ in 0..lagging {
            self.stage.world.hold_back(*self.chance.of(&self.stage.world.nodes));
        }
    }

    /// So many validators do not respond that nothing can be decided, or all do again.
    fn halt(&mut self) {
        let world = &self.stage.world;
        world.heal();
        if self.chance.one_in(2) {
            let first = usize::try_from(self.chance.below(3)).expect("few");
            world.nodes[first..first + 2].iter().for_each(|node| world.fault(*node, Fault::Silent));
        }
    }

    /// Messages are lost, or all answers to one process, or none any more.
    fn lose(&mut self) {
        let world = &self.stage.world;
        world.network.heal();
        if self.chance.one_in(3) {
            let process = super::process::name(1 + self.chance.below(self.stage.processes()));
            world.nodes.iter().for_each(|node| world.network.block(*node, process));
        }
        let loss_per_mille = *self.chance.of(&[0, LOST_PER_MILLE]);
        for process in 1..=self.stage.processes() {
            let process = super::process::name(process);
            for node in &self.stage.world.nodes {
                let latency = Duration::from_millis(1)..=Duration::from_millis(20);
                let link = LinkConditions { latency, loss_per_mille };
                self.stage.world.network.set_link(process, *node, Some(link.clone()));
                self.stage.world.network.set_link(*node, process, Some(link));
            }
        }
    }

    fn lie(&mut self) {
        let lies = ostrakon_lies::all();
        let fault = match self.chance.below(9) {
            0 => Fault::Full,
            1 => Fault::Behind,
            2 => Fault::StallsAfter(self.chance.below(3)),
            3 => Fault::Silent,
            4 => Fault::Corrupt,
            5 => Fault::KeepsReceipts,
            6 => Fault::Forgets,
            _ => Fault::Lies(*self.chance.of(&lies)),
        };
        match self.chance.one_in(4) {
            true => self.stage.world.heal_one(self.liar),
            false => self.stage.world.fault(self.liar, fault),
        }
    }
}

/// All is well again; what the liar lost is lost.
pub(super) fn end(stage: &Stage) {
    let world = &stage.world;
    world.heal();
    world.network.heal();
    world.nodes.iter().for_each(|node| world.catch_up(*node));
    world.slow_down(false);
    for process in 1..=stage.processes() {
        let process = super::process::name(process);
        for node in &world.nodes {
            world.network.set_link(process, *node, None);
            world.network.set_link(*node, process, None);
        }
    }
}
