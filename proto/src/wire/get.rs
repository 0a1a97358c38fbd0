//! get/1: reads a verified range of a column.
//!
//! A range is an aligned subtree of the column's BLAKE3 tree: `length` is [`crate::limits::GROUP`] times a power of
//! two, at most [`crate::limits::CHUNK`]; `start` is a multiple of it. The answer's body is the range, cut at the
//! column's end, and its head the sibling hashes up to the root ([`crate::tree`]). So each answer verifies alone.

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;

use super::{Call, Protocol, Request};
use crate::id::ColumnId;

/// Read token: the capability to read one column of a private object.
#[derive(Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ReadToken(pub [u8; 32]);

impl std::fmt::Debug for ReadToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReadToken(..)")
    }
}

/// A request of get/1; it has no body.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct GetRequest {
    /// The column.
    pub column: ColumnId,
    /// The token whose hash the manifest lists; `None` for public objects.
    pub token: Option<ReadToken>,
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
