//! A gateway that runs, and scripts that talk to it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Result, ensure};
use ostrakon_tests::{
    cluster::{Cluster, Outcome, Running},
    gateway::GatewayProcess,
};
use serde::Deserialize;

/// No script takes longer.
const PATIENCE: Duration = Duration::from_secs(300);
/// Where it logs, among the cluster's files.
const LOG: &str = "gateway.log";

/// An access key, as the command prints it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct AccessKey {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// A gateway of a profile. Dropping it kills it.
pub(crate) struct Gateway {
    process: GatewayProcess,
    pub(crate) endpoint: String,
    pub(crate) key: AccessKey,
}

impl Gateway {
    /// Of the cluster's profile, with a new access key.
    pub(crate) fn start(cluster: &Cluster) -> Result<Self> {
        let key = cluster.run(&["bucket", "key", "create"])?.json()?;
        Self::start_with(cluster, cluster.profile(), key, "127.0.0.1:0")
    }

    /// Of this profile, for who has this access key.
    pub(crate) fn start_with(cluster: &Cluster, profile: &Path, key: AccessKey, listen: &str) -> Result<Self> {
        Self::start_flagged(cluster, (profile, listen), key, &[])
    }

    /// Of the cluster's profile, with reads that do not ask the validators whether anything is newer.
    pub(crate) fn start_outdated(cluster: &Cluster, key: AccessKey) -> Result<Self> {
        Self::start_flagged(cluster, (cluster.profile(), "127.0.0.1:0"), key, &["--max-stale", "1m"])
    }

    /// Of the cluster's profile, with a new access key, and with every message of the log.
    pub(crate) fn start_verbose(cluster: &Cluster) -> Result<Self> {
        let key = cluster.run(&["bucket", "key", "create"])?.json()?;
        Self::start_flagged(cluster, (cluster.profile(), "127.0.0.1:0"), key, &["-vvv"])
    }

    /// What it has logged.
    pub(crate) fn log(cluster: &Cluster) -> Result<String> {
        Ok(std::fs::read_to_string(cluster.files.join(LOG))?)
    }

    fn start_flagged(
        cluster: &Cluster,
        (profile, listen): (&Path, &str),
        key: AccessKey,
        flags: &[&str],
    ) -> Result<Self> {
        let log = cluster.files.join(LOG);
        let process = GatewayProcess::start_flagged(&cluster.binaries.client, (profile, listen, &log), flags)?;
        let endpoint = format!("http://{}", process.address());
        Ok(Self { process, endpoint, key })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.process.address()
    }

    /// Its whole answer to whether it is ready.
    pub(crate) fn readiness(&self) -> Result<String> {
        self.process.readiness()
    }

    /// Kills it, and starts it again at the same address.
    pub(crate) fn killed_and_restarted(self, cluster: &Cluster) -> Result<Self> {
        let Self { process, key, .. } = self;
        let listen = process.address().to_string();
        drop(process);
        Self::start_with(cluster, cluster.profile(), key, &listen)
    }

    /// Stops it, as a machine that sleeps, and lets it continue after that.
    pub(crate) fn halted_for(&self, pause: impl FnOnce()) -> Result<()> {
        let signal = |name: &str| {
            let status = Command::new("kill").args([name, &self.pid().to_string()]).status()?;
            ensure!(status.success(), "cannot send {name} to the gateway");
            Ok(())
        };
        signal("-STOP")?;
        pause();
        signal("-CONT")
    }

    /// A script of `tests/s3`, to be run against it.
    pub(crate) fn script(&self, name: &str, settings: &[(&str, &str)]) -> Command {
        let mut python = Command::new("python3");
        python.arg("-B").arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("s3").join(name));
        python.envs([
            ("ENDPOINT", self.endpoint.as_str()),
            ("ACCESS_KEY", self.key.id.as_str()),
            ("SECRET_KEY", self.key.secret.as_str()),
        ]);
        python.envs(settings.iter().copied());
        python
    }

    /// Runs a script to its end, which must be good.
    pub(crate) fn run(&self, name: &str, settings: &[(&str, &str)]) -> Result<Outcome> {
        let outcome = Running::spawn(self.script(name, settings), Stdio::null())?.wait(PATIENCE)?;
        ensure!(outcome.expect_code(0).is_ok(), "{name} failed: {}", outcome.said());
        Ok(outcome)
    }
}
