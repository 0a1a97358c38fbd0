//! The command line: what to measure, for how long, and where.

use std::{fmt, fs, path::PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use ostrakon_benches::devnet::beside;

/// Measures what a network of real nodes takes when many submit at once, and prints one table.
#[derive(Debug, Parser)]
#[command(name = "bench-ledger", max_term_width = 110)]
pub(crate) struct Options {
    /// Transfers that one validator is given
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10_000..))]
    pub(crate) transfers: u64,
    /// Seconds that four validators are given as much as they take; half of it for each of the parts that follow
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(4..=3600))]
    pub(crate) seconds: u64,
    /// Accounts that are paid
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) payees: u32,
    /// Transfers under way at once that count as full load: half a block of them, which makes fees no greater
    #[arg(long, value_name = "N", default_value_t = 2_816, value_parser = clap::value_parser!(u32).range(256..=16_384))]
    pub(crate) window: u32,
    /// Only this part; may be given more than once
    #[arg(long, value_name = "PART", value_enum)]
    pub(crate) only: Vec<Part>,
    /// Write the figures to this file as well
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Where the nodes keep everything meanwhile, on the disk that is to be measured [default: beside this program]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// One validator.
    One,
    /// Four validators, and one of them dead.
    Four,
    /// Bytes of the state, and what the benchmarks found.
    Costs,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::One => "one validator",
            Self::Four => "four validators",
            Self::Costs => "costs",
        })
    }
}

impl Options {
    /// The parts to measure, in the table's order.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let chosen = |part: &Part| self.only.is_empty() || self.only.contains(part);
        [Part::One, Part::Four, Part::Costs].into_iter().filter(chosen).collect()
    }

    /// A directory for a network, gone when dropped.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn scratch(&self) -> Result<tempfile::TempDir> {
        let above = match &self.dir {
            Some(dir) => dir.clone(),
            None => beside()?.join("scratch"),
        };
        fs::create_dir_all(&above).with_context(|| format!("cannot make {}", above.display()))?;
        let above = fs::canonicalize(&above)?;
        let made = tempfile::Builder::new().prefix("ledger-").tempdir_in(&above);
        made.with_context(|| format!("cannot make a directory in {}", above.display()))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
        let options = Options::parse_from(["x", "--only", "costs", "--only", "one"]);
        assert_eq!(options.parts(), [Part::One, Part::Costs]);
        assert_eq!(Options::parse_from(["x"]).parts().len(), 3);
    }
}
