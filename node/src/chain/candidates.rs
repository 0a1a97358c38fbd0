//! What the order asks of this ledger: blocks to propose, a verdict on those of others, and to keep what is decided.
//!
//! In come named bytes, out go verdicts; between them the rules run once for each block, and what they computed waits
//! here until the block is decided or its height is over. Not here: who proposes and when ([`super::order`]).

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use ostrakon_proto::{
    codec,
    id::{BlockId, Height, NodeId, TxId},
    ledger::{
        BlockError, ProposedBlock, Proposer, TxError, judge_knowing, propose, rotation,
        state::{Changes, Records},
        tx::{Block, DecidedBlock},
        vote::{BlockProposal, QuorumCertificate, ValidatorKeys},
    },
    limits,
};

use super::{
    Chain, Shared,
    accuse::Accuser,
    follow,
    order::{self, Candidate, Committee, Evidence, Verdict},
    outdated,
    store::LedgerError,
};
use crate::node::Clock;

/// How far a proposer's clock may be ahead of this node's, in milliseconds.
const AHEAD_MS: u64 = 10_000;
/// Candidates of one height that are remembered: one a round, of the rounds that a height may reasonably take.
const REMEMBERED: usize = 16;

/// The ledger as the order extends it.
pub struct Candidates {
    chain: Chain,
    keys: Arc<ValidatorKeys>,
    clock: Clock,
    /// Nodes of the genesis, who may know blocks that this one lost.
    known: Vec<NodeId>,
    accuser: Accuser,
    judged: Mutex<BTreeMap<BlockId, Judged>>,
}

/// A block that may be decided, with what it changes.
struct Judged {
    block: Block,
    changes: Changes,
}

impl fmt::Debug for Candidates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidates").field("chain", &self.chain).finish_non_exhaustive()
    }
}

impl Candidates {
    /// The ledger of `chain`, for a validator with these keys.
    pub fn new(chain: Chain, keys: Arc<ValidatorKeys>, clock: Clock, (known, accuser): (Vec<NodeId>, Accuser)) -> Self {
        Self { chain, keys, clock, known, accuser, judged: Mutex::default() }
    }

    fn shared(&self) -> &Shared {
        &self.chain.shared
    }

    fn judged(&self) -> MutexGuard<'_, BTreeMap<BlockId, Judged>> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, block: Block, changes: Changes) {
        let (id, height) = (block.header.id(), block.header.height);
        let mut judged = self.judged();
        judged.retain(|_, judged| judged.block.header.height >= height);
        if judged.len() >= REMEMBERED {
            judged.clear();
        }
        judged.insert(id, Judged { block, changes });
    }

    /// Whether the block may be decided, were it proposed like this.
    fn weigh(&self, proposal: &BlockProposal, block: Block) -> Result<Verdict, LedgerError> {
        let header = &block.header;
        let in_time = header.time_ms <= self.clock.now_ms().saturating_add(AHEAD_MS);
        if header.id() != proposal.block || header.round > proposal.round || !in_time {
            return Ok(Verdict::Invalid);
        }
        let records = self.shared().ledger.view();
        if records.tip().height.next() != header.height {
            return Ok(Verdict::Late);
        }
        match self.shared().judge_block(&*records, &block) {
            Ok(changes) => {
                self.remember(block, changes);
                Ok(Verdict::Valid)
            }
            Err(error) => {
                if let Some(outdated) = outdated(&error) {
                    return Err(outdated);
                }
                tracing::warn!(height = %header.height, proposer = %header.proposer, %error, "a proposal is refused");
                Ok(Verdict::Invalid)
            }
        }
    }
}

impl order::Ledger for Candidates {
    fn committee(&self) -> Committee {
        let records = self.shared().ledger.view();
        let voting = records.validators().into_iter().filter(|validator| validator.voting_power() > 0);
        let nodes = voting.map(|validator| (validator.key, validator.node)).collect();
        Committee { height: records.tip().height.next(), rotation: rotation(&*records), nodes }
    }

    fn build(&self, height: Height, round: u32) -> Result<Option<Candidate>, LedgerError> {
        let (shared, now_ms) = (self.shared(), self.clock.now_ms());
        let records = shared.ledger.view();
        if records.tip().height.next() != height {
            return Ok(None);
        }
        let txs = shared.pool().take(limits::BLOCK);
        let proposer = Proposer { key: self.keys.vote.public(), beacon: &self.keys.beacon, round, now_ms };
        let proposal = propose(&shared.rules(), &*records, &txs, &proposer);
        let ProposedBlock { block, changes, rejected } = match proposal {
            Ok(proposal) => proposal,
            Err(error) => return Err(outdated(&error).expect("only rules that are not known keep one from proposing")),
        };
        shared.reject(&rejected);
        let candidate = Candidate { id: block.header.id(), bytes: codec::encode(&block).into() };
        self.remember(block, changes);
        Ok(Some(candidate))
    }

    fn identify(&self, block: &[u8]) -> Option<BlockId> {
        decode(block).map(|block| block.header.id())
    }

    fn judge(&self, proposal: &BlockProposal, block: &Bytes) -> Result<Verdict, LedgerError> {
        if self.judged().contains_key(&proposal.block) {
            return Ok(Verdict::Valid);
        }
        decode(block).map_or(Ok(Verdict::Invalid), |block| self.weigh(proposal, block))
    }

    fn commit(&self, block: &Bytes, certificate: QuorumCertificate) -> Result<(), LedgerError> {
        let shared = self.shared();
        let known = self.judged().remove(&certificate.block);
        if let Some(Judged { block, changes }) = known {
            return shared.commit(&DecidedBlock { block, certificate }, &changes);
        }
        let Some(block) = decode(block) else {
            return Err(LedgerError::Damaged { what: "the decided block" });
        };
        let records = shared.ledger.view();
        if records.tip().height >= block.header.height {
            return Ok(());
        }
        let changes = shared.judge_block(&*records, &block);
        drop(records);
        // A quorum has judged it valid, so if this node cannot, its own state is not what it should be.
        let changes = changes.map_err(|error| {
            tracing::error!(height = %block.header.height, %error, "the others decided a block that is none here");
            outdated(&error).unwrap_or(LedgerError::Damaged { what: "the state under a decided block" })
        })?;
        shared.commit(&DecidedBlock { block, certificate }, &changes)
    }

    fn report(&self, evidence: Vec<Evidence>) {
        evidence.into_iter().for_each(|found| self.accuser.report(found));
    }

    fn reached(&self, height: Height) -> BoxFuture<'static, ()> {
        let chain = self.chain.clone();
        async move { _ = chain.wait(height).await }.boxed()
    }

    fn work(&self) -> BoxFuture<'static, ()> {
        let chain = self.chain.clone();
        let work = async move {
            // Rung for each that comes; what the last block left is there already.
            while !chain.shared.pool().is_ready() {
                chain.shared.work.notified().await;
            }
        };
        work.boxed()
    }

    fn catch_up(&self, node: NodeId) -> BoxFuture<'static, Result<(), LedgerError>> {
        let chain = self.chain.clone();
        async move { follow::pull(&chain, node).await }.boxed()
    }

    fn recover(&self) -> BoxFuture<'static, Result<(), LedgerError>> {
        let (chain, known) = (self.chain.clone(), self.known.clone());
        async move { follow::catch_up(&chain, &known).await }.boxed()
    }
}

impl Shared {
    /// As [`judge_knowing`], which knows what was verified when it was submitted.
    fn judge_block(&self, records: &dyn Records, block: &Block) -> Result<Changes, BlockError> {
        judge_knowing(&self.rules(), records, block, |id| self.verified().contains(id))
    }

    /// What the rules refuse now was valid when it came; it does not wait for better times.
    fn reject(&self, rejected: &[(TxId, TxError)]) {
        let mut pool = self.pool();
        for (id, error) in rejected {
            tracing::debug!(tx = %id, %error, "a waiting transaction is dropped");
            pool.drop_tx(id);
        }
    }
}

fn decode(block: &[u8]) -> Option<Block> {
    codec::decode(block, limits::CONSENSUS_BODY).ok()
}
