//! What the ledger keeps for each commitment, and what the benchmarks found of applying transactions.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use ostrakon_benches::{
    beside,
    figures::{Figure, Sheet},
    float,
    live::{self, with_commitments},
    wanted::Wanted,
};
use ostrakon_proto::{codec, ledger::MemoryRecords, params::Code};
use serde::Deserialize;

/// Commitments that are counted.
const COUNT: u32 = 20_000;
/// Of the default class of a network of a dozen and more.
const CODE: Code = Code { k: 4, n: 12 };
/// Numbers of commitments that the benchmark has.
const LIVE: [&str; 2] = ["1000", "1000000"];

/// What criterion records.
#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

/// Counts, and reads.
pub(crate) fn measure(figures: &mut Vec<Figure>) -> Result<()> {
    let mut sheet = Sheet::new("any", figures);
    put_state(&mut sheet)?;
    for what in ["apply", "propose"] {
        let [few, many] = LIVE.map(|live| median_ns(what, live));
        let verb = if what == "apply" { "applying" } else { "proposing" };
        let name = format!("{verb} 4,000 transfers with 1,000,000 live commitments, time of that with 1,000");
        sheet.want(name, few.ok().zip(many.ok()).map(|(few, many)| many / few), Wanted::AtMost(1.3));
    }
    Ok(())
}

fn put_state(sheet: &mut Sheet<'_>) -> Result<()> {
    let state = MemoryRecords::new(&live::genesis(&[]).changes());
    let (mut records, mut nodes) = (0, 0);
    let changes = with_commitments(&state, 0..COUNT, CODE);
    for (key, record) in &changes.records {
        records += key.to_bytes().len() + record.as_ref().map_or(0, |record| codec::encode(record).len());
    }
    for (key, node) in &changes.tree.nodes {
        nodes += key.len() + node.len();
    }
    let each = |bytes: usize| Ok::<_, anyhow::Error>(float(bytes.try_into()?) / f64::from(COUNT));
    let code = format!("({}, {})", CODE.k, CODE.n);
    sheet.add(format!("records of a live commitment of code {code}, bytes"), each(records)?);
    sheet.add("of the state tree for it, bytes", each(nodes)?);
    Ok(())
}

/// What the benchmark of this name found last.
fn median_ns(what: &str, live: &str) -> Result<f64> {
    let target: PathBuf = beside()?.parent().context("the build's directory has one above it")?.into();
    let path = target.join(format!("criterion/ledger/{what}_txs=4000_commitments={live}/new/estimates.json"));
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(serde_json::from_str::<Estimates>(&text)?.median.point_estimate)
}
