//! One typed call: a request of `ostrakon_proto::wire` goes in, its answer comes out, or [`AskError`] says why there is
//! none. Everyone who asks another node does it here. Not here: how frames travel ([`crate::Peers`]), and whether an
//! answer is true: who asks checks its proofs.

use std::time::Duration;

use ostrakon_proto::{
    id::NodeId,
    limits,
    wire::{Call, Refusal, RefusalCode},
};

use crate::{
    awake,
    peers::{OverLimit, Peers},
};

/// How long any answer may take.
pub(crate) const STALL: Duration = Duration::from_secs(limits::STALL_SECONDS);

/// Asks `node`, and returns its answer within the call's limit, which counts the time in which this process runs.
/// Dropping the future forgets the request, which may still be carried out.
///
/// # Errors
/// [`AskError`] when there is no answer that can be used.
pub async fn ask<A: 'static>(peers: &dyn Peers, node: NodeId, call: Call<A>) -> Result<A, AskError> {
    let answer = awake::timeout(call.limit, peers.call(node, call.protocol, call.request.clone())).await;
    let answer = answer.map_err(|_| AskError::new(node, Failure::Timeout(call.limit)))??;
    match call.read(answer) {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(refusal)) => Err(AskError::new(node, Failure::Refused(refusal))),
        Err(invalid) => Err(AskError::new(node, Failure::InvalidAnswer(invalid.to_string()))),
    }
}

/// A request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node {node} {failure}")]
pub struct AskError {
    /// The node that was asked.
    pub node: NodeId,
    /// Why, and what to do instead.
    pub failure: Failure,
}

impl AskError {
    /// No answer of `node`, for this reason.
    pub const fn new(node: NodeId, failure: Failure) -> Self {
        Self { node, failure }
    }

    /// The node's refusal, when that is why.
    pub const fn refusal(&self) -> Option<&Refusal> {
        if let Failure::Refused(refusal) = &self.failure { Some(refusal) } else { None }
    }

    /// Whether the node refused for this reason.
    pub fn is_refused_as(&self, code: RefusalCode) -> bool {
        self.refusal().is_some_and(|refusal| refusal.code == code)
    }

    /// Whether there was no connection, or it ended: an idempotent request may be repeated.
    pub const fn is_disconnected(&self) -> bool {
        matches!(self.failure, Failure::Unreachable(_) | Failure::Closed(_))
    }
}

/// Why a request has no answer: the text follows the name of the node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// No connection could be made, with what happened at each address: learn a newer address, try later, or ask
    /// another node.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// No answer came in this time; it is unknown whether the request was carried out.
    #[error("did not respond within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The connection ended before the answer; it is unknown whether the request was carried out. It may be repeated.
    #[error("closed the connection before it answered: {0}")]
    Closed(String),
    /// The node does not speak the protocol: it is on another network, of another version, or takes no requests.
    #[error("does not support protocol {0}: it may be on another network or version")]
    Unsupported(String),
    /// The node answered that it does not do it: [`Refusal::code`] says what to do instead.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The answer breaks the protocol: ask another node.
    #[error("sent an invalid answer: {0}")]
    InvalidAnswer(String),
    /// The request is over the protocol's limits, and was not sent: split it.
    #[error("was not asked: {0}")]
    TooLong(OverLimit),
    /// This side's network has been shut down.
    #[error("was not asked: this process has shut its network down")]
    ShutDown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_node_as_operators_know_it() {
        let node = NodeId::new([7; 32]);
        let text = AskError::new(node, Failure::Closed("reset".into())).to_string();
        assert!(text.starts_with(&format!("node {node} closed")) && text.contains("reset"), "{text}");
    }
}
