//! Two of four validators are cut off by their lines and come back: no block meanwhile, and blocks again within 5 s.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{
    cluster::{Binaries, until},
    distant::{Network, Places},
    router::Link,
    scenarios::size,
};

/// Blocks again after the lines are back, at most.
const BACK: Duration = Duration::from_secs(5);

pub(crate) fn run() -> Result<String> {
    let silence = size(Duration::from_secs(40), Duration::from_secs(5));
    let link = Link { delay: Duration::from_millis(25), rate_bits: 100_000_000, ..Link::default() };
    let binaries = Binaries::find()?;
    let run = (binaries.node.as_path(), binaries.directory()?);
    let network = Network::start(run, (Places::new(77, 4)?, 4), &[], link)?;
    let top = network.top();
    network.reach(top + 3, Duration::from_secs(20))?;
    for cut in [2, 3] {
        network.router.set(&network.places[cut], Link { is_up: false, ..link });
    }
    // A block may have been decided already. That none follows shows in nothing but time.
    thread::sleep(Duration::from_secs(1));
    let before = network.height(0).max(network.height(1)).unwrap_or(0);
    thread::sleep(silence);
    let after = network.height(0).max(network.height(1)).unwrap_or(0);
    ensure!(after <= before + 1, "two of four went from height {before} to {after}");
    for cut in [2, 3] {
        network.router.set(&network.places[cut], link);
    }
    let since = Instant::now();
    // By one that was never cut off: the others may have to fetch the block first.
    until("blocks again", 6 * BACK, || Ok(network.height(0) > Some(after))).with_context(|| network.last_words())?;
    let back = since.elapsed();
    ensure!(back <= BACK, "blocks again only {:.1} s after the lines were back", back.as_secs_f64());
    network.reach(after + 1, 6 * BACK)?;
    Ok(format!("{} s without two of four; blocks again after {:.1} s", silence.as_secs(), back.as_secs_f64()))
}
