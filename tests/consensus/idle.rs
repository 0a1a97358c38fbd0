//! What four validators cost while nothing happens, and how long the others wait for one that is dead.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{proc, scenarios::size, validators::Validators};

const ALL: [usize; 4] = [0, 1, 2, 3];
/// Resident memory that a validator may take.
const MEMORY: u64 = 150 << 20;
/// Time between two blocks while one of four is dead.
const WAIT_MS: u64 = 1_500;

pub(crate) fn run() -> Result<String> {
    let mut network = Validators::start(4, 1)?;
    let (cost, blocks) = cost(&network, size(Duration::from_secs(60), Duration::from_secs(5)))?;
    let memory = proc::peak_bytes(network.pid(0).context("it runs")?).context("it has memory")?;
    ensure!(memory < MEMORY, "an idle validator takes {} MiB", memory >> 20);
    let (slowest, late) = with_one_dead(&mut network, size(120, 30))?;
    Ok(format!(
        "{:.2} % of a core and {} MiB each at {blocks:.1} blocks a second; with one dead {slowest} ms between two \
         blocks at most, {late} over {WAIT_MS} ms",
        cost * 100.0,
        memory >> 20
    ))
}

/// Share of a core that one validator takes, and blocks in each second.
fn cost(network: &Validators, time: Duration) -> Result<(f64, f64)> {
    let ticks = || ALL.iter().map(|number| ticks_of(network.pid(*number).context("it runs")?)).sum::<Result<u64>>();
    let (since, height, before) = (Instant::now(), network.top(&ALL), ticks()?);
    // What is measured is time.
    thread::sleep(time);
    let (after, blocks) = (ticks()?, network.top(&ALL) - height);
    let seconds = since.elapsed().as_secs_f64();
    let used = proc::seconds(after - before) / 4.0;
    Ok((used / seconds, f64::from(u32::try_from(blocks)?) / seconds))
}

/// Processor time that a process has taken.
fn ticks_of(pid: u32) -> Result<u64> {
    proc::ticks(pid).map(|ticks| ticks.own).context("it runs")
}

/// The longest time between two blocks after one died, in milliseconds, and how many were longer than they may be.
fn with_one_dead(network: &mut Validators, heights: u64) -> Result<(u64, usize)> {
    let (rest, from) = ([0, 1, 2], network.top(&ALL));
    network.kill(3)?;
    network.reach(&rest, from + heights, Duration::from_secs(300))?;
    let history = network.audit(&rest)?;
    let times: Vec<u64> = history.decided.iter().map(|decided| decided.block.header.time_ms).collect();
    let waits = times.windows(2).skip(usize::try_from(from)?).map(|pair| pair[1] - pair[0]);
    let waits: Vec<u64> = waits.collect();
    let late = waits.iter().filter(|wait| **wait > WAIT_MS).count();
    Ok((waits.iter().max().copied().unwrap_or(0), late))
}
