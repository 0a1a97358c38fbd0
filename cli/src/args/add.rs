//! `add`, and `uploads`: the adds that were interrupted.

use std::{ffi::OsString, num::NonZeroUsize, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use ostrakon::{Code, RateLimit};

use crate::time::Term;

pub(super) const HELP: &str = "\
Examples:
  ostrakon add report.pdf
  ostrakon add photos notes.txt
  ostrakon add src --exclude target --exclude '*.o'
  tar c photos | ostrakon add - --name photos.tar
  find . -name '*.jpg' | ostrakon add --files-from -
  ostrakon add disk.img --class economy --dry-run
  ostrakon add report.pdf --for 30d --auto-renew

Each path becomes one object: a file with its mode and time, a directory with \
its names, modes, times, symlinks and empty directories. Owners and extended \
attributes are not stored, and holes of sparse files are stored as zeroes. \
The code 4/12 means: any 4 of 12 columns restore the object. Without --for \
or --epochs it is paid for 720 epochs, a month on most networks. With --auto-renew \
the ledger renews it by that term whenever it would end, from your balance.

An add that was interrupted resumes when the same command is run again, unless \
the file changed. Holders keep what they received for an hour. An add of stdin cannot resume.

Exit code 7: stored, but some files of a directory could not be read.";

pub(super) const UPLOADS_HELP: &str = "\
Examples:
  ostrakon uploads ls
  ostrakon uploads resume
  ostrakon uploads abort disk.img";

/// Which row of the network's table of codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Class {
    /// As many parity columns as the network recommends
    Standard,
    /// Fewer parity columns: cheaper, and survives fewer losses
    Economy,
}

/// `add`
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Files and directories, or - for stdin
    #[arg(value_name = "PATH|-", required_unless_present = "files_from")]
    pub(crate) paths: Vec<PathBuf>,
    /// Also add the paths in this file, one a line; - is stdin
    #[arg(long, value_name = "FILE|-")]
    pub(crate) files_from: Option<PathBuf>,
    /// Exclude entries of directories: by name, or by path if the pattern has a /; can be repeated
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
    /// Do not encrypt: anyone who has the CID can read the object; a file's mode and time are not stored
    #[arg(long)]
    pub(crate) public: bool,
    /// Do not store a file's mode and time; those in a directory are always stored
    #[arg(long)]
    pub(crate) no_preserve: bool,
    /// Do not wait until a new account can store, which takes some blocks: fail with exit code 6 instead
    #[arg(long)]
    pub(crate) no_wait: bool,
    #[command(flatten)]
    pub(crate) durability: Durability,
    #[command(flatten)]
    pub(crate) lasting: Lasting,
    /// Print the price, and store nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Name to list it by in `ostrakon ls` [default: the file's name]
    #[arg(long)]
    pub(crate) name: Option<OsString>,
    /// Upload limit in bytes per second, such as 500K or 2M
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub(crate) limit_upload: Option<RateLimit>,
    /// Objects to add concurrently
    #[arg(long, value_name = "COUNT", default_value = "4")]
    pub(crate) parallel: NonZeroUsize,
}

/// How long an object is stored.
#[derive(Debug, Args)]
pub(crate) struct Lasting {
    #[command(flatten)]
    pub(crate) term: Term,
    /// Have the ledger renew it by this term whenever it would end, from your balance
    #[arg(long)]
    pub(crate) auto_renew: bool,
}

/// What an object shall survive.
#[derive(Debug, Args)]
pub(crate) struct Durability {
    /// Durability class
    #[arg(long, value_enum, default_value = "standard", conflicts_with = "code")]
    pub(crate) class: Class,
    /// Erasure code: any K of N columns restore the object
    #[arg(long, value_name = "K/N")]
    pub(crate) code: Option<Code>,
    /// Fail unless all N columns are stored
    #[arg(long)]
    pub(crate) all: bool,
}

/// `uploads`
#[derive(Debug, Subcommand)]
pub(crate) enum Uploads {
    /// List the adds that were interrupted
    Ls,
    /// Resume interrupted adds: all, or only those of PATH
    Resume {
        /// File or directory that was being added
        #[arg(value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// Abort interrupted adds: holders delete what they received
    Abort {
        /// File or directory that was being added
        #[arg(value_name = "PATH", required_unless_present = "all")]
        paths: Vec<PathBuf>,
        /// Abort all interrupted adds
        #[arg(long, conflicts_with = "paths")]
        all: bool,
    },
}

/// `500K`, `2M`, `2MiB`: binary units, as everywhere.
fn rate(text: &str) -> Result<RateLimit, String> {
    let split = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let shift = match unit.trim_end_matches("/s").trim_end_matches('B').trim_end_matches('i') {
        "" => 0,
        "K" | "k" => 10,
        "M" => 20,
        "G" => 30,
        _ => 64,
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1u64.checked_shl(shift)?));
    match bytes.filter(|bytes| *bytes > 0) {
        Some(bytes) => Ok(RateLimit::new(bytes)),
        None => Err("need bytes per second, such as 500K or 2M".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_binary_units() {
        let check = |text, expect: Option<u64>| {
            assert_eq!(rate(text).ok().map(|limit| limit.bytes_per_second()), expect, "{text}");
        };
        check("1000", Some(1_000));
        check("500K", Some(500 << 10));
        check("2M", Some(2 << 20));
        check("2MiB/s", Some(2 << 20));
        check("3GiB", Some(3 << 30));
        for wrong in ["", "0", "M", "-1", "2X", "2MM", "99999999999999999999", "99999999999G"] {
            check(wrong, None);
        }
    }
}
