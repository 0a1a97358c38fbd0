//! The command line: what to measure, how often, and where.

use std::{ffi::OsString, path::PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use ostrakon_benches::beside;

use crate::system::Which;

/// Measures add and get here and in other systems, all processes included, and prints one table.
#[derive(Debug, Parser)]
#[command(name = "bench-compare", max_term_width = 110)]
pub(crate) struct Options {
    /// Sizes of the files, with commas between; 0 measures no file
    #[arg(long, value_delimiter = ',', default_value = "256MiB,1GiB", value_parser = parse_size)]
    pub(crate) sizes: Vec<u64>,
    /// How many files of 4 KiB the directory has; 0 measures no directory
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) files: u32,
    /// How many rounds the medians are of, after a warm-up that is not counted
    #[arg(long, value_name = "R", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(crate) rounds: u32,
    /// Only this system; may be given more than once
    #[arg(long, value_name = "NAME", value_enum)]
    pub(crate) only: Vec<Which>,
    /// Compare our commands with those of an earlier build, which `make keep-baseline` kept in this directory
    #[arg(long, value_name = "DIR", conflicts_with = "json")]
    pub(crate) against: Option<PathBuf>,
    /// Write the figures to this file as well
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Where everything is stored meanwhile, on the disk that is to be measured [default: beside this program]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Where install-peers.sh put the other systems [default: target/peers]
    #[arg(long, value_name = "DIR")]
    pub(crate) peers: Option<PathBuf>,
}

impl Options {
    /// The systems to measure, in the table's order.
    pub(crate) fn systems(&self) -> Vec<Which> {
        let chosen = |which: &Which| self.only.is_empty() || self.only.contains(which);
        Which::ALL.into_iter().filter(chosen).collect()
    }

    /// The arguments of one round of our own systems, for another process.
    pub(crate) fn of_one_round(&self) -> Vec<OsString> {
        let sizes: Vec<String> = self.sizes.iter().map(u64::to_string).collect();
        let mut arguments: Vec<OsString> =
            vec!["--rounds".into(), "1".into(), "--sizes".into(), sizes.join(",").into()];
        arguments.extend(["--files".into(), self.files.to_string().into()]);
        for system in self.systems().into_iter().filter(|system| Which::OURS.contains(system)) {
            let name = system.to_possible_value().map(|value| value.get_name().to_owned());
            arguments.extend(name.into_iter().flat_map(|name| ["--only".into(), name.into()]));
        }
        arguments.extend(self.dir.iter().flat_map(|dir| ["--dir".into(), dir.clone().into_os_string()]));
        arguments
    }

    /// A directory for everything, gone when dropped.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn scratch(&self) -> Result<tempfile::TempDir> {
        ostrakon_benches::scratch(self.dir.as_deref())
    }

    /// Where the other systems are.
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

/// `256MiB`, `1GiB`, or bytes.
fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|char: char| !char.is_ascii_digit());
    let unit: u64 = match &text[digits.len()..] {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(format!("invalid size {text:?}: use 256MiB, 1GiB, or a number of bytes")),
    };
    let size = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    size.ok_or_else(|| format!("invalid size {text:?}: it must begin with a whole number"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn sizes_are_written_as_people_do() {
        let check = |text, expect: Option<u64>| assert_eq!(parse_size(text).ok(), expect, "{text}");
        check("256MiB", Some(256 << 20));
        check("1GiB", Some(1 << 30));
        check("4KiB", Some(4096));
        check("0", Some(0));
        check("MiB", None);
        check("1MB", None);
        check("99999999999GiB", None);
    }

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
        let options = Options::parse_from(["x", "--only", "tahoe", "--only", "copy", "--sizes", "1MiB,2MiB"]);
        assert_eq!(options.systems(), [Which::Copy, Which::Tahoe]);
        assert_eq!(options.sizes, [1 << 20, 2 << 20]);
    }
}
