//! The daemon's commands: [`init`] creates a data directory, with what [`offer`] asks for and [`reach`] checks, [`run`]
//! runs its node, to which [`mapping`] has the router ([`igd`]) forward a port and with which [`reachability`] has
//! others connect, [`announced`] is where they do so, [`status`] prints its status and [`earnings`] what it was paid;
//! with [`network`] several operators found a network, with [`member`] a node joins and leaves its
//! validators, with [`drain`] it ends its service without a loss, and with [`volume`] its operator changes the disks
//! that it stores columns on; [`scrapes`] serves its metrics, [`live`] is the configuration in use, and [`notify`]
//! tells the service manager.
//!
//! Flags override the environment, which overrides the file. Logs and messages go to standard error, results to
//! standard output.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::Context;
use clap::{Args as ClapArgs, Parser, Subcommand};
use ostrakon_node::config::{Checked, Config, Overrides, volume_warnings};

mod announced;
mod drain;
mod earnings;
mod igd;
mod init;
mod live;
mod maintenance;
mod mapping;
mod member;
mod network;
mod notify;
mod offer;
mod reach;
mod reachability;
mod run;
mod scrapes;
mod status;
mod volume;

/// Node of an Ostrakon network: stores columns for others and maintains the ledger
#[derive(Debug, Parser)]
#[command(version, about, after_help = HELP, max_term_width = 110)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a data directory with keys and configuration, and print the node's identity and the next command
    #[command(after_help = INIT_EXAMPLES)]
    Init(init::InitArgs),
    /// Found a network of several operators
    #[command(after_help = network::HELP)]
    Network {
        #[command(subcommand)]
        command: network::NetworkCommand,
    },
    /// Run the node until SIGTERM or SIGINT; SIGHUP reads the configuration again
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Show the status of the node of a data directory
    Status {
        #[command(flatten)]
        data_dir: DataDir,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Show what the node was paid for what it stores
    #[command(after_help = EARNINGS_EXAMPLES)]
    Earnings(earnings::EarningsArgs),
    /// Join or leave the validators with the running node
    Validator {
        #[command(subcommand)]
        command: member::ValidatorCommand,
    },
    /// End the node's service as a storage provider: move its columns to others, and get the bond back
    #[command(after_help = drain::HELP)]
    Drain(drain::DrainArgs),
    /// Announce that the node will be offline for some hours, which do not count as a fault then
    #[command(after_help = maintenance::HELP)]
    Maintenance(maintenance::MaintenanceArgs),
    /// Add, list or remove the disks on which the node stores columns
    Volume {
        #[command(subcommand)]
        command: volume::VolumeCommand,
    },
    /// Show or check the configuration as `run` would use it
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

const HELP: &str = "To join a network, with its genesis file:
  ostrakon-node init --dir DIR --genesis genesis.toml --address /ip4/192.0.2.1/tcp/4001 --capacity 500G \\
                     --domain anna/hetzner/fi
  ostrakon-node run --dir DIR

To found one with others: `ostrakon-node network --help`. Without flags, `init` asks on a terminal.";

const INIT_EXAMPLES: &str = "Examples:
  ostrakon-node init --dir DIR --address /dns/node.example/tcp/4001 --capacity 2T --domain anna/hetzner/fi
  ostrakon-node init --dir DIR --genesis genesis.toml

The second one adds the genesis to the first. On a terminal, what flags leave open is asked. What exists already is \
not changed: edit node.toml, and SIGHUP makes a running node offer what its section [provider] says.";

const RUN_EXAMPLES: &str = "Example, with metrics for Prometheus:
  ostrakon-node run --dir DIR --metrics 127.0.0.1:9464
  curl -s 127.0.0.1:9464/metrics";

const EARNINGS_EXAMPLES: &str = "Examples:
  ostrakon-node earnings --dir DIR
  ostrakon-node earnings --dir DIR --by day --csv > earnings.csv
  ostrakon-node earnings --dir DIR --by commitment

The running node notes each epoch that it proved. `paid` is what the ledger says it was paid in all, after fees. By \
commitment, what each column is paid now is read from the node's ledger, also while it runs. JSON has micro-obols.";

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the effective configuration, with a comment on each key
    Show(RunArgs),
    /// Check the configuration, the genesis, the keys and the disk, and report all errors
    Check(RunArgs),
}

#[derive(Debug, ClapArgs)]
struct DataDir {
    /// Data directory of the node
    #[arg(long, env = "OSTRAKON_NODE_DIR", value_name = "DIR")]
    dir: PathBuf,
}

#[derive(Debug, ClapArgs)]
struct RunArgs {
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    overrides: Overrides,
}

impl RunArgs {
    fn checked(&self) -> anyhow::Result<Checked> {
        Ok(Checked::open(&self.data_dir.dir, &self.overrides)?)
    }
}

impl Args {
    /// Runs the command.
    pub(crate) fn perform(self) -> anyhow::Result<()> {
        match self.command {
            Command::Init(args) => init::init(&args),
            Command::Network { command } => network::network(command),
            Command::Run(args) => run::run(&args.data_dir.dir, &args.overrides),
            Command::Status { data_dir, json } => status::print(&data_dir.dir, json),
            Command::Earnings(args) => earnings::print(&args),
            Command::Validator { command } => member::validator(command),
            Command::Drain(args) => drain::drain(args),
            Command::Maintenance(args) => maintenance::announce(args),
            Command::Volume { command } => volume::perform(command),
            Command::Config { command: ConfigCommand::Show(args) } => {
                say(&Config::load(&args.data_dir.dir, &args.overrides)?.to_toml())
            }
            Command::Config { command: ConfigCommand::Check(args) } => check(&args),
        }
    }
}

fn check(args: &RunArgs) -> anyhow::Result<()> {
    let Checked { genesis, keypair, .. } = args.checked()?;
    let warnings = volume_warnings(&args.data_dir.dir, &keypair.public());
    let warnings: String = warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
    say(&format!("configuration is valid; network {} ({})\n{warnings}", genesis.name, genesis.id()))
}

/// Writes a result to standard output.
fn say(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot write to standard output")
}
