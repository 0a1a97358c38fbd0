//! The configuration of the running node: read again on SIGHUP, and applied as far as a running node can.
//!
//! The log filter and the offer as a provider change immediately. Every other key that changed is named in the log, and
//! needs a restart. A configuration that is wrong changes nothing. Not here: the signal itself ([`super::run`]).

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

use anyhow::Context;
use ostrakon_node::{
    config::{Checked, Config, Overrides},
    register::ProviderOffer,
};
use tracing_subscriber::{EnvFilter, Registry, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt};

/// The consensus engine logs each vote, which is a gigabyte a day: by default only its warnings are logged. To log all,
/// name the engine in `log`. Yamux complains of each frame that breaks its protocol, which ends the connection anyway.
const QUIET: &str = "arc_malachitebft=warn,yamux=off";

/// A configuration in use.
#[derive(Debug)]
pub(super) struct LiveConfig {
    dir: PathBuf,
    overrides: Overrides,
    config: Config,
    log: reload::Handle<EnvFilter, Registry>,
}

impl LiveConfig {
    /// Starts the log, and uses `config`, which is that of `dir` with `overrides`.
    pub(super) fn start(dir: &Path, overrides: &Overrides, config: Config) -> anyhow::Result<Self> {
        let (filter, log) = reload::Layer::new(filter(&config)?);
        // To standard error, with colours on a terminal only.
        let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
        tracing_subscriber::registry().with(filter).with(lines).init();
        Ok(Self { dir: dir.to_owned(), overrides: overrides.clone(), config, log })
    }

    /// What is in use.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Reads the configuration again; returns the offer to use from now on, or `None` when nothing changes.
    pub(super) fn reload(&mut self) -> Option<Option<ProviderOffer>> {
        let reloaded = self.try_reload();
        reloaded
            .inspect_err(|error| tracing::error!("the configuration is not reloaded, and nothing changes: {error:#}"))
            .ok()
    }

    fn try_reload(&mut self) -> anyhow::Result<Option<ProviderOffer>> {
        let new = Checked::open(&self.dir, &self.overrides)?.config;
        let offer = new.offer(&self.dir)?;
        self.log.reload(filter(&new)?)?;
        let (applied, waiting) = self.config.changes_to(&new);
        tracing::info!(?applied, "configuration reloaded");
        if !waiting.is_empty() {
            tracing::warn!(keys = ?waiting, "these keys changed and have no effect before the node is restarted");
        }
        self.config.log = new.log;
        self.config.provider = new.provider;
        Ok(offer)
    }
}

fn filter(config: &Config) -> anyhow::Result<EnvFilter> {
    let filter = &config.log;
    EnvFilter::try_new(format!("{QUIET},{filter}")).with_context(|| format!("invalid log filter {filter:?}"))
}
