//! The gateway is off for a third of the term that leases are paid for: nothing is lost, and once they are over half
//! they are extended. Where there is no money for that, the gateway reports it by then, and what to do.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{
    cluster::{Cluster, Running, Shape, is_long, until},
    content,
    friend::Friend,
    scenarios::size,
    scrape::Scrape,
};
use serde::Deserialize;

use crate::{
    ledger::Ledger,
    server::{AccessKey, Gateway},
};

const EPOCH_SECONDS: &str = "2";
/// Epochs that a bucket's objects are paid for at a time.
const TERM: u64 = 720;
/// Epochs after which the gateway, which looks twice a minute, has looked again.
const LOOKED: u64 = TERM / 16;
const LIMIT: Duration = Duration::from_secs(3_600);
const BUCKET: &str = "unattended";
const POOR: &str = "poor";
/// What is left to a poor account, in millionths of an obol: less than two fees.
const LEFT: u64 = 2_000;

#[derive(Deserialize)]
struct Address {
    address: String,
}

#[derive(Deserialize)]
struct Balance {
    micro: u64,
}

pub(crate) fn run() -> Result<String> {
    let cluster = Cluster::start_as(Shape::new(10, 10), &["--epoch", EPOCH_SECONDS])?;
    let (ledger, file) = (Ledger::open(cluster.profile())?, cluster.files.join("body"));
    content::write_file(&file, 902, 3_000_000)?;
    let path = file.to_str().context("a path of ours")?;
    let many = |gateway: &Gateway, bucket: &str, what: &str| {
        gateway.run("many.py", &[("BUCKET", bucket), ("FILE", path), ("DO", what)]).map(drop)
    };
    let began = ledger.epoch()?;
    cluster.run(&["bucket", "create", BUCKET])?.expect_code(0)?;
    let gateway = Gateway::start(&cluster)?;
    many(&gateway, BUCKET, "put")?;
    drop(gateway);
    let without_money = is_long().then(|| WithoutMoney::start(&cluster)).transpose()?;
    if let Some(WithoutMoney { gateway, .. }) = &without_money {
        many(gateway, POOR, "put")?;
    }
    let drained = without_money.as_ref().map(|poor| poor.drain(&cluster, &ledger)).transpose()?;

    let off = size(TERM / 3, 5);
    until("epochs pass", LIMIT, || Ok(ledger.epoch()? >= began + off))?;
    let gateway = Gateway::start(&cluster)?;
    many(&gateway, BUCKET, "get")?;
    cluster.run(&["bucket", "verify", BUCKET])?.expect_code(0)?;
    let first = lease_end(&gateway, began + TERM)?;
    let mut said = format!("off for {off} epochs of {EPOCH_SECONDS} s, leases until {first}");
    if let Some((poor, drained)) = without_money.zip(drained) {
        until("half the term is over", LIMIT, || Ok(ledger.epoch()? > drained + TERM / 2))?;
        // What was written when the gateway was started again ends later, and is not due yet.
        let last = lease_end(&gateway, first + 1)?;
        said += &format!(", extended until {last}; {}", poor.says_what_to_do(&cluster, &ledger, drained)?);
        many(&poor.gateway, POOR, "get")?;
        many(&gateway, BUCKET, "get")?;
        cluster.run(&["bucket", "verify", BUCKET])?.expect_code(0)?;
    }
    Ok(said)
}

/// The epoch in which the first lease ends, once that is this one or later.
fn lease_end(gateway: &Gateway, earliest: u64) -> Result<u64> {
    let mut end = String::new();
    until(&format!("leases until epoch {earliest} or later"), Duration::from_secs(180), || {
        let scrape = Scrape::fetch(gateway.address())?;
        end = scrape.sum("ostrakon_gateway_lease_end_epoch").to_string();
        Ok(end.parse::<u64>()? >= earliest)
    })
    .with_context(|| format!("they end with epoch {end}"))?;
    Ok(end.parse()?)
}

/// An account that has spent all it had, with a bucket and a gateway.
struct WithoutMoney {
    account: Friend,
    profile: PathBuf,
    gateway: Gateway,
}

impl WithoutMoney {
    /// With a bucket, and money yet.
    fn start(cluster: &Cluster) -> Result<Self> {
        let (account, profile) = (Friend::new(cluster, POOR)?, cluster.files.join(POOR));
        cluster.run(&["wallet", "send", &account.address()?, "100"])?.expect_code(0)?;
        account.run(&["bucket", "create", POOR])?.expect_code(0)?;
        let key: AccessKey = account.run(&["bucket", "key", "create"])?.json()?;
        let gateway = Gateway::start_with(cluster, &profile, key, "127.0.0.1:0")?;
        Ok(Self { account, profile, gateway })
    }

    /// Takes its money, and that of its bucket's account; the epoch in which it was done.
    fn drain(&self, cluster: &Cluster, ledger: &Ledger) -> Result<u64> {
        let own = cluster.files.join("poor-bucket");
        Ledger::open(&self.profile)?.write_profile(POOR, &own)?;
        let Address { address: to } = cluster.run(&["wallet", "address"])?.json()?;
        for profile in [&self.profile, &own] {
            let of = ["--json", "--profile", profile.to_str().context("a path of ours")?];
            let run = |args: &[&str]| {
                Running::start(&cluster.binaries.client, &[&of, args].concat())?.wait(Duration::from_secs(60))
            };
            let Balance { micro } = run(&["wallet", "balance"])?.json()?;
            let spent = micro.saturating_sub(LEFT);
            let amount = format!("{}.{:06}", spent / 1_000_000, spent % 1_000_000);
            run(&["wallet", "send", &to, &amount])?.expect_code(0)?;
        }
        ledger.epoch()
    }

    /// Its gateway is not ready, says why and what to do; done that, it is ready again, with leases of a full term.
    fn says_what_to_do(&self, cluster: &Cluster, ledger: &Ledger, since: u64) -> Result<String> {
        let mut said = String::new();
        until("it is reported that there is no money", LIMIT, || {
            said = self.gateway.readiness()?;
            Ok(said.starts_with("HTTP/1.1 503 ") || ledger.epoch()? > since + TERM / 2 + LOOKED)
        })?;
        let why = said.lines().last().unwrap_or_default();
        ensure!(why.contains("buckets with problems: 1"), "after half the term it says {said}");
        let remedy = format!("ostrakon wallet send {}", self.account.address()?);
        let log = fs::read_to_string(cluster.files.join("gateway.log"))?;
        let what = log.lines().find(|line| line.contains("cannot extend the leases of poor") && line.contains(&remedy));
        let what = what.with_context(|| format!("what to do is not said: {log}"))?;
        let after = ledger.epoch()? - since;
        cluster.run(&["wallet", "send", &self.account.address()?, "100"])?.expect_code(0)?;
        lease_end(&self.gateway, since + TERM + 1)?;
        until("it is ready again", LIMIT, || Ok(self.gateway.readiness()?.starts_with("HTTP/1.1 200 ")))?;
        Ok(format!("without money, after {after} of {TERM} epochs: {what:?}; with money again it is ready"))
    }
}
