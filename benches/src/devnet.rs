//! A devnet of real node processes, by the command `ostrakon` that lies beside the program. Everything is learnt from
//! what the command prints; what was started is ended when the value is dropped.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, de::DeserializeOwned};

use crate::run;

/// What `devnet up` and `devnet status` print.
#[derive(Debug, Deserialize)]
struct Status {
    profile: PathBuf,
    api: Vec<String>,
    nodes: Vec<DevnetNode>,
}

/// One of its nodes.
#[derive(Clone, Debug, Deserialize)]
pub struct DevnetNode {
    /// Its number.
    pub index: u32,
    /// Its process, when it runs.
    pub pid: Option<u32>,
    /// Its provider.
    pub provider: String,
}

/// How large a devnet is.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Nodes.
    pub nodes: u32,
    /// Domains.
    pub domains: u32,
    /// Nodes that validate.
    pub validators: u32,
}

/// A devnet that runs.
#[derive(Debug)]
pub struct Devnet {
    client: PathBuf,
    net: PathBuf,
    count: u32,
    status: Status,
}

impl Devnet {
    /// Starts one of this shape in the directory `net`, which must not exist.
    ///
    /// # Errors
    /// When the commands are not built, or the devnet does not come up.
    pub fn start(net: PathBuf, shape: Shape) -> Result<Self> {
        let client = beside()?.join("ostrakon");
        ensure!(client.is_file(), "{} is missing: run `make build` first", client.display());
        let status = Status { profile: net.join("profile"), api: Vec::new(), nodes: Vec::new() };
        // Dropped from here on, it ends whatever has been started.
        let mut devnet = Self { client, net, count: shape.nodes, status };
        let [nodes, domains, validators] =
            [shape.nodes, shape.domains, shape.validators].map(|number| number.to_string());
        devnet.run("up", &["--nodes", &nodes, "--domains", &domains, "--validators", &validators])?;
        devnet.look()?;
        Ok(devnet)
    }

    /// The command that uses it.
    pub fn client(&self) -> &Path {
        &self.client
    }

    /// Where all of it is kept.
    pub fn directory(&self) -> &Path {
        &self.net
    }

    /// The profile of its account.
    pub fn profile(&self) -> &Path {
        &self.status.profile
    }

    /// Where its nodes listen, by index.
    pub fn api(&self) -> &[String] {
        &self.status.api
    }

    /// Its nodes, by index.
    pub fn nodes(&self) -> &[DevnetNode] {
        &self.status.nodes
    }

    /// The processes of those that run.
    pub fn pids(&self) -> Vec<u32> {
        self.nodes().iter().filter_map(|node| node.pid).collect()
    }

    /// Kills these nodes.
    ///
    /// # Errors
    /// When that fails.
    pub fn kill(&mut self, indexes: &[u32]) -> Result<()> {
        let words: Vec<String> = indexes.iter().map(u32::to_string).collect();
        self.run("kill", &words.iter().map(String::as_str).collect::<Vec<_>>())?;
        self.look()
    }

    /// Starts those that do not run.
    ///
    /// # Errors
    /// When one does not come up.
    pub fn start_again(&mut self) -> Result<()> {
        self.run("start", &[])?;
        self.look()
    }

    fn command(&self, verb: &str, args: &[&str]) -> Command {
        let mut command = Command::new(&self.client);
        command.args(["--json", "devnet", verb]).args(args).arg("--dir").arg(&self.net);
        command
    }

    fn run(&self, verb: &str, args: &[&str]) -> Result<Status> {
        json(&run::run(self.command(verb, args))?.stdout)
    }

    /// Learns which nodes run.
    fn look(&mut self) -> Result<()> {
        self.status = self.run("status", &[])?;
        Ok(())
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        // Nodes are processes of their own, which only the devnet's commands know for certain.
        let all: Vec<String> = (0..self.count).map(|index| index.to_string()).collect();
        let mut kill = self.command("kill", &all.iter().map(String::as_str).collect::<Vec<_>>());
        // When that fails there was no devnet yet.
        let _ = kill.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// The directory of this program, in which ours are too.
///
/// # Errors
/// When this program does not know where it lies.
pub fn beside() -> Result<PathBuf> {
    let program = std::env::current_exe().context("this program does not know where it lies")?;
    program.parent().map(Path::to_owned).context("a program lies in a directory")
}

/// The one JSON object that a command prints.
///
/// # Errors
/// When it is another.
pub fn json<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    serde_json::from_slice(text).with_context(|| format!("unexpected answer: {}", String::from_utf8_lossy(text)))
}
