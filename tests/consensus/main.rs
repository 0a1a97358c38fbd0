//! Whether consensus holds on real processes that die: validators under load, killed one after the other, two at once,
//! at any instant, copied and taken back in time. A witness hears all they say; afterwards all blocks are compared and
//! executed again.
//!
//! Each scenario has a network of its own, and they run one at a time. `OSTRAKON_LONG=1` runs them at full size,
//! `OSTRAKON_SEED=..` repeats a choice of victims that went wrong.

#![expect(clippy::print_stdout, reason = "what was tried is worth a line")]

mod copies;
mod halves;
mod idle;
mod kills;
mod load;
mod partition;
mod restarts;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use anyhow::Result;
use ostrakon_tests::cluster::is_long;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// The machine belongs to one scenario at a time: what they measure is time.
static MACHINE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs one scenario, which says what it tried.
fn scenario(name: &str, run: impl FnOnce() -> Result<String>) {
    let _alone = alone();
    let since = std::time::Instant::now();
    match run() {
        Ok(tried) => println!("{name} ({:.1} s): {tried}", since.elapsed().as_secs_f32()),
        Err(error) => panic!("{name}: {error:#}\nagain: OSTRAKON_SEED={} with the same size", seed()),
    }
}

fn seed() -> u64 {
    std::env::var("OSTRAKON_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Chance that follows from the seed.
struct Chance(ChaCha8Rng);

impl Chance {
    fn new() -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed()))
    }

    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0.next_u64() % end
    }

    /// One of so many validators.
    fn victim(&mut self, count: usize) -> usize {
        usize::try_from(self.below(count as u64)).expect("less than a length")
    }

    /// The instants of the kills are the random input of a scenario; nothing waits for anything here.
    fn pause(&mut self, ms_below: u64) {
        thread::sleep(Duration::from_millis(self.below(ms_below)));
    }
}

/// A size: full, or a slice of it.
fn size<T>(long: T, short: T) -> T {
    if is_long() { long } else { short }
}

#[test]
fn one_after_the_other_is_killed_under_load() {
    scenario("restarts", restarts::run);
}

#[test]
fn two_of_four_decide_nothing() {
    scenario("halves", halves::run);
}

#[test]
fn two_halves_decide_nothing() {
    scenario("partition", partition::run);
}

#[test]
fn nobody_contradicts_itself_at_whatever_instant_it_dies() {
    scenario("kills", kills::run);
}

#[test]
fn a_copy_and_an_old_image_contradict_nothing() {
    scenario("copies", copies::run);
}

#[test]
fn validators_cost_little_when_nothing_happens() {
    scenario("idle", idle::run);
}
