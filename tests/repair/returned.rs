//! So many holders are away for so long that what they store counts as lost, and too few columns are left to rebuild
//! any. Then they come back: nothing was deleted, and the object is whole.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ostrakon_tests::{cluster::Shape, process::until};

use super::network::Watched;

const EPOCH: u64 = 3;
/// After three epochs without a proof a node's columns count as lost; it stays away for five more.
const AWAY: u64 = 3 + 5;
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn run() -> Result<String> {
    let network = Watched::start(Shape::new(8, 8), EPOCH, 0, &[])?;
    let object = network.add(1, 3_000_000, &["--code", "3/6"])?;
    let made = network.commitments(&object)?;
    let nodes = network.cluster.status()?.nodes;
    let holder = |provider: &str| nodes.iter().find(|node| node.provider == provider).map(|node| node.index);
    let holders: Vec<usize> = made[0].slots.iter().filter_map(|slot| holder(&slot.provider.to_string())).collect();
    // All but two of six, not the validator: it is node 0.
    let gone: Vec<usize> = holders.into_iter().filter(|index| *index != 0).take(4).collect();
    network.cluster.kill(&gone)?;
    let left = network.epoch()?;
    until("they are away for long", LIMIT, || Ok(network.epoch()? > left + AWAY))?;
    let names = network.names(&gone)?;
    let first = network.proofs_of(left + 1)?;
    ensure!(names.iter().all(|name| first.missed.contains(name)), "{names:?} proved nothing: {first:?}");
    ensure!(first.faults_complete && first.missed.len() == names.len(), "the others proved: {first:?}");
    // So many are a storm.
    let why = if first.amnesty { "excused" } else { "missed" };
    let bytes = made[0].column_len.to_le_bytes();
    for name in names {
        let [fault] = first.of(name)[..] else { bail!("{first:?} has one fault of {name}") };
        let beacon = hex::decode(first.beacon.as_deref().context("it is over")?)?;
        let asked = [beacon.as_slice(), name.bytes(), &bytes].concat();
        let evidence = hex::encode(blake3::derive_key("ostrakon audit silence 1", &asked));
        ensure!(fault.reasons.contains(&why.to_owned()) && fault.evidence == evidence, "{fault:?}, not {evidence}");
    }
    let (live, n) = network.live(&object)?;
    ensure!(live < 3, "{live} of {n} columns are live, where two holders run");
    network.cluster.revive(&gone)?;
    let took = network.wait_whole(std::slice::from_ref(&object), LIMIT)?;
    network.read_all(&[object])?;
    Ok(format!(
        "{live} of {n} columns were left, and all {n} were there {:.0} s after their holders came back",
        took.as_secs_f32()
    ))
}
