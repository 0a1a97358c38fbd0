//! `ostrakon certificate` on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ostrakon::Checkpoint;

use crate::target::ObjectArgs;

pub(super) const HELP: &str = "\
Examples:
  ostrakon certificate create CID -o proof.cert
  ostrakon certificate verify proof.cert --genesis genesis.toml
  ostrakon certificate verify proof.cert --genesis genesis.toml --checkpoint 120000:c0ff..

A certificate contains the validators' signatures since genesis, so verifying it needs no network; exit code 4 means \
that it is not valid, or too old to be trusted without a checkpoint: validators that have their bonds back could sign \
a forged chain (a long-range attack). Then get the id of the block that it rests on from a source that you trust, as \
`ostrakon ledger block HEIGHT` of a client that follows the network shows it, and pass it with --checkpoint.";

/// `certificate`
#[derive(Debug, Subcommand)]
pub(crate) enum Certificate {
    /// Write a proof that an object is stored, by whom and until when
    Create(CertificateCreate),
    /// Verify a proof, and show what it proves
    Verify(CertificateVerify),
}

/// `certificate create`
#[derive(Debug, Args)]
pub(crate) struct CertificateCreate {
    #[command(flatten)]
    pub(crate) object: ObjectArgs,
    /// Where to write the proof [default: CID.cert]
    #[arg(short, long, value_name = "PROOF")]
    pub(crate) output: Option<PathBuf>,
}

/// `certificate verify`
#[derive(Debug, Args)]
pub(crate) struct CertificateVerify {
    /// The proof
    #[arg(value_name = "PROOF")]
    pub(crate) file: PathBuf,
    /// The genesis file of the network
    #[arg(long, value_name = "GENESIS")]
    pub(crate) genesis: PathBuf,
    /// Height and id of the block that the proof rests on, from a source that you trust
    #[arg(long, value_name = "HEIGHT:BLOCK")]
    pub(crate) checkpoint: Option<Checkpoint>,
}
