//! `ostrakon bucket` and `ostrakon gateway` on the command line.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

pub(super) const HELP: &str = "\
Examples:
  ostrakon bucket create photos
  ostrakon bucket key create --bucket photos
  ostrakon gateway --listen 127.0.0.1:9000
  ostrakon bucket ls

A bucket belongs to your account and is on no disk: every machine that has your profile can open it, and several \
gateways may serve it at the same time. The ledger shows neither names nor keys. What a bucket stores is paid from an \
account of its own, which is filled from yours as needed, and renewed by the ledger itself.";

pub(super) const GATEWAY_HELP: &str = "\
Examples:
  ostrakon gateway --listen 127.0.0.1:9000
  ostrakon gateway --listen 0.0.0.0:9000 --domain s3.example.org --tls-cert cert.pem --tls-key key.pem
  aws --endpoint-url http://127.0.0.1:9000 s3 cp photo.jpg s3://photos/

Applications sign requests with an access key: ostrakon bucket key create. The gateway stores nothing itself: when it \
answers, the bytes are on the network, and the change is final on its ledger.

Objects of public buckets are also served without a key, as files, blocks and archives of IPFS: /ipfs/CID, and \
/routing/v1/providers/CID, which names this gateway.";

/// `bucket`
#[derive(Debug, Subcommand)]
pub(crate) enum BucketCommand {
    /// List the buckets of this account, or the objects of one
    #[command(after_help = "Examples:\n  ostrakon bucket ls\n  ostrakon bucket ls photos --prefix 2026/")]
    Ls {
        /// The bucket whose objects to list
        name: Option<String>,
        /// List only objects whose keys begin so
        #[arg(long, default_value = "", requires = "name")]
        prefix: String,
    },
    /// Create a bucket
    #[command(after_help = "Examples:\n  ostrakon bucket create photos\n  ostrakon bucket create website --public\n\n\
        An object of a public bucket has an IPFS CID (`ostrakon bucket ls`, header x-ipfs-roots), by which a gateway \
        serves it to anyone: https://GATEWAY/ipfs/CID; and https://GATEWAY/BUCKET/KEY, with its headers and metadata, \
        to anyone who knows its key. Lists and tags need an access key. Whether a bucket is public cannot be changed \
        later.")]
    Create {
        /// Its name: 3 to 63 lower-case letters, digits, dots and hyphens
        name: String,
        /// Let anyone read its objects by their CIDs
        #[arg(long)]
        public: bool,
    },
    /// Delete an empty bucket, and return to this account what its account has
    #[command(after_help = "Example:\n  ostrakon bucket rm photos")]
    Rm {
        /// Its name
        name: String,
    },
    /// Read all of a bucket's index, and compare it with the ledger
    #[command(after_help = "Example:\n  ostrakon bucket verify photos\n\n\
        Exit code 4 if anything is wrong, such as an object that nothing refers to and that is paid for.")]
    Verify {
        /// The bucket
        name: String,
    },
    /// Extend the leases of a bucket that are over half their term
    #[command(after_help = "Example:\n  ostrakon bucket renew photos\n\nA running gateway does so by itself.")]
    Renew {
        /// The bucket
        name: String,
    },
    /// Free what a bucket stores and does not use
    #[command(after_help = "Example:\n  ostrakon bucket compact photos\n\nA running gateway does so by itself.")]
    Compact {
        /// The bucket
        name: String,
    },
    /// Manage the keys that applications sign requests with
    #[command(after_help = "Examples:\n  ostrakon bucket key create --bucket photos --read-only\n  \
        ostrakon bucket key ls\n  ostrakon bucket key rm ID")]
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
}

/// `bucket key`
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Create an access key, and print its secret
    #[command(after_help = "Examples:\n  ostrakon bucket key create\n  \
        ostrakon bucket key create --bucket photos --read-only")]
    Create {
        /// Restrict the key to this bucket [default: all buckets, and it may create and delete them]
        #[arg(long, value_name = "NAME")]
        bucket: Option<String>,
        /// Let it only read
        #[arg(long)]
        read_only: bool,
    },
    /// List the access keys, without their secrets
    #[command(after_help = "Example:\n  ostrakon bucket key ls")]
    Ls,
    /// Delete an access key
    #[command(after_help = "Example:\n  ostrakon bucket key rm OK0123456789ABCDEF0123")]
    Rm {
        /// Its id
        id: String,
    },
}

/// `gateway`
#[derive(Debug, Args)]
pub(crate) struct GatewayArgs {
    /// Address and port to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    pub(crate) listen: SocketAddr,
    /// Also serve each bucket as a host: BUCKET.DOMAIN
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) domain: Vec<String>,
    /// Serve reads from a cached state up to this old, instead of asking the validators each time
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "0s")]
    pub(crate) max_stale: Duration,
    /// Serve HTTPS with this certificate chain, a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key, a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
}
