//! `earnings`: what the node was paid, from a journal that the running node keeps; and the keeping of it.
//!
//! In comes the provider's record after each block; out goes a line for each epoch that it proved, with the sum of all
//! pay up to then as the ledger has it. So the lines and the ledger must agree to the last micro-obol, and what was
//! paid while no journal was kept shows as such. What each column is paid now comes from the ledger itself, which is
//! read beside the running node. How it is printed is in [`rows`].

use std::{
    fs::{self, OpenOptions},
    io::{self, BufRead, BufReader, ErrorKind, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Args as ClapArgs, ValueEnum};
use ostrakon_net::Workers;
use ostrakon_node::chain::{
    Chain,
    rocks::{beside::Stored, restore::LedgerDirs},
};
use ostrakon_proto::{
    id::{Amount, Epoch, Height, NodeId},
    ledger::state::{Pay, Records},
};
use serde::{Deserialize, Serialize};

use super::{DataDir, say, status};

mod rows;

use rows::{Earnings, Rows, Sums, by_commitment, by_day, by_epoch};

/// Show what the node was paid.
#[derive(Debug, ClapArgs)]
pub(super) struct EarningsArgs {
    #[command(flatten)]
    data_dir: DataDir,
    /// Group the rows by epoch or day, or list the columns stored now by commitment
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
    /// A column that the node stores now, with the commitment that pays for it
    Commitment,
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
    let status = status::read(dir)?;
    let pay = status.pay();
    let lines = read(dir).with_context(|| path_of(dir).display().to_string())?;
    let known = lines.iter().fold(Amount::ZERO, |sum, line| sum.plus(line.paid).unwrap_or(sum));
    let paid = pay.earned.max(lines.last().map_or(Amount::ZERO, |line| line.earned));
    let before_journal = paid.minus(known).unwrap_or_default();
    let mut sums = Sums { paid, before_journal, pending: pay.pending, expected: pay.rate };
    let rows = match args.by {
        By::Epoch => Rows::Epochs(by_epoch(&lines, status.faults())),
        By::Day => Rows::Days(by_day(&lines)),
        By::Commitment => {
            let (chain, node) = (LedgerDirs::new(dir).chain(), status.node());
            let stored = Stored::read(&chain, node)?;
            // All of it is of the block that the slots are read after.
            if let Some(stored) = &stored {
                let pay = stored.provider.audited.pay;
                sums = Sums { paid: pay.earned, expected: pay.rate, ..sums };
            }
            Rows::Slots(stored.as_ref().map(by_commitment).unwrap_or_default())
        }
    };
    match (args.json, args.csv) {
        (true, _) => say(&(serde_json::to_string(&Earnings { sums, rows })? + "\n")),
        (_, true) => say(&rows.as_csv()),
        _ => say(&Earnings { sums, rows }.as_text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(epoch: u64, time_ms: u64, paid: u64, earned: u64) -> Line {
        let (epoch, rate) = (Epoch(epoch), Amount(paid));
        Line { epoch, height: Height(epoch.0), time_ms, rate, paid: Amount(paid), earned: Amount(earned) }
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
