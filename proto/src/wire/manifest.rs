//! manifest/1: an object's manifest by its CID. The answer's body is the manifest; its head is empty.

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;

use super::{Call, InvalidAnswer, Protocol, Request};
use crate::{id::ObjectId, manifest::Manifest};

/// A request of manifest/1; it has no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ManifestRequest {
    /// The object.
    pub object: ObjectId,
}

impl Request for ManifestRequest {
    const PROTOCOL: Protocol = Protocol::Manifest;
    type Response = ();
}

/// Asks for the manifest of `object`: bytes whose hash is its id.
pub fn manifest(object: ObjectId) -> Call<Bytes> {
    Call::new(&ManifestRequest { object }, Bytes::new(), move |(), body| {
        if Manifest::object_id(&body) == object { Ok(body) } else { Err(InvalidAnswer::Mismatch) }
    })
}
