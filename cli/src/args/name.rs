//! `ostrakon name` on the command line.

use clap::{Args, Subcommand};
use ostrakon::{Expect, Name};

use crate::target::{NameOf, ObjectArgs};

pub(super) const HELP: &str = "\
Examples:
  ostrakon name set photos CID
  ostrakon name show photos
  ostrakon get name:photos -o photos

A name belongs to your account: only you can set it, and others refer to it as photos@ost1... Setting it locks a \
deposit that is refunded when you remove it. Everyone can read the CID that a name points to. To read a private object \
by name, the profile must have its link.";

const SET_HELP: &str = "\
Examples:
  ostrakon name set photos CID
  ostrakon name set photos CID --new
  ostrakon name set photos CID --expect 41

If the name is not as expected, nothing is changed and the exit code is 1.";

/// `name`
#[derive(Debug, Subcommand)]
pub(crate) enum NameCommand {
    /// Point a name to an object
    #[command(after_help = SET_HELP)]
    Set(NameSetArgs),
    /// Show the object that a name points to (exit code 3 if it is not set)
    #[command(after_help = "Examples:\n  ostrakon name show photos\n  ostrakon name show photos@ost1...")]
    Show {
        /// The name, of this account or of ACCOUNT
        #[arg(value_name = "NAME[@ACCOUNT]")]
        name: NameOf,
    },
    /// Remove a name and refund its deposit
    #[command(after_help = "Example:\n  ostrakon name remove photos --expect 41")]
    Remove {
        /// The name
        name: Name,
        /// Remove it only if it is at this version
        #[arg(long, value_name = "VERSION")]
        expect: Option<u64>,
    },
}

/// `name set`
#[derive(Debug, Args)]
pub(crate) struct NameSetArgs {
    /// The name: 1 to 64 bytes without '/', '@' or spaces
    pub(crate) name: Name,
    #[command(flatten)]
    pub(crate) object: ObjectArgs,
    /// Set it only if it is at this version
    #[arg(long, value_name = "VERSION", conflicts_with = "new", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) expect: Option<u64>,
    /// Set it only if it is not set yet
    #[arg(long)]
    pub(crate) new: bool,
}

impl NameSetArgs {
    /// The condition under which it is set.
    pub(crate) fn expect(&self) -> Expect {
        match (self.new, self.expect) {
            (true, _) => Expect::New,
            (false, Some(version)) => Expect::Version(version),
            (false, None) => Expect::Any,
        }
    }
}
