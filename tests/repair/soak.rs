//! A network that works for long: objects are added, read, removed and expire, somebody pays all the time, holders die
//! and return or are replaced, and epochs of seconds turn. Every object is read back as it was, and neither memory, nor
//! open files, nor disk of a node grow beyond what it stores.

use std::{
    collections::VecDeque,
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{cluster::Shape, content::allocated_bytes, devnet::NodeInfo, proc, scenarios::SeededRng};

use super::network::{Object, Watched};

/// How much of what.
struct Size {
    holders: usize,
    validators: usize,
    spares: usize,
    objects: usize,
    /// How often a holder dies, and the one that died before returns.
    pause: Duration,
    time: Duration,
}

const SIZE: Size = Size {
    holders: 12,
    validators: 4,
    spares: 24,
    objects: 40,
    pause: Duration::from_secs(20),
    time: Duration::from_secs(30 * 60),
};
const EPOCH: u64 = 4;
/// Epochs that an object is paid for: some expire while others are removed.
const TERM: &str = "150";
const OBJECT_BYTES: u64 = 2 << 20;
/// Of these deaths, every so many is permanent, and another node joins.
const REPLACED: usize = 5;
/// What repairs may take in the end.
const LIMIT: Duration = Duration::from_secs(120);
/// What a node may need in the last sixth of the time beyond what it needed in the third sixth, and a quarter of that.
const MORE_MEMORY: u64 = 24 << 20;
const MORE_FILES: usize = 24;
/// What packs may hold beside columns that are stored.
const MORE_DISK: u64 = 96 << 20;
/// What blocks, state and snapshots may take.
const LEDGER: u64 = 384 << 20;

/// What a process holds.
#[derive(Clone, Copy, Debug)]
struct Usage {
    memory: u64,
    files: usize,
}

pub(crate) fn run(mut rng: SeededRng) -> Result<String> {
    let Size { holders, validators, spares, time, .. } = SIZE;
    let shape = Shape { nodes: holders + validators, domains: 6, validators };
    let network = Watched::start(shape, EPOCH, spares, &["--validators-apart"])?;
    let mut soak = Soak::new(&network)?;
    let began = Instant::now();
    while began.elapsed() < time {
        soak.step(&mut rng)?;
    }
    let Soak { stored, steady, added, deaths, usages, .. } = soak;
    network.cluster.revive(&[])?;
    let stored = Vec::from(stored);
    let repaired = network.wait_whole(&stored, LIMIT)?;
    network.read_all(&stored)?;
    let grown = compare(&usages)?;
    let nodes = network.cluster.status()?.nodes;
    for node in nodes.iter().filter(|node| steady.contains(&node.index)) {
        check_disk(&network, node).with_context(|| format!("node {}", node.index))?;
        check_log(node)?;
    }
    Ok(format!(
        "{:.0} s, {} epochs, {added} adds, {deaths} deaths: {} objects whole after {:.0} s and read back; {grown}",
        began.elapsed().as_secs_f32(),
        network.epoch()?,
        stored.len(),
        repaired.as_secs_f32()
    ))
}

/// A network at work.
struct Soak<'a> {
    network: &'a Watched,
    address: String,
    stored: VecDeque<Object>,
    added: u64,
    /// Nodes that are not killed: what they need is compared.
    steady: Vec<usize>,
    /// Holders that die, and those that join instead.
    mortal: Vec<usize>,
    spares: Vec<usize>,
    down: Option<usize>,
    deaths: usize,
    disturbed: Instant,
    /// By time, of the steady ones.
    usages: Vec<Vec<Usage>>,
}

impl<'a> Soak<'a> {
    fn new(network: &'a Watched) -> Result<Self> {
        let nodes = network.cluster.status()?.nodes;
        let validators = nodes.iter().filter(|node| node.validator).map(|node| node.index);
        let all = network.holders()?;
        let (there, spares) = all.split_at(SIZE.holders);
        let (lasting, mortal) = there.split_at(SIZE.holders / 2);
        Ok(Self {
            network,
            address: network.account()?.to_string(),
            stored: VecDeque::new(),
            added: 0,
            steady: validators.chain(lasting.iter().copied()).collect(),
            mortal: mortal.to_vec(),
            spares: spares.to_vec(),
            down: None,
            deaths: 0,
            disturbed: Instant::now(),
            usages: Vec::new(),
        })
    }

    /// One of each thing that clients do; and a death, when it is time.
    fn step(&mut self, rng: &mut SeededRng) -> Result<()> {
        let cluster = &self.network.cluster;
        self.added += 1;
        let object = self.network.add(self.added, 1 + rng.below(OBJECT_BYTES), &["--epochs", TERM])?;
        self.stored.push_back(object);
        let read = &self.stored[rng.index(self.stored.len())];
        cluster.expect_read(&read.link, &read.hash)?;
        cluster.run(&["wallet", "send", &self.address, "0.001"])?.expect_code(0)?;
        if self.stored.len() > SIZE.objects
            && let Some(oldest) = self.stored.pop_front()
            // What is not removed expires.
            && self.added.is_multiple_of(2)
        {
            cluster.run(&["rm", &oldest.id.to_string(), "--yes"])?.expect_code(0)?;
        }
        if self.disturbed.elapsed() >= SIZE.pause {
            self.disturb(rng)?;
            self.disturbed = Instant::now();
        }
        self.usages.push(self.measure()?);
        Ok(())
    }

    fn disturb(&mut self, rng: &mut SeededRng) -> Result<()> {
        let cluster = &self.network.cluster;
        if let Some(down) = self.down.take() {
            cluster.revive(&[down])?;
            self.mortal.push(down);
        }
        let dies = self.mortal.swap_remove(rng.index(self.mortal.len()));
        self.deaths += 1;
        match self.spares.last().copied().filter(|_| self.deaths.is_multiple_of(REPLACED)) {
            Some(spare) => {
                cluster.wipe(&[dies])?;
                cluster.revive(&[spare])?;
                self.spares.pop();
                self.mortal.push(spare);
            }
            None => {
                cluster.kill(&[dies])?;
                self.down = Some(dies);
            }
        }
        Ok(())
    }

    fn measure(&self) -> Result<Vec<Usage>> {
        let nodes = self.network.cluster.status()?.nodes;
        let usage = |index: &usize| {
            let node = nodes.iter().find(|node| node.index == *index).context("a node of the network")?;
            let usage = node.pid.and_then(|pid| proc::resident_bytes(pid).zip(proc::open_files(pid)));
            let (memory, files) =
                usage.with_context(|| format!("node {index} ended by itself: {}", last_words(node)))?;
            Ok(Usage { memory, files })
        };
        self.steady.iter().map(usage).collect()
    }
}

/// What the steady nodes needed in the last sixth of the time, beside the sixth after the first third.
fn compare(usages: &[Vec<Usage>]) -> Result<String> {
    let sixth = (usages.len() / 6).max(1);
    let (before, after) = (usages.iter().skip(2 * sixth).take(sixth), usages.iter().rev().take(sixth));
    let (before, after): (Vec<_>, Vec<_>) = (before.collect(), after.collect());
    let nodes = usages.first().context("something was measured")?.len();
    let median = |of: &[&Vec<Usage>], node: usize| {
        let (mut memory, mut files): (Vec<u64>, Vec<usize>) =
            of.iter().map(|usage| (usage[node].memory, usage[node].files)).unzip();
        memory.sort_unstable();
        files.sort_unstable();
        Usage { memory: memory[memory.len() / 2], files: files[files.len() / 2] }
    };
    let (mut later, mut earlier) = (Usage { memory: 0, files: 0 }, Usage { memory: 0, files: 0 });
    for node in 0..nodes {
        let (before, after) = (median(&before, node), median(&after, node));
        let grew = after.memory > before.memory + before.memory / 4 + MORE_MEMORY
            || after.files > before.files + before.files / 4 + MORE_FILES;
        ensure!(!grew, "a node needs more and more: {before:?}, and later {after:?}");
        if after.memory > later.memory {
            (earlier, later) = (before, after);
        }
    }
    let (before, after) = (earlier.memory >> 20, later.memory >> 20);
    Ok(format!("the largest node had {before} MiB and {} files, later {after} MiB and {}", earlier.files, later.files))
}

/// The disk of a node has what it stores, and a bounded ledger.
fn check_disk(network: &Watched, node: &NodeInfo) -> Result<()> {
    let status = network.cluster.binaries.node_status(&node.data_dir)?;
    let stored = status.space.used_bytes + status.trash_bytes;
    let [store, chain] = ["store", "chain"].map(|part| allocated_bytes(&node.data_dir.join(part)));
    ensure!(store <= 2 * stored + MORE_DISK, "{store} bytes on disk for {stored} bytes of columns");
    ensure!(chain <= LEDGER, "the ledger has {chain} bytes after {} blocks", status.height);
    Ok(())
}

/// The end of a node's log.
fn last_words(node: &NodeInfo) -> String {
    let log = fs::read_to_string(node.data_dir.join("node.log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().rev().take(20).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// A node reports what it finds broken.
fn check_log(node: &NodeInfo) -> Result<()> {
    let log = fs::read_to_string(node.data_dir.join("node.log"))?;
    let broken = log.lines().find(|line| line.contains(" ERROR ") || line.contains("panicked"));
    ensure!(broken.is_none(), "node {} logged {broken:?}", node.index);
    Ok(())
}
