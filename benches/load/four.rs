//! Four validators, each a process: idle, with all that they take, with half of it, and with one of them dead.

use std::time::Duration;

use anyhow::{Context, Result};
use ostrakon_benches::{
    beside,
    figures::{Figure, Sheet, percentile},
    float,
    wanted::Wanted,
};
use ostrakon_tests::{
    devnet::{Devnet, Shape},
    proc,
    process::say,
};
use tokio::{runtime::Runtime, time::sleep};

use crate::{
    load::{Done, Load, Pace},
    network::Network,
    one::{BATCH, put_sizes},
    options::Options,
    wallet::Wallet,
};

/// Validators, and nodes.
const COUNT: usize = 4;
/// How long idle nodes are watched.
const IDLE: Duration = Duration::from_secs(20);
/// What a full load is given before it counts.
const RAMP: Duration = Duration::from_secs(2);
/// Transfers of one request when there are not many.
const SMALL_BATCH: usize = 32;
/// The node that is killed: not the one that is followed.
const VICTIM: usize = 3;

/// Starts the network, and measures.
pub(crate) fn measure(options: &Options, figures: &mut Vec<Figure>) -> Result<()> {
    let (home, runtime) = (options.scratch()?, Runtime::new().context("no runtime")?);
    say("four validators: starting");
    let shape = Shape { nodes: COUNT, domains: COUNT, validators: COUNT };
    let devnet = Devnet::start(&beside()?.join("ostrakon"), home.path().join("net"), shape, &[])?;
    runtime.block_on(run(options, &devnet, Sheet::new("4 validators", figures)))
}

async fn run(options: &Options, devnet: &Devnet, mut sheet: Sheet<'_>) -> Result<()> {
    put_idle(&mut sheet, devnet).await?;
    let network = Network::join(devnet)?;
    let wallet = Wallet::fund(&network, options.payees).await?;
    let (wallet, rate) = full(options, devnet, &network, wallet, &mut sheet).await?;
    put_memory(&mut sheet, "after it", devnet, None)?;
    let half = Load {
        nodes: (0..4).collect(),
        batch: SMALL_BATCH,
        count: u64::MAX,
        time: Duration::from_secs(options.seconds / 2),
        pace: Pace::Rate(rate / 2.0),
    };
    say("four validators: half of that");
    let (wallet, done) = half.run(&network, wallet).await?;
    put_latencies(&mut sheet, "at half load", &done, half.time, 0.5);
    say("four validators: one is killed");
    devnet.kill(&[VICTIM])?;
    let three = Load { nodes: vec![0, 1, 2], ..half };
    let (wallet, done) = three.run(&network, wallet).await?;
    sheet.want("one dead: longest time without a block, s", done.longest_interval(), Wanted::AtMost(1.5));
    put_latencies(&mut sheet, "at half load, one dead", &done, three.time, 1.0);
    wallet.check(&network).await?;
    put_sizes(&mut sheet, &network).await
}

async fn put_idle(sheet: &mut Sheet<'_>, devnet: &Devnet) -> Result<()> {
    say("four validators: idle");
    let cpu = Cpu::of(devnet)?;
    sleep(IDLE).await;
    let [nodes, _] = cpu.since(devnet)?;
    let percent = nodes / IDLE.as_secs_f64() / 4.0 * 100.0;
    sheet.want("idle: CPU of one node, % of a core", percent, Wanted::AtMost(1.0));
    put_memory(sheet, "idle", devnet, Some(Wanted::AtMost(150.0)))
}

/// Memory of the node that has most.
///
/// # Errors
/// When the nodes cannot be listed.
pub(crate) fn put_memory(sheet: &mut Sheet<'_>, when: &str, devnet: &Devnet, wanted: Option<Wanted>) -> Result<()> {
    let mib = |bytes: u64| float(bytes >> 10) / 1024.0;
    let most = devnet.status()?.pids().into_iter().filter_map(proc::resident_bytes).max().map(mib);
    let what = format!("{when}: memory of the largest node, MiB");
    match wanted {
        Some(wanted) => sheet.want(what, most, wanted),
        None => sheet.add(what, most),
    }
    Ok(())
}

/// As much as they take; gives the wallet back, and how many a second that was.
async fn full(
    options: &Options,
    devnet: &Devnet,
    network: &Network,
    wallet: Wallet,
    sheet: &mut Sheet<'_>,
) -> Result<(Wallet, f64)> {
    say(&format!("four validators: all they take, for {} s", options.seconds));
    let load = Load {
        nodes: (0..4).collect(),
        batch: BATCH,
        count: u64::MAX,
        time: Duration::from_secs(options.seconds),
        pace: Pace::Window(usize::try_from(options.window)?),
    };
    let cpu = Cpu::of(devnet)?;
    let (wallet, done) = load.run(network, wallet).await?;
    let [nodes, client] = cpu.since(devnet)?;
    let count: usize = done.between(RAMP, load.time).map(|block| block.latencies.len()).sum();
    let rate = float(count.try_into()?) / (load.time - RAMP).as_secs_f64();
    sheet.want(format!("transfers a second, for {} s", options.seconds), rate, Wanted::AtLeast(6_000.0));
    put_latencies(sheet, "at full load", &done, load.time, 1.0);
    sheet.add("at full load: longest time without a block, s", done.longest_interval());
    sheet.add("at full load: blocks that took more than a round, %", done.late_percent());
    let all: usize = done.blocks.iter().map(|block| block.latencies.len()).sum();
    sheet.add("CPU of all nodes, us a transfer", nodes / float(all.try_into()?) * 1e6);
    sheet.add("CPU of the client, us a transfer", client / float(all.try_into()?) * 1e6);
    Ok((wallet, rate))
}

fn put_latencies(sheet: &mut Sheet<'_>, when: &str, done: &Done, time: Duration, wanted: f64) {
    let of = done.between(RAMP, time).flat_map(|block| block.latencies.iter().copied());
    let mut latencies: Vec<f64> = of.collect();
    let median = percentile(&mut latencies, 50);
    sheet.want(format!("{when}: median from submitted to final, s"), median, Wanted::AtMost(wanted));
    sheet.add(format!("{when}: 99th percentile, s"), percentile(&mut latencies, 99));
}

/// CPU time that was used by then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    nodes: u64,
    client: u64,
}

impl Cpu {
    /// Of the nodes that run now, and of this process.
    ///
    /// # Errors
    /// When one has ended.
    pub(crate) fn of(devnet: &Devnet) -> Result<Self> {
        let ticks = |pid| proc::ticks(pid).map(|ticks| ticks.own).with_context(|| format!("node {pid} has ended"));
        let nodes = devnet.status()?.pids().into_iter().map(ticks).sum::<Result<u64>>()?;
        Ok(Self { nodes, client: ticks(std::process::id())? })
    }

    /// Seconds used since: by the nodes together, and by this process.
    ///
    /// # Errors
    /// When a node has ended.
    pub(crate) fn since(self, devnet: &Devnet) -> Result<[f64; 2]> {
        let now = Self::of(devnet)?;
        Ok([now.nodes - self.nodes, now.client - self.client].map(proc::seconds))
    }
}
