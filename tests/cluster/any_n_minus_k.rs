//! Any n-k of the nodes may be gone, the validator among them: every object of every interesting size reads back.

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{
    cluster::is_long,
    content::{self, Size},
    scenarios::{Setup, Stage},
};
use serde::Deserialize;

const MIB: u64 = 1024 * 1024;
/// The code of the standard class among 14 providers.
const K: u8 = 4;
const SPARE: usize = 8;

/// What `get` prints.
#[derive(Deserialize)]
struct Fetched {
    cid: String,
    size: u64,
    blake3: String,
}

struct Stored {
    cid: String,
    link: String,
    size: u64,
    hash: blake3::Hash,
    what: String,
}

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let stored = store_all(stage)?;
    let nodes = stage.cluster.status()?.nodes;
    let validator = nodes.iter().find(|node| node.validator).context("a network has a validator")?.index;
    let others: Vec<usize> = nodes.iter().map(|node| node.index).filter(|index| *index != validator).collect();
    let mut rng = stage.rng();
    let rounds = if is_long() { 50 } else { 2 };
    for round in 0..rounds {
        let mut gone = rng.some_of(&others, SPARE - 1);
        gone.push(validator);
        stage.cluster.kill(&gone)?;
        for object in &stored {
            read(stage, object).with_context(|| format!("round {round}, nodes {gone:?} killed, {}", object.what))?;
        }
        stage.heal()?;
    }
    Ok(format!("{} objects read back with each of {rounds} sets of {SPARE} of 14 nodes killed", stored.len()))
}

/// Every interesting size; in the small run only as what it is interesting for.
fn store_all(stage: &Stage) -> Result<Vec<Stored>> {
    let mut sizes = content::interesting_sizes(K);
    sizes.push(Size { bytes: 16 * MIB, why: "a file of a common size" });
    if is_long() {
        sizes.push(Size { bytes: 256 * MIB, why: "more than a client may hold" });
    }
    let mut stored = Vec::new();
    for (seed, size) in (1..).zip(&sizes) {
        let public_only = size.why.contains("public") && !is_long();
        let sealed_only = size.why.contains("sealed") && !is_long();
        if !public_only {
            stored.push(store(stage, size, seed, &[])?);
        }
        if !sealed_only {
            stored.push(store(stage, size, seed, &["--public"])?);
        }
    }
    Ok(stored)
}

fn store(stage: &Stage, size: &Size, seed: u64, flags: &[&str]) -> Result<Stored> {
    let what = format!("{} bytes ({}) {}", size.bytes, size.why, flags.join(" "));
    let file = stage.cluster.files.join("to-add");
    let hash = content::write_file(&file, seed, size.bytes)?;
    let added = stage.cluster.add(&file, flags).with_context(|| what.clone())?;
    ensure!(added.size == size.bytes, "{what}: `add` says {} bytes", added.size);
    ensure!((added.code.k, added.code.n) == (K, 12), "{what}: `add` used the code {}", added.code);
    ensure!(added.stored_bytes >= size.bytes * 3, "{what}: {} bytes cannot be 4 of 12", added.stored_bytes);
    Ok(Stored { cid: added.cid, link: added.link, size: size.bytes, hash, what })
}

fn read(stage: &Stage, object: &Stored) -> Result<()> {
    let fetched: Fetched = stage.cluster.expect_read(&object.link, &object.hash)?.json()?;
    ensure!(fetched.cid == object.cid, "`get` says {} for {}", fetched.cid, object.cid);
    ensure!(fetched.size == object.size, "`get` says {} bytes for {}", fetched.size, object.size);
    ensure!(fetched.blake3 == object.hash.to_string(), "`get` says the hash is {}", fetched.blake3);
    Ok(())
}
