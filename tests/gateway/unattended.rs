//! The gateway is off for a third of the term that leases are paid for: nothing is lost, and once they are over half
//! they are extended. Where there is no money for that, the gateway reports it by then, with each bucket that lacks it
//! and the command that pays for all of them.

use std::{path::PathBuf, time::Duration};

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
/// The buckets of a poor account, whose first name is its own.
const POOR: [&str; 2] = ["poor", "poorer"];
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
    let of_poor = |what: &str, poor: &WithoutMoney| POOR.iter().try_for_each(|name| many(&poor.gateway, name, what));
    without_money.iter().try_for_each(|poor| of_poor("put", poor))?;
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
        of_poor("get", &poor)?;
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

/// An account that has spent all it had, with two buckets and a gateway.
struct WithoutMoney {
    account: Friend,
    profile: PathBuf,
    gateway: Gateway,
}

impl WithoutMoney {
    /// With its buckets, and money yet.
    fn start(cluster: &Cluster) -> Result<Self> {
        let (account, profile) = (Friend::new(cluster, POOR[0])?, cluster.files.join(POOR[0]));
        cluster.run(&["wallet", "send", &account.address()?, "100"])?.expect_code(0)?;
        for bucket in POOR {
            account.run(&["bucket", "create", bucket])?.expect_code(0)?;
        }
        let key: AccessKey = account.run(&["bucket", "key", "create"])?.json()?;
        let gateway = Gateway::start_with(cluster, &profile, key, "127.0.0.1:0")?;
        Ok(Self { account, profile, gateway })
    }

    /// Takes its money, and that of its buckets' accounts; the epoch in which it was done.
    fn drain(&self, cluster: &Cluster, ledger: &Ledger) -> Result<u64> {
        let own = POOR.map(|bucket| cluster.files.join(format!("{bucket}-bucket")));
        let of_poor = Ledger::open(&self.profile)?;
        POOR.iter().zip(&own).try_for_each(|(bucket, own)| of_poor.write_profile(bucket, own))?;
        let Address { address: to } = cluster.run(&["wallet", "address"])?.json()?;
        for profile in own.iter().chain([&self.profile]) {
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

    /// Its gateway is not ready, and says why and what to do; done that, it is ready again, with leases of a full term.
    fn says_what_to_do(&self, cluster: &Cluster, ledger: &Ledger, since: u64) -> Result<String> {
        let mut said = String::new();
        until("it is reported that there is no money", LIMIT, || {
            said = self.gateway.readiness()?;
            Ok(said.contains("buckets with problems: 2;") || ledger.epoch()? > since + TERM / 2 + LOOKED)
        })?;
        ensure!(
            said.starts_with("HTTP/1.1 503 ") && said.contains("problems: 2;"),
            "after half the term it says {said}"
        );
        for bucket in POOR {
            ensure!(said.contains(&format!("cannot extend the leases of {bucket}:")), "{bucket} is not named: {said}");
        }
        let address = self.account.address()?;
        let summary = said.lines().find(|line| line.contains("buckets with problems")).context("it was just there")?;
        let amount = summary.rsplit_once(&format!("`ostrakon wallet send {address} ")).context("no command")?.1;
        let amount = amount.trim_end_matches('`');
        let after = ledger.epoch()? - since;
        cluster.run(&["wallet", "send", &address, amount])?.expect_code(0)?;
        lease_end(&self.gateway, since + TERM + 1)?;
        until("it is ready again", LIMIT, || Ok(self.gateway.readiness()?.starts_with("HTTP/1.1 200 ")))?;
        Ok(format!("without money, after {after} of {TERM} epochs: {summary:?}; that sent, it is ready"))
    }
}
