//! `ostrakon ledger` on the command line.

use clap::Subcommand;
use ostrakon_proto::{id::TxId, light::Checkpoint};

pub(super) const HELP: &str = "\
Examples:
  ostrakon ledger head
  ostrakon ledger block 17
  ostrakon ledger tx TX
  ostrakon ledger validators
  ostrakon ledger params";

const TRUST_HELP: &str = "\
Example:
  ostrakon ledger trust 120000:c0ff...

A client that was offline for longer than validators' bonds are locked cannot tell the network from a forgery. Get a \
recent block from someone who runs a node: `ostrakon-node status` prints it.";

/// `ledger`
#[derive(Debug, Subcommand)]
pub(crate) enum Ledger {
    /// Show the newest block
    Head,
    /// Show a block
    Block {
        /// Its height
        height: u64,
    },
    /// Show a transaction and its block
    Tx {
        /// The transaction's id
        id: TxId,
    },
    /// List the validators
    Validators,
    /// Show the parameters in force, as in a genesis file
    Params,
    /// Trust a checkpoint, after the client was offline for weeks
    #[command(after_help = TRUST_HELP)]
    Trust {
        /// A recent block
        #[arg(value_name = "HEIGHT:BLOCK")]
        checkpoint: Checkpoint,
    },
}
