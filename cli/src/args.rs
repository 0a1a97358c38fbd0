//! The command line: every command, flag and default, with its help. In goes `argv`, out come plain values that are
//! already parsed. What a command does is in [`crate::cmd`].

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::target::ObjectArgs;

mod add;
mod anchor;
mod bucket;
mod car;
mod certificate;
mod demo;
mod devnet;
mod generate;
mod get;
mod governance;
mod key;
mod ledger;
mod name;
mod object;
mod repair;
mod wallet;

pub(crate) use add::{Add, Class, Uploads};
pub(crate) use anchor::{Anchor, AnchorCreate, AnchorVerify};
pub(crate) use bucket::{BucketCommand, GatewayArgs, KeyCommand};
pub(crate) use car::{Car, CarExportArgs, CarImportArgs};
pub(crate) use certificate::{Certificate, CertificateCreate, CertificateVerify};
pub(crate) use demo::Demo;
pub(crate) use devnet::{DevnetCommand, DevnetDir, DevnetNodes, DevnetUp, EPOCH_SECONDS};
pub(crate) use generate::Generate;
pub(crate) use get::{ByteRange, Cat, Get, Ls, Reading};
pub(crate) use governance::{Governance, Proposed, Vote};
pub(crate) use key::{Init, Key};
pub(crate) use ledger::Ledger;
pub(crate) use name::{NameCommand, NameSetArgs};
pub(crate) use object::{Remove, Renew, Status};
pub(crate) use repair::{Repair, RepairStatus};
pub(crate) use wallet::{History, Wallet};

const EXIT_CODES: &str = "\
Exit codes:
    0  success
    1  other failure
    2  usage: wrong arguments or settings
    3  not found
    4  integrity: wrong bytes, key or proof
    5  network: a retry may help
    6  funds: too low a balance, or too new an account
    7  partial: done, but not all of it
  130  interrupted by SIGINT (129 SIGHUP, 143 SIGTERM)
  141  the reader of the output closed it

Examples:
  ostrakon demo
  ostrakon devnet up --dir net
  ostrakon --profile net/profile add FILE
  ostrakon --profile net/profile get LINK";

/// Store files on an Ostrakon network, where any K of N columns restore them
#[derive(Debug, Parser)]
#[command(name = "ostrakon", version, after_help = EXIT_CODES, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The flags of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Print exactly one JSON object on stdout, also on failure
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print only the result and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Log more on stderr; -vv logs even more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Directory with the account key, the links and the network [default: ~/.local/share/ostrakon]
    #[arg(long, global = true, value_name = "DIR", env = "OSTRAKON_PROFILE", hide_env_values = true)]
    pub(crate) profile: Option<PathBuf>,
    /// File with the profile's passphrase on its first line [env: OSTRAKON_PASSPHRASE_FILE or OSTRAKON_PASSPHRASE]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// One variant a command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a profile: a new account key for a network
    #[command(after_help = key::INIT_HELP)]
    Init(Init),
    /// Back up, restore or export the account key and the links, or change the passphrase
    #[command(after_help = key::HELP)]
    Key {
        #[command(subcommand)]
        command: Key,
    },
    /// Store files, directories, or stdin, and print their links
    #[command(after_help = add::HELP)]
    Add(Add),
    /// List, resume or abort adds that were interrupted
    #[command(after_help = add::UPLOADS_HELP)]
    Uploads {
        #[command(subcommand)]
        command: Uploads,
    },
    /// Fetch an object, or a part of a directory, into a file or directory
    #[command(after_help = get::GET_HELP)]
    Get(Get),
    /// Write an object, or a file of a directory, to stdout
    #[command(after_help = get::CAT_HELP)]
    Cat(Cat),
    /// List what was added with this profile, or what is in a directory
    #[command(after_help = get::LS_HELP)]
    Ls(Ls),
    /// Show where an object is stored, until when, and how many losses it survives
    #[command(after_help = object::STATUS_HELP)]
    Status(Status),
    /// Show what is being repaired
    #[command(after_help = repair::HELP)]
    Repair {
        #[command(subcommand)]
        command: Repair,
    },
    /// Read all columns of an object and check them
    #[command(after_help = object::VERIFY_HELP)]
    Verify(ObjectArgs),
    /// Destroy an object's key, end its commitment and refund the unused escrow
    #[command(after_help = object::RM_HELP)]
    Rm(Remove),
    /// Extend the time that an object is paid for
    #[command(after_help = object::RENEW_HELP)]
    Renew(Renew),
    /// Show the account's address, balance and history, or pay someone
    #[command(after_help = wallet::HELP)]
    Wallet {
        #[command(subcommand)]
        command: Wallet,
    },
    /// Manage names that point to objects
    #[command(after_help = name::HELP)]
    Name {
        #[command(subcommand)]
        command: NameCommand,
    },
    /// Manage buckets, and the keys of applications that use them
    #[command(after_help = bucket::HELP)]
    Bucket {
        #[command(subcommand)]
        command: BucketCommand,
    },
    /// Serve the account's buckets over S3, and public ones to clients of IPFS
    #[command(after_help = bucket::GATEWAY_HELP)]
    Gateway(GatewayArgs),
    /// Export a file as an IPFS archive (CAR), or import one
    #[command(after_help = car::HELP)]
    Car {
        #[command(subcommand)]
        command: Car,
    },
    /// List the storage providers of the network
    #[command(after_help = "Example:\n  ostrakon providers --json")]
    Providers,
    /// Create or verify a proof that an object is stored
    #[command(after_help = certificate::HELP)]
    Certificate {
        #[command(subcommand)]
        command: Certificate,
    },
    /// Create or verify a timestamp of a file
    #[command(after_help = anchor::HELP)]
    Anchor {
        #[command(subcommand)]
        command: Anchor,
    },
    /// Inspect blocks, transactions, validators and parameters
    #[command(after_help = ledger::HELP)]
    Ledger {
        #[command(subcommand)]
        command: Ledger,
    },
    /// Propose changes of the network, and vote on them
    #[command(after_help = governance::HELP)]
    Governance {
        #[command(subcommand)]
        command: Governance,
    },
    /// Check this machine, the profile and the network
    #[command(after_help = "Example:\n  ostrakon doctor")]
    Doctor,
    /// Write man pages or shell completions
    #[command(after_help = generate::HELP)]
    Generate {
        #[command(subcommand)]
        command: Generate,
    },
    /// Run a network here, add a file, destroy most nodes, and get the file back
    #[command(after_help = demo::HELP)]
    Demo(Demo),
    /// Run a network of real nodes on this machine
    #[command(after_help = devnet::HELP)]
    Devnet {
        #[command(subcommand)]
        command: DevnetCommand,
    },
}

impl Command {
    /// Whether it catches signals itself, to finish what it has begun.
    pub(crate) fn drains(&self) -> bool {
        matches!(self, Self::Gateway(_))
    }

    /// Whether stdout is for the bytes of an object.
    pub(crate) fn writes_bytes(&self) -> bool {
        match self {
            Self::Cat(_) => true,
            Self::Get(get) => get.is_to_stdout(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_help_and_an_example() {
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{} has no help", command.get_name());
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains("ostrakon "), "{} has no example", command.get_name());
        }
    }

    #[test]
    fn globals_stand_before_or_after_the_command() {
        for line in ["ostrakon --json --profile p ls", "ostrakon ls --json --profile p"] {
            let cli = parse(line).expect("parses");
            assert!(cli.global.json);
            assert_eq!(cli.global.profile, Some(PathBuf::from("p")));
        }
        assert!(parse("ostrakon -q -v ls").is_err());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for line in [
            "ostrakon",
            "ostrakon add",
            "ostrakon add x --class economy --code 4/6",
            "ostrakon add x --code 6/4",
            "ostrakon add x --epochs 0",
            "ostrakon add --dry-run",
            "ostrakon add x --limit-upload 0",
            "ostrakon add x --parallel 0",
            "ostrakon uploads",
            "ostrakon uploads abort",
            "ostrakon uploads abort x --all",
            "ostrakon get gibberish",
            "ostrakon get gibberish/path",
            "ostrakon renew gibberish",
            "ostrakon repair",
            "ostrakon repair status CID --all",
            "ostrakon governance vote 1 maybe",
            "ostrakon governance propose upgrade 2",
            "ostrakon governance propose admit-validator ostnode1x",
            "ostrakon wallet send ost1x 1",
            "ostrakon wallet history --limit 0",
            "ostrakon bucket create",
            "ostrakon bucket ls --prefix a",
            "ostrakon gateway --tls-cert c.pem",
            "ostrakon car export gibberish -o x",
            "ostrakon car import",
            "ostrakon name set a/b CID",
            "ostrakon name show a@b",
            "ostrakon get name:",
            "ostrakon get name:a@b",
            "ostrakon wallet history --before -1",
            "ostrakon demo --nodes 2",
            "ostrakon devnet up",
            "ostrakon devnet up --dir d --validators 0",
            "ostrakon devnet kill --dir d",
            "ostrakon devnet kill x --dir d",
            "ostrakon generate completions cobol",
            "ostrakon generate man",
            "ostrakon anchor x",
            "ostrakon certificate verify x",
            "ostrakon renew bafy --for 0d",
            "ostrakon ledger trust 0:ab",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_demo_s_defaults_are_those_of_the_design() {
        let Command::Demo(demo) = parse("ostrakon demo").expect("parses").command else { panic!("not the demo") };
        assert_eq!((demo.nodes, demo.domains, demo.kill, demo.keep || demo.no_repair), (14, 7, 8, false));
    }
}
