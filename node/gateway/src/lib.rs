//! An S3 gateway: clients of S3 in, calls of [`ostrakon::bucket`] out. And public buckets for clients of IPFS.
//!
//! A request passes these modules, in this order:
//!
//! 1. `serve` accepts connections and bounds them; `tls` and `connection` are what a connection goes through.
//! 2. `front` answers health checks and preflights, counts requests and bounds them; `framing` and `body` bound
//!    what a body makes the gateway hold, and for how long it may stall.
//! 3. s3s verifies the signature, with secrets from `auth`.
//! 4. `gate` gets what is verified: it says whose request it is, refuses what is signed in part, checks the digests of
//!    small bodies, and replaces headers that s3s would not read as S3 does. Then s3s parses the operation, and
//!    `access` says whether this key may do it.
//! 5. `store` names the operations, and a file each does them: `get`, `put`, `delete`, `copy`, `listing`,
//!    `multipart`, `parts`, `tagging`, `attributes`, `buckets`, `cors`.
//!
//! What is public is read without a signature: `ipfs` answers what comes to its paths, in place of 3 to 5.
//!
//! Not here: what a bucket is (`ostrakon`), and anything that is kept from one request to the next, except caches that
//! last for seconds.

mod access;
mod acl;
mod answers;
mod attributes;
mod auth;
mod body;
mod buckets;
mod checksums;
mod conditions;
mod connection;
mod copy;
mod cors;
mod delete;
mod described;
mod errors;
mod fields;
mod forms;
mod framing;
mod front;
mod gate;
mod get;
mod health;
mod host;
mod ipfs;
mod limits;
mod listing;
mod metrics;
mod multipart;
mod parts;
mod put;
mod ranges;
mod serve;
mod store;
mod tagging;
mod tls;
mod upkeep;
mod upload_id;

pub use serve::{Gateway, GatewayError, GatewayOptions};
