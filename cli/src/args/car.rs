//! `ostrakon car` on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::add::Lasting;
use crate::target::TargetArgs;

pub(super) const HELP: &str = "\
Examples:
  ostrakon car export LINK -o report.car
  ostrakon car import report.car

An archive (CAR, version 1) has a file in the blocks that IPFS makes of it: profile unixfs-v1-2025, with leaves of 1 \
MiB, nodes of up to 1,024 children, and CIDv1 of SHA-256. The CID of its root is the same wherever the file is \
imported with that profile. It is not the CID by which this network stores the file.";

/// `car`
#[derive(Debug, Subcommand)]
pub(crate) enum Car {
    /// Fetch a file, and write it as a CAR archive
    #[command(
        after_help = "Example:\n  ostrakon car export LINK -o report.car\n\nFiles of up to 16 GiB can be exported."
    )]
    Export(CarExportArgs),
    /// Verify every block of a CAR archive, and store the file in it
    #[command(
        after_help = "Example:\n  ostrakon car import report.car\n\nExit code 4: a block is missing or wrong, or \
        the root is not the one that the profile gives these bytes. Nothing is stored then."
    )]
    Import(CarImportArgs),
}

/// `car export`
#[derive(Debug, Args)]
pub(crate) struct CarExportArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// File to write; it must not exist
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

/// `car import`
#[derive(Debug, Args)]
pub(crate) struct CarImportArgs {
    /// The archive
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) lasting: Lasting,
}
