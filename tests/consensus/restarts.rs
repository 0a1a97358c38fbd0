//! One validator of four is killed and restarted, then the next, under load: one history, nothing lost, nothing twice.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use ostrakon_tests::{scenarios::size, validators::Validators};

use crate::load::Load;

const ALL: [usize; 4] = [0, 1, 2, 3];
const PAYERS: usize = 6;

pub(crate) fn run() -> Result<String> {
    // Five minutes, and every five seconds another.
    let (rounds, half) = size((60, Duration::from_millis(2_500)), (4, Duration::from_millis(1_500)));
    let mut network = Validators::start(4, PAYERS)?;
    let load = Load::start(&network, PAYERS)?;
    for round in 0..rounds {
        let victim = round % 4;
        network.kill(victim)?;
        thread::sleep(half);
        let began = Instant::now();
        network.revive(victim)?;
        let top = network.top(&ALL);
        network.reach(&[victim], top, Duration::from_secs(10))?;
        thread::sleep(half.saturating_sub(began.elapsed()));
    }
    let before = load.count();
    ensure!(before > rounds, "only {before} payments in {rounds} rounds: the chain hardly moved");
    let paid = load.end(&network)?;
    network.advance(&ALL, Duration::from_secs(10))?;
    network.reach(&ALL, network.top(&ALL), Duration::from_secs(10))?;
    let history = network.audit(&ALL)?;
    paid.check(&history)?;
    let least = history.heights.iter().min().copied().unwrap_or(0);
    let last = paid.acknowledged.iter().map(|included| included.height.0).max().unwrap_or(0);
    ensure!(least >= last, "a node at height {least} has not what was acknowledged at {last}");
    let (blocks, kept) = (history.decided.len(), paid.acknowledged.len());
    let rounds_over = history.decided.iter().filter(|decided| decided.certificate.round > 0).count();
    Ok(format!(
        "{rounds} kills, {blocks} blocks ({rounds_over} after their first round), {kept} payments acknowledged and \
         each applied once, {} open, {} statements heard",
        paid.failed,
        network.witness.statements()
    ))
}
