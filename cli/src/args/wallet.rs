//! `ostrakon wallet` on the command line.

use clap::{Args, Subcommand};
use ostrakon::{AccountId, Amount, TxPlace};

pub(super) const HELP: &str = "\
Examples:
  ostrakon wallet address
  ostrakon wallet balance
  ostrakon wallet send ost1... 12.5
  ostrakon wallet history --limit 5";

const HISTORY_HELP: &str = "\
Examples:
  ostrakon wallet history
  ostrakon wallet history --before 812 --limit 50
  ostrakon wallet history ost1... --json

Each transaction is proven to be in its block. No node can hide what the account sent, because nonces count it; \
incoming payments are those that any of three nodes reports. Refunds at the end of a term or bond are not transactions \
and are not listed. If nodes have pruned old blocks, the output reports it.";

/// `wallet`
#[derive(Debug, Subcommand)]
pub(crate) enum Wallet {
    /// Print the account's address
    Address,
    /// Print the balance
    Balance,
    /// Pay obols to another account
    Send {
        /// Address of the payee, as `wallet address` prints it
        #[arg(value_name = "ADDRESS")]
        to: AccountId,
        /// Obols to pay, such as 12.5
        amount: Amount,
    },
    /// List outgoing and incoming transactions, newest first
    #[command(after_help = HISTORY_HELP)]
    History(History),
}

/// `wallet history`
#[derive(Debug, Args)]
pub(crate) struct History {
    /// Address of the account [default: the profile's]
    #[arg(value_name = "ADDRESS")]
    pub(crate) account: Option<AccountId>,
    /// Maximum number of transactions to list
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) limit: u16,
    /// List only transactions before this block, or before this index in it
    #[arg(long, value_name = "HEIGHT[/INDEX]")]
    pub(crate) before: Option<TxPlace>,
}
