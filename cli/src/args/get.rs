//! `get`, `cat` and `ls`: what is read, which part of it, how fast, and where to.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use clap::Args;
use ostrakon::{Overwrite, size};

use crate::target::{TargetArgs, TargetsArgs};

pub(super) const GET_HELP: &str = "\
Examples:
  ostrakon get LINK -o report.pdf
  ostrakon get LINK -o - --range 0-1023 | xxd
  ostrakon get LINK -o photos
  ostrakon get LINK -o photos --overwrite --exclude '*.tmp'
  ostrakon get LINK/2024/june -o june

Without -o, LINK is written to the working directory under the name that this profile added it by, or else its CID; \
LINK/PATH under the last part of the path.

A file or a new directory appears whole or not at all; run the same command again to resume an interrupted one. An \
existing directory must be empty, or --overwrite merges into it file by file and leaves its other files unchanged. \
Modes, times and symlinks are restored; set-user-id and set-group-id bits are dropped. A FIFO or device is written to \
in place. If the reader of the output closes it, the exit code is 141, as for other commands.";

pub(super) const CAT_HELP: &str = "\
Examples:
  ostrakon cat LINK | tar x
  ostrakon cat LINK/notes/today.md
  ostrakon cat LINK --range -100";

pub(super) const LS_HELP: &str = "\
Examples:
  ostrakon ls
  ostrakon ls -l
  ostrakon ls --json | jq -r '.objects[].cid'
  ostrakon ls -lR LINK/photos

Without LINK it lists what was added with this profile. Names are escaped where a terminal cannot show them; --json \
has every byte. Times are in UTC.";

/// `get`
#[derive(Debug, Args)]
pub(crate) struct Get {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// File or directory to write to; DIR/ writes into the directory DIR, - to stdout
    #[arg(short, long, value_name = "PATH|DIR/|-")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) reading: Reading,
    /// Replace a file that exists; merge a directory into one that exists, file by file
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Exclude entries of a directory: by name, or by path if the pattern has a /; can be repeated
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
}

impl Get {
    /// Whether stdout is for the bytes of the object.
    pub(crate) fn is_to_stdout(&self) -> bool {
        let names = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
        self.output.as_deref().is_some_and(|path| names.iter().any(|name| path == Path::new(name)))
    }

    /// What to do with files that exist.
    pub(crate) fn overwrite(&self) -> Overwrite {
        if self.overwrite { Overwrite::Replace } else { Overwrite::Refuse }
    }
}

/// `cat`
#[derive(Debug, Args)]
pub(crate) struct Cat {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) reading: Reading,
}

/// Which bytes are read, and how fast.
#[derive(Debug, Args)]
pub(crate) struct Reading {
    /// Read only bytes FIRST to LAST, counted from 0: FIRST-LAST, FIRST- to the end, or -COUNT at the end
    #[arg(long, value_name = "FIRST-LAST", value_parser = range, allow_hyphen_values = true)]
    pub(crate) range: Option<ByteRange>,
    /// Download limit in bytes per second, such as 500K or 10M
    #[arg(long, value_name = "BYTES", value_parser = size::bytes)]
    pub(crate) limit_download: Option<u64>,
    /// Maximum number of rows to fetch concurrently, each of about 1 MiB [default: as many as fit in 64 MiB, up to 8]
    #[arg(long, value_name = "ROWS")]
    pub(crate) parallel: Option<NonZeroUsize>,
}

/// `ls`
#[derive(Debug, Args)]
pub(crate) struct Ls {
    #[command(flatten)]
    pub(crate) targets: TargetsArgs,
    /// Long format: mode, size and time; without LINK, size, time and CID
    #[arg(short, long)]
    pub(crate) long: bool,
    /// List subdirectories recursively
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
}

/// Which bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ByteRange {
    /// From the first up to before the second; to the end without.
    From(u64, Option<u64>),
    /// So many at the end.
    Last(u64),
}

/// `FIRST-LAST`, both included, `FIRST-` or `-COUNT`.
fn range(text: &str) -> Result<ByteRange, String> {
    let wrong = || format!("invalid range {text:?}: need FIRST-LAST with FIRST <= LAST, FIRST-, or -COUNT");
    let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    match (first, last) {
        ("", last) => Ok(ByteRange::Last(number(last)?)),
        (first, "") => Ok(ByteRange::From(number(first)?, None)),
        (first, last) => {
            let (first, end) = (number(first)?, number(last)?.checked_add(1).ok_or_else(wrong)?);
            if first < end { Ok(ByteRange::From(first, Some(end))) } else { Err(wrong()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_include_both_ends() {
        let check = |text, expect: Option<ByteRange>| assert_eq!(range(text).ok(), expect, "{text}");
        check("0-0", Some(ByteRange::From(0, Some(1))));
        check("5-9", Some(ByteRange::From(5, Some(10))));
        check("7-", Some(ByteRange::From(7, None)));
        check("-5", Some(ByteRange::Last(5)));
        for wrong in ["9-5", "5", "-", "a-b", "--5", "0-18446744073709551615"] {
            check(wrong, None);
        }
    }
}
