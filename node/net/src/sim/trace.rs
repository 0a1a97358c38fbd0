//! The record of a simulated network: a running BLAKE3 hash over all that happened, in order. Two runs with equal
//! hashes were the same run. Not here: what is remembered for people, which is nothing.

use blake3::Hasher;
use ostrakon_proto::{
    id::NodeId,
    wire::{Frame, Protocol},
};
use tokio::time::Instant;

use crate::{AskError, Failure};

/// Something that happened to a call.
#[derive(Debug)]
pub(super) enum Event<'a> {
    /// Its request was sent.
    Sent(&'a Frame),
    /// Its request was handed to the node.
    Delivered(&'a Frame),
    /// Its caller has the outcome.
    Ended(&'a Result<Frame, AskError>),
}

/// The running hash.
#[derive(Debug)]
pub(super) struct Trace {
    hasher: Hasher,
    begin: Instant,
    calls_ended: u64,
}

impl Trace {
    /// An empty trace, whose time begins now.
    pub(super) fn new(seed: u64) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(&seed.to_le_bytes());
        Self { hasher, begin: Instant::now(), calls_ended: 0 }
    }

    /// Adds what has just happened to the call from `from` to `to`.
    pub(super) fn add(&mut self, from: NodeId, to: NodeId, protocol: Protocol, event: &Event<'_>) {
        let now = self.begin.elapsed().as_nanos();
        let protocol = match protocol {
            Protocol::Put => 0,
            Protocol::Get => 1,
            Protocol::Manifest => 2,
            Protocol::Chain => 3,
            Protocol::Consensus => 4,
        };
        let (outcome, frame) = match event {
            Event::Sent(frame) => (0, Some(*frame)),
            Event::Delivered(frame) => (1, Some(*frame)),
            Event::Ended(Ok(frame)) => (2, Some(frame)),
            Event::Ended(Err(error)) => (kind(error), None),
        };
        if matches!(event, Event::Ended(_)) {
            self.calls_ended += 1;
        }
        self.hasher.update(&now.to_le_bytes()).update(from.bytes()).update(to.bytes()).update(&[protocol, outcome]);
        if let Some(frame) = frame {
            let length = u64::try_from(frame.body.len()).expect("a body is far below 2^64 bytes");
            self.hasher.update(blake3::hash(&frame.head).as_bytes()).update(&length.to_le_bytes());
        }
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }

    pub(super) const fn calls_ended(&self) -> u64 {
        self.calls_ended
    }
}

/// The number of an outcome in the record.
const fn kind(error: &AskError) -> u8 {
    match error.failure {
        Failure::Unreachable(_) => 3,
        Failure::Timeout(_) => 4,
        Failure::Closed(_) => 5,
        Failure::Unsupported(_) => 6,
        Failure::InvalidAnswer(_) => 7,
        Failure::TooLong(_) => 8,
        Failure::ShutDown => 9,
        Failure::Refused(_) => 10,
    }
}
