//! Validators die at any instant, one or several together: none equivocates, and each is back soon.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ostrakon_tests::{
    scenarios::{SeededRng, size},
    validators::Validators,
};

use crate::load::Load;

const ALL: [usize; 4] = [0, 1, 2, 3];
const PAYERS: usize = 3;
/// A validator that was killed takes part again within this.
const BACK: Duration = Duration::from_secs(10);

pub(crate) fn run(mut rng: SeededRng) -> Result<String> {
    let kills = size(500, 10);
    let mut network = Validators::start(4, PAYERS)?;
    let load = Load::start(&network, PAYERS)?;
    let (mut killed, mut slowest) = (0, Duration::ZERO);
    while killed < kills {
        rng.pause(700);
        let victims = victims(&mut rng);
        for victim in &victims {
            network.kill(*victim)?;
        }
        killed += victims.len();
        rng.pause(300);
        let since = Instant::now();
        for victim in &victims {
            network.revive(*victim)?;
        }
        // A block that nobody had, and everybody has: so all are back, and there is a quorum.
        network.advance(&ALL, BACK)?;
        slowest = slowest.max(since.elapsed());
    }
    let paid = load.end(&network)?;
    network.advance(&ALL, BACK)?;
    let history = network.audit(&ALL)?;
    paid.check(&history)?;
    for number in ALL {
        ensure!(network.heard(number).is_some(), "validator {number} never said anything");
    }
    let (blocks, heard) = (history.decided.len(), network.witness.statements());
    Ok(format!("{killed} kills, back after {slowest:.1?} at most, {blocks} blocks, {heard} statements, none twice"))
}

/// Mostly one, sometimes two, rarely all.
fn victims(rng: &mut SeededRng) -> Vec<usize> {
    let first = rng.index(4);
    match rng.below(8) {
        0 => ALL.to_vec(),
        1 | 2 => vec![first, (first + 1 + rng.index(3)) % 4],
        _ => vec![first],
    }
}
