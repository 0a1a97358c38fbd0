//! Another account of a scenario's network, used by the command that people use.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::cluster::{Binaries, Cluster, Outcome, Running};

/// How long a command may take.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize)]
struct Address {
    address: String,
}

/// Another account of the same network, with a profile of its own.
#[derive(Clone, Debug)]
pub struct Friend {
    profile: PathBuf,
    binaries: Binaries,
}

impl Friend {
    /// One with a profile of this name, and without money.
    ///
    /// # Errors
    /// When its profile cannot be made.
    pub fn new(cluster: &Cluster, name: &str) -> Result<Self> {
        let friend = Self { profile: cluster.files.join(name), binaries: cluster.binaries.clone() };
        let genesis = cluster.profile().join("genesis.toml");
        let genesis = genesis.to_str().context("the path is plain text")?;
        friend.run(&["init", "--no-passphrase", "--network", genesis])?.expect_code(0)?;
        Ok(friend)
    }

    /// Where it is paid.
    ///
    /// # Errors
    /// When the command fails.
    pub fn address(&self) -> Result<String> {
        Ok(self.run(&["wallet", "address"])?.json::<Address>()?.address)
    }

    /// Runs a command for it, with JSON as its answer.
    ///
    /// # Errors
    /// When it cannot be started or does not end.
    pub fn run(&self, args: &[&str]) -> Result<Outcome> {
        let profile = self.profile.to_str().context("the path is plain text")?;
        let all = [&["--profile", profile, "--json"], args].concat();
        Running::start(&self.binaries.client, &all)?.wait(LIMIT)
    }
}
