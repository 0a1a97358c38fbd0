//! What nodes say to each other: one file per protocol, and the frame they all travel in (ARCHITECTURE 6; SPEC,
//! "Wire").
//!
//! A message is a [`Frame`]: a small borsh head, decoded canonically, and a body of raw bytes that is never copied to
//! be understood. Both are bounded per protocol before a byte is read. An answer's head is `Result<Response, Refusal>`.

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;

use crate::{codec, id::ChainId, limits};

pub mod chain;
pub mod consensus;
pub mod get;
pub mod manifest;
pub mod put;

/// The protocols, each with its version in its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// [`put`]
    Put,
    /// [`get`]
    Get,
    /// [`manifest`]
    Manifest,
    /// [`chain`]
    Chain,
    /// [`consensus`]
    Consensus,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Put, Self::Get, Self::Manifest, Self::Chain, Self::Consensus];

    /// Its name on the network of `chain`: `/ostrakon/<chain>/<protocol>/<version>`, with the chain's first 16 digits.
    pub fn name(self, chain: &ChainId) -> String {
        let name = match self {
            Self::Put => "put/1",
            Self::Get => "get/1",
            Self::Manifest => "manifest/1",
            Self::Chain => "chain/1",
            Self::Consensus => "consensus/1",
        };
        format!("/ostrakon/{}/{name}", &chain.to_string()[..16])
    }

    /// Bytes that a request's body may have.
    pub const fn request_body_max(self) -> usize {
        match self {
            Self::Put => limits::MANIFEST,
            Self::Get | Self::Manifest => 0,
            Self::Chain => limits::SUBMIT,
            Self::Consensus => limits::CONSENSUS_BODY,
        }
    }

    /// Bytes that an answer's body may have.
    pub const fn response_body_max(self) -> usize {
        match self {
            Self::Put => 0,
            Self::Get => limits::CHUNK,
            Self::Manifest => limits::MANIFEST,
            Self::Chain => limits::CHAIN_BODY,
            Self::Consensus => limits::CONSENSUS_BODY,
        }
    }
}

/// A message in either direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Canonical borsh, at most [`limits::HEAD`].
    pub head: Bytes,
    /// Raw bytes.
    pub body: Bytes,
}

impl Frame {
    /// A frame with this head, encoded, and this body.
    pub fn new<T: BorshSerialize>(head: &T, body: Bytes) -> Self {
        Self { head: codec::encode(head).into(), body }
    }

    /// The head, decoded.
    ///
    /// # Errors
    /// [`codec::DecodeError`] when it is not the canonical encoding of a `T`.
    pub fn decode<T: BorshDeserialize + BorshSerialize>(&self) -> Result<T, codec::DecodeError> {
        codec::decode(&self.head, limits::HEAD)
    }
}

/// Why a node refuses: what the caller should do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum RefusalCode {
    /// The request breaks the protocol; do not repeat it.
    BadRequest = 1,
    /// Not here; ask another node.
    NotFound = 2,
    /// The capability or signature does not allow it.
    Denied = 3,
    /// Too much at once; try again later or elsewhere.
    Busy = 4,
    /// No room; ask another node.
    Full = 5,
    /// The account's credit does not cover it.
    NoCredit = 6,
    /// The bytes do not match their hash.
    Corrupt = 7,
    /// The node's disk or state failed; ask another node.
    Internal = 8,
    /// The ledger's rules refuse the transaction.
    Invalid = 9,
    /// The block is so old that it is not kept here: take a snapshot, or ask a node that keeps all.
    Pruned = 10,
    /// Another transaction of the account has this nonce, or is missing before it: look again after the next block.
    Nonce = 11,
}

/// A refusal with its reason in words.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// What to do about it.
    pub code: RefusalCode,
    /// The reason, for people; at most 1 KiB is kept.
    pub reason: String,
}

impl Refusal {
    /// A refusal for this reason.
    pub fn new(code: RefusalCode, reason: impl std::fmt::Display) -> Self {
        let mut reason = reason.to_string();
        let cut = (0..=reason.len().min(1024)).rev().find(|at| reason.is_char_boundary(*at)).unwrap_or(0);
        reason.truncate(cut);
        Self { code, reason }
    }
}
