//! Objects outlive their terms: the ledger renews them with every client asleep, as one's add said and the other's
//! owner did later. Another account pays for more of one, and when nobody does any more it ends.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ostrakon::AccountId;
use ostrakon_tests::{cluster::Shape, friend::Friend, process::until};
use serde::Deserialize;

use super::network::{Object, Watched};

const EPOCH: u64 = 3;
/// Epochs that are paid for at first, and by each renewal.
const TERM: u64 = 2;
/// Epochs for which nobody is awake: several renewals.
const ASLEEP: u64 = 3 * TERM;
const LIMIT: Duration = Duration::from_secs(90);

/// What `status` says of a term.
#[derive(Debug, Deserialize)]
struct Term {
    expires_epoch: u64,
    owner: AccountId,
    renewal: Option<NextRenewal>,
}

#[derive(Debug, Deserialize)]
struct NextRenewal {
    epochs: u64,
    is_covered: bool,
}

fn term(network: &Watched, object: &Object) -> Result<Term> {
    network.cluster.run(&["status", &object.link])?.json()
}

fn renew(network: &Watched, object: &Object, flags: &[&str]) -> Result<()> {
    network.cluster.run(&[&["renew", &object.link], flags].concat())?.expect_code(0)?;
    Ok(())
}

pub(crate) fn run() -> Result<String> {
    let network = Watched::start(Shape::new(8, 8), EPOCH, 0, &[])?;
    let object = network.add(1, 300_000, &["--code", "3/6", "--epochs", &TERM.to_string()])?;
    renew(&network, &object, &["--epochs", &TERM.to_string(), "--auto"])?;
    let flags = ["--code", "3/6", "--epochs", &TERM.to_string(), "--auto-renew"];
    let objects = [object, network.add(2, 300_000, &flags)?];
    let [object, _] = &objects;
    let first = term(&network, object)?;
    for object in &objects {
        let term = term(&network, object)?;
        let renewal = term.renewal.as_ref().context("status does not show the renewal")?;
        ensure!(renewal.epochs == TERM && renewal.is_covered, "status shows {term:?}");
    }

    let asleep = network.epoch()? + ASLEEP;
    until("epochs pass", LIMIT, || Ok(network.epoch()? > asleep))?;
    network.read_all(&objects)?;
    network.wait_whole(&objects, LIMIT)?;

    renew(&network, object, &["--no-auto"])?;
    let friend = Friend::new(&network.cluster, "friend")?;
    network.cluster.run(&["wallet", "send", &friend.address()?, "100"])?.expect_code(0)?;
    let before = term(&network, object)?.expires_epoch;
    let (owner, epochs) = (first.owner.to_string(), TERM.to_string());
    let refused = friend.run(&["renew", &object.id.to_string(), "--epochs", &epochs])?;
    refused.expect_code(2)?;
    friend.run(&["renew", &object.id.to_string(), "--epochs", &epochs, "--owner", &owner])?.expect_code(0)?;
    let last = term(&network, object)?;
    ensure!(last.expires_epoch == before + TERM && last.renewal.is_none(), "paid for by another: {last:?}");

    until("the object ends", LIMIT, || Ok(network.commitments(object).is_err()))?;
    let ended = network.epoch()?;
    ensure!(ended >= last.expires_epoch, "it ended in epoch {ended}, paid until {}", last.expires_epoch);
    Ok(format!("{} epochs of a term of {TERM}, {TERM} of them paid by another account", last.expires_epoch))
}
