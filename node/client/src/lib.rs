//! Ostrakon's client: store a file on a network of strangers, and get it back from any k of n of them.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use ostrakon::Profile;
//!
//! let client = Profile::open("profile")?.connect()?;
//! let added = client.add_bytes("hello").await?;
//! assert_eq!(client.get(&added.link).bytes().await?, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! One file a verb, each an `impl Client`: [`mod@add`], [`mod@get`], [`mod@pack`] (directories), [`mod@verify`],
//! [`mod@status`], [`mod@name`], `lease` (extend, release), `repair`, `wallet` (balance, transfer). Below them
//! [`chain`] asks and tells the ledger, [`events`] says what happens meanwhile, [`profile`] is a directory with key and
//! network, [`objects`] the links in it, [`keystore`] how secrets are sealed there, and [`backup`] what brings it back.
//! [`ledger`] names what blocks and actions are made of. Results serialise as the command's `--json` shows them. A verb
//! has its own error where callers can act on it, and every error an [`ErrorKind`].
//!
//! The client believes nobody: columns and manifests verify against the object's name, and blocks against the
//! validator's signature. Not here: formats and rules (`ostrakon_proto`), sockets (`ostrakon_net`), and anything a node
//! does.

pub mod add;
mod backoff;
pub mod backup;
pub mod bucket;
pub mod chain;
mod client;
mod error;
pub mod events;
mod genesis;
pub mod get;
pub mod guide;
pub mod ipfs;
pub mod key_file;
pub mod keystore;
mod lease;
pub mod ledger;
mod missing;
pub mod name;
#[cfg(feature = "object-store")]
pub mod object_store;
pub mod objects;
pub mod pack;
mod private_file;
pub mod profile;
mod received;
mod repair;
pub mod status;
mod submit;
mod survival;
pub mod verify;
mod wallet;

pub use add::{
    Add, AddError, Added, AddedSlot, AddedSource, AddedTerm, JournalError, Journals, Quote, Traffic, Unfinished,
};
pub use backup::Backup;
pub use chain::{
    Activity, Chain, ChainError, EpochFaults, EpochSummary, Head, Included, KeptTrust, Pace, ProviderFault, Roster,
    Supply, Totals, TrustStore, VouchError,
};
pub use client::{Client, ClientParts, Clock, Random};
pub use error::{Error, ErrorKind, Hint};
pub use events::{Event, Events};
pub use genesis::read_genesis;
pub use get::{FailedColumn, Fetched, Get, GetError, NotEnoughColumns, OpenError, Overwrite, Reader, UsedColumn};
pub use key_file::KeyFileError;
pub use keystore::{Cost, DataKey, KeystoreError, Passphrase, PassphraseError, Protection, UnlockError};
pub use missing::{MissingObject, MissingObjects};
pub use name::{Expect, InvalidName, Name, NameError, NameSet, object_of};
pub use objects::{ObjectEntry, Objects, ObjectsError};
pub use ostrakon_transfer::RateLimit;
pub use pack::{Listing, PackEntries, PackReadError, PackReader, Skipped, WalkError};
pub use profile::{Profile, ProfileError, PublicProfile, now_ms, system_clock};
pub use received::Received;
pub use repair::{OpenRepair, Repairs};
pub use status::{Status, StatusLease, StatusOptions, StatusRenewal, StatusRepair, StatusSlot, StatusState};
pub use submit::Submit;
pub use survival::Survives;
pub use verify::{CheckedColumn, ColumnCheck, Verified};
pub use wallet::TooPoor;

pub use ostrakon_proto::{
    erasure::cpu_supported,
    id::{AccountId, Amount, BlockId, ChainId, ColumnId, Epoch, Height, NodeId, ObjectId, TxId},
    ledger::{
        Genesis,
        state::{Commitment, Domain, Provider, Renewal},
        tx::{Action, TxList, TxPlace},
    },
    light::{
        Checkpoint,
        proof_file::{
            AnchorProof, Anchored, Basis, Certificate, Committed, PROOF_FILE_MAX, ProofFileError, signed_headers,
        },
    },
    link::{Link, LinkError},
    pack::{Entry, FileContent, Kind as EntryKind, PackPath, Stamp, escape},
    params::{Class, Code},
    seal::ObjectKey,
    seed::Seed,
    sign::Keypair,
    size,
};

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
