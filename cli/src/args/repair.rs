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

Nodes repair by themselves: this only shows it. A repair begins when a column was not stored by the add, or when no \
more columns are left than the repair threshold. It ends when all are stored again.

The list without an object comes from one node and is not verified. With an object, its missing columns are verified; \
which node rebuilds them, until when, and what a repair waits for are not. An object that is not listed has nothing \
to repair: `ostrakon status` shows the rest.";

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
