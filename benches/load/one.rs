//! One validator: so many transfers, one after the other, and whether the last are done as fast as the first.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ostrakon_benches::{
    beside,
    figures::{Figure, Sheet, percentile},
    float,
    wanted::Wanted,
};
use ostrakon_proto::{codec, id::Height};
use ostrakon_tests::{
    devnet::{Devnet, Shape},
    process::say,
};
use tokio::runtime::Runtime;

use crate::{
    four::{Cpu, put_memory},
    load::{Done, Load, Pace},
    network::Network,
    options::Options,
    wallet::Wallet,
};

/// Transfers of one request.
pub(crate) const BATCH: usize = 256;
/// More than that is no fault of the ledger.
const LONGEST: Duration = Duration::from_secs(3600);

/// Starts the network, and measures.
pub(crate) fn measure(options: &Options, figures: &mut Vec<Figure>) -> Result<()> {
    let (home, runtime) = (options.scratch()?, Runtime::new().context("no runtime")?);
    say("one validator: starting");
    let devnet = Devnet::start(&beside()?.join("ostrakon"), home.path().join("net"), Shape::new(1, 1), &[])?;
    runtime.block_on(run(options, &devnet, Sheet::new("1 validator", figures)))
}

async fn run(options: &Options, devnet: &Devnet, mut sheet: Sheet<'_>) -> Result<()> {
    let network = Network::join(devnet)?;
    let wallet = Wallet::fund(&network, options.payees).await?;
    say(&format!("one validator: {} transfers", options.transfers));
    let load = Load {
        nodes: vec![0],
        batch: BATCH,
        count: options.transfers,
        time: LONGEST,
        pace: Pace::Window(usize::try_from(options.window)?),
    };
    let cpu = Cpu::of(devnet)?;
    let (wallet, done) = load.run(&network, wallet).await?;
    let [node, client] = cpu.since(devnet)?;
    put_rates(&mut sheet, &done, options.payees);
    let count = float(options.transfers);
    sheet.add("CPU of the node, us a transfer", node / count * 1e6);
    sheet.add("CPU of the client (signs, submits, checks blocks), us a transfer", client / count * 1e6);
    put_memory(&mut sheet, "after it", devnet, Some(Wanted::AtMost(512.0)))?;
    let asking = Instant::now();
    let accounts = wallet.check(&network).await?;
    sheet.add("accounts asked for and proven, a second", float(accounts.try_into()?) / asking.elapsed().as_secs_f64());
    put_sizes(&mut sheet, &network).await
}

fn put_rates(sheet: &mut Sheet<'_>, done: &Done, payees: u32) {
    let count: usize = done.blocks.iter().map(|block| block.latencies.len()).sum();
    let seconds = |part: usize| done.seconds_until(count / 10 * part);
    let rate = |from: usize, to: usize| {
        let transfers = u64::try_from(count / 10 * (to - from)).ok()?;
        Some(float(transfers) / (seconds(to)? - if from == 0 { 0.0 } else { seconds(from)? }))
    };
    let (first, last) = (rate(0, 1), rate(9, 10));
    sheet.want(format!("transfers a second, of {count}"), rate(0, 10), Wanted::AtLeast(14_657.0));
    sheet.add("of the first tenth", first);
    sheet.want(
        "of the last tenth, % of the first's",
        last.zip(first).map(|(last, first)| last / first * 100.0),
        // The accounts of a million payees no longer fit the caches.
        Wanted::AtLeast(if payees < 1_000_000 { 90.0 } else { 80.0 }),
    );
    let mut latencies: Vec<f64> = done.blocks.iter().flat_map(|block| block.latencies.clone()).collect();
    sheet.add("median from submitted to final, s", percentile(&mut latencies, 50));
    sheet.add("longest time without a block, s", done.longest_interval());
}

/// Bytes of what proves a block.
pub(crate) async fn put_sizes(sheet: &mut Sheet<'_>, network: &Network) -> Result<()> {
    let height = network.head(0).await?.height;
    let blocks = network.blocks(0, Height(height.0)).await?;
    let decided = blocks.first().context("a node has its own tip")?;
    sheet.add("header, bytes", float(codec::encode(&decided.block.header).len().try_into()?));
    sheet.add("certificate, bytes", float(codec::encode(&decided.certificate).len().try_into()?));
    Ok(())
}
