//! What passes over the loopback interface while a scenario does something, as far as this machine permits to see it.

use std::{fs, path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context, Result};
use ostrakon_tests::cluster::{Cluster, Running, until};
use serde::Deserialize;

use crate::server::Gateway;

const PATIENCE: Duration = Duration::from_secs(60);

/// What was seen on some ports.
#[derive(Debug, Deserialize)]
pub(crate) struct OnPorts {
    pub(crate) bytes: u64,
    /// Words that were searched for, and are in it.
    pub(crate) found: Vec<String>,
}

/// What was seen.
#[derive(Debug, Deserialize)]
pub(crate) struct Seen {
    /// Between nodes, and between them and clients.
    pub(crate) nodes: OnPorts,
    /// Between the gateway and its clients.
    pub(crate) gateway: OnPorts,
}

/// A recording.
pub(crate) struct Wire {
    script: Running,
    stop: PathBuf,
    /// Why nothing is recorded.
    missing: Option<String>,
}

impl Wire {
    /// Records what passes the ports of the nodes and of the gateway, to search for these words in it.
    pub(crate) fn record(cluster: &Cluster, gateway: &Gateway, words: &[&str]) -> Result<Self> {
        let [ready, stop] = ["wire.ready", "wire.stop"].map(|name| cluster.files.join(name));
        let port = |address: &String| address.split('/').nth(4).map(ToOwned::to_owned);
        let nodes: Option<Vec<String>> = cluster.status()?.api.iter().map(port).collect();
        let settings = [
            ("NODES", nodes.context("nodes listen on ports")?.join(",")),
            ("GATEWAY", gateway.address().port().to_string()),
            ("WORDS", words.join(",")),
            ("READY", ready.to_string_lossy().into_owned()),
            ("STOP", stop.to_string_lossy().into_owned()),
        ];
        let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
        let script = Running::spawn(gateway.script("wire.py", &settings), Stdio::null())?;
        until("packets are recorded", PATIENCE, || Ok(ready.exists()))?;
        let missing = Some(fs::read_to_string(&ready)?).filter(|why| !why.is_empty());
        Ok(Self { script, stop, missing })
    }

    /// What was seen; why nothing was, where that is not permitted.
    pub(crate) fn end(self) -> Result<Result<Seen, String>> {
        fs::write(&self.stop, "")?;
        let outcome = self.script.wait(PATIENCE)?;
        match self.missing {
            Some(why) => Ok(Err(why)),
            None => outcome.json().map(Ok),
        }
    }
}
