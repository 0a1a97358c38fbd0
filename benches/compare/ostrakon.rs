//! Ours: a devnet of real nodes, and the command beside this program. Everything is learnt from what commands print.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    options,
    run::{self, Outcome},
    system::{Object, Start, System},
};

/// A network and the code that is used on it.
#[derive(Debug)]
pub(crate) struct Shape {
    nodes: &'static str,
    domains: &'static str,
    code: &'static str,
    /// Holders of one object that may be lost.
    spare: usize,
}

/// Three times the bytes, and 8 of 12 may go.
pub(crate) const WIDE: Shape = Shape { nodes: "14", domains: "7", code: "4/12", spare: 8 };
/// One and a half times the bytes, and 2 of 6 may go.
pub(crate) const NARROW: Shape = Shape { nodes: "6", domains: "3", code: "4/6", spare: 2 };

/// What `devnet up` and `devnet status` print.
#[derive(Debug, Deserialize)]
struct Status {
    profile: PathBuf,
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    index: u32,
    pid: Option<u32>,
    provider: String,
}

/// What `add` prints. A directory may have no slots of its own.
#[derive(Debug, Deserialize)]
struct Added {
    link: String,
    #[serde(default)]
    slots: Vec<Slot>,
}

#[derive(Debug, Deserialize)]
struct Slot {
    provider: String,
}

/// What `get` says of itself.
#[derive(Debug, Deserialize)]
struct Fetched {
    fetched_bytes: Option<u64>,
}

/// A devnet that runs.
#[derive(Debug)]
pub(crate) struct Ostrakon {
    client: PathBuf,
    net: PathBuf,
    shape: &'static Shape,
    profile: PathBuf,
    nodes: Vec<Node>,
}

impl Ostrakon {
    /// Starts a devnet of this shape in `dir`.
    ///
    /// # Errors
    /// When the commands are not built, or the devnet does not come up.
    pub(crate) fn start(dir: &Path, shape: &'static Shape) -> Result<Start> {
        let client = options::beside()?.join("ostrakon");
        ensure!(client.is_file(), "{} is missing: run `make build` first", client.display());
        let net = dir.join("net");
        // Dropped from here on, it ends whatever has been started.
        let mut devnet = Self { client, profile: net.join("profile"), net, shape, nodes: Vec::new() };
        devnet.devnet("up", &["--nodes", shape.nodes, "--domains", shape.domains])?;
        devnet.look()?;
        Ok(Start::Running(Box::new(devnet)))
    }

    fn devnet_command(&self, verb: &str, args: &[&str]) -> Command {
        let mut command = Command::new(&self.client);
        command.args(["--json", "devnet", verb]).args(args).arg("--dir").arg(&self.net);
        command
    }

    fn devnet(&self, verb: &str, args: &[&str]) -> Result<Status> {
        json(&run::run(self.devnet_command(verb, args))?.stdout)
    }

    /// Learns which nodes run.
    fn look(&mut self) -> Result<()> {
        let Status { profile, nodes } = self.devnet("status", &[])?;
        (self.profile, self.nodes) = (profile, nodes);
        Ok(())
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.client);
        command.arg("--profile").arg(&self.profile).args(["--json", verb]);
        command
    }
}

impl Drop for Ostrakon {
    fn drop(&mut self) {
        // Nodes are processes of their own, which only the devnet's commands know for certain.
        let nodes: u32 = self.shape.nodes.parse().unwrap_or(0);
        let all: Vec<String> = (0..nodes).map(|index| index.to_string()).collect();
        let mut kill = self.devnet_command("kill", &all.iter().map(String::as_str).collect::<Vec<_>>());
        // When that fails there was no devnet yet.
        let _ = kill.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

impl System for Ostrakon {
    fn daemons(&self) -> Vec<u32> {
        self.nodes.iter().filter_map(|node| node.pid).collect()
    }

    fn stores(&self) -> &Path {
        &self.net
    }

    fn add(&self, source: &Path) -> Command {
        let mut command = self.command("add");
        // All columns, as the others wait for all shares.
        command.args(["--all", "--code", self.shape.code]).arg(source);
        command
    }

    fn added(&self, _source: &Path, stdout: &[u8]) -> Result<Object> {
        let Added { link, slots } = json(stdout)?;
        Ok(Object { link, holders: slots.into_iter().map(|slot| slot.provider).collect() })
    }

    fn get(&self, object: &Object, to: &Path) -> Command {
        let mut command = self.command("get");
        command.arg(&object.link).arg("-o").arg(to);
        command
    }

    fn add_directory(&self, source: &Path) -> Command {
        self.add(source)
    }

    fn get_directory(&self, object: &Object, to: &Path) -> Result<Command> {
        Ok(self.get(object, to))
    }

    fn cat(&self, object: &Object, range: Option<Range<u64>>) -> Option<Command> {
        let mut command = self.command("cat");
        command.arg(&object.link);
        if let Some(range) = range {
            command.args(["--range", &format!("{}-{}", range.start, range.end.checked_sub(1)?)]);
        }
        Some(command)
    }

    fn fetched_bytes(&self, outcome: &Outcome) -> Option<u64> {
        // Where stdout is for the object, the answer is on stderr.
        json::<Fetched>(&outcome.stdout).or_else(|_| json::<Fetched>(outcome.stderr.as_bytes())).ok()?.fetched_bytes
    }

    fn lose(&mut self, object: &Object) -> Result<bool> {
        let number = |holder: &String| {
            let node = self.nodes.iter().find(|node| node.provider == *holder);
            node.map(|node| node.index.to_string()).with_context(|| format!("{holder} is no node of this devnet"))
        };
        let lost: Vec<String> = object.holders.iter().take(self.shape.spare).map(number).collect::<Result<_>>()?;
        self.devnet("kill", &lost.iter().map(String::as_str).collect::<Vec<_>>())?;
        self.look()?;
        Ok(true)
    }

    fn recover(&mut self) -> Result<()> {
        self.devnet("start", &[])?;
        self.look()
    }
}

/// The one JSON object that a command prints.
fn json<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    serde_json::from_slice(text).with_context(|| format!("unexpected answer: {}", String::from_utf8_lossy(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_with_or_without_what_is_new_in_them() {
        let added: Added = json(br#"{"link":"l","slots":[{"provider":"p","index":0}],"more":1}"#).expect("reads");
        assert_eq!((added.link.as_str(), added.slots[0].provider.as_str()), ("l", "p"));
        assert!(json::<Added>(br#"{"link":"l"}"#).expect("reads").slots.is_empty());
        assert_eq!(json::<Fetched>(b"{}").expect("reads").fetched_bytes, None);
        assert_eq!(json::<Fetched>(br#"{"fetched_bytes":5}"#).expect("reads").fetched_bytes, Some(5));
    }
}
