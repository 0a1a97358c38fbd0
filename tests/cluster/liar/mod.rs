//! One node of a network lies, in each way that [`lies`] knows: everyone who asks it finds out.
//!
//! A network of real processes of which one is a real node that makes false claims ([`ostrakon_tests::liar`]), and it
//! is the first that everyone asks. A client gets from the others what is true, and knows whom not to believe
//! ([`client`]); where the liar is the only node, the command fails and names it ([`alone`]). A node that begins late
//! joins all the same ([`joining`]). That no lie is left out is checked first.

mod alone;
mod client;
mod joining;
mod network;

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use ostrakon_tests::{
    lies::{self, Lie},
    scenarios::Stage,
};

use network::Network;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    no_lie_is_left_out()?;
    let joined = joining::run(&stage.cluster.binaries)?;
    let network = Network::start(&stage.cluster.binaries)?;
    let found = client::run(&network)?;
    let alone = alone::run(&network)?;
    let all = lies::all().len();
    Ok(format!(
        "of {all} lies a client found out {found}, {alone} of them where only the liar was left, and nodes {joined}"
    ))
}

/// Each lie is tried somewhere.
fn no_lie_is_left_out() -> Result<()> {
    let tried: BTreeSet<&str> = client::names().chain(joining::names()).collect();
    let all: BTreeSet<&str> = lies::all().iter().map(|lie| lie.name).collect();
    ensure!(tried == all, "not tried, or no lie: {:?}", tried.symmetric_difference(&all).collect::<Vec<_>>());
    Ok(())
}

/// The lie of this name.
fn named(name: &str) -> Lie {
    Lie::named(name).expect("every name was compared with those there are")
}
