//! Nodes die at random instants while objects are added: whatever was acknowledged reads back, every byte of it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::{Context, Result, bail, ensure};
use ostrakon_tests::{
    scenarios::{Setup, Stage},
    {cluster::is_long, content},
};

/// The result of the adds.
#[derive(Default)]
struct Load {
    acknowledged: Vec<Acknowledged>,
    failed: usize,
}

struct Acknowledged {
    link: String,
    hash: blake3::Hash,
    bytes: u64,
}

/// Exit codes of an add that may fail: nobody answers, or too few took their column.
const NETWORK: i32 = 5;
const PARTIAL: i32 = 7;

const SIZES: [u64; 4] = [1, 70_000, 300_000, 1_200_000];

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let stop = AtomicBool::new(false);
    let Load { acknowledged, failed } = thread::scope(|scope| {
        let load = scope.spawn(|| add_until(stage, &stop));
        let killed = kill_some(stage);
        stop.store(true, Ordering::Relaxed);
        let load = load.join().ok().context("the load never panics")??;
        killed.map(|()| load)
    })?;
    ensure!(acknowledged.len() > 2, "only {} adds were acknowledged under load", acknowledged.len());
    stage.heal()?;
    for object in &acknowledged {
        let lost = || format!("an acknowledged object of {} bytes is lost", object.bytes);
        stage.cluster.expect_read(&object.link, &object.hash).with_context(lost)?;
    }
    let (kept, kills) = (acknowledged.len(), kills());
    Ok(format!("{kills} kills: {kept} objects acknowledged meanwhile and none lost, {failed} adds failed"))
}

fn kills() -> usize {
    if is_long() { 200 } else { 10 }
}

/// Kills any node, the validator too, at any instant; starts it again at any later one.
fn kill_some(stage: &Stage) -> Result<()> {
    let mut rng = stage.rng();
    for _ in 0..kills() {
        let victim = rng.index(14);
        stage.cluster.kill(&[victim])?;
        rng.pause(200);
        stage.cluster.revive(&[victim])?;
        rng.pause(400);
    }
    Ok(())
}

/// Adds one object after another. An add may fail while nodes are down; it may not lie, and it may not crash.
fn add_until(stage: &Stage, stop: &AtomicBool) -> Result<Load> {
    let (file, mut load) = (stage.cluster.files.join("under-load"), Load::default());
    for (seed, bytes) in (1_000..).zip(SIZES.iter().cycle()) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let hash = content::write_file(&file, seed, *bytes)?;
        let outcome = stage.cluster.run(&["add".as_ref(), file.as_os_str()])?;
        match outcome.code {
            Some(0) => {
                let added: ostrakon_tests::cluster::Added = outcome.json()?;
                load.acknowledged.push(Acknowledged { link: added.link, hash, bytes: *bytes });
            }
            Some(NETWORK | PARTIAL) => load.failed += 1,
            _ => bail!("an add may fail under load, but not like this: {outcome}"),
        }
    }
    Ok(load)
}
