//! `ostrakon anchor` on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ostrakon::Checkpoint;

pub(super) const HELP: &str = "\
Examples:
  ostrakon anchor create contract.pdf
  ostrakon anchor verify contract.pdf --genesis genesis.toml

Only the file's BLAKE3 hash is published. Verifying needs no network; exit code 4 means that the proof is not valid \
for the file, or too old to be trusted without a checkpoint: see `ostrakon certificate --help`.";

/// `anchor`
#[derive(Debug, Subcommand)]
pub(crate) enum Anchor {
    /// Record the file's hash in the ledger, and write a proof of it to a file
    Create(AnchorCreate),
    /// Verify a proof, and show when the file was timestamped
    Verify(AnchorVerify),
}

/// `anchor create`
#[derive(Debug, Args)]
pub(crate) struct AnchorCreate {
    /// The file to timestamp
    pub(crate) file: PathBuf,
    /// Where to write the proof [default: FILE.anchor]
    #[arg(short, long, value_name = "PROOF")]
    pub(crate) output: Option<PathBuf>,
}

/// `anchor verify`
#[derive(Debug, Args)]
pub(crate) struct AnchorVerify {
    /// The file
    pub(crate) file: PathBuf,
    /// The proof [default: FILE.anchor]
    #[arg(long, value_name = "PROOF")]
    pub(crate) proof: Option<PathBuf>,
    /// The genesis file of the network
    #[arg(long, value_name = "GENESIS")]
    pub(crate) genesis: PathBuf,
    /// Height and id of the block that the proof rests on, from a source that you trust
    #[arg(long, value_name = "HEIGHT:BLOCK")]
    pub(crate) checkpoint: Option<Checkpoint>,
}
