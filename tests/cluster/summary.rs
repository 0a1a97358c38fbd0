//! What the ledger says of itself as a whole, as people and scripts read it: an epoch, all money, and the providers.

use std::time::Duration;

use anyhow::{Result, ensure};
use ostrakon_proto::id::Amount;
use ostrakon_tests::{cluster::until, scenarios::Stage};
use serde::Deserialize;

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize)]
struct Totals {
    minted: Amount,
    balances: Amount,
    bonds: Amount,
    escrow: Amount,
    pools: Amount,
    burnt: Amount,
}

#[derive(Debug, Deserialize)]
struct Epoch {
    epoch: u64,
    providers: usize,
    weight: u128,
    beacon: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Listing {
    providers: Vec<Provider>,
}

#[derive(Debug, Deserialize)]
struct Provider {
    bond: Amount,
    collateral: Amount,
    used: u64,
}

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let cluster = &stage.cluster;
    let file = cluster.files.join("behind-a-bond");
    std::fs::write(&file, vec![1; 1 << 20])?;
    cluster.add(&file, &["--all"])?;

    let totals: Totals = cluster.run(&["ledger", "totals"])?.json()?;
    let parts = [totals.balances, totals.bonds, totals.escrow, totals.pools, totals.burnt].map(|amount| amount.0);
    ensure!(parts.iter().sum::<u64>() == totals.minted.0 && totals.escrow > Amount::ZERO, "{totals:?}");

    let listing: Listing = cluster.run(&["providers"])?.json()?;
    let backed = |provider: &Provider| provider.collateral <= provider.bond && provider.collateral > Amount::ZERO;
    let storing: Vec<&Provider> = listing.providers.iter().filter(|provider| provider.used > 0).collect();
    ensure!(storing.len() >= 12 && storing.iter().all(|provider| backed(provider)), "{listing:?}");

    let newest = || cluster.run(&["ledger", "epoch"])?.json::<Epoch>();
    until("an epoch's beacon is complete", PATIENCE, || Ok(newest()?.beacon.is_some_and(|beacon| beacon.len() == 64)))?;
    let Epoch { epoch, providers, weight, .. } = newest()?;
    ensure!(providers == cluster.status()?.nodes.len() && weight > 0, "{providers} providers take {weight} bytes");
    let same: Epoch = cluster.run(&["ledger", "epoch", &epoch.to_string()])?.json()?;
    ensure!(same.epoch == epoch && same.weight == weight, "{same:?}");
    cluster.run(&["ledger", "epoch", "1000000"])?.expect_code(3)?;
    Ok(format!("{} providers with collateral, {providers} in epoch {epoch}", storing.len()))
}
