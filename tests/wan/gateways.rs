//! Two gateways of one bucket in places of their own. Under load, one is cut off from all nodes while its clients still
//! reach it, and then returns: one order of all requests explains what their clients were answered, but for the reads
//! that are marked as possibly outdated.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use ostrakon_tests::{
    cluster::{Binaries, Running, until},
    distant::{self, Network, Places},
    gateway::GatewayProcess,
    process::without_profile,
    router::{Link, Site},
    scenarios::{SeededRng, is_long, size},
};
use serde::{Deserialize, de::DeserializeOwned};

const NODES: u8 = 10;
const VALIDATORS: usize = 4;
const BUCKET: &str = "histories";
/// How long anything may take, and the load.
const PATIENCE: Duration = Duration::from_secs(90);
const LIMIT: Duration = Duration::from_secs(1_800);

#[derive(Deserialize)]
struct Ignored {}

#[derive(Deserialize)]
struct AccessKey {
    id: String,
    secret: String,
}

/// A gateway, and where it is.
struct Placed {
    site: Site,
    process: GatewayProcess,
}

pub(crate) fn run(seed: u64) -> Result<String> {
    let (binaries, mut rng) = (Binaries::find()?, SeededRng::new(seed));
    let link = Link { delay: Duration::from_millis(5), ..Link::default() };
    let mut places = Places::new(83, NODES)?;
    let sites = [places.router.place("g0")?, places.router.place("g1")?];
    sites.iter().for_each(|site| places.router.set(site, link));
    let (owner, node) = (distant::key("owner", 0), (binaries.node.as_path(), binaries.directory()?));
    let network = Network::start(node, (places, VALIDATORS), std::slice::from_ref(&owner), link)?;
    let profile = network.profile("owner", &owner)?;
    let Ignored {} = client(&binaries, &profile, &["bucket", "create", BUCKET])?;
    let key: AccessKey = client(&binaries, &profile, &["bucket", "key", "create"])?;
    let log = profile.join("gateway.log");
    let start = |site: Site| -> Result<Placed> {
        let listen = SocketAddr::from((site.address, 9_000)).to_string();
        Ok(Placed { process: GatewayProcess::start_in(&site, &binaries.client, &profile, &listen, &log)?, site })
    };
    let [one, other] = sites;
    let gateways = [start(one)?, start(other)?];
    let mut load = Running::spawn(histories(&gateways, &key, rng.below(1_000_000)), Stdio::null())?;
    let (mut cuts, mut noticed, mut back) = (0_usize, 0, Duration::ZERO);
    while !load.has_ended() {
        rng.pause(size(20_000, 2_000));
        let cut = &gateways[cuts % gateways.len()];
        cut.block(&network, "add")?;
        if cuts == 0 || (is_long() && rng.below(2) == 0) {
            until("the gateway is cut off", PATIENCE, || Ok(!cut.is_ready()?))?;
            noticed += 1;
        }
        rng.pause(size(10_000, 3_000));
        cut.block(&network, "del")?;
        let since = Instant::now();
        until("the gateway is back", PATIENCE, || cut.is_ready())?;
        back = back.max(since.elapsed());
        cuts += 1;
    }
    let outcome = load.wait(LIMIT)?;
    ensure!(outcome.expect_code(0).is_ok(), "no order explains what was answered: {}", outcome.said());
    let Ignored {} = client(&binaries, &profile, &["bucket", "compact", BUCKET])?;
    let Ignored {} = client(&binaries, &profile, &["bucket", "verify", BUCKET])?;
    let said = outcome.said().trim().to_owned();
    let back = back.as_secs_f64();
    Ok(format!("{cuts} cuts, {noticed} of them until the gateway noticed, back after {back:.1} s at most: {said}"))
}

/// Runs a command of the owner, from the place that watches.
fn client<T: DeserializeOwned>(binaries: &Binaries, profile: &Path, args: &[&str]) -> Result<T> {
    let mut command = without_profile(&binaries.client);
    command.arg("--json").arg("--profile").arg(profile).args(args);
    Running::spawn(command, Stdio::null())?.wait(PATIENCE)?.json()
}

/// The load, through both.
fn histories(gateways: &[Placed; 2], AccessKey { id, secret }: &AccessKey, seed: u64) -> Command {
    let mut python = Command::new("python3");
    python.arg("-B").arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("s3/histories.py"));
    let endpoints = gateways.each_ref().map(|gateway| format!("http://{}", gateway.process.address()));
    python.env("ENDPOINTS", endpoints.join(",")).env("ACCESS_KEY", id).env("SECRET_KEY", secret);
    python.env("BUCKET", BUCKET).env("REQUESTS", size("10000", "60")).env("KEYS", size("100", "6"));
    python.env("SEED", seed.to_string());
    python
}

impl Placed {
    /// Adds or deletes what cuts it off from all nodes, in both directions, and from nothing else.
    fn block(&self, network: &Network, verb: &str) -> Result<()> {
        for node in &network.places {
            for (from, to) in [(&self.site, node), (node, &self.site)] {
                let mut ip = from.command("ip");
                let status = ip.args(["route", verb, "blackhole", &format!("{}/32", to.address)]).status()?;
                ensure!(status.success(), "cannot {verb} a route to {} in the place {}", to.address, from.address);
            }
        }
        Ok(())
    }

    /// Whether it says that it is ready.
    fn is_ready(&self) -> Result<bool> {
        Ok(self.process.readiness()?.starts_with("HTTP/1.1 200 "))
    }
}
