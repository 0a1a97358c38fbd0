//! A whole domain dies permanently, and one node more, while some objects lack a column: everything reads, and is
//! repaired soon. `tests/sim` does the same to each of ten domains.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{cluster::Shape, scenarios::size};

use super::network::{Object, Watched};

const EPOCH: u64 = 5;
const LIMIT: Duration = Duration::from_secs(300);
const NODES: usize = 21;
const DOMAINS: usize = 7;
/// Nodes that run when these objects are added: fewer than an object has columns. They are few, because the ledger
/// knows after two epochs who is away, and then the network's code is a shorter one.
const RUNNING: usize = 11;
const LACKING: u64 = 2;

pub(crate) fn run() -> Result<String> {
    let (objects, tried) = (size(40, 5), size(2, 1));
    let mut said = Vec::new();
    for domain in 1..=tried {
        said.push(lose(domain, objects).with_context(|| format!("domain {domain} lost"))?);
    }
    Ok(said.join("; "))
}

fn lose(domain: usize, objects: u64) -> Result<String> {
    let network = Watched::start(Shape::new(NODES, DOMAINS), EPOCH, 0, &[])?;
    let nodes = network.cluster.status()?.nodes;
    let name = &nodes.get(domain).context("a node of the domain")?.domain;
    let (gone, others): (Vec<_>, Vec<_>) = nodes.iter().partition(|node| node.domain == *name);
    let others: Vec<usize> = others.iter().filter(|node| !node.validator).map(|node| node.index).collect();
    let (away, other) = others.split_at(NODES - RUNNING);
    let other = other.first().context("a node that runs")?;
    let gone: Vec<usize> = gone.iter().map(|node| node.index).chain([*other]).collect();
    let dead = network.names(&gone)?;

    let add = |seed| network.add(seed, 1_000_000, &[]);
    let whole: Vec<Object> = (0..objects).map(add).collect::<Result<_>>()?;
    network.cluster.kill(away)?;
    let lacking: Vec<Object> = (objects..objects + LACKING).map(add).collect::<Result<_>>()?;
    for object in &lacking {
        let (live, n) = network.live(object)?;
        ensure!(live < n, "{} has all of its {n} columns, with {RUNNING} nodes", object.id);
    }
    network.cluster.wipe(&gone)?;
    network.read_all(&lacking)?;
    network.cluster.revive(away)?;
    let stored = [whole, lacking].concat();
    network.read_all(&stored)?;
    let took = network.wait_repaired(&stored, &dead, LIMIT)?;
    network.read_all(&stored)?;
    Ok(format!(
        "{} of {NODES} nodes died while {LACKING} objects lacked a column, and all {} were above their threshold after \
         {:.0} s",
        gone.len(),
        stored.len(),
        took.as_secs_f32()
    ))
}
