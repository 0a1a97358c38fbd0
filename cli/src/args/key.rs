//! `ostrakon init` and `ostrakon key` on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub(super) const INIT_HELP: &str = "\
Examples:
  ostrakon init --network genesis.toml
  ostrakon init --network genesis.toml --no-passphrase
  ostrakon init --network genesis.toml --passphrase-file FILE

The passphrase seals the account's key and the links of all that is added. It cannot be recovered: keep a backup \
(`ostrakon key backup`).";

pub(super) const HELP: &str = "\
Examples:
  ostrakon key backup ostrakon.backup
  ostrakon key restore ostrakon.backup
  ostrakon key check
  ostrakon key export --yes > account.key
  ostrakon key passphrase

Who has the key spends the account's money; who has a link reads its object. Nobody can replace either.";

const BACKUP_HELP: &str = "\
Example:
  ostrakon key backup /media/usb/ostrakon.backup

An earlier backup of the same account is replaced. The file is under the profile's passphrase; for a profile that has \
none, give one. What is added later is not in it: repeat it then.";

const RESTORE_HELP: &str = "\
Example:
  ostrakon --profile DIR key restore ostrakon.backup

Makes the profile again, under the backup's passphrase, and compares it with the ledger. Exit code 7 when the account \
pays for objects that were added after the backup, and whose links are therefore missing.";

const CHECK_HELP: &str = "\
Example:
  ostrakon key check

Exit code 7 when links are missing.";

const EXPORT_HELP: &str = "\
Examples:
  ostrakon key export --yes > account.key
  ostrakon key export --output account.key

For the owner_key of a node's provider, and for programs. Links are not in it: `ostrakon key backup` has both.";

const PASSPHRASE_HELP: &str = "\
Examples:
  ostrakon key passphrase
  ostrakon key passphrase --new-passphrase-file FILE
  ostrakon key passphrase --no-passphrase

Copies of the profile and backups made before stay under the old passphrase.";

/// `init`
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The network's genesis file, from its operator
    #[arg(long, value_name = "FILE", env = "OSTRAKON_NETWORK")]
    pub(crate) network: Option<PathBuf>,
    /// Protect key and links by file permissions alone
    #[arg(long, conflicts_with = "passphrase_file")]
    pub(crate) no_passphrase: bool,
    /// Use the account key in this file, as `key export` writes it, instead of a new one
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

/// `key`
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Write the account's key and every link into one encrypted file
    #[command(after_help = BACKUP_HELP)]
    Backup {
        /// The backup
        file: PathBuf,
    },
    /// Make the profile again from a backup
    #[command(after_help = RESTORE_HELP)]
    Restore {
        /// The backup
        file: PathBuf,
        /// Protect the restored profile by file permissions alone
        #[arg(long)]
        no_passphrase: bool,
    },
    /// Find objects that the account pays for and whose links are missing here
    #[command(after_help = CHECK_HELP)]
    Check,
    /// Print the account's secret key
    #[command(after_help = EXPORT_HELP)]
    Export {
        /// Write it into a new file instead
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Change the passphrase
    #[command(after_help = PASSPHRASE_HELP)]
    Passphrase {
        /// A file with the new one, on its first line
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
        /// Protect the profile by file permissions alone from now on
        #[arg(long, conflicts_with = "new_passphrase_file")]
        no_passphrase: bool,
    },
}
