//! `ostrakon governance` on the command line.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use ostrakon::{NodeId, ledger::VoteKey};

pub(super) const HELP: &str = "\
Examples:
  ostrakon governance list
  ostrakon governance propose params changes.toml
  ostrakon governance propose admit-validator ostval1...
  ostrakon governance vote 3 yes

`list` shows who can vote. A proposal locks a deposit, which is refunded when it ends. It takes effect with the vote \
that passes it. You can change your vote while the proposal is open.";

const PARAMS_HELP: &str = "\
Example:
  ostrakon governance propose params changes.toml

The file has the parameters to change, as `ostrakon ledger params` prints them, for example max_power_share = 25 under \
[governance].";

/// `governance`
#[derive(Debug, Subcommand)]
pub(crate) enum Governance {
    /// List the proposals, and who can vote
    List,
    /// Propose a change of the network
    Propose {
        #[command(subcommand)]
        change: Proposed,
    },
    /// Vote on a proposal
    Vote {
        /// Number of the proposal
        number: u64,
        /// Your vote
        #[arg(value_enum)]
        vote: Vote,
    },
}

/// `governance propose`
#[derive(Debug, Subcommand)]
pub(crate) enum Proposed {
    /// Change parameters
    #[command(after_help = PARAMS_HELP)]
    Params {
        /// The parameters to change, in TOML
        file: PathBuf,
    },
    /// Allow a node to register as a provider
    AdmitProvider {
        /// The node's id, as `ostrakon-node init` prints it
        node: NodeId,
    },
    /// Drain a provider, and forbid it to register again
    ExpelProvider {
        /// The node's id
        node: NodeId,
    },
    /// Allow a validator to join
    AdmitValidator {
        /// Its voting key, as `ostrakon-node init --validator` prints it
        key: VoteKey,
    },
    /// Remove a validator, and forbid it to join again
    ExpelValidator {
        /// Its voting key
        key: VoteKey,
    },
    /// Activate another version of the protocol
    Upgrade {
        /// Number of the protocol version
        version: u32,
        /// The epoch that begins with the new version
        #[arg(long, value_name = "EPOCH")]
        epoch: u64,
    },
}

/// A vote on a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Vote {
    /// For the proposal
    Yes,
    /// Against it
    No,
}
