//! `ostrakon repair` on the command line.

use clap::{Args, Subcommand};

use crate::target::ObjectArgs;

pub(super) const HELP: &str = "\
Examples:
  ostrakon repair status
  ostrakon repair status CID";

const STATUS_HELP: &str = "\
Examples:
  ostrakon repair status
  ostrakon repair status --all
  ostrakon repair status CID

Nodes repair by themselves: this only shows it. A repair begins when a column found no holder as it was added, \
or when so many were lost that no more than the threshold are left, and it ends when all are stored again.

Without an object, the list is one node's word. With one, what is missing of it is proven, and only whose turn it is \
to rebuild, until when, and what a repair waits for are a node's word. An object that is not listed has nothing to \
repair: `ostrakon status` shows the rest.";

/// `repair`
#[derive(Debug, Subcommand)]
pub(crate) enum Repair {
    /// Show open repairs: what is missing, who rebuilds it, and what a repair waits for
    #[command(after_help = STATUS_HELP)]
    Status(RepairStatus),
}

/// `repair status`
#[derive(Debug, Args)]
pub(crate) struct RepairStatus {
    #[command(flatten)]
    pub(crate) object: ObjectArgs,
    /// List all repairs of the network, and not only the 64 most endangered
    #[arg(long, conflicts_with_all = ["given", "link_file"])]
    pub(crate) all: bool,
}
