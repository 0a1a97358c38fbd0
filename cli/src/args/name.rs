//! `ostrakon name` on the command line.

use clap::{Args, Subcommand};
use ostrakon::{Expect, Word};
use ostrakon_proto::link::Link;

use crate::target::NameOf;

pub(super) const HELP: &str = "\
Examples:
  ostrakon name set photos CID
  ostrakon name show photos
  ostrakon get name:photos -o photos

A name is your account's: nobody else can set it, and others write photos@ost1... for it. It locks a deposit, which
comes back when it is removed. Everyone can read what it stands for, so it takes a CID and never a link with its key:
a private object is read by the name where the profile remembers its key.";

const SET_HELP: &str = "\
Examples:
  ostrakon name set photos CID               whatever it stood for
  ostrakon name set photos CID --new         only if it is not set
  ostrakon name set photos CID --expect 41   only if it is still at this version, as `show` prints it

Exit code 1 when it is not as expected; nothing is changed then.";

/// `name`
#[derive(Debug, Subcommand)]
pub(crate) enum Name {
    /// Have a name stand for an object
    #[command(after_help = SET_HELP)]
    Set(NameSetArgs),
    /// Show what a name stands for; that it stands for nothing is proven too, with exit code 3
    #[command(after_help = "Examples:\n  ostrakon name show photos\n  ostrakon name show photos@ost1...")]
    Show {
        /// Which; with @ACCOUNT another account's
        #[arg(value_name = "NAME[@ACCOUNT]")]
        name: NameOf,
    },
    /// Remove a name; its deposit comes back
    #[command(after_help = "Example:\n  ostrakon name remove photos --expect 41")]
    Remove {
        /// Which
        name: Word,
        /// Only if it is at this version
        #[arg(long, value_name = "VERSION")]
        expect: Option<u64>,
    },
}

/// `name set`
#[derive(Debug, Args)]
pub(crate) struct NameSetArgs {
    /// Which
    pub(crate) name: Word,
    /// What it shall stand for
    #[arg(value_name = "CID")]
    pub(crate) link: Link,
    /// Only if it is at this version
    #[arg(long, value_name = "VERSION", conflicts_with = "new", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) expect: Option<u64>,
    /// Only if it is not set
    #[arg(long)]
    pub(crate) new: bool,
}

impl NameSetArgs {
    /// What must be so.
    pub(crate) fn expect(&self) -> Expect {
        match (self.new, self.expect) {
            (true, _) => Expect::New,
            (false, Some(version)) => Expect::Version(version),
            (false, None) => Expect::Any,
        }
    }
}
