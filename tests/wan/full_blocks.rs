//! Four validators at 200 ms from each other and back, with 100 Mbit/s each, and full blocks: how long a block takes,
//! and whether one round is enough for each.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use ostrakon_proto::{codec, ledger::tx::DecidedBlock, limits, sign::Keypair};
use ostrakon_tests::{
    cluster::Binaries,
    distant::{Network, Places, key},
    router::Link,
};

use crate::load;

/// Each of two lines between two places: 200 ms there and back.
const LINK: Link = Link {
    delay: Duration::from_millis(50),
    jitter: Duration::ZERO,
    loss_ppm: 0,
    rate_bits: 100_000_000,
    queue_bytes: 4 << 20,
    is_up: true,
};
/// Heights that are measured, after the load has begun.
const HEIGHTS: u64 = 200;
/// What 95 of 100 blocks take at most.
const P95_MS: u64 = 2_000;
/// Accounts of the load.
const ACCOUNTS: u16 = 800;

pub(crate) fn run(seed: u64) -> Result<String> {
    let account = |number: u16| {
        let [high, low] = number.to_be_bytes();
        key(&format!("account {seed} {high}"), low)
    };
    let accounts: Vec<Keypair> = (0..ACCOUNTS).map(account).collect();
    let binaries = Binaries::find()?;
    let run = (binaries.node.as_path(), binaries.directory()?);
    let network = Network::start(run, (Places::new(77, 4)?, 4), &accounts, LINK)?;
    let stop = Arc::new(AtomicBool::new(false));
    let whom = (Arc::clone(&network.peers), network.genesis.id());
    let loading = network.runtime.spawn(load::run(whom, network.nodes.clone(), accounts, Arc::clone(&stop)));
    let first = network.top() + 10;
    network.reach(first + HEIGHTS, Duration::from_secs(1_200))?;
    stop.store(true, Ordering::Relaxed);
    let sent = network.runtime.block_on(loading).context("the load never panics")??;
    let blocks = network.blocks(first, first + HEIGHTS)?;
    let (p50, p95, longest) = times(&blocks);
    let late: Vec<u64> =
        blocks.iter().filter(|one| one.certificate.round > 0).map(|one| one.certificate.height.0).collect();
    let sizes: Vec<usize> = blocks.iter().map(|one| codec::encode(&one.block.txs).len()).collect();
    let full = sizes.iter().filter(|size| **size > limits::BLOCK * 9 / 10).count();
    let said = format!(
        "{HEIGHTS} blocks, {full} of them full: p50 {p50} ms, p95 {p95} ms, longest {longest} ms; {} in a later round; \
         {sent} transactions sent; {} packets dropped",
        late.len(),
        network.router.dropped()
    );
    ensure!(full * 10 >= blocks.len() * 9, "fewer than 9 of 10 blocks were full: {said}");
    ensure!(p95 <= P95_MS, "p95 is over {P95_MS} ms: {said}");
    ensure!(late.is_empty(), "heights {late:?} were decided in a later round: {said}");
    Ok(said)
}

/// Median, 95th percentile and maximum of the time between two blocks, in milliseconds.
fn times(blocks: &[DecidedBlock]) -> (u64, u64, u64) {
    let time = |one: &DecidedBlock| one.block.header.time_ms;
    let mut all: Vec<u64> = blocks.windows(2).map(|pair| time(&pair[1]) - time(&pair[0])).collect();
    all.sort_unstable();
    let at =
        |percent: usize| all.get((all.len() * percent / 100).min(all.len().saturating_sub(1))).copied().unwrap_or(0);
    (at(50), at(95), at(100))
}
