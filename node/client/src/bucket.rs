//! Buckets: keys and values, as applications of S3 know them, on the network as it is.
//!
//! [`Buckets`] are an owner's: a catalogue on the ledger lists them, with the access keys that were given out. A
//! [`Bucket`] is a sorted map from keys to objects. Nothing of it is on a disk: who has the owner's key opens it on any
//! machine, and several may use it at the same time. Bodies of up to a MiB are written together, in [batches](engine);
//! larger ones are objects of the network of their own. What is acknowledged is final on the ledger.
//!
//! Not here: HTTP and XML (`ostrakon-gateway`), and the formats (`ostrakon_proto::bucket`).

mod account;
mod beginning;
mod blobs;
mod catalogue;
mod change;
mod contest;
mod depot;
mod digest;
mod draft;
mod engine;
mod error;
mod flight;
mod index;
mod list;
mod merge;
mod object;
mod pages;
mod public;
mod rounds;
mod stale;
mod upkeep;
mod upload;

pub use catalogue::{AccessKey, BucketEntry, Buckets, UpkeepReport};
pub use digest::{Computed, etag_of_parts};
pub use error::BucketError;
pub use list::{ListQuery, Listed, ListedObject, ListedUploads, UploadsQuery};
pub use object::{Bucket, Condition, CopySource, Described, NewCopy, Put, PutDone};
pub use public::{PublicObject, cid_of};
pub use stale::noting_stale;
pub use upkeep::{Checked, Compacted, Leases};
pub use upload::{CompletePart, ListedPart, NewUpload};

pub use ostrakon_proto::bucket::{
    Checksum, ChecksumAlgorithm, ChecksumKind, ETag, MultipartId, ObjectHeader, ObjectInfo, PartInfo, UploadInfo,
};

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
