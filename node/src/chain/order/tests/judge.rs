//! Listens to every message that leaves a validator, and remembers who contradicted itself.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use futures::future::BoxFuture;
use ostrakon_net::{AskError, Peers};
use ostrakon_proto::{
    id::{BlockId, Height, NodeId, VoteKey},
    ledger::vote::{SignedVote, VoteKind},
    wire::{Frame, Protocol, consensus::ConsensusRequest},
};

type Place = (VoteKey, Height, u32, Option<VoteKind>);

/// What was said, by whom, at which place.
#[derive(Debug, Default)]
pub(super) struct Judge {
    said: Mutex<BTreeMap<Place, Option<BlockId>>>,
    contradictions: Mutex<Vec<Place>>,
    /// The last height of which each node sent a vote of its own.
    voted: Mutex<BTreeMap<NodeId, Height>>,
}

impl Judge {
    fn hear(&self, place: Place, block: Option<BlockId>) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if *said.entry(place).or_insert(block) != block {
            self.contradictions.lock().unwrap_or_else(PoisonError::into_inner).push(place);
        }
    }

    fn hear_vote(&self, signed: &SignedVote) {
        let vote = signed.vote;
        self.hear((signed.voter, vote.height, vote.round, Some(vote.kind)), vote.block);
    }

    pub(super) fn listen(&self, node: NodeId, request: &Frame) {
        match request.decode::<ConsensusRequest>() {
            Ok(ConsensusRequest::Vote(signed)) => {
                self.voted.lock().unwrap_or_else(PoisonError::into_inner).insert(node, signed.vote.height);
                self.hear_vote(&signed);
            }
            Ok(ConsensusRequest::Proposal(signed)) => {
                let proposal = signed.proposal;
                self.hear((signed.proposer, proposal.height, proposal.round, None), Some(proposal.block));
            }
            Ok(ConsensusRequest::Polka(polka)) => polka.votes().for_each(|signed| self.hear_vote(&signed)),
            Ok(ConsensusRequest::Round(proof)) => proof.votes.iter().for_each(|signed| self.hear_vote(signed)),
            _ => {}
        }
    }

    /// Where one of these contradicted itself.
    pub(super) fn contradictions(&self, of: &[VoteKey]) -> Vec<Place> {
        let all = self.contradictions.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|place| of.contains(&place.0)).copied().collect()
    }

    /// How much this validator said at a height.
    pub(super) fn said_at(&self, key: &VoteKey, height: u64) -> usize {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.keys().filter(|place| place.0 == *key && place.1 == Height(height)).count()
    }

    /// The last height of which this node sent votes.
    pub(super) fn voted(&self, node: &NodeId) -> Option<u64> {
        self.voted.lock().unwrap_or_else(PoisonError::into_inner).get(node).map(|height| height.0)
    }

    /// How much this validator said from a height on.
    pub(super) fn said_from(&self, key: &VoteKey, height: u64) -> usize {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.keys().filter(|place| place.0 == *key && place.1 >= Height(height)).count()
    }
}

/// The network as one validator has it, with the judge on the line.
pub(super) struct Tapped {
    pub(super) inner: Arc<dyn Peers>,
    pub(super) judge: Arc<Judge>,
}

impl fmt::Debug for Tapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tapped")
    }
}

impl Peers for Tapped {
    fn local(&self) -> NodeId {
        self.inner.local()
    }

    fn learn(&self, node: NodeId, addresses: &[String]) {
        self.inner.learn(node, addresses);
    }

    fn call(&self, to: NodeId, protocol: Protocol, request: Frame) -> BoxFuture<'static, Result<Frame, AskError>> {
        if protocol == Protocol::Consensus {
            self.judge.listen(self.local(), &request);
        }
        self.inner.call(to, protocol, request)
    }
}
