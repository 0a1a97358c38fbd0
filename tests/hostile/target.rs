//! The network under attack: a devnet that listens with TCP and QUIC, what its nodes count, and the attacker.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::{Context, Result};
use ostrakon_node::config::read_genesis;
use ostrakon_proto::id::AccountId;
use ostrakon_tests::{
    assault::Attacker,
    attack::AttackPlan,
    cluster::{Cluster, Shape},
    process::until,
    quota::Quota,
    scrape::Scrape,
};

/// Nodes of the network, of which some validate.
const SHAPE: Shape = Shape { nodes: 6, domains: 6, validators: 4 };
/// Blocks between two snapshots.
const SNAPSHOT_BLOCKS: i64 = 20;
/// What each of the attacker's accounts has, in obols.
const MONEY: [&str; 3] = ["0.001", "0.001", "0.001"];
/// What a validator logs of a node that it does not listen to any more.
const IGNORED: &str = "node delivers forged signatures";

/// A network, with what an attacker knows of it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) cluster: Cluster,
    pub(crate) plan: AttackPlan,
    pub(crate) attacker: Attacker,
}

impl Target {
    /// Starts it.
    ///
    /// # Errors
    /// When the network does not come up.
    pub(crate) fn start(seed: u64, credit_bytes: u64, quota: Option<Quota>) -> Result<Self> {
        let cluster = Cluster::start(SHAPE)?;
        let nodes = cluster.status()?.nodes;
        let genesis = read_genesis(&nodes.first().context("a network has nodes")?.data_dir.join("genesis.toml"))?;
        let plan = AttackPlan { credit_bytes, ..AttackPlan::of(&genesis, seed)? };
        let attacker = Attacker::new(&cluster, &plan, quota)?;
        let target = Self { cluster, plan, attacker };
        target.configure()?;
        target.fund()?;
        Ok(target)
    }

    /// A devnet listens with TCP alone, serves no metrics and has no snapshot for hours: its nodes are started again
    /// with all of that.
    fn configure(&self) -> Result<()> {
        for node in self.cluster.status()?.nodes {
            let path = node.data_dir.join("node.toml");
            let mut settings: toml::Table = fs::read_to_string(&path)?.parse()?;
            let listen = settings.get_mut("listen").and_then(toml::Value::as_array_mut);
            let listen = listen.context("a node of a devnet listens")?;
            let tcp = listen.first().and_then(toml::Value::as_str).context("its first address is a text")?;
            let quic = tcp.replace("/tcp/", "/udp/") + "/quic-v1";
            listen.push(quic.into());
            settings.insert("metrics".into(), "127.0.0.1:0".into());
            settings.insert("snapshot_interval_blocks".into(), SNAPSHOT_BLOCKS.into());
            fs::write(&path, toml::to_string(&settings)?)?;
        }
        self.restart()
    }

    /// Gives the attacker its little money.
    fn fund(&self) -> Result<()> {
        for (number, obols) in (0..).zip(MONEY) {
            let account: AccountId = self.plan.account(number).public();
            self.cluster.run(&["wallet", "send", &account.to_string(), obols])?.expect_code(0)?;
        }
        Ok(())
    }

    /// Ends all nodes, as `kill -9` does, and starts them again.
    ///
    /// # Errors
    /// When the network does not come back.
    pub(crate) fn restart(&self) -> Result<()> {
        let all: Vec<usize> = (0..SHAPE.nodes).collect();
        let running: Vec<usize> =
            self.cluster.status()?.nodes.iter().filter(|node| node.running).map(|node| node.index).collect();
        if !running.is_empty() {
            self.cluster.kill(&running)?;
        }
        self.cluster.revive(&all)?;
        until("every node runs and the ledger responds", Duration::from_secs(60), || {
            let network = self.cluster.status()?;
            Ok(network.height.is_some() && network.nodes.iter().all(|node| node.running))
        })
    }

    /// The nodes whose processes have ended.
    ///
    /// # Errors
    /// When the network cannot say.
    pub(crate) fn dead(&self) -> Result<Vec<usize>> {
        let nodes = self.cluster.status()?.nodes;
        Ok(nodes.iter().filter(|node| !node.running).map(|node| node.index).collect())
    }

    /// What all nodes together have refused since they started, by class and reason as their metrics have it; and how
    /// many nodes that forge signatures the validators have ignored, of which only their logs have a line.
    ///
    /// # Errors
    /// When a node's metrics or log cannot be read.
    pub(crate) fn refused(&self) -> Result<BTreeMap<String, f64>> {
        let mut refused = self.counts("ostrakon_admission_refused_total")?;
        refused.extend(self.counts("ostrakon_order_refused_total")?);
        for node in self.cluster.status()?.nodes {
            let log = fs::read_to_string(node.data_dir.join("node.log"))?;
            let count = log.lines().filter(|line| line.contains(IGNORED)).count();
            *refused.entry("forger".to_owned()).or_default() += f64::from(u32::try_from(count)?);
        }
        Ok(refused)
    }

    /// Blocks that validators decided after their first round, since they started.
    ///
    /// # Errors
    /// When a node's metrics cannot be read.
    pub(crate) fn late_blocks(&self) -> Result<f64> {
        let rounds = self.counts("ostrakon_order_decided_total")?;
        Ok(rounds.iter().filter(|(labels, _)| *labels != "round=\"0\"").map(|(_, count)| count).sum())
    }

    /// What all nodes together have counted under this name, by labels.
    fn counts(&self, name: &str) -> Result<BTreeMap<String, f64>> {
        let mut counts = BTreeMap::new();
        for node in self.cluster.status()?.nodes {
            for (labels, count) in Scrape::of_node(&node.data_dir)?.by_labels(name) {
                *counts.entry(labels.to_owned()).or_default() += count;
            }
        }
        Ok(counts)
    }
}
