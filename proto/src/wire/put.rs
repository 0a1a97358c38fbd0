//! put/1: stores one column on one holder, for a receipt.
//!
//! [`Request::Open`] asks for room; then [`Request::Chunk`]s carry the column in order of offset, a few under way at
//! once; [`Request::Finish`] brings the manifest and takes the receipt away. Every request names its upload, so nothing
//! depends on a connection. A column that no commitment names is temporary.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    id::{AccountId, NodeId},
    params::Code,
    placement::Draw,
    sign::Signature,
};

/// The client's name of one column's upload: random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct UploadId(pub [u8; 16]);

/// What the account signs to ask for room, for [`crate::sign::Purpose::Put`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Open {
    /// The upload.
    pub upload: UploadId,
    /// The holder that is asked: the signature is worth nothing elsewhere.
    pub holder: NodeId,
    /// Who will pay.
    pub account: AccountId,
    /// The draw that chose the holder.
    pub draw: Draw,
    /// Which extent.
    pub extent: u32,
    /// Which column of it.
    pub index: u8,
    /// The code.
    pub code: Code,
    /// Bytes that the column has at most; not zero. A stream of unknown length reserves a whole extent's column.
    pub reserve: u64,
}

/// A request of put/1.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Request {
    /// Asks for room; answered by [`Response::Ready`].
    Open {
        /// What is asked.
        open: Open,
        /// The account's signature over it.
        signature: Signature,
    },
    /// The body is the column's bytes from `offset`: [`crate::limits::CHUNK`], or what is left. Answered by
    /// [`Response::Ready`].
    Chunk {
        /// The upload.
        upload: UploadId,
        /// Where the body begins; a multiple of [`crate::limits::CHUNK`].
        offset: u64,
    },
    /// The body is the manifest that lists the column. Answered by [`Response::Receipt`].
    Finish {
        /// The upload.
        upload: UploadId,
    },
    /// Gives the upload up.
    Abort {
        /// The upload.
        upload: UploadId,
    },
}

/// An answer of put/1.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Response {
    /// Every byte before `next` is taken.
    Ready {
        /// The first byte that is still wanted.
        next: u64,
    },
    /// The column is stored, hashed and synced: the signature is over [`crate::ledger::tx::Receipt`].
    Receipt(Signature),
    /// The upload is forgotten.
    Aborted,
}
