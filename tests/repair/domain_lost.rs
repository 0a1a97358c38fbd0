//! A whole domain dies permanently, and one node more: everything reads, and is repaired soon.

use std::time::Duration;

use anyhow::{Context, Result};
use ostrakon_tests::{cluster::Shape, scenarios::size};

use super::network::{Object, Watched};

const EPOCH: u64 = 5;
const LIMIT: Duration = Duration::from_secs(300);
const NODES: usize = 21;
const DOMAINS: usize = 7;

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
    let stored: Vec<Object> = (0..objects).map(|seed| network.add(seed, 1_000_000, &[])).collect::<Result<_>>()?;
    let nodes = network.cluster.status()?.nodes;
    let name = &nodes.get(domain).context("a node of the domain")?.domain;
    let mut gone: Vec<usize> = nodes.iter().filter(|node| node.domain == *name).map(|node| node.index).collect();
    let other = nodes.iter().rfind(|node| node.domain != *name && !node.validator).context("another")?;
    gone.push(other.index);
    let dead = network.names(&gone)?;
    network.cluster.wipe(&gone)?;
    network.read_all(&stored)?;
    let took = network.wait_repaired(&stored, &dead, LIMIT)?;
    network.read_all(&stored)?;
    Ok(format!(
        "{} of {NODES} nodes died, and all {objects} objects were above their threshold after {:.0} s",
        gone.len(),
        took.as_secs_f32()
    ))
}
