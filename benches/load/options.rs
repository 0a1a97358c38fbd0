//! The command line: what to measure, for how long, and where.

use std::{ffi::OsString, fmt, path::PathBuf};

use anyhow::Result;
use clap::{Parser, ValueEnum};

/// Measures what a network of real nodes takes when many submit concurrently, and prints one table.
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
    /// Transfers in flight that count as full load: half a block of them, which makes fees no greater
    #[arg(long, value_name = "N", default_value_t = 2_816, value_parser = clap::value_parser!(u32).range(256..=16_384))]
    pub(crate) window: u32,
    /// Only this part; may be given more than once
    #[arg(long, value_name = "PART", value_enum)]
    pub(crate) only: Vec<Part>,
    /// Compare with an earlier build, whose commands `make keep-baseline` kept in this directory
    #[arg(long, value_name = "DIR", conflicts_with = "json")]
    pub(crate) against: Option<PathBuf>,
    /// Rounds of each build that are compared
    #[arg(long, value_name = "R", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(crate) rounds: u32,
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

    /// The arguments of one round, for another process.
    pub(crate) fn of_one_round(&self) -> Vec<OsString> {
        let numbers = [
            ("--transfers", self.transfers),
            ("--seconds", self.seconds),
            ("--payees", self.payees.into()),
            ("--window", self.window.into()),
        ];
        let mut arguments: Vec<OsString> =
            numbers.iter().flat_map(|(flag, number)| [OsString::from(*flag), number.to_string().into()]).collect();
        // What the criterion benchmarks found is read from a file of this build alone.
        for part in self.parts().into_iter().filter(|part| *part != Part::Costs) {
            let name = part.to_possible_value().map(|value| value.get_name().to_owned());
            arguments.extend(name.into_iter().flat_map(|name| ["--only".into(), name.into()]));
        }
        arguments.extend(self.dir.iter().flat_map(|dir| ["--dir".into(), dir.clone().into_os_string()]));
        arguments
    }

    /// A directory for a network, gone when dropped.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn scratch(&self) -> Result<tempfile::TempDir> {
        ostrakon_benches::scratch(self.dir.as_deref())
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
