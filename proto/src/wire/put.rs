//! put/1: stores one column on one holder, for a receipt.
//!
//! [`PutRequest::Open`] reserves space; then [`PutRequest::Chunk`]s carry the column in order of offset, a few in
//! flight at a time; [`PutRequest::Finish`] sends the manifest and returns the receipt. A column of one chunk, with its
//! manifest, goes with the opening, whose answer then is the receipt. Every request names its upload, so nothing
//! depends on a connection. A column that no commitment names is temporary. [`PutRequest::Repair`] opens an upload too,
//! of a column of a commitment that is repaired: the ledger says who may, so that no account has to sign.

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;

use super::{Call, InvalidAnswer, Protocol, Request, get::RepairTicket};
use crate::{
    id::{AccountId, Amount, Epoch, NodeId},
    limits::CHUNK,
    params::Code,
    placement::Draw,
    sign::Signature,
};

/// Id of one column's upload: random, chosen by the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct UploadId(pub [u8; 16]);

/// What the account signs to reserve space, for [`crate::sign::Purpose::Put`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Open {
    /// The upload.
    pub upload: UploadId,
    /// The holder that is asked, so that the signature is invalid for others.
    pub holder: NodeId,
    /// The account that will pay.
    pub account: AccountId,
    /// The draw that chose the holder.
    pub draw: Draw,
    /// Number of the extent.
    pub extent: u32,
    /// Index of the column.
    pub index: u8,
    /// The code.
    pub code: Code,
    /// Bytes that the column has at most; not zero. A stream of unknown length reserves a whole extent's column.
    pub reserve: u64,
    /// Price of a GiB for one epoch: what the holder asks in the roster of the draw.
    pub ask: Amount,
    /// First epoch that the receipt is not to promise.
    pub until: Epoch,
}

/// A request of put/1.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum PutRequest {
    /// Reserves space, or resumes the account's upload where an earlier client stopped; answered by
    /// [`PutResponse::Opened`]. The body is the manifest that lists the column, and then the column's first chunk; or
    /// nothing. With a manifest, the chunk is the whole column, and the answer is [`PutResponse::Receipt`].
    Open {
        /// The signed request.
        open: Open,
        /// The account's signature over it.
        signature: Signature,
        /// Bytes of the manifest in the body.
        manifest: u32,
    },
    /// The body is the column's bytes from `offset`: [`crate::limits::CHUNK`], or what is left. Answered by
    /// [`PutResponse::Ready`].
    Chunk {
        /// The upload.
        upload: UploadId,
        /// Where the body begins; a multiple of [`crate::limits::CHUNK`].
        offset: u64,
    },
    /// The body is the manifest that lists the column. Answered by [`PutResponse::Receipt`].
    Finish {
        /// The upload.
        upload: UploadId,
    },
    /// Aborts the upload.
    Abort {
        /// The upload.
        upload: UploadId,
    },
    /// Reserves space for a column of a commitment that the sender repairs, or resumes that; answered by
    /// [`PutResponse::Opened`]. No body.
    Repair(OpenRepair),
}

/// What opens the upload of a column that is repaired: the rest is in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct OpenRepair {
    /// The upload.
    pub upload: UploadId,
    /// The commitment, and the draw that chose both sender and holder.
    pub ticket: RepairTicket,
    /// Index of the column.
    pub index: u8,
    /// Whether the sender leaves and moves its own column, rather than one that it rebuilt.
    pub leaving: bool,
}

/// Progress of an upload: what the holder has of the column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Taken {
    /// The first byte that is missing; all before it were received.
    pub next: u64,
    /// Chunks received out of order: bit i is the whole chunk that starts i times [`CHUNK`] after `next`.
    pub early: u8,
}

impl Taken {
    /// Whether the holder has the chunk of `len` bytes at `offset`.
    pub fn has(&self, offset: u64, len: u64) -> bool {
        let chunk = u64::try_from(CHUNK).expect("256 KiB");
        match offset.checked_sub(self.next) {
            None | Some(0) => offset + len <= self.next,
            Some(ahead) if ahead % chunk == 0 => (ahead / chunk < 8) && self.early >> (ahead / chunk) & 1 == 1,
            Some(_) => false,
        }
    }
}

/// An answer of put/1.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum PutResponse {
    /// The chunk was received.
    Ready {
        /// The first byte that is missing; all before it were received.
        next: u64,
    },
    /// The column is stored, hashed and synced: the signature is over [`crate::ledger::tx::Receipt`].
    Receipt(Signature),
    /// The upload was aborted.
    Aborted,
    /// Space is reserved, and this much was received already.
    Opened(Taken),
}

impl Request for PutRequest {
    const PROTOCOL: Protocol = Protocol::Put;
    type Response = PutResponse;
}

/// A whole column of one chunk, and the manifest that lists it: what may go with an opening.
#[derive(Clone, Debug)]
pub struct WholeColumn {
    /// The manifest's bytes.
    pub manifest: Bytes,
    /// The column's bytes.
    pub chunk: Bytes,
}

/// The outcome of an opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// The holder waits for more.
    Open(Taken),
    /// The column is stored: the receipt's signature, not checked yet.
    Stored(Signature),
}

/// Asks a holder to reserve what `open` says, and to store `whole`, if that is all.
pub fn open(open: Open, signature: Signature, whole: Option<&WholeColumn>) -> Call<Opening> {
    let (manifest, body) = whole.map_or((0, Bytes::new()), |whole| {
        let manifest = u32::try_from(whole.manifest.len()).expect("at most 1 MiB");
        (manifest, [&whole.manifest[..], &whole.chunk].concat().into())
    });
    Call::new(&PutRequest::Open { open, signature, manifest }, body, |response, _| match response {
        PutResponse::Opened(taken) => Ok(Opening::Open(taken)),
        PutResponse::Receipt(signature) => Ok(Opening::Stored(signature)),
        _ => Err(InvalidAnswer::Mismatch),
    })
}

/// Asks a holder to reserve space for a column that is repaired: what it has of it.
pub fn repair(open: OpenRepair) -> Call<Taken> {
    Call::new(&PutRequest::Repair(open), Bytes::new(), |response, _| match response {
        PutResponse::Opened(taken) => Ok(taken),
        _ => Err(InvalidAnswer::Mismatch),
    })
}

/// Sends the column's bytes from `offset`: the first byte that the holder still wants.
pub fn chunk(upload: UploadId, offset: u64, bytes: Bytes) -> Call<u64> {
    Call::new(&PutRequest::Chunk { upload, offset }, bytes, |response, _| match response {
        PutResponse::Ready { next } => Ok(next),
        _ => Err(InvalidAnswer::Mismatch),
    })
}

/// Brings the manifest that lists the column: the receipt's signature, not checked yet.
pub fn finish(upload: UploadId, manifest: Bytes) -> Call<Signature> {
    Call::new(&PutRequest::Finish { upload }, manifest, |response, _| match response {
        PutResponse::Receipt(signature) => Ok(signature),
        _ => Err(InvalidAnswer::Mismatch),
    })
}

/// Aborts an upload.
pub fn abort(upload: UploadId) -> Call<()> {
    Call::new(&PutRequest::Abort { upload }, Bytes::new(), |response, _| match response {
        PutResponse::Aborted => Ok(()),
        _ => Err(InvalidAnswer::Mismatch),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_has_what_it_says() {
        let chunk = u64::try_from(CHUNK).expect("256 KiB");
        let taken = Taken { next: 2 * chunk, early: 0b1000_0010 };
        let has: Vec<u64> = (0..20).filter(|number| taken.has(number * chunk, chunk)).collect();
        assert_eq!(has, [0, 1, 3, 9]);
        let whole = Taken { next: chunk + 64, early: 0 };
        assert!(whole.has(0, chunk) && whole.has(chunk, 64) && !whole.has(2 * chunk, 64));
        assert!(!whole.has(chunk, 65) && !Taken::default().has(0, 64));
    }
}
