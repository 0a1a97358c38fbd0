//! `attacker ATTACK PLAN`: attacks the nodes of a plan as an outsider in one way, until stdin ends, and prints what it
//! did as JSON. For tests alone, on networks of this machine.
//!
//! In come the name of an attack and the file of an [`AttackPlan`]; out goes an [`AttackReport`]. [`noise`] and
//! [`mux`] speak the node's transport by hand, so that nothing the node's own code would refuse to send is impossible;
//! [`attacks`] are the attacks. Not here: whether the nodes withstand them, which the test target `hostile` judges.
//!
//! [`AttackPlan`]: ostrakon_tests::attack::AttackPlan
//! [`AttackReport`]: ostrakon_tests::attack::AttackReport

mod attacks;
mod mux;
mod noise;
mod outsider;
mod quic;
mod tally;

use std::{
    fs,
    io::{self, Read},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use ostrakon_tests::attack::{AttackPlan, IDLE};

use crate::{outsider::Outsider, tally::TALLY};

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [name, path] = words.as_slice() else { bail!("usage: attacker ATTACK PLAN") };
    if name == IDLE {
        return spin();
    }
    let plan: AttackPlan = serde_json::from_str(&fs::read_to_string(path).with_context(|| path.clone())?)?;
    // An attack of thousands of connections needs a file for each.
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let most = rustix::process::Rlimit { current: files.maximum, ..files };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, most)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outsider = Arc::new(Outsider::new(plan));
    runtime.block_on(async {
        let end = tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new()));
        tokio::select! {
            biased;
            ended = end => ended.context("stdin cannot be read")?.map(drop).context("stdin cannot be read"),
            ran = attacks::run(name, outsider) => ran,
        }
    })?;
    serde_json::to_writer(io::stdout(), &TALLY.report())?;
    runtime.shutdown_background();
    Ok(())
}

/// Spends processor time until stdin ends.
fn spin() -> Result<()> {
    let end = std::thread::spawn(|| io::stdin().read_to_end(&mut Vec::new()));
    let mut state = blake3::hash(b"spin");
    while !end.is_finished() {
        state = blake3::hash(state.as_bytes());
    }
    serde_json::to_writer(io::stdout(), &TALLY.report())?;
    Ok(())
}
