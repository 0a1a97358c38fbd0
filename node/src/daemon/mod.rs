//! The daemon's commands: [`init`] makes a data directory, [`run`] runs its node, [`status`] tells how it is,
//! [`member`] takes it in and out of the network.
//!
//! Flags win over environment, environment over file. Words for people go to standard error, answers to standard out.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::Context;
use clap::{Args as ClapArgs, Parser, Subcommand};
use ostrakon_node::config::{Config, Overrides, read_genesis};

mod init;
mod member;
mod run;
mod status;

/// A node of an Ostrakon network: keeps columns and the ledger.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes a data directory with keys and configuration, and tells the node's identity.
    Init(init::InitArgs),
    /// Runs the node until SIGTERM or SIGINT.
    Run(RunArgs),
    /// Tells how the node of a data directory is.
    Status {
        #[command(flatten)]
        place: Place,
        /// One JSON object instead of lines.
        #[arg(long)]
        json: bool,
    },
    /// Has the running node vote on blocks, or vote no more.
    Validator {
        #[command(subcommand)]
        command: member::ValidatorCommand,
    },
    /// Ends what the node keeps for others.
    Provider {
        #[command(subcommand)]
        command: member::ProviderCommand,
    },
    /// Shows or checks the configuration, as `run` would use it.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Prints it, with everything that is not set at its default.
    Show(RunArgs),
    /// Reads it and the genesis, and says what is wrong.
    Check(RunArgs),
}

#[derive(Debug, ClapArgs)]
struct Place {
    /// The node's data directory.
    #[arg(long, env = "OSTRAKON_NODE_DIR")]
    dir: PathBuf,
}

#[derive(Debug, ClapArgs)]
struct RunArgs {
    #[command(flatten)]
    place: Place,
    /// Addresses to listen on, as `/ip4/0.0.0.0/tcp/4001`; port 0 takes a free one.
    #[arg(long, env = "OSTRAKON_LISTEN", value_delimiter = ',')]
    listen: Vec<String>,
    /// Nodes to begin with, as addresses with `/p2p/`.
    #[arg(long, env = "OSTRAKON_BOOTSTRAP", value_delimiter = ',')]
    bootstrap: Vec<String>,
    /// The longest time between two blocks, if this node is the validator.
    #[arg(long, env = "OSTRAKON_BLOCK_INTERVAL_MS")]
    block_interval_ms: Option<u64>,
    /// Threads for disk and hashing.
    #[arg(long, env = "OSTRAKON_WORKERS")]
    workers: Option<usize>,
    /// What is logged, as `info` or `info,ostrakon_node=debug`.
    #[arg(long, env = "OSTRAKON_LOG")]
    log: Option<String>,
}

impl RunArgs {
    fn overrides(&self) -> Overrides {
        let Self { place: _, listen, bootstrap, block_interval_ms, workers, log } = self;
        Overrides {
            listen: listen.clone(),
            bootstrap: bootstrap.clone(),
            block_interval_ms: *block_interval_ms,
            workers: *workers,
            log: log.clone(),
        }
    }

    fn config(&self) -> anyhow::Result<Config> {
        Ok(Config::load(&self.place.dir, &self.overrides())?)
    }
}

impl Args {
    /// Does what they say.
    pub(crate) fn perform(self) -> anyhow::Result<()> {
        match self.command {
            Command::Init(args) => init::init(&args),
            Command::Run(args) => run::run(&args.place.dir, &args.config()?),
            Command::Status { place, json } => status::print(&place.dir, json),
            Command::Validator { command } => member::validator(command),
            Command::Provider { command } => member::provider(command),
            Command::Config { command: ConfigCommand::Show(args) } => say(&args.config()?.to_toml()),
            Command::Config { command: ConfigCommand::Check(args) } => check(&args),
        }
    }
}

fn check(args: &RunArgs) -> anyhow::Result<()> {
    let config = args.config()?;
    config.offer(&args.place.dir)?;
    let genesis = read_genesis(&args.place.dir.join(ostrakon_node::config::GENESIS_FILE))?;
    say(&format!("configuration is valid; network {} ({})\n", genesis.name, genesis.id()))
}

/// Writes an answer to standard output.
fn say(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot write to standard output")
}
