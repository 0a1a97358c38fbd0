//! `ostrakon gateway` as a process of its own: started with the command, asked where it says that it listens, killed
//! when it is dropped. In come the command and a profile; nothing is known of what it answers.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::{process::without_profile, router::Site, scrape};

/// What the command prints once it listens.
#[derive(Debug, Deserialize)]
struct Listening {
    endpoint: String,
}

/// A gateway that runs.
#[derive(Debug)]
pub struct GatewayProcess {
    process: Child,
    address: SocketAddr,
}

impl GatewayProcess {
    /// Starts one of this profile, which listens there; what it logs is appended to the file `log`.
    ///
    /// # Errors
    /// When it cannot be started, or does not say that it listens.
    pub fn start(client: &Path, profile: &Path, listen: &str, log: &Path) -> Result<Self> {
        Self::start_flagged(client, (profile, listen, log), &[])
    }

    /// The same with further flags.
    ///
    /// # Errors
    /// As [`GatewayProcess::start`].
    pub fn start_flagged(client: &Path, places: (&Path, &str, &Path), flags: &[&str]) -> Result<Self> {
        Self::start_by(without_profile(client), places, flags)
    }

    /// The same in a place of its own.
    ///
    /// # Errors
    /// As [`GatewayProcess::start`].
    pub fn start_in(place: &Site, client: &Path, profile: &Path, listen: &str, log: &Path) -> Result<Self> {
        let mut command = place.command(client);
        without_profile(client).get_envs().for_each(|(name, _)| _ = command.env_remove(name));
        Self::start_by(command, (profile, listen, log), &[])
    }

    fn start_by(mut command: Command, (profile, listen, log): (&Path, &str, &Path), flags: &[&str]) -> Result<Self> {
        command.args(["gateway", "--listen", listen, "--json", "--profile"]).arg(profile).args(flags);
        let log = File::options().create(true).append(true).open(log)?;
        let mut process = command.stdout(Stdio::piped()).stderr(log).spawn().context("cannot start the gateway")?;
        let address = said(&mut process).inspect_err(|_| _ = process.kill())?;
        Ok(Self { process, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its whole answer to whether it is ready.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn readiness(&self) -> Result<String> {
        scrape::ask(self.address, "GET /readyz HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n")
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

/// The address that it prints.
fn said(process: &mut Child) -> Result<SocketAddr> {
    let mut line = String::new();
    BufReader::new(process.stdout.take().context("it is piped")?).read_line(&mut line)?;
    let Listening { endpoint } =
        serde_json::from_str(&line).with_context(|| format!("the gateway said {line:?}; see its log"))?;
    endpoint.trim_start_matches("http://").parse().with_context(|| format!("not an address: {endpoint}"))
}

impl Drop for GatewayProcess {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
