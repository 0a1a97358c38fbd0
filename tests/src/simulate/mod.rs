//! Thousands of nodes over simulated years, on the real ledger: real draws, commits, challenges, proofs, repairs, pay
//! and slashes. What `make simulate` prints.
//!
//! [`setting`] is what a run is of, [`nodes`] fail and come back, [`strategies`] are how operators cheat, [`repairers`]
//! rebuild, [`chain`] makes the blocks, and [`world`] puts an epoch together. Out come tables ([`table`]) and a plot
//! ([`plot`]), beside what theory ([`model`]) expects. Not here: bytes on disks and networks, which `sim` and the
//! clusters have; a column here is 64 bytes, all of it real.

pub mod answers;
pub mod caught;
pub mod chain;
pub mod dice;
pub mod measure;
pub mod model;
pub mod nodes;
pub mod plot;
pub mod repairers;
pub mod setting;
mod storing;
pub mod strategies;
pub mod table;
mod upkeep;
pub mod world;

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::{Context, Result};

use self::{
    caught::Caught,
    measure::RunResult,
    setting::{Crew, Outages, Setting, Weather},
    strategies::Strategy,
};

/// Trials of each share of dropped columns.
const TRIALS: usize = 300;

/// What a simulation came to.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// Runs about durability.
    pub runs: Vec<RunResult>,
    /// The run about money: honest operators first.
    pub market: RunResult,
    /// How soon those who drop columns are caught.
    pub caught: Vec<Caught>,
}

/// How large a simulation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thoroughness {
    /// Seconds: what the suite runs.
    Quick,
    /// Minutes.
    Full,
}

/// Runs all of it, on all processors; `told` gets the name of each run that is done.
///
/// # Errors
/// When the ledger breaks one of its own rules.
pub fn simulate(seed: u64, effort: Thoroughness, told: impl Fn(&str) + Sync) -> Result<Simulation> {
    let mut settings = durability(seed, effort);
    settings.push(market(seed, effort));
    let results = run_all(settings, told)?;
    let (market, runs) = results.split_last().context("there is the market at least")?;
    let caught = [5, 50].into_iter().map(|percent| caught::catch(percent, TRIALS)).collect::<Result<_>>()?;
    Ok(Simulation { runs: runs.to_vec(), market: market.clone(), caught })
}

/// Runs settings on as many threads as there are processors; the results are in their order.
fn run_all(settings: Vec<Setting>, told: impl Fn(&str) + Sync) -> Result<Vec<RunResult>> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((number, setting)) = {
            let number = next.fetch_add(1, Ordering::Relaxed);
            settings.get(number).map(|setting| (number, setting))
        } {
            let result = world::run(setting.clone());
            told(&format!("{} {}", setting.code, setting.name));
            done.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
        }
    };
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| (0..threads).for_each(|_| _ = scope.spawn(work)));
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

/// A node that fails once a year and is replaced in a week.
const CALM: Weather = Weather { mttf_days: 365.25, replaced_days: 7.0, outages: None, disasters: 0.03, rot: 0.0 };
/// The same with outages, rot, and ten times as many disasters.
const ROUGH: Weather =
    Weather { outages: Some(Outages { uptime: 0.97, hours: 8.0 }), disasters: 0.3, rot: 0.005, ..CALM };
/// Columns that a node moves in six hours with 100 Mbit/s.
const BANDWIDTH: u64 = 250;

/// A run with honest operators alone.
fn honest(name: &'static str, code: &str, (nodes, domains): (usize, usize), weather: Weather) -> Setting {
    Setting {
        name,
        seed: 0,
        code: code.parse().expect("a code of the table"),
        domains,
        objects: 1_000,
        days: 365,
        weather,
        bandwidth: BANDWIDTH,
        crews: vec![Crew { strategy: Strategy::Honest, seats: nodes, capacity: 1_000 }],
    }
}

fn durability(seed: u64, effort: Thoroughness) -> Vec<Setting> {
    let sizes = [("4/12", (64, 16)), ("6/12", (64, 16)), ("8/24", (96, 16)), ("16/32", (96, 16)), ("20/50", (200, 20))];
    let of = |name, weather| sizes.map(|(code, size)| honest(name, code, size, weather));
    let stress = |days| Weather { mttf_days: days, replaced_days: 0.5, disasters: 0.0, ..CALM };
    let mut settings = match effort {
        Thoroughness::Quick => {
            let short = |setting: Setting| Setting { objects: 60, days: 60, ..setting };
            vec![short(honest("rough", "4/12", (64, 16), ROUGH))]
        }
        Thoroughness::Full => {
            let large = honest("large", "20/50", (2_400, 40), CALM);
            let small = Setting { objects: 2_000, ..honest("stress", "4/6", (64, 16), stress(122.0)) };
            let larger = Setting { days: 182, ..honest("stress", "4/12", (64, 16), stress(10.0)) };
            // The one that takes longest first.
            let large = [Setting { objects: 2_000, ..large }];
            [&large[..], &of("calm", CALM), &of("rough", ROUGH), &[small, larger]].concat()
        }
    };
    for (setting, number) in settings.iter_mut().zip(0..) {
        setting.seed = seed + number;
    }
    settings
}

/// Honest operators, and those who are paid for less, on one ledger.
fn market(seed: u64, effort: Thoroughness) -> Setting {
    let crew = |strategy, seats, capacity| Crew { strategy, seats, capacity };
    let (nodes, objects, days) = if effort == Thoroughness::Quick { (30, 1_000, 60) } else { (60, 1_700, 365) };
    Setting {
        name: "market",
        seed: seed + 1_000,
        objects,
        days,
        crews: vec![
            crew(Strategy::Honest, nodes, 400),
            crew(Strategy::Late, 5, 400),
            crew(Strategy::Lazy, 5, 400),
            crew(Strategy::Dropper(5), 5, 400),
            crew(Strategy::Dropper(50), 5, 400),
            crew(Strategy::Sybil, 40, 40),
        ],
        ..honest("", "4/12", (0, 24), Weather { mttf_days: 3.0 * 365.25, disasters: 0.0, ..ROUGH })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_simulation_is_as_it_should_be() {
        let simulation = simulate(1, Thoroughness::Quick, |_| {}).expect("the ledger keeps its rules");
        assert_eq!(table::findings(&simulation), Vec::<String>::new(), "{}", table::tables(&simulation));
        assert!(plot::plot(&simulation).ends_with("</svg>\n"));
    }

    #[test]
    fn a_seed_is_a_run() {
        let run = || {
            let setting = Setting { days: 10, objects: 20, seed: 5, ..honest("", "4/12", (32, 16), ROUGH) };
            let result = world::run(setting).expect("the ledger keeps its rules");
            format!("{:?}", (result.census, result.earnings))
        };
        assert_eq!(run(), run());
    }
}
