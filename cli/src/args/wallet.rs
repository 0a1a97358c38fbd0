//! `ostrakon wallet` on the command line.

use std::str::FromStr;

use clap::{Args, Subcommand};
use ostrakon_proto::{
    id::{AccountId, Amount, Height},
    light::TxPlace,
};

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
  ostrakon wallet history ost1... --json | jq -r '.transactions[].tx'

Each transaction is proven to be in its block; blocks hold none that the rules refused. Nobody can leave out what the
account sent: its nonces count it. What was paid to it is what any of three nodes has. What comes back when a term or
a bond ends is no transaction, and is not listed. Nodes delete old blocks; it is said then what is missing.";

/// `wallet`
#[derive(Debug, Subcommand)]
pub(crate) enum Wallet {
    /// Print the account's address
    Address,
    /// Print what it has
    Balance,
    /// Pay obols to another account
    Send {
        /// Whom: an address as `wallet address` prints it
        to: AccountId,
        /// How many obols, as in 12.5
        amount: Amount,
    },
    /// List what the account sent and what was paid to it, the newest first
    #[command(after_help = HISTORY_HELP)]
    History(History),
}

/// `wallet history`
#[derive(Debug, Args)]
pub(crate) struct History {
    /// Whose [default: the profile's]
    pub(crate) account: Option<AccountId>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) limit: u16,
    /// Only what is in blocks below HEIGHT; with /INDEX, also what stands in that block before that place
    #[arg(long, value_name = "HEIGHT[/INDEX]")]
    pub(crate) before: Option<Before>,
}

/// A place in the ledger, as `history` prints it to go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Before(pub(crate) TxPlace);

impl FromStr for Before {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no place in the ledger: say a height such as 812, or 812/3");
        let (height, index) = text.split_once('/').unwrap_or((text, "0"));
        let (height, index) = (height.parse().map_err(|_| wrong())?, index.parse().map_err(|_| wrong())?);
        Ok(Self(TxPlace { height: Height(height), index }))
    }
}

impl std::fmt::Display for Before {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            TxPlace { height, index: 0 } => write!(f, "{height}"),
            TxPlace { height, index } => write!(f, "{height}/{index}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_printed() {
        for text in ["0", "812", "812/3", "18446744073709551615/4294967295"] {
            assert_eq!(text.parse::<Before>().map(|before| before.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "/", "/3", "3/", "-1", "1/2/3", "1/4294967296", "x"] {
            assert!(text.parse::<Before>().is_err(), "{text}");
        }
    }
}
