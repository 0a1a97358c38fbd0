//! The client dies at random moments of an add, and the same command is run again: one object, paid once, and next to
//! nothing sent twice.

use std::{
    ffi::OsStr,
    fs,
    path::Path,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{
    cluster::{Added, Outcome, is_long, until},
    content,
    scenarios::Stage,
};
use serde::Deserialize;

const BYTES: u64 = 48 << 20;
const CHUNK: u64 = 256 * 1024;
/// Epochs that an add pays for.
const EPOCHS: u64 = 720;
const PATIENCE: Duration = Duration::from_secs(120);

/// What `wallet balance` prints.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Balance {
    micro: u64,
    nonce: u64,
}

/// What `add` prints of what it took.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Traffic {
    sent_bytes: u64,
    held_bytes: u64,
    resumed: bool,
}

/// What `ls` prints.
#[derive(Debug, Deserialize)]
struct Listing {
    objects: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    cid: String,
}

/// What a node writes of itself.
#[derive(Debug, Deserialize)]
struct NodeStatus {
    updated_ms: u64,
    repeated_bytes: u64,
}

/// The result of all kills.
#[derive(Default)]
struct Tally {
    before_a_byte: usize,
    resumed: usize,
    was_done: usize,
    held: u64,
    sent: u64,
}

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let file = stage.cluster.files.join("resumed");
    content::write_file(&file, 400, BYTES)?;
    let before = balance(stage)?;
    let whole = stage.cluster.run(&add(&file))?;
    let (stored, price) = (whole.json::<Added>()?.stored_bytes, before.micro - balance(stage)?.micro);
    let (mut rng, mut tally) = (stage.rng(), Tally::default());
    let repeated = repeated_bytes(stage)?;
    let kills = if is_long() { 50 } else { 4 };
    for seed in 0..kills {
        let hash = content::write_file(&file, 401 + seed, BYTES)?;
        let before = balance(stage)?;
        let limit = usize::try_from(whole.took.as_millis()).context("an add is short")?;
        let killed = killed_after(stage, rng.index(limit + limit / 10))?;
        let printed = killed.stdout.ends_with(b"\n");
        // Once it was printed and its journal is gone, the command had ended: the same again is another add.
        let outcome = match printed && !has_journal(stage) {
            true => killed,
            false => stage.cluster.run(&add(&file))?,
        };
        let parse = || format!("unexpected JSON of {outcome}");
        let added: Added = serde_json::from_slice(&outcome.stdout).with_context(parse)?;
        let traffic: Traffic = serde_json::from_slice(&outcome.stdout).with_context(parse)?;
        stage.cluster.expect_read(&added.link, &hash)?;
        let after = balance(stage)?;
        ensure!(after.nonce == before.nonce + 1, "{} transactions for one add", after.nonce - before.nonce);
        // An epoch may turn between the look at the ledger and the block.
        let paid = before.micro - after.micro;
        ensure!(paid.abs_diff(price) <= price / EPOCHS, "{paid} paid instead of {price}");
        let entries = stage.cluster.run(&["ls"])?.json::<Listing>()?.objects;
        let times = entries.iter().filter(|entry| entry.cid == added.cid).count();
        ensure!(times == 1, "{} is in the list {times} times", added.cid);
        ensure!(
            traffic.sent_bytes + traffic.held_bytes >= stored || traffic.sent_bytes == 0,
            "{traffic:?} of {stored}"
        );
        tally.count(traffic);
    }
    fs::remove_file(&file)?;
    let repeated = repeated_bytes(stage)? - repeated;
    ensure!(repeated <= kills * 12 * CHUNK, "{repeated} bytes came twice, for {kills} kills");
    let Tally { before_a_byte, resumed, was_done, held, sent } = tally;
    Ok(format!(
        "{kills} kills of an add of {} MiB: {before_a_byte} before a byte was sent, {resumed} resumed, {was_done} were \
         all there; each paid once. {} MiB were kept, {} MiB sent afterwards, and {repeated} bytes came twice",
        BYTES >> 20,
        held >> 20,
        sent >> 20
    ))
}

/// An add of all columns: what one without a holder locks for its repair would make another price.
fn add(file: &Path) -> [&OsStr; 3] {
    ["add".as_ref(), "--all".as_ref(), file.as_os_str()]
}

/// Begins the add, and kills it after so many milliseconds: the random input of this scenario.
fn killed_after(stage: &Stage, ms: usize) -> Result<Outcome> {
    let mut client = stage.cluster.begin(&add(&stage.cluster.files.join("resumed")))?;
    thread::sleep(Duration::from_millis(ms.try_into().unwrap_or(0)));
    client.kill();
    client.wait(PATIENCE)
}

fn has_journal(stage: &Stage) -> bool {
    let is_journal = |entry: fs::DirEntry| entry.path().extension().is_some_and(|suffix| suffix == "journal");
    let entries = fs::read_dir(stage.cluster.profile().join("adds"));
    entries.is_ok_and(|entries| entries.flatten().any(is_journal))
}

impl Tally {
    fn count(&mut self, traffic: Traffic) {
        match traffic {
            Traffic { resumed: false, .. } => self.before_a_byte += 1,
            Traffic { sent_bytes: 0, .. } => self.was_done += 1,
            _ => self.resumed += 1,
        }
        if traffic.resumed {
            self.held += traffic.held_bytes;
            self.sent += traffic.sent_bytes;
        }
    }
}

fn balance(stage: &Stage) -> Result<Balance> {
    stage.cluster.run(&["wallet", "balance"])?.json()
}

/// Bytes of uploads that came to any node once more than they had to, as of now.
fn repeated_bytes(stage: &Stage) -> Result<u64> {
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let mut sum = 0;
    for node in stage.cluster.status()?.nodes {
        let path = node.data_dir.join("status.json");
        let read = || Ok::<NodeStatus, anyhow::Error>(serde_json::from_slice(&fs::read(&path)?)?);
        until("a node writes its status", PATIENCE, || Ok(read()?.updated_ms > now))?;
        sum += read()?.repeated_bytes;
    }
    Ok(sum)
}
