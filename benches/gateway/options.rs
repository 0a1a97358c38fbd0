//! The command line: what to measure, how large, and where.

use std::{fmt, path::PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use ostrakon_benches::beside;

const EXAMPLES: &str = "\
Examples:
  bench-gateway --quick
  bench-gateway --only clients --seconds 60
  bench-gateway --only keys --keys 100000 --json figures.json

Exit code 1 where a figure is not as wanted. Garage is measured where benches/compare/install-peers.sh has put it.";

/// Measures an S3 gateway on a network of real nodes, beside the SDK and beside Garage, and prints one table.
#[derive(Clone, Debug, Parser)]
#[command(name = "bench-gateway", max_term_width = 110, after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Smaller objects, fewer keys and shorter runs: some minutes instead of an hour
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only this part; may be given more than once
    #[arg(long, value_name = "PART", value_enum)]
    pub(crate) only: Vec<Part>,
    /// Seconds that each number of clients is measured for [default: 30, quick: 12]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(2..=3600))]
    seconds: Option<u64>,
    /// Keys of the large bucket [default: 1000000, quick: 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2_000..=10_000_000))]
    keys: Option<u64>,
    /// Write the figures to this file as well
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Where everything is stored meanwhile, on the disk that is to be measured [default: beside this program]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Where install-peers.sh put Garage [default: target/peers]
    #[arg(long, value_name = "DIR")]
    peers: Option<PathBuf>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// A large object, put and got, beside the SDK
    Large,
    /// One small object at a time, beside a plain transaction
    Lone,
    /// Small objects of 1, 32 and 256 clients, beside Garage
    Clients,
    /// A part of a very large object
    Range,
    /// A bucket of many keys
    Keys,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Large => "a large object",
            Self::Lone => "one small object at a time",
            Self::Clients => "1, 32 and 256 clients",
            Self::Range => "a part of a very large object",
            Self::Keys => "a bucket of many keys",
        })
    }
}

impl Options {
    /// Whether a part is to be measured.
    pub(crate) fn has(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// Bytes of the large object, and how often it is put and got.
    pub(crate) const fn large(&self) -> (usize, usize) {
        if self.quick { (64 << 20, 3) } else { (256 << 20, 3) }
    }

    /// How many lone objects are put.
    pub(crate) const fn lone(&self) -> usize {
        if self.quick { 15 } else { 40 }
    }

    /// Seconds that each number of clients is measured for.
    pub(crate) fn seconds(&self) -> u64 {
        self.seconds.unwrap_or(if self.quick { 12 } else { 30 })
    }

    /// MiB of the very large object.
    pub(crate) const fn range_mib(&self) -> u64 {
        if self.quick { 128 } else { 1024 }
    }

    /// Keys of the large bucket.
    pub(crate) fn keys(&self) -> u64 {
        self.keys.unwrap_or(if self.quick { 10_000 } else { 1_000_000 })
    }

    /// Where Garage is, if it is installed.
    ///
    /// # Errors
    /// When this program does not know where it lies.
    pub(crate) fn peers(&self) -> Result<PathBuf> {
        match &self.peers {
            Some(dir) => Ok(std::path::absolute(dir)?),
            None => Ok(beside()?.parent().context("the build's directory has one above it")?.join("peers")),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
        let options = Options::parse_from(["x", "--quick", "--only", "keys", "--only", "lone", "--keys", "5000"]);
        assert!(options.has(Part::Keys) && options.has(Part::Lone) && !options.has(Part::Large));
        assert_eq!((options.keys(), options.seconds()), (5_000, 12));
        assert!(Options::parse_from(["x"]).has(Part::Range));
    }
}
