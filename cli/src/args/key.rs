//! `ostrakon init` and `ostrakon key` on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub(super) const INIT_HELP: &str = "\
Examples:
  ostrakon init --network genesis.toml
  ostrakon init --network genesis.toml --no-passphrase
  ostrakon init --network genesis.toml --passphrase-file FILE
  ostrakon init --network genesis.toml --key-file account.key

The passphrase encrypts the account's key and the links of everything that is added. A forgotten passphrase cannot be \
recovered. Keep a backup of the key and the links too (`ostrakon key backup`).";

pub(super) const HELP: &str = "\
Examples:
  ostrakon key create account.key
  ostrakon key backup ostrakon.backup
  ostrakon key restore ostrakon.backup
  ostrakon key check
  ostrakon key export --yes > account.key
  ostrakon key passphrase

Anyone who has the key can spend the account's money; anyone who has a link can read its object. If lost, neither can \
be recovered.";

const CREATE_HELP: &str = "\
Example:
  ostrakon key create account.key
  ostrakon init --network genesis.toml --key-file account.key

The address can receive money before there is a profile, and be in the genesis of a network that is yet to be founded. \
The file is not encrypted: remove it when a profile has the key.";

const BACKUP_HELP: &str = "\
Example:
  ostrakon key backup /media/usb/ostrakon.backup

An earlier backup of the same account is replaced. The file is encrypted with the profile's passphrase; a profile \
without one asks for one. Links of later adds are not in it: repeat the backup then.";

const RESTORE_HELP: &str = "\
Example:
  ostrakon --profile DIR key restore ostrakon.backup

Restores the profile, protected by the backup's passphrase, and compares it with the ledger. Exit code 7 when the \
account pays for objects that were added after the backup, and whose links are therefore missing.";

const CHECK_HELP: &str = "\
Example:
  ostrakon key check

Exit code 7 when links are missing.";

const EXPORT_HELP: &str = "\
Examples:
  ostrakon key export --yes > account.key
  ostrakon key export --output account.key

The key is for programs, and for `owner_key_file` of a node that is a provider. It is without links: `ostrakon key \
backup` saves both.";

const PASSPHRASE_HELP: &str = "\
Examples:
  ostrakon key passphrase
  ostrakon key passphrase --new-passphrase-file FILE
  ostrakon key passphrase --no-passphrase

Earlier backups and copies of the profile remain encrypted with the old passphrase.";

/// `init`
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The network's genesis file, from its operator
    #[arg(long, value_name = "FILE", env = "OSTRAKON_NETWORK")]
    pub(crate) network: Option<PathBuf>,
    /// Do not encrypt: protect the key and links by file permissions only
    #[arg(long, conflicts_with = "passphrase_file")]
    pub(crate) no_passphrase: bool,
    /// Use the account key in this file, as `key create` and `key export` write it, instead of a new one
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

/// `key`
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Create a new account key in a file, before there is a profile, and print its address
    #[command(after_help = CREATE_HELP)]
    Create {
        /// Key file to write
        file: PathBuf,
    },
    /// Write the account's key and every link into one encrypted file
    #[command(after_help = BACKUP_HELP)]
    Backup {
        /// Backup file to write
        file: PathBuf,
    },
    /// Restore the profile from a backup
    #[command(after_help = RESTORE_HELP)]
    Restore {
        /// Backup file to read
        file: PathBuf,
        /// Do not encrypt the restored profile: protect it by file permissions only
        #[arg(long)]
        no_passphrase: bool,
    },
    /// Find objects that the account pays for and whose links are missing here
    #[command(after_help = CHECK_HELP)]
    Check,
    /// Print the account's secret key
    #[command(after_help = EXPORT_HELP)]
    Export {
        /// Write it to a new file instead of stdout
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
    /// Change the passphrase
    #[command(after_help = PASSPHRASE_HELP)]
    Passphrase {
        /// File with the new passphrase on its first line
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
        /// Do not encrypt the profile any more: protect it by file permissions only
        #[arg(long, conflicts_with = "new_passphrase_file")]
        no_passphrase: bool,
    },
}
