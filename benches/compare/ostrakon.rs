//! Ours: a devnet of real nodes, and the command beside this program. All it knows is what commands print.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use ostrakon_benches::beside;
use ostrakon_tests::{
    devnet::{self, Devnet},
    process::Outcome,
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::system::{Object, Start, System};

/// A network and the code that is used on it.
#[derive(Debug)]
pub(crate) struct Shape {
    net: devnet::Shape,
    code: &'static str,
    /// Holders of one object that may be lost.
    spare: usize,
}

/// Three times the bytes, and 8 of 12 may go.
pub(crate) const WIDE: Shape =
    Shape { net: devnet::Shape { nodes: 14, domains: 7, validators: 1 }, code: "4/12", spare: 8 };
/// One and a half times the bytes, and 2 of 6 may go.
pub(crate) const NARROW: Shape =
    Shape { net: devnet::Shape { nodes: 6, domains: 3, validators: 1 }, code: "4/6", spare: 2 };

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

/// The one JSON object that a command prints.
fn json<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    serde_json::from_slice(text).with_context(|| format!("unexpected output: {}", String::from_utf8_lossy(text)))
}

/// A devnet that runs.
#[derive(Debug)]
pub(crate) struct Ostrakon {
    net: Devnet,
    profile: PathBuf,
    shape: &'static Shape,
}

impl Ostrakon {
    /// Starts a devnet of this shape in `dir`.
    ///
    /// # Errors
    /// When the commands are not built, or the devnet does not come up.
    pub(crate) fn start(dir: &Path, shape: &'static Shape) -> Result<Start> {
        let net = Devnet::start(&beside()?.join("ostrakon"), dir.join("net"), shape.net, &[])?;
        let profile = net.status()?.profile;
        Ok(Start::Running(Box::new(Self { net, profile, shape })))
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(self.net.client());
        command.arg("--profile").arg(&self.profile).args(["--json", verb]);
        command
    }
}

impl System for Ostrakon {
    fn daemons(&self) -> Result<Vec<u32>> {
        Ok(self.net.status()?.pids())
    }

    fn stores(&self) -> &Path {
        self.net.directory()
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
        let nodes = self.net.status()?.nodes;
        let number = |holder: &String| {
            let node = nodes.iter().find(|node| node.provider == *holder);
            node.map(|node| node.index).with_context(|| format!("{holder} is not a node of this devnet"))
        };
        let lost: Vec<usize> = object.holders.iter().take(self.shape.spare).map(number).collect::<Result<_>>()?;
        self.net.kill(&lost)?;
        Ok(true)
    }

    fn recover(&mut self) -> Result<()> {
        self.net.revive(&[])
    }
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
