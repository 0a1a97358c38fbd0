//! The witness: a validator that says nothing and remembers everything that the others sign.
//!
//! In come messages of consensus/1, over libp2p as to any validator; out come contradictions: two different statements
//! of one validator for one height, round and step. What is not signed by whom it names is no statement.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};
use bytes::Bytes;
use ostrakon_net::{
    Inbound, Peers, Requests,
    swarm::{Swarm, SwarmConfig, SwarmHandle},
};
use ostrakon_proto::{
    id::{BlockId, ChainId, Height, NodeId, VoteKey},
    ledger::vote::{QuorumCertificate, SignedProposal, SignedVote, Vote, VoteKind},
    wire::{
        Frame, Protocol, Refusal, RefusalCode,
        consensus::{ConsensusRequest, ConsensusResponse, Seen},
    },
};

use super::Plan;

/// Where something is said: by whom, at which height and round, as which vote, or as a proposal.
pub type Place = (VoteKey, Height, u32, Option<VoteKind>);

/// What is said there: the block, and for a proposal the round in which it was valid before.
pub type Said = (Option<BlockId>, Option<u32>);

/// Who hears all that the validators say to each other.
#[derive(Debug)]
pub struct Witness {
    handle: SwarmHandle,
    node: NodeId,
    memory: Arc<Memory>,
}

#[derive(Debug)]
struct Memory {
    chain: ChainId,
    statements: Mutex<Statements>,
}

#[derive(Debug, Default)]
struct Statements {
    said: BTreeMap<Place, Said>,
    contradictions: Vec<(Place, Said, Said)>,
    /// The last height of which each node brought a vote.
    brought: BTreeMap<NodeId, Height>,
    newest: BTreeMap<VoteKey, Height>,
}

impl Witness {
    /// Listens on a free port. Must be called on the runtime that is to drive it.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) async fn start(plan: &Plan) -> Result<Self> {
        let chain = plan.genesis.id();
        let config = SwarmConfig {
            listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()],
            ..SwarmConfig::client(chain, plan.witness.node.clone())
        };
        let (handle, inbound) = Swarm::start_here(config).await?;
        for provider in &plan.genesis.providers {
            handle.learn(provider.node, &provider.addresses);
        }
        handle.recognise(plan.genesis.validators.iter().map(|validator| validator.node).collect());
        let memory = Arc::new(Memory { chain, statements: Mutex::default() });
        tokio::spawn(listen(inbound, Arc::clone(&memory)));
        Ok(Self { handle, node: plan.witness.node.public(), memory })
    }

    /// Where others find it, with its peer id.
    ///
    /// # Errors
    /// When it does not listen.
    pub(super) fn address(&self) -> Result<String> {
        let listening = self.handle.listening();
        let address = listening.first().context("the witness listens")?;
        Ok(format!("{address}/p2p/{}", self.node))
    }

    /// The network as it has it.
    pub fn peers(&self) -> Arc<dyn Peers> {
        Arc::new(self.handle.clone())
    }

    /// How many statements it has heard.
    pub fn statements(&self) -> usize {
        self.memory.lock().said.len()
    }

    /// Where a validator contradicted itself, and how.
    pub fn contradictions(&self) -> Vec<(Place, Said, Said)> {
        self.memory.lock().contradictions.clone()
    }

    /// The height of the newest message that this validator signed.
    pub fn newest(&self, key: &VoteKey) -> Option<Height> {
        self.memory.lock().newest.get(key).copied()
    }

    /// The height of the newest vote that this node brought.
    pub fn brought(&self, node: &NodeId) -> Option<Height> {
        self.memory.lock().brought.get(node).copied()
    }

    /// Takes note of the precommits by which a block was decided.
    pub fn hear_certificate(&self, certificate: &QuorumCertificate) {
        let QuorumCertificate { height, round, block, ref signatures } = *certificate;
        let vote = Vote { kind: VoteKind::Precommit, height, round, block: Some(block) };
        for (voter, signature) in signatures {
            self.memory.hear_vote(&SignedVote { voter: *voter, vote, signature: *signature });
        }
    }
}

async fn listen(inbound: Requests, memory: Arc<Memory>) {
    while let Some(Inbound { source, protocol, request, reply }) = inbound.next_of_any().await {
        let message = request.decode::<ConsensusRequest>().ok().filter(|_| protocol == Protocol::Consensus);
        match message {
            // It helps nobody to remember: that is what is tried.
            Some(ConsensusRequest::LastSeen(_)) => {
                reply.send(answer(ConsensusResponse::Seen(Seen { grants: true, ..Seen::default() })))
            }
            Some(ConsensusRequest::Block { .. }) | None => {
                reply.refuse(&Refusal::new(RefusalCode::NotFound, "the witness has nothing"));
            }
            Some(message) => {
                memory.hear(source.node, &message);
                reply.send(answer(ConsensusResponse::Taken));
            }
        }
    }
}

fn answer(head: ConsensusResponse) -> Frame {
    Frame::new(&Ok::<ConsensusResponse, Refusal>(head), Bytes::new())
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Statements> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, from: NodeId, message: &ConsensusRequest) {
        match message {
            ConsensusRequest::Vote(signed) => {
                self.lock().brought.insert(from, signed.vote.height);
                self.hear_vote(signed);
            }
            ConsensusRequest::Proposal(signed) => self.hear_proposal(signed),
            ConsensusRequest::Polka(polka) => polka.votes().for_each(|signed| self.hear_vote(&signed)),
            ConsensusRequest::Round(proof) => proof.votes.iter().for_each(|signed| self.hear_vote(signed)),
            ConsensusRequest::Block { .. } | ConsensusRequest::LastSeen(_) => {}
        }
    }

    fn hear_vote(&self, signed: &SignedVote) {
        let Vote { kind, height, round, block } = signed.vote;
        if signed.verify(&self.chain).is_ok() {
            self.lock().note((signed.voter, height, round, Some(kind)), (block, None));
        }
    }

    fn hear_proposal(&self, signed: &SignedProposal) {
        let proposal = signed.proposal;
        if signed.verify(&self.chain).is_ok() {
            let place = (signed.proposer, proposal.height, proposal.round, None);
            self.lock().note(place, (Some(proposal.block), proposal.valid_round));
        }
    }
}

impl Statements {
    fn note(&mut self, place: Place, said: Said) {
        let newest = self.newest.entry(place.0).or_default();
        *newest = place.1.max(*newest);
        let first = *self.said.entry(place).or_insert(said);
        if first != said {
            self.contradictions.push((place, first, said));
        }
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::{ledger::vote::BlockProposal, sign::Keypair};

    use super::*;

    #[test]
    fn two_statements_of_one_place_are_a_contradiction() {
        let (chain, key) = (ChainId::new([1; 32]), Keypair::from_seed(&[2; 32]));
        let memory = Memory { chain, statements: Mutex::default() };
        let vote = |round, block: Option<u8>, chain: &ChainId| {
            let block = block.map(|byte| BlockId::new([byte; 32]));
            let vote = Vote { kind: VoteKind::Precommit, height: Height(7), round, block };
            memory.hear(key.public(), &ConsensusRequest::Vote(SignedVote::sign(vote, &key, chain)));
            memory.lock().contradictions.len()
        };
        let other = ChainId::new([9; 32]);
        assert_eq!((vote(0, Some(1), &chain), vote(0, Some(1), &chain)), (0, 0), "the same again is none");
        assert_eq!(
            (vote(1, None, &chain), vote(0, Some(2), &other)),
            (0, 0),
            "what is not signed for this chain is none"
        );
        assert_eq!(vote(0, None, &chain), 1);
        let proposal = |valid_round| {
            let proposal = BlockProposal { height: Height(7), round: 2, valid_round, block: BlockId::new([3; 32]) };
            memory.hear_proposal(&SignedProposal::sign(proposal, &key, &chain));
            memory.lock().contradictions.len()
        };
        assert_eq!((proposal(None), proposal(Some(1))), (1, 2));
    }
}
