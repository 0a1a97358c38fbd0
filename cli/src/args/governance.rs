//! `ostrakon governance` on the command line.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use ostrakon_proto::id::{NodeId, VoteKey};

pub(super) const HELP: &str = "\
Examples:
  ostrakon governance list
  ostrakon governance propose params changes.toml
  ostrakon governance propose admit-validator ostval1...
  ostrakon governance vote 3 yes

Who has a vote is said by `list`. A proposal locks a deposit, which comes back when it ends; the vote that passes it
carries it out. A vote may be changed as long as the proposal is open.";

const PARAMS_HELP: &str = "\
Example:
  printf '[governance]\\nmax_power_share = 25\\n' > changes.toml
  ostrakon governance propose params changes.toml

`ostrakon ledger params` prints the whole table.";

/// `governance`
#[derive(Debug, Subcommand)]
pub(crate) enum Governance {
    /// Show who decides, and the proposals
    List,
    /// Propose a change, and print the number to vote on
    Propose {
        #[command(subcommand)]
        change: Proposed,
    },
    /// Vote on a proposal
    Vote {
        /// Its number
        number: u64,
        /// Whether it is to be carried out
        #[arg(value_enum)]
        vote: Vote,
    },
}

/// `governance propose`
#[derive(Debug, Subcommand)]
pub(crate) enum Proposed {
    /// Other parameters; what the file does not name stays
    #[command(after_help = PARAMS_HELP)]
    Params {
        /// The parameters that change, as a genesis file has them in [params]
        file: PathBuf,
    },
    /// Let a node register as a provider
    AdmitProvider {
        /// Its node, as `ostrakon-node init` prints it
        node: NodeId,
    },
    /// Have a provider take nothing new, and never register again
    ExpelProvider {
        /// Its node
        node: NodeId,
    },
    /// Let a key join as a validator
    AdmitValidator {
        /// What it votes with, as `ostrakon-node init --validator` prints it
        key: VoteKey,
    },
    /// Have a validator vote no more, and never join again
    ExpelValidator {
        /// What it votes with
        key: VoteKey,
    },
    /// Another version of the rules, which every node must know by then
    Upgrade {
        /// The version
        version: u32,
        /// The first block that it rules
        #[arg(long)]
        height: u64,
    },
}

/// Whether a proposal is to be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Vote {
    /// Carry it out
    Yes,
    /// Do not
    No,
}
