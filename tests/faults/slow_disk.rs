//! A validator on a disk that takes 10 ms a sync, where seven columns are finished concurrently: it misses no round. At
//! full size the columns have 1 GiB, and 100 blocks are looked at.

use std::{thread, time::Duration};

use anyhow::{Context, Result, ensure};
use ostrakon_proto::{
    id::{Height, NodeId},
    params::Code,
    wire::chain,
};
use ostrakon_tests::{
    cluster::{Cluster, NodeInfo, Shape, until},
    preload,
    scenarios::{Stage, size},
    stranger::{Column, Stranger, id_of},
};

/// Microseconds that each sync takes longer.
const DELAY_US: i64 = 10_000;
/// What any of six nodes is drawn for.
const CODE: Code = Code { k: 1, n: 3 };
const COLUMNS: u8 = 7;
const MIB: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) fn run(_stage: &Stage) -> Result<String> {
    let cluster = Cluster::start(Shape { nodes: 6, domains: 6, validators: 4 })?;
    let nodes = cluster.status()?.nodes;
    let mut validators = nodes.iter().filter(|node| node.validator);
    let (slow, other) = validators.next().zip(validators.next()).context("there are four validators")?;
    preload::restart(&cluster, slow.index, preload::SLOW_DISK, DELAY_US)?;

    let (bytes, blocks) = (size(1023 * MIB, 16 * MIB), size(100, 20));
    let uploads: Vec<(Stranger, Column)> =
        (0..COLUMNS).map(|number| send(&cluster, slow, number, bytes)).collect::<Result<_>>()?;
    let (node, witness) = (id_of(slow)?, id_of(other)?);
    let (asks, _) = uploads.first().context("there are seven")?;
    let first = asks.ask(witness, chain::head())?.height.0 + 1;
    thread::scope(|scope| {
        let finishes: Vec<_> = uploads
            .iter()
            .map(|(stranger, column)| scope.spawn(move || stranger.ask(node, stranger.finish(node, 0, column))))
            .collect();
        for finish in finishes {
            finish.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?.context("a finish was refused")?;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    let finished = asks.ask(witness, chain::head())?.height.0;
    let last = finished.max(first + blocks - 1);
    until("more blocks", PATIENCE, || Ok(asks.ask(witness, chain::head())?.height.0 >= last))?;
    let (late, proposed) = rounds(asks, (first, last), witness)?;
    ensure!(late.is_empty(), "blocks that took more than one round: {late:?}; the slow validator is {}", slow.index);
    ensure!(proposed >= 3, "only {proposed} validators proposed blocks {first} to {last}");
    Ok(format!(
        "{COLUMNS} finishes of {} MiB, done at block {finished}; {first} to {last} in one round each",
        bytes / MIB
    ))
}

/// Has a stranger with an account of its own send a column, all but its end.
fn send(cluster: &Cluster, node: &NodeInfo, number: u8, bytes: u64) -> Result<(Stranger, Column)> {
    let stranger = Stranger::start(cluster, 30 + number, "0.002")?;
    let column = Column::new(u64::from(number) << 40, bytes, CODE)?;
    stranger.send(id_of(node)?, 0, &column).with_context(|| format!("column {number}"))?;
    Ok((stranger, column))
}

/// The blocks that took more than one round, and how many validators proposed those that did not.
fn rounds(asks: &Stranger, (first, last): (u64, u64), witness: NodeId) -> Result<(Vec<u64>, usize)> {
    let (mut late, mut proposers, mut next) = (Vec::new(), Vec::new(), first);
    while next <= last {
        let blocks = asks.ask(witness, chain::blocks(Height(next)))?;
        ensure!(!blocks.is_empty(), "node {witness} has no block {next}");
        for decided in blocks.into_iter().take_while(|decided| decided.block.header.height.0 <= last) {
            let header = decided.block.header;
            next = header.height.0 + 1;
            if decided.certificate.round > 0 || header.round > 0 {
                late.push(header.height.0);
            } else if !proposers.contains(&header.proposer) {
                proposers.push(header.proposer);
            }
        }
    }
    Ok((late, proposers.len()))
}
