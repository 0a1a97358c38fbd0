//! `ostrakon generate` on the command line.

use std::path::PathBuf;

use clap::Subcommand;
use clap_complete::Shell;

pub(super) const HELP: &str = "\
Examples:
  ostrakon generate man /usr/local/share/man/man1
  ostrakon generate completions bash > ostrakon.bash";

/// `generate`
#[derive(Debug, Subcommand)]
pub(crate) enum Generate {
    /// Write a man page for each command into a directory
    Man {
        /// The directory; it is created if it does not exist
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}
