//! Messages between nodes: one file per protocol, and the frame that carries them (ARCHITECTURE 6; SPEC, "Wire frame").
//!
//! A message is a [`Frame`]: a small borsh head, decoded canonically, and a body of raw bytes that is not copied to be
//! decoded. Both are bounded per protocol before a byte is read. An answer's head is `Result<Response, Refusal>`.
//!
//! A [`Call`] is a request that knows its protocol, and how its answer is read: each protocol's file has a function for
//! each of its questions. `ostrakon_net::ask` takes it to a node.

use std::{fmt, sync::Arc, time::Duration};

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;

use crate::{codec, id::ChainId, limits};

pub mod chain;
mod class;
pub mod consensus;
pub mod get;
pub mod manifest;
pub mod put;

pub use class::RequestClass;

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

    /// Bytes of a request's body at most.
    pub const fn request_body_max(self) -> usize {
        match self {
            Self::Put => limits::MANIFEST,
            Self::Get | Self::Manifest => 0,
            Self::Chain => limits::SUBMIT,
            Self::Consensus => limits::CONSENSUS_BODY,
        }
    }

    /// Bytes of an answer's body at most.
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

/// The requests of one protocol.
pub trait Request: BorshSerialize + BorshDeserialize {
    /// The protocol.
    const PROTOCOL: Protocol;
    /// The head of what answers them, unless they are refused.
    type Response: BorshSerialize + BorshDeserialize;
}

/// A request, with the protocol that it is sent on and how its answer is read.
pub struct Call<A> {
    /// The protocol.
    pub protocol: Protocol,
    /// What is sent.
    pub request: Frame,
    /// How long the answer may take.
    pub limit: Duration,
    read: Read<A>,
}

type Read<A> = Arc<dyn Fn(Frame) -> Result<Result<A, Refusal>, InvalidAnswer> + Send + Sync>;

impl<A: 'static> Call<A> {
    /// A request with this body; `read` sees the response's head, when it is no refusal, and its body.
    fn new<R: Request>(
        request: &R,
        body: Bytes,
        read: impl Fn(R::Response, Bytes) -> Result<A, InvalidAnswer> + Send + Sync + 'static,
    ) -> Self {
        let read = move |answer: Frame| match answer.decode::<Result<R::Response, Refusal>>()? {
            Ok(response) => read(response, answer.body).map(Ok),
            Err(refusal) => Ok(Err(refusal)),
        };
        let seconds = if R::PROTOCOL == Protocol::Put { limits::STALL_SECONDS } else { limits::ANSWER_SECONDS };
        let limit = Duration::from_secs(seconds);
        Self { protocol: R::PROTOCOL, request: Frame::new(request, body), limit, read: Arc::new(read) }
    }

    /// The same, whose answer may take `limit`.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// The same, where the node may wait for a block before it answers.
    fn that_waits(self) -> Self {
        let limit = self.limit + Duration::from_secs(limits::WAIT_SECONDS);
        self.within(limit)
    }

    /// What a node answered, or its refusal.
    ///
    /// # Errors
    /// [`InvalidAnswer`] when it breaks the protocol.
    pub fn read(&self, answer: Frame) -> Result<Result<A, Refusal>, InvalidAnswer> {
        (self.read)(answer)
    }
}

// Not by derive: an answer need not be `Clone`.
impl<A> Clone for Call<A> {
    fn clone(&self) -> Self {
        let Self { protocol, request, limit, read } = self;
        Self { protocol: *protocol, request: request.clone(), limit: *limit, read: Arc::clone(read) }
    }
}

impl<A> fmt::Debug for Call<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("protocol", &self.protocol).field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// How an answer breaks the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAnswer {
    /// Its bytes are not a message of the protocol.
    #[error(transparent)]
    Encoding(#[from] codec::DecodeError),
    /// It is a valid message that does not answer the request.
    #[error("invalid answer: it does not match the request")]
    Mismatch,
}

/// Why a node refuses a request, by what the caller should do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum RefusalCode {
    /// The request violates the protocol: do not repeat it.
    BadRequest = 1,
    /// The node does not have it: ask another node.
    NotFound = 2,
    /// Capability, draw or signature do not permit it.
    Denied = 3,
    /// The node is overloaded: retry later, or ask another node.
    Busy = 4,
    /// The disk is full: ask another node.
    Full = 5,
    /// The account's credit is exceeded: add money, or store less at a time.
    NoCredit = 6,
    /// The bytes do not match their hash.
    Corrupt = 7,
    /// The node's disk or state failed: ask another node.
    Internal = 8,
    /// The ledger's rules reject the transaction.
    Invalid = 9,
    /// The node has deleted the block: restore a snapshot, or ask a node that keeps all blocks.
    Pruned = 10,
    /// Another transaction of the account has this nonce, or one before it is missing: retry after the next block.
    Nonce = 11,
    /// The ledger's rules reject the transaction after costly checks: it is pending until a block charges its fee, and
    /// its nonce is taken.
    Charged = 12,
}

/// A refusal with its reason.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// What to do about it.
    pub code: RefusalCode,
    /// The reason, as a message; cut at 1 KiB.
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
