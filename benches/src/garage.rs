//! Garage, an S3 store of other makers: nodes as real processes, each with a copy of everything. In come the directory
//! where `compare/install-peers.sh` put it and how many nodes to start; out comes a bucket, and who may use it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use ostrakon_tests::process::{Daemon, until};

use crate::{ports, run};

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(60);
/// The region that requests are signed for.
pub const REGION: &str = "garage";

/// A cluster that runs.
#[derive(Debug)]
pub struct GarageCluster {
    program: PathBuf,
    stores: PathBuf,
    /// Where the first node takes S3 requests, on 127.0.0.1.
    pub s3: u16,
    /// Name and secret of the key that may use the bucket.
    pub key: (String, String),
    /// In the order of their numbers; none where one was killed.
    nodes: Vec<Option<Daemon>>,
}

/// Where its command is, if it is installed.
///
/// # Errors
/// Why it is absent.
pub fn program(peers: &Path) -> Result<PathBuf, String> {
    let program = peers.join("bin/garage");
    let absent = || format!("no {}: run benches/compare/install-peers.sh", program.display());
    if program.is_file() { Ok(program.clone()) } else { Err(absent()) }
}

/// 64 random hexadecimal digits.
///
/// # Errors
/// When the system gives no randomness.
pub fn secret() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).context("the system gives no randomness")?;
    Ok(blake3::Hash::from(bytes).to_string())
}

impl GarageCluster {
    /// Starts so many nodes in `dir`, with a bucket. One that is `durable` has each write on disk before it answers.
    ///
    /// # Errors
    /// When they do not come up.
    pub fn start(program: PathBuf, dir: &Path, nodes: usize, durable: bool, bucket: &str) -> Result<Self> {
        let (stores, ports, rpc_secret) = (dir.join("nodes"), ports::free_ports(2 * nodes)?, secret()?);
        for number in 0..nodes {
            let home = node_dir(&stores, number);
            fs::create_dir_all(&home)?;
            let text = config(&home, [ports[number], ports[nodes + number]], &rpc_secret, (nodes, durable));
            fs::write(home.join("garage.toml"), text).with_context(|| format!("cannot write in {}", home.display()))?;
        }
        let (s3, key) = (ports[nodes], (format!("GK{}", &secret()?[..24]), secret()?));
        let nodes = (0..nodes).map(|_| None).collect();
        let mut cluster = Self { program, stores, s3, key, nodes };
        cluster.start_nodes()?;
        cluster.lay_out()?;
        cluster.recover()?;
        cluster.make_bucket(bucket)?;
        Ok(cluster)
    }

    /// The processes of the nodes that run.
    pub fn pids(&self) -> Vec<u32> {
        self.nodes.iter().flatten().map(Daemon::pid).collect()
    }

    /// The directory with everything that is stored.
    pub fn stores(&self) -> &Path {
        &self.stores
    }

    /// Kills the last node: the first is the one that is spoken to.
    pub fn lose_one(&mut self) {
        self.nodes.iter_mut().next_back().into_iter().for_each(|node| *node = None);
    }

    /// Starts the nodes that do not run, and waits until all are there.
    ///
    /// # Errors
    /// When one does not come up.
    pub fn recover(&mut self) -> Result<()> {
        self.start_nodes()?;
        let whole = || Ok(self.ask(0, &["health"]).is_ok_and(|text| text.contains("healthy")) && self.all_up());
        until("all nodes of Garage", PATIENCE, whole)
    }

    fn start_nodes(&mut self) -> Result<()> {
        for number in 0..self.nodes.len() {
            if self.nodes[number].is_none() {
                let mut server = self.on(number);
                server.arg("server");
                self.nodes[number] = Some(Daemon::start(server, &node_dir(&self.stores, number).join("node.log"))?);
            }
        }
        Ok(())
    }

    /// Makes the nodes one cluster.
    fn lay_out(&self) -> Result<()> {
        for number in 0..self.nodes.len() {
            let status = || Ok(self.ask(number, &["status"]).is_ok());
            until(&format!("Garage's node {number}"), PATIENCE, status)?;
        }
        for number in 0..self.nodes.len() {
            let address = self.ask(number, &["node", "id", "-q"])?;
            let id = address.split('@').next().unwrap_or_default();
            if number > 0 {
                self.ask(0, &["node", "connect", &address])?;
            }
            self.ask(0, &["layout", "assign", id, "-z", &format!("zone-{number}"), "-c", "100G"])?;
        }
        self.ask(0, &["layout", "apply", "--version", "1"]).map(drop)
    }

    fn make_bucket(&self, bucket: &str) -> Result<()> {
        let (name, secret) = &self.key;
        self.ask(0, &["key", "import", "--yes", name, secret])?;
        self.ask(0, &["bucket", "create", bucket])?;
        self.ask(0, &["bucket", "allow", "--read", "--write", bucket, "--key", name]).map(drop)
    }

    fn all_up(&self) -> bool {
        let up = |text: String| text.matches("zone-").count() == self.nodes.len() && !text.contains("FAILED");
        self.ask(0, &["status"]).is_ok_and(up)
    }

    /// Garage's command on this node.
    fn on(&self, number: usize) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(node_dir(&self.stores, number).join("garage.toml"));
        command
    }

    fn ask(&self, number: usize, args: &[&str]) -> Result<String> {
        let mut command = self.on(number);
        command.args(args);
        let answer = run::run(command)?.stdout;
        Ok(String::from_utf8_lossy(&answer).trim().to_owned())
    }
}

fn node_dir(stores: &Path, number: usize) -> PathBuf {
    stores.join(format!("node-{number}"))
}

fn config(home: &Path, [rpc, s3]: [u16; 2], secret: &str, (nodes, durable): (usize, bool)) -> String {
    let home = home.display();
    format!(
        r#"metadata_dir = "{home}/meta"
data_dir = "{home}/data"
db_engine = "lmdb"
metadata_fsync = {durable}
data_fsync = {durable}
replication_factor = {nodes}
rpc_bind_addr = "127.0.0.1:{rpc}"
rpc_public_addr = "127.0.0.1:{rpc}"
rpc_secret = "{secret}"

[s3_api]
s3_region = "{REGION}"
api_bind_addr = "127.0.0.1:{s3}"
"#
    )
}
