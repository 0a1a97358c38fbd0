//! get/1: reads a verified range of a column.
//!
//! A range is an aligned subtree of the column's BLAKE3 tree: `length` is [`crate::limits::GROUP`] times a power of
//! two, at most [`crate::limits::CHUNK`]; `start` is a multiple of it. The answer's body is the range, cut at the
//! column's end, and its head the sibling hashes up to the root ([`crate::tree`]). So each answer verifies alone.

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;

use super::{Call, Protocol, Request};
use crate::{
    id::{ColumnId, Epoch},
    ledger::state::CommitmentId,
};

/// Read token: the capability to read one column of a private object.
#[derive(Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ReadToken(pub [u8; 32]);

impl std::fmt::Debug for ReadToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReadToken(..)")
    }
}

/// A commitment that the sender was drawn to repair: what the ledger says of it is the capability to read its columns,
/// and to store those that it lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct RepairTicket {
    /// The commitment.
    pub commitment: CommitmentId,
    /// The epoch by whose draw the sender repairs it.
    pub draw: Epoch,
}

/// Why the reader may have a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ReadAccess {
    /// The object is public.
    Public,
    /// The reader has the token whose hash the manifest lists.
    Token(ReadToken),
    /// The reader, as the connection authenticates it, repairs a commitment that has the column.
    Ticket(RepairTicket),
}

/// A request of get/1; it has no body.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct GetRequest {
    /// The column.
    pub column: ColumnId,
    /// Why the reader may have it.
    pub access: ReadAccess,
    /// First byte; a multiple of `length`.
    pub start: u64,
    /// Bytes wanted: 16 KiB times a power of two, at most 256 KiB.
    pub length: u32,
}

/// The head of an answer; the body is the range.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct GetResponse {
    /// Sibling hashes from the range's subtree up to the root.
    pub siblings: Vec<[u8; 32]>,
}

impl Request for GetRequest {
    const PROTOCOL: Protocol = Protocol::Get;
    type Response = GetResponse;
}

/// Reads a range of a column: its bytes, and the hashes that prove them, neither checked yet.
pub fn range(request: &GetRequest) -> Call<(GetResponse, Bytes)> {
    Call::new(request, Bytes::new(), |response, bytes| Ok((response, bytes)))
}
