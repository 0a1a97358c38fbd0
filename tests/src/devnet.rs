//! A devnet of real node processes, driven by the command `ostrakon devnet` and seen only through what it prints.
//!
//! In come the commands of one build; out come the nodes with their processes and directories. A [`Devnet`] stops what
//! it started when it is dropped, and nothing else. It works with the commands of an earlier build too, so it uses only
//! flags and fields that have long been there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::process::{self, Outcome, Running, say};

/// No command of a devnet takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// One node, as `devnet status` prints it.
#[derive(Clone, Debug, Deserialize)]
pub struct NodeInfo {
    /// Its number in the network.
    pub index: usize,
    /// Its process, while it runs.
    pub pid: Option<u32>,
    /// Its id, as the ledger lists it.
    pub provider: String,
    /// Its domain.
    pub domain: String,
    /// Whether it runs.
    pub running: bool,
    /// Whether it proposes blocks.
    pub validator: bool,
    /// Its data directory.
    pub data_dir: PathBuf,
}

/// The network, as `devnet up` and `devnet status` print it.
#[derive(Clone, Debug, Deserialize)]
pub struct NetworkInfo {
    /// The profile that has money on it.
    pub profile: PathBuf,
    /// Where its nodes listen, by index.
    pub api: Vec<String>,
    /// Its nodes.
    pub nodes: Vec<NodeInfo>,
    /// Height of the ledger.
    pub height: Option<u64>,
}

impl NetworkInfo {
    /// The processes of the nodes that run.
    pub fn pids(&self) -> Vec<u32> {
        self.nodes.iter().filter_map(|node| node.pid).collect()
    }
}

/// How large a network to start.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Nodes.
    pub nodes: usize,
    /// Domains over which they are spread.
    pub domains: usize,
    /// Nodes that validate.
    pub validators: usize,
}

impl Shape {
    /// So many nodes in so many domains, one of which validates.
    pub const fn new(nodes: usize, domains: usize) -> Self {
        Self { nodes, domains, validators: 1 }
    }
}

/// A devnet that runs.
#[derive(Debug)]
pub struct Devnet {
    client: PathBuf,
    net: PathBuf,
}

impl Devnet {
    /// Starts one of this size in the directory `net`, which must not exist, with the command `client`.
    ///
    /// # Errors
    /// When the command is not built, or the devnet does not come up.
    pub fn start(client: &Path, net: PathBuf, shape: Shape, flags: &[&str]) -> Result<Self> {
        ensure!(client.is_file(), "{} is missing: run `make build` first", client.display());
        // Dropped from here on, it stops whatever was started.
        let devnet = Self { client: client.to_owned(), net };
        let [nodes, domains, validators] = [shape.nodes, shape.domains, shape.validators].map(|it| it.to_string());
        let size = ["--nodes", &nodes, "--domains", &domains, "--validators", &validators];
        devnet.run("up", &[&size, flags].concat())?.expect_code(0)?;
        Ok(devnet)
    }

    /// The command that uses it.
    pub fn client(&self) -> &Path {
        &self.client
    }

    /// The directory that holds all of it.
    pub fn directory(&self) -> &Path {
        &self.net
    }

    /// What `devnet status` prints.
    ///
    /// # Errors
    /// When it fails.
    pub fn status(&self) -> Result<NetworkInfo> {
        self.run("status", &[])?.json()
    }

    /// `kill -9` for these nodes.
    ///
    /// # Errors
    /// When the command fails.
    pub fn kill(&self, nodes: &[usize]) -> Result<()> {
        self.on_nodes("kill", nodes)
    }

    /// Starts these nodes again, or with none named all that do not run.
    ///
    /// # Errors
    /// When the command fails.
    pub fn revive(&self, nodes: &[usize]) -> Result<()> {
        self.on_nodes("start", nodes)
    }

    /// `kill -9` for this node, which starts again with other settings in its `node.toml`; what they were before.
    ///
    /// # Errors
    /// When a command fails, or the file cannot be read or written.
    pub fn restart_with(&self, node: &NodeInfo, edit: impl FnOnce(&str) -> String) -> Result<String> {
        let path = node.data_dir.join("node.toml");
        let before = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        self.kill(&[node.index])?;
        fs::write(&path, edit(&before)).with_context(|| path.display().to_string())?;
        self.revive(&[node.index])?;
        Ok(before)
    }

    /// `kill -9` for these nodes, and their disks are deleted.
    ///
    /// # Errors
    /// When the command fails.
    pub fn wipe(&self, nodes: &[usize]) -> Result<()> {
        self.on_nodes("wipe", nodes)
    }

    /// Sends a signal to the processes of these nodes, by its name without `SIG`, such as `STOP` or `CONT`.
    ///
    /// # Errors
    /// When one of them does not run.
    pub fn signal(&self, nodes: &[usize], name: &str) -> Result<()> {
        let chosen = self.status()?.nodes.into_iter().filter(|node| nodes.contains(&node.index));
        let pids: Vec<u32> = chosen.filter_map(|node| node.pid).collect();
        ensure!(pids.len() == nodes.len(), "of the nodes {nodes:?} only {} run", pids.len());
        pids.into_iter().try_for_each(|pid| process::signal(pid, name))
    }

    fn on_nodes(&self, verb: &str, nodes: &[usize]) -> Result<()> {
        let indexes: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        let args: Vec<&str> = indexes.iter().map(String::as_str).collect();
        self.run(verb, &args)?.expect_code(0).map(drop)
    }

    fn run(&self, verb: &str, args: &[&str]) -> Result<Outcome> {
        Running::spawn(self.command(verb, args), Stdio::null())?.wait(PATIENCE)
    }

    fn command(&self, verb: &str, args: &[&str]) -> Command {
        let mut command = Command::new(&self.client);
        command.args(["--json", "devnet", verb]).args(args).arg("--dir").arg(&self.net);
        command
    }

    /// Not by [`Running`], whose waiting ends when this program is interrupted: then above all the nodes must go.
    fn down(&self) -> Result<()> {
        let down = self.command("down", &[]).output()?;
        ensure!(down.status.success(), "`devnet down` failed: {}", String::from_utf8_lossy(&down.stderr));
        let left: NetworkInfo = serde_json::from_slice(&self.command("status", &[]).output()?.stdout)?;
        ensure!(left.pids().is_empty(), "still running after `devnet down`: {:?}", left.pids());
        Ok(())
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        if !self.net.is_dir() {
            return;
        }
        if let Err(error) = self.down() {
            // A program that leaves processes behind must report them, even while it fails for another reason.
            say(&format!("warning: the network in {} may still run: {error:#}", self.net.display()));
        }
    }
}
