//! The tables of a simulation, and what of them is not as it should be.

use std::fmt::Write;

use super::{
    Simulation,
    caught::Caught,
    measure::{Earnings, Nines, RunResult},
};

/// By how much traffic may differ from what is expected.
const TRAFFIC_WITHIN: f64 = 0.20;
/// Nines by which durability may differ, where a run resolves it.
const NINES_WITHIN: f64 = 1.0;
/// By how much the epochs until a provider is caught may differ.
const CAUGHT_WITHIN: f64 = 0.15;

/// What the columns of the first table are.
const LEGEND: &str = "
nines: minus the logarithm of losses in an object-year; > where none was lost, and what 95 of 100 such runs would show
expected nines: of a Markov chain, whose repairs take an exponential time, to that of repairs that all take their mean
traffic: columns moved for repairs in a year, in multiples of the stored user bytes; expected of the failures that there
         were, in the first time of objects that begin whole; and in the long run; both without outages
fewest: columns that any object came down to, of those needed; exposed: how often one more domain would have lost one

";

/// All tables.
pub fn tables(simulation: &Simulation) -> String {
    let mut text = durability(&simulation.runs);
    text += &money(&simulation.market);
    text += &caught(&simulation.caught);
    text += &refused(simulation);
    text
}

/// Actions that the ledger refused, so that nobody takes a simulator's error for a result.
fn refused(simulation: &Simulation) -> String {
    let runs = simulation.runs.iter().chain([&simulation.market]);
    let all = runs.map(|run| (run, run.refused.values().sum::<u64>())).filter(|(_, count)| *count > 0);
    let line = |(run, count): (&RunResult, u64)| {
        let most = run.refused.iter().max_by_key(|(_, count)| **count).map_or("", |(error, _)| error);
        format!(
            "\n{} {}: {count} of the actions in {} blocks were refused, such as: {most}",
            run.setting.name, run.setting.code, run.blocks
        )
    };
    all.map(line).collect::<String>() + "\n"
}

fn durability(runs: &[RunResult]) -> String {
    let head = [
        "run",
        "code",
        "nodes",
        "domains",
        "years",
        "object-years",
        "failures",
        "disasters",
        "lost",
        "nines",
        "expected",
        "traffic",
        "expected",
        "long run",
        "fewest",
        "exposed",
    ];
    let row = |run: &RunResult| {
        let (exposure, census) = (run.exposure(), &run.census);
        let (expected, fixed) = (exposure.expected(), exposure.nines_of_fixed_repair());
        vec![
            run.setting.name.to_owned(),
            run.setting.code.to_string(),
            run.setting.nodes().to_string(),
            run.setting.domains.to_string(),
            format!("{:.1}", run.years()),
            format!("{:.0}", run.object_years()),
            run.fates.failures.to_string(),
            run.fates.disasters.to_string(),
            census.lost.to_string(),
            run.nines().to_string(),
            format!("{:.1}-{fixed:.1}", expected.nines),
            format!("{:.1}", run.traffic()),
            format!("{:.1}", run.expected_traffic()),
            format!("{:.1}", expected.traffic),
            format!("{}/{}", census.fewest, run.setting.code.k),
            census.exposed.to_string(),
        ]
    };
    let mut text = "Durability and repair traffic\n\n".to_owned();
    text += &aligned(&head, runs.iter().map(row).collect());
    text += LEGEND;
    text
}

fn money(run: &RunResult) -> String {
    let head = ["strategy", "nodes", "stored of offered", "paid", "slashed", "bounties - fees", "cost", "profit"];
    let row = |earnings: &Earnings| {
        let crew = run.setting.crews.iter().find(|crew| crew.strategy == earnings.strategy);
        let mut cells = vec![
            earnings.strategy.name(),
            crew.map_or(0, |crew| crew.seats).to_string(),
            format!("{:.0} %", earnings.kept as f64 / earnings.offered.max(1) as f64 * 100.0),
        ];
        cells.extend(earnings.by_column().map(|obols| format!("{obols:.4}")));
        cells
    };
    let mut text = format!(
        "Who earned what: obols in a year for each GiB offered, {} on {} nodes, {:.1} years\n\n",
        run.setting.code,
        run.setting.nodes(),
        run.years()
    );
    text += &aligned(&head, run.earnings.iter().map(row).collect());
    text += "\ncost: half of its price for each GiB that is really stored, and 5 % a year of the bond\n\n";
    text
}

fn caught(all: &[Caught]) -> String {
    let head = ["dropped", "trials", "epochs until caught", "expected"];
    let row = |caught: &Caught| {
        vec![
            format!("{} %", caught.percent),
            caught.trials.to_string(),
            format!("{:.2}", caught.mean),
            format!("{:.2}", caught.expected()),
        ]
    };
    let mut text = "Who silently drops columns is caught\n\n".to_owned();
    text += &aligned(&head, all.iter().map(row).collect());
    text
}

/// What is not as it should be.
pub fn findings(simulation: &Simulation) -> Vec<String> {
    let mut found: Vec<String> = simulation.runs.iter().flat_map(of_run).collect();
    let honest = simulation.market.earnings[0].profit();
    for earnings in &simulation.market.earnings[1..] {
        let (name, profit) = (earnings.strategy.name(), earnings.profit());
        if profit >= honest {
            found.push(format!("{name} earns {profit:.4}, honest storage {honest:.4}"));
        }
    }
    for caught in &simulation.caught {
        let (mean, expected) = (caught.mean, caught.expected());
        if (mean / expected - 1.0).abs() > CAUGHT_WITHIN {
            found.push(format!("{} % dropped: caught after {mean:.2} epochs, expected {expected:.2}", caught.percent));
        }
    }
    found
}

fn of_run(run: &RunResult) -> Vec<String> {
    let mut found = Vec::new();
    let (name, code) = (run.setting.name, run.setting.code);
    let (expected, fixed) = (run.exposure().expected(), run.exposure().nines_of_fixed_repair());
    match run.nines() {
        Nines::Resolved(nines) if nines < expected.nines - NINES_WITHIN || nines > fixed + NINES_WITHIN => {
            found.push(format!("{name} {code}: {nines:.1} nines, expected {:.1} to {fixed:.1}", expected.nines));
        }
        Nines::Resolved(_) | Nines::AtLeast(_) => {}
    }
    if run.census.lost_in_disasters > 0 {
        found.push(format!("{name} {code}: {} objects are lost with a domain", run.census.lost_in_disasters));
    }
    if run.is_usual() && run.census.exposed > 0 {
        found.push(format!("{name} {code}: {} times the loss of a domain would have lost one", run.census.exposed));
    }
    let ratio = run.traffic() / run.expected_traffic();
    // Outages cause repairs that the theory does not have.
    if run.is_usual() && run.setting.weather.outages.is_none() && (ratio - 1.0).abs() > TRAFFIC_WITHIN {
        found.push(format!("{name} {code}: traffic is {ratio:.2} of what is expected"));
    }
    found
}

/// Columns as wide as their widest cell; the first to the left, the others to the right.
fn aligned(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let all: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |at: usize| all.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..all[0].len()).map(width).collect();
    let mut text = String::new();
    for row in &all {
        let mut line = format!("{:<1$}", row[0], widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            write!(line, "  {cell:>width$}").expect("a string takes all");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}
