//! Simulated worlds: 40 nodes each, everything breaks, nothing that was promised is lost. In councils four validators
//! agree on the blocks, while they die, are cut off, disagree on the time, and one of them censors. In `domains` whole
//! domains are lost, in `time` epochs are hurried and halted.
//!
//! `OSTRAKON_SEEDS=1000` lives through that many worlds, of which `OSTRAKON_PART=1/4` runs every fourth;
//! `OSTRAKON_SEED=7` lives through that one. A failure names its seed.

#![expect(clippy::print_stdout, reason = "what was lived through is worth a line")]

mod domains;
mod time;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use ostrakon_tests::{
    scenarios::Part,
    sim::{Failure, Report, live, world::Scale},
};

/// Worlds of a run that is not asked for more.
const SEEDS: u64 = 12;
/// Councils of such a run.
const COUNCILS: u64 = 16;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// Runs `life` on virtual time.
fn simulate<T>(life: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().expect("a runtime without threads or sockets").block_on(life)
}

/// Lives through the worlds of the first so many seeds, of which this part runs its own, on all processors.
fn live_all(count: u64, scale: Scale) -> Result<Vec<Report>, Box<Failure>> {
    let (next, part) = (AtomicU64::new(0), Part::chosen());
    let is_ours = |seed: &u64| part.has(usize::try_from(*seed).expect("few seeds"));
    let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let lives = || {
        let mine = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < count));
        mine.filter(is_ours).map(|seed| live(seed, scale)).collect::<Result<Vec<_>, _>>()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..processors).map(|_| scope.spawn(lives)).collect();
        let reports = threads.into_iter().map(|thread| thread.join().expect("a judge does not panic"));
        reports.collect::<Result<Vec<_>, _>>().map(|reports| reports.concat())
    })
}

#[test]
fn nothing_promised_is_lost_in_any_world() {
    live_in(Scale::default(), SEEDS, "worlds");
}

#[test]
fn validators_agree_in_any_council() {
    live_in(Scale::council(), COUNCILS, "councils");
}

fn live_in(scale: Scale, count: u64, what: &str) {
    let count = number("OSTRAKON_SEEDS").unwrap_or(count);
    let reports = live_all(count, scale).unwrap_or_else(|failure| panic!("{failure}"));
    let sum = |of: fn(&Report) -> usize| reports.iter().map(of).sum::<usize>();
    let (kept, failed, reads) = (sum(|r| r.acknowledged), sum(|r| r.failed_adds), sum(|r| r.reads));
    println!(
        "{} {what}: {kept} objects acknowledged and kept, {failed} adds failed, {reads} reads while broken",
        reports.len()
    );
    // Worlds in which nothing works would hold every rule.
    assert!(kept * 2 > failed, "most adds failed: the worlds are too broken to say anything");
    assert!(kept > reports.len(), "hardly anything was stored");
}

/// A world in which two objects share a column, one of whose holders was wiped; a council in which a block came while
/// it was looked whether all have the last; one of whose validators died before it had ever voted; and one with a
/// holder that stored a column and lost its receipt.
#[test]
fn what_went_wrong_once_goes_well() {
    let councils = [335, 389, 670].map(|seed| (seed, Scale::council()));
    for (seed, scale) in [(502, Scale::default())].into_iter().chain(councils) {
        live(seed, scale).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[test]
fn one_world() {
    let seed = number("OSTRAKON_SEED").unwrap_or(1);
    let report = live(seed, Scale::default()).unwrap_or_else(|failure| panic!("{failure}"));
    println!("seed {seed}: {report:?}");
}

#[test]
fn one_council() {
    let seed = number("OSTRAKON_SEED").unwrap_or(1);
    let report = live(seed, Scale::council()).unwrap_or_else(|failure| panic!("{failure}"));
    println!("seed {seed}: {report:?}");
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let seed = number("OSTRAKON_SEED").unwrap_or(2);
    let [first, second] = [(); 2].map(|()| live(seed, Scale::default()).unwrap_or_else(|failure| panic!("{failure}")));
    assert_eq!(first, second, "two runs of seed {seed} differ");
    let other = live(seed + 1, Scale::default()).unwrap_or_else(|failure| panic!("{failure}"));
    assert_ne!(first.trace, other.trace, "another seed gives the same world");
}
