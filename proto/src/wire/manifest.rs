//! manifest/1: an object's CID for its manifest. The answer's body is the manifest; its hash is checked by the asker.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::id::ObjectId;

/// A request of manifest/1; it has no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Request {
    /// The object.
    pub object: ObjectId,
}

/// The head of an answer; the body is the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Response;
