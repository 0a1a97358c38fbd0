//! One holder after the other dies permanently, and another joins: in the end none of the first ones is left, and all
//! objects are.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ostrakon_tests::{
    cluster::Shape,
    scenarios::{SeededRng, size},
};

use super::network::{Object, Watched};

/// How many of what.
struct Size {
    holders: usize,
    domains: usize,
    validators: usize,
    objects: u64,
    object_bytes: u64,
    rounds: usize,
    epoch: u64,
}

/// How long after a death every object is to be above its threshold again.
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn run(mut rng: SeededRng) -> Result<String> {
    let long =
        Size { holders: 20, domains: 10, validators: 4, objects: 200, object_bytes: 10 << 20, rounds: 30, epoch: 10 };
    let short = Size { holders: 8, domains: 8, validators: 1, objects: 6, object_bytes: 1 << 20, rounds: 2, epoch: 4 };
    let Size { holders, domains, validators, objects, object_bytes, rounds, epoch } = size(long, short);
    let shape = Shape { nodes: holders + validators, domains, validators };
    let network = Watched::start(shape, epoch, rounds, &["--validators-apart"])?;
    let stored: Vec<Object> = (0..objects).map(|seed| network.add(seed, object_bytes, &[])).collect::<Result<_>>()?;
    let all = network.holders()?;
    let (mut first, mut joined) = (all[..holders].to_vec(), Vec::new());
    let mut dead = Vec::new();
    let (mut longest, began) = (Duration::ZERO, Instant::now());
    for (round, joins) in all[holders..].iter().enumerate() {
        // Those that were there in the beginning die first.
        let alive = if first.is_empty() { &mut joined } else { &mut first };
        let dies = alive.swap_remove(rng.index(alive.len()));
        dead.extend(network.names(&[dies])?);
        network.cluster.wipe(&[dies])?;
        network.cluster.revive(&[*joins])?;
        joined.push(*joins);
        let took = network.wait_repaired(&stored, &dead, LIMIT);
        let took = took.with_context(|| format!("round {round}, node {dies} died"))?;
        longest = longest.max(took);
    }
    network.read_all(&stored)?;
    Ok(format!(
        "{objects} objects read back after {rounds} of {holders} holders died and as many joined, within {:.0} s; \
         all were above their threshold again {:.0} s after each at the latest",
        began.elapsed().as_secs_f32(),
        longest.as_secs_f32()
    ))
}
