//! `ostrakon ledger` on the command line.

use std::path::PathBuf;

use clap::Subcommand;
use ostrakon::{Checkpoint, TxId};

pub(super) const HELP: &str = "\
Examples:
  ostrakon ledger head
  ostrakon ledger block 17
  ostrakon ledger tx TX
  ostrakon ledger epoch
  ostrakon ledger totals
  ostrakon ledger validators
  ostrakon ledger params";

const TRUST_HELP: &str = "\
Example:
  ostrakon ledger trust 120000:c0ff...

A client that was offline for longer than the unbonding period cannot tell the chain from a forged one (a long-range \
attack). Get a recent block from someone who runs a node and whom you trust: `ostrakon-node status` prints it.";

const ACCUSE_HELP: &str = "\
Example:
  ostrakon ledger accuse FILE.cert

For a certificate or anchor proof that is not of the network's chain, although its signatures are valid. Each \
validator who signed a header in it with another parent, history or validators than the chain's loses a part of its \
bond, and a tenth of that is yours. One that left and has its bond back is not liable.";

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
    /// Show an epoch: when it began, its beacon, and the providers that can be drawn in it
    Epoch {
        /// Its number [default: the one in progress]
        epoch: Option<u64>,
    },
    /// Show where all money is: in accounts, bonds and escrow, or burnt
    Totals,
    /// List the validators
    Validators,
    /// Show the parameters in force, as in a genesis file
    Params,
    /// Report validators who signed false headers in a certificate or anchor proof
    #[command(after_help = ACCUSE_HELP)]
    Accuse {
        /// The certificate or anchor proof
        file: PathBuf,
    },
    /// Trust a recent block as a checkpoint, after the client was offline for weeks
    #[command(after_help = TRUST_HELP)]
    Trust {
        /// The block, as `ostrakon-node status` prints it
        #[arg(value_name = "HEIGHT:BLOCK")]
        checkpoint: Checkpoint,
    },
}
