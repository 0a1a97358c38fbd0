//! Two of four are dead, or do not answer: no block; they are back: blocks again, soon.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use ostrakon_tests::{scenarios::size, validators::Validators};

const ALL: [usize; 4] = [0, 1, 2, 3];

pub(crate) fn run() -> Result<String> {
    let (times, silence) = size((6, Duration::from_secs(20)), (2, Duration::from_secs(3)));
    let mut network = Validators::start(4, 1)?;
    let mut slowest = Duration::ZERO;
    for round in 0..times {
        let dead = [round % 4, (round + 1 + round / 4) % 4];
        let alive: Vec<usize> = ALL.into_iter().filter(|number| !dead.contains(number)).collect();
        let dies = round % 2 == 0;
        for number in dead {
            if dies { network.kill(number)? } else { network.pause(number)? }
        }
        let before = network.top(&alive);
        // That nothing happens shows in nothing but time.
        thread::sleep(silence);
        let after = network.top(&alive);
        ensure!(after <= before + 1, "two of four went from height {before} to {after}");
        let since = Instant::now();
        for number in dead {
            if dies { network.revive(number)? } else { network.resume(number)? }
        }
        network.reach(&ALL, after + 1, Duration::from_secs(10))?;
        slowest = slowest.max(since.elapsed());
    }
    let history = network.audit(&ALL)?;
    let blocks = history.decided.len();
    Ok(format!(
        "{times} times two of four were dead or paused; blocks again after {slowest:.1?} at most; {blocks} blocks"
    ))
}
