//! Buckets: a sorted map from keys to records, as objects of a network and one cell of its ledger (SPEC, "Buckets").
//!
//! A bucket is an account of its own, derived from its owner's key ([`BucketSecret`]). What it holds is written in
//! batches: an object with the bodies of small values, a sorted [`run`](RunWriter) of [`IndexEntry`]s, and the list of
//! all runs, newest first ([`BucketHead`]). The account's cell names the newest batch, sealed ([`Reference`]). So a
//! change is a compare-and-swap of one cell, and a reader who has the bucket's secret needs the cell, the end of one
//! object and a page on each level of a run.
//!
//! In go entries and out come pages; in go a stranger's bytes and out come entries, each checked. Runs are merged in
//! levels ([`levels`]), so there are never more than a few. Not here: networks, ledgers and clocks.

mod bloom;
mod head;
mod levels;
mod merge;
mod page;
mod place;
mod record;
mod run;
mod secret;

pub use head::{BucketHead, Run};
pub use levels::{FAN, due};
pub use merge::Merge;
pub use page::{BranchPage, IndexChild, IndexPage, IndexRef, LeafPage};
pub use place::{BlockHash, MultipartId, Place};
pub use record::{
    Blob, BlobInfo, Checksum, ChecksumAlgorithm, ChecksumKind, ETag, IndexEntry, ObjectHeader, ObjectInfo, PartInfo,
    Piece, UploadInfo, Value,
};
pub use run::{RunWriter, WrittenRun};
pub use secret::{BucketSecret, Reference};

/// Why bytes are not a bucket's: it was written so, or they are another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BucketError {
    /// The cell does not open.
    #[error("the bucket's record on the ledger is not authentic: it was written with another key, or is damaged")]
    Cell,
    /// The end of a batch is not a list of runs, or that of a later version.
    #[error("the head of the bucket's index is malformed, or of a later version: update this program if it is older")]
    BucketHead,
    /// A page does not decode.
    #[error("a page of the bucket's index is malformed")]
    IndexPage,
    /// Places are not in order.
    #[error("a page of the bucket's index is not in order")]
    Order,
    /// A page lies where none can be.
    #[error("the bucket's index refers to a page at byte {offset}, where no page can be")]
    Place {
        /// Where the page should be.
        offset: u64,
    },
    /// A record is larger than a page may be.
    #[error("a record of {len} bytes is over the limit of {max} bytes")]
    TooLarge {
        /// Bytes of the record.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
}

#[cfg(test)]
mod tests;
