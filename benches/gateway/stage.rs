//! What is measured: a devnet of real nodes, the gateway as a process of its own, and the SDK in this one.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use ostrakon::{
    Client, Epoch, Height, Profile,
    bucket::{AccessKey, Buckets},
};
use ostrakon_benches::{beside, float, scratch};
use ostrakon_proto::ledger::state::{Key, Record};
use ostrakon_tests::{
    devnet::{Devnet, Shape},
    gateway::GatewayProcess,
    proc,
    process::say,
    scrape::Scrape,
};
use tempfile::TempDir;

use crate::{options::Options, s3::Target, sign::Signer};

/// As many nodes as a code of 12 columns needs, and two more; validators, of which one may be dead.
const SHAPE: Shape = Shape { nodes: 14, domains: 7, validators: 4 };
/// How long a new network is left to itself before anything is measured.
const CALM: Duration = Duration::from_secs(2);

/// A network with a gateway. What is dropped first ends first.
#[derive(Debug)]
pub(crate) struct Stage {
    gateway: GatewayProcess,
    /// The most memory that any gateway before it had, in bytes.
    peak: f64,
    pub(crate) client: Client,
    pub(crate) buckets: Buckets,
    key: AccessKey,
    profile: PathBuf,
    net: Devnet,
    home: TempDir,
}

/// What the ledger counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ledger {
    height: Height,
    pub(crate) epoch: Epoch,
    /// Bytes of all slots.
    pub(crate) stored: f64,
}

impl Stage {
    /// Starts everything.
    pub(crate) async fn start(options: &Options) -> Result<Self> {
        let (home, command) = (scratch(options.dir.as_deref())?, beside()?.join("ostrakon"));
        say(&format!("==> {} nodes start, {} of them validators", SHAPE.nodes, SHAPE.validators));
        let net = Devnet::start(&command, home.path().join("net"), SHAPE, &[])?;
        let profile = net.status()?.profile;
        let client = Profile::open(&profile)?.connect()?;
        client.chain().drawable().await?;
        let buckets = client.buckets()?;
        let key = buckets.create_access_key(None, false).await?;
        let gateway = GatewayProcess::start(&command, &profile, "127.0.0.1:0", &home.path().join("gateway.log"))?;
        tokio::time::sleep(CALM).await;
        Ok(Self { gateway, peak: 0.0, client, buckets, key, profile, net, home })
    }

    /// Ends the gateway, and starts one that knows nothing.
    pub(crate) fn restart_gateway(&mut self) -> Result<()> {
        self.peak = self.peak_memory()?;
        let log = self.home.path().join("gateway.log");
        self.gateway = GatewayProcess::start(self.net.client(), &self.profile, "127.0.0.1:0", &log)?;
        Ok(())
    }

    /// A new bucket.
    pub(crate) async fn bucket(&self, name: &str) -> Result<Target> {
        self.buckets.create(name).await?;
        self.target(name)
    }

    /// A bucket of the gateway that runs now.
    pub(crate) fn target(&self, bucket: &str) -> Result<Target> {
        let address = self.gateway.address();
        let signer = Signer {
            id: self.key.id.clone(),
            secret: self.key.secret.to_string(),
            region: "us-east-1".to_owned(),
            host: address.to_string(),
        };
        Ok(Target { address, bucket: bucket.to_owned(), signer })
    }

    /// Bytes that the gateway has fetched from other nodes, columns, manifests and the ledger together.
    pub(crate) fn fetched(&self) -> Result<f64> {
        let (scrape, name) = (Scrape::fetch(self.gateway.address())?, "ostrakon_gateway_fetched_bytes_total");
        ensure!(scrape.by_labels(name).next().is_some(), "the gateway does not count what it fetches");
        Ok(scrape.sum(name))
    }

    /// The most memory that a gateway of this network has had, in bytes.
    pub(crate) fn peak_memory(&self) -> Result<f64> {
        let peak = proc::peak_bytes(self.gateway.pid()).context("the gateway has ended; see its log")?;
        Ok(self.peak.max(float(peak)))
    }

    /// What the ledger counts now.
    pub(crate) async fn ledger(&self) -> Result<Ledger> {
        let (header, found) = self.client.chain().records(&[Key::Running]).await?;
        let [Some(Record::Running(running))] = found.as_slice() else { bail!("the ledger has no counts") };
        let (height, epoch) = (header.height, running.clock.epoch);
        Ok(Ledger { height, epoch, stored: float(u64::try_from(running.stored)?) })
    }

    /// Transactions of all blocks after one state of the ledger, up to another.
    pub(crate) async fn transactions(&self, from: Ledger, to: Ledger) -> Result<f64> {
        let mut count = 0;
        for height in from.height.0 + 1..=to.height.0 {
            let decided = self.client.chain().block(Height(height)).await?.context("a block below the newest")?;
            count += decided.block.txs.len();
        }
        Ok(float(u64::try_from(count)?))
    }
}
