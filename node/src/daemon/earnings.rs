//! `earnings`: what the node was paid, from a journal that the running node keeps; and the keeping of it.
//!
//! In comes the provider's record after each block; out goes a line for each epoch that it proved, with the sum of all
//! pay up to then as the ledger has it. So the lines and the ledger must agree to the last micro-obol, and what was
//! paid while no journal was kept shows as such.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, BufRead, BufReader, ErrorKind, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Args as ClapArgs, ValueEnum};
use ostrakon_net::Workers;
use ostrakon_node::chain::Chain;
use ostrakon_proto::{
    id::{Amount, Epoch, Height, NodeId},
    ledger::state::{Pay, Records},
};
use serde::{Deserialize, Serialize};

use super::{DataDir, say, status};

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;
/// Rows that are printed for people: the newest.
const ROWS: usize = 30;

/// Show what the node was paid.
#[derive(Debug, ClapArgs)]
pub(super) struct EarningsArgs {
    #[command(flatten)]
    data_dir: DataDir,
    /// What a row is
    #[arg(long, value_enum, default_value_t = By::Epoch)]
    by: By,
    /// Print all rows as comma-separated values
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Print one JSON object, with all rows
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    Epoch,
    Day,
}

/// A line of the journal: an epoch was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    epoch: Epoch,
    /// A block that has the proof, or a later one.
    height: Height,
    time_ms: u64,
    /// Price of the epoch, before fees.
    rate: Amount,
    /// What was paid since the line before, after fees.
    paid: Amount,
    /// What was paid in all, as the ledger has it.
    earned: Amount,
}

/// What is printed of an epoch, or of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Row {
    /// The epoch, or the last of the day.
    epoch: Epoch,
    /// When the day began, in milliseconds of Unix time, or when the proof was seen; none of what was not proven.
    time_ms: Option<u64>,
    /// Epochs that were proven.
    proven: u64,
    paid: Amount,
    /// Why there is no pay.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Earnings {
    /// In all, as the ledger has it.
    paid: Amount,
    /// Of that, what the rows do not have: paid while no journal was kept.
    before_journal: Amount,
    /// For the epoch in progress, if it is not paid yet, before fees.
    pending: Amount,
    rows: Vec<Row>,
}

fn path_of(dir: &Path) -> PathBuf {
    dir.join("earnings.jsonl")
}

/// Writes a line for each epoch that the node proves. Never returns.
pub(super) async fn keep(dir: &Path, (chain, node): (&Chain, NodeId), workers: &Workers) {
    let (path, mut heads, own) = (path_of(dir), chain.subscribe(), dir.to_owned());
    let known = workers.run(move || read(&own)).await.unwrap_or_default();
    let mut last = known.last().map_or(Amount::ZERO, |line| line.earned);
    loop {
        let head = heads.see();
        let pay = chain.read(move |records: &dyn Records| Some(records.provider(&node)?.audited.pay)).await;
        if let Some(Pay { rate, proofs, earned, .. }) = pay.filter(|pay| pay.earned > last) {
            let paid = earned.minus(last).expect("it is more");
            let (epoch, height, time_ms) = (proofs.newest, head.height, head.time_ms);
            last = earned;
            let (line, to) = (Line { epoch, height, time_ms, rate, paid, earned }, path.clone());
            if let Err(error) = workers.run(move || append(&to, &line)).await {
                tracing::warn!(path = %path.display(), %error, "cannot write the journal of earnings");
            }
        }
        heads.next().await;
    }
}

/// Appends a line, after the end of one that a crash cut off.
fn append(path: &Path, line: &Line) -> io::Result<()> {
    let line = format!("\n{}", serde_json::to_string(line)?);
    OpenOptions::new().create(true).append(true).open(path)?.write_all(line.as_bytes())
}

/// The journal; a line that was cut off by a crash is left out.
fn read(dir: &Path) -> io::Result<Vec<Line>> {
    let file = match fs::File::open(path_of(dir)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let lines = BufReader::new(file).lines().collect::<io::Result<Vec<String>>>()?;
    Ok(lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// Prints what the node of a directory was paid.
pub(super) fn print(args: &EarningsArgs) -> anyhow::Result<()> {
    let dir = &args.data_dir.dir;
    let pay = status::read(dir)?.pay();
    let lines = read(dir).with_context(|| path_of(dir).display().to_string())?;
    let known = lines.iter().fold(Amount::ZERO, |sum, line| sum.plus(line.paid).unwrap_or(sum));
    let paid = pay.earned.max(lines.last().map_or(Amount::ZERO, |line| line.earned));
    let earnings = Earnings {
        paid,
        before_journal: paid.minus(known).unwrap_or_default(),
        pending: pay.pending,
        rows: match args.by {
            By::Epoch => by_epoch(&lines),
            By::Day => by_day(&lines),
        },
    };
    match (args.json, args.csv) {
        (true, _) => say(&(serde_json::to_string(&earnings)? + "\n")),
        (_, true) => say(&as_csv(&earnings.rows)),
        _ => say(&as_text(&earnings)),
    }
}

/// A row for each epoch from the first line on, also of those that were not proven.
fn by_epoch(lines: &[Line]) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut next = lines.first().map_or(Epoch(0), |line| line.epoch);
    for line in lines {
        while next < line.epoch {
            rows.push(Row {
                epoch: next,
                time_ms: None,
                proven: 0,
                paid: Amount::ZERO,
                reason: Some("nothing proven"),
            });
            next = next.after(1);
        }
        rows.push(Row { epoch: line.epoch, time_ms: Some(line.time_ms), proven: 1, paid: line.paid, reason: None });
        next = line.epoch.after(1);
    }
    rows
}

/// A row for each day on which something was paid.
fn by_day(lines: &[Line]) -> Vec<Row> {
    let mut days: BTreeMap<u64, Row> = BTreeMap::new();
    for line in lines {
        let day = line.time_ms / DAY_MS * DAY_MS;
        let none = Row { epoch: line.epoch, time_ms: Some(day), proven: 0, paid: Amount::ZERO, reason: None };
        let row = days.entry(day).or_insert(none);
        row.epoch = line.epoch;
        row.proven += 1;
        row.paid = row.paid.plus(line.paid).unwrap_or(row.paid);
    }
    days.into_values().collect()
}

fn as_csv(rows: &[Row]) -> String {
    let row = |Row { epoch, time_ms, proven, paid, reason }: &Row| {
        let time_ms = time_ms.map(|ms| ms.to_string()).unwrap_or_default();
        format!("{epoch},{time_ms},{proven},{paid},{}\n", reason.unwrap_or_default())
    };
    std::iter::once("epoch,time_ms,proven,paid_obols,reason\n".to_owned()).chain(rows.iter().map(row)).collect()
}

fn as_text(Earnings { paid, before_journal, pending, rows }: &Earnings) -> String {
    let row = |Row { epoch, proven, paid, reason, .. }: &Row| match reason {
        Some(reason) => format!("epoch {epoch:<10} {reason}\n"),
        None if *proven > 1 => format!("epoch {epoch:<10} {paid} obols for {proven} epochs up to it\n"),
        None => format!("epoch {epoch:<10} {paid} obols\n"),
    };
    let sums = [("paid", paid), ("of it before", before_journal), ("this epoch", pending)];
    let sums = sums.map(|(name, amount)| format!("{name:<16} {amount} obols\n"));
    sums.into_iter().chain(rows.iter().skip(rows.len().saturating_sub(ROWS)).map(row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(epoch: u64, time_ms: u64, paid: u64, earned: u64) -> Line {
        let (epoch, rate) = (Epoch(epoch), Amount(paid));
        Line { epoch, height: Height(epoch.0), time_ms, rate, paid: Amount(paid), earned: Amount(earned) }
    }

    #[test]
    fn epochs_without_a_proof_have_a_row_and_a_reason() {
        let lines = [line(3, 5, 10, 10), line(5, DAY_MS - 1, 20, 30), line(6, DAY_MS, 1, 31)];
        let rows = by_epoch(&lines);
        let seen: Vec<_> = rows.iter().map(|row| (row.epoch.0, row.paid.0, row.reason)).collect();
        assert_eq!(seen, [(3, 10, None), (4, 0, Some("nothing proven")), (5, 20, None), (6, 1, None)]);
        let days: Vec<_> = by_day(&lines).iter().map(|row| (row.time_ms, row.proven, row.paid.0)).collect();
        assert_eq!(days, [(Some(0), 2, 30), (Some(DAY_MS), 1, 1)]);
        assert_eq!((by_epoch(&[]), by_day(&[])), (vec![], vec![]));
        assert_eq!(as_csv(&rows[1..2]), "epoch,time_ms,proven,paid_obols,reason\n4,,0,0,nothing proven\n");
    }

    #[test]
    fn a_line_that_was_cut_off_is_left_out() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(read(dir.path()).expect("there is none yet"), vec![]);
        append(&path_of(dir.path()), &line(3, 5, 10, 10)).expect("written");
        OpenOptions::new()
            .append(true)
            .open(path_of(dir.path()))
            .expect("it exists")
            .write_all(b"\n{\"epo")
            .expect("cut");
        append(&path_of(dir.path()), &line(4, 6, 10, 20)).expect("written");
        assert_eq!(read(dir.path()).expect("readable"), [line(3, 5, 10, 10), line(4, 6, 10, 20)]);
    }
}
