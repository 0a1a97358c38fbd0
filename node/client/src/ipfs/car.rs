//! Content-addressable archives, version 1: a header that names roots, then blocks, each behind its length and name.
//! Format: <https://ipld.io/specs/transport/car/carv1/>.

use cid::Cid;
use serde::{Deserialize, Serialize};
use unsigned_varint::encode;

/// Bytes of a header at most: one root takes 59.
pub(super) const HEADER_MAX: usize = 1024;

/// What an archive begins with.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) roots: Vec<Cid>,
    pub(super) version: u64,
}

/// The beginning of an archive with this root.
pub fn car_header(root: &Cid) -> Vec<u8> {
    let header = Header { roots: vec![*root], version: 1 };
    let bytes = serde_ipld_dagcbor::to_vec(&header).expect("a CID and a number can be encoded");
    [&length(bytes.len()), &bytes[..]].concat()
}

/// What is written before a block of so many bytes.
pub fn section_head(name: &Cid, size: u64) -> Vec<u8> {
    let name = name.to_bytes();
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    [&length(name.len().saturating_add(size)), &name[..]].concat()
}

fn length(bytes: usize) -> Vec<u8> {
    encode::usize(bytes, &mut encode::usize_buffer()).to_vec()
}
