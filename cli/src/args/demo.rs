//! `ostrakon demo` on the command line.

use std::path::PathBuf;

use clap::Args;

pub(super) const HELP: &str = "\
Examples:
  ostrakon demo
  ostrakon demo --file big.iso --keep
  ostrakon demo --nodes 30 --domains 10 --kill 16
  ostrakon demo --no-repair

Fresh nodes then join, and the network rebuilds what was lost, once the dead nodes have proven nothing for three \
epochs of four seconds. Then holders die again, as many as the code can do without.

The exit code is 0 only if the file came back identical each time.";

/// `demo`
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Number of nodes
    #[arg(long, value_name = "COUNT", default_value_t = 14, value_parser = clap::value_parser!(u16).range(3..=200))]
    pub(crate) nodes: u16,
    /// Number of failure domains that the nodes are spread over
    #[arg(long, value_name = "COUNT", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub(crate) domains: u16,
    /// File to store [default: 64 MiB of random bytes]
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Number of validators among the nodes [default: 4, of which one may be killed; 1 where too few nodes are left]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) validators: Option<u16>,
    /// Number of nodes to kill and wipe, one validator among them if the others can do without
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub(crate) kill: u16,
    /// End when the file came back, without waiting for the repair
    #[arg(long)]
    pub(crate) no_repair: bool,
    /// Leave the network running afterwards
    #[arg(long)]
    pub(crate) keep: bool,
}
