//! `ostrakon devnet` on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Seconds of an epoch where nobody says otherwise: terms end while one watches.
pub(crate) const EPOCH_SECONDS: u64 = 10;

pub(super) const HELP: &str = "\
Examples:
  ostrakon devnet up --dir net --nodes 14 --domains 7
  ostrakon devnet status --dir net
  ostrakon devnet kill 0 3 5 --dir net
  ostrakon devnet down --dir net";

/// `devnet`
#[derive(Debug, Subcommand)]
pub(crate) enum DevnetCommand {
    /// Create a network, start it, and print the profile to use
    Up(DevnetUp),
    /// Show which nodes are running
    Status(DevnetDir),
    /// Kill nodes with SIGKILL, as `kill -9` does
    Kill(DevnetNodes),
    /// Start stopped nodes again: those with these indexes, or all but the spare ones
    Start {
        /// Indexes of the nodes
        #[arg(value_name = "INDEX")]
        nodes: Vec<u16>,
        #[command(flatten)]
        dir: DevnetDir,
    },
    /// Kill nodes and delete all that they stored; their keys and settings stay
    Wipe(DevnetNodes),
    /// Stop all nodes; their files stay
    Down(DevnetDir),
}

/// The network of a command.
#[derive(Debug, Args)]
pub(crate) struct DevnetDir {
    /// Directory of the network
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// Some nodes of a network.
#[derive(Debug, Args)]
pub(crate) struct DevnetNodes {
    /// Indexes of the nodes
    #[arg(value_name = "INDEX", required = true)]
    pub(crate) nodes: Vec<u16>,
    #[command(flatten)]
    pub(crate) dir: DevnetDir,
}

/// `devnet up`
#[derive(Debug, Args)]
pub(crate) struct DevnetUp {
    #[command(flatten)]
    pub(crate) dir: DevnetDir,
    /// Number of nodes
    #[arg(long, value_name = "COUNT", default_value_t = 14, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub(crate) nodes: u16,
    /// Number of failure domains that the nodes are spread over
    #[arg(long, value_name = "COUNT", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub(crate) domains: u16,
    /// Number of validators among the nodes; of 4, one may fail
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) validators: u16,
    /// Minimum length of an epoch, in seconds; the terms of adds are counted in epochs
    #[arg(long, value_name = "SECONDS", default_value_t = EPOCH_SECONDS)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) epoch: u64,
    /// Number of nodes to make beside them, not started: each joins the network when `devnet start` names its index
    #[arg(long, value_name = "COUNT", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=200))]
    pub(crate) spares: u16,
    /// Have the validators on nodes of their own, which store nothing; they count among the nodes
    #[arg(long)]
    pub(crate) validators_apart: bool,
    /// Permissioned network: the profile's account decides who may join, see `ostrakon governance`
    #[arg(long)]
    pub(crate) permissioned: bool,
}
