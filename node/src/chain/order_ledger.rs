//! The ledger as the order sees it: builds blocks to propose, validates those of others, and commits what is decided.
//!
//! In come blocks as bytes, out go verdicts; the rules run once for each block, and the changes they computed are held
//! here until the block is decided or its height is over. Not here: who proposes and when ([`super::order`]).

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use ostrakon_net::lock;
use ostrakon_proto::{
    codec,
    id::{BlockId, Height, NodeId, TxId},
    ledger::{
        BlockError, Pending, ProposedBlock, Proposer, TxError, judge_knowing, propose, rotation,
        state::{Changes, Records},
        tx::{Block, DecidedBlock, Header},
        vote::{BlockProposal, QuorumCertificate, ValidatorKeys},
    },
    limits,
};

use super::{
    Chain, Shared, WaitingFor,
    clocks::Clocks,
    evidence::EvidenceReporter,
    follow,
    order::{self, Awaited, BlockVerdict, Committee, EncodedBlock, Equivocation, HaltReport},
    outdated,
    store::LedgerError,
};
use crate::node::Clock;

/// Valid blocks of one height that are held: one for each round that a height may reasonably take.
const REMEMBERED: usize = 16;

/// The order's ledger.
pub struct OrderLedger {
    chain: Chain,
    keys: Arc<ValidatorKeys>,
    clocks: Clocks,
    /// Nodes of the genesis, which may have blocks that this one lost.
    known: Vec<NodeId>,
    reporter: EvidenceReporter,
    valid: Mutex<BTreeMap<BlockId, ValidBlock>>,
}

/// A block that may be decided, with its changes.
struct ValidBlock {
    block: Block,
    changes: Changes,
}

impl fmt::Debug for OrderLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrderLedger").field("chain", &self.chain).finish_non_exhaustive()
    }
}

impl OrderLedger {
    /// The ledger of `chain`, for a validator with these keys.
    pub fn new(
        chain: Chain,
        keys: Arc<ValidatorKeys>,
        clock: Clock,
        (known, reporter): (Vec<NodeId>, EvidenceReporter),
    ) -> Self {
        Self { chain, keys, clocks: Clocks::new(clock), known, reporter, valid: Mutex::default() }
    }

    fn shared(&self) -> &Shared {
        &self.chain.shared
    }

    fn remember(&self, block: Block, changes: Changes) {
        let (id, height) = (block.header.id(), block.header.height);
        let mut valid = lock(&self.valid);
        valid.retain(|_, valid| valid.block.header.height >= height);
        if valid.len() >= REMEMBERED {
            valid.clear();
        }
        valid.insert(id, ValidBlock { block, changes });
    }

    /// Whether the block may be decided, if it is proposed like this.
    fn validate(&self, proposal: &BlockProposal, block: Block) -> Result<BlockVerdict, LedgerError> {
        let header = &block.header;
        let (height, proposer) = (header.height, header.proposer);
        if header.id() != proposal.block || header.round > proposal.round {
            tracing::warn!(
                %height, %proposer,
                "a proposed block is rejected: its content does not match the proposal's block id or round"
            );
            return Ok(BlockVerdict::Invalid);
        }
        let records = self.shared().ledger.view();
        let tip = records.tip();
        if tip.height.next() != height {
            return Ok(BlockVerdict::Late);
        }
        if !self.clocks.accept(header.time_ms, tip.running.time_ms, (height, proposer)) {
            return Ok(BlockVerdict::Invalid);
        }
        match self.shared().judge_block(&*records, &block) {
            Ok(changes) => {
                self.remember(block, changes);
                Ok(BlockVerdict::Valid)
            }
            Err(error) => {
                if let Some(outdated) = outdated(&error) {
                    return Err(outdated);
                }
                tracing::warn!(%height, %proposer, %error, "a proposed block is rejected: it is invalid");
                Ok(BlockVerdict::Invalid)
            }
        }
    }
}

impl order::Ledger for OrderLedger {
    fn committee(&self) -> Committee {
        let records = self.shared().ledger.view();
        let voting = records.validators().into_iter().filter(|validator| validator.voting_power() > 0);
        let nodes = voting.map(|validator| (validator.key, validator.node)).collect();
        let interval = Duration::from_millis(records.params().time.block_ms);
        Committee { height: records.tip().height.next(), rotation: rotation(&*records), nodes, interval }
    }

    fn build(&self, height: Height, round: u32) -> Result<Option<EncodedBlock>, LedgerError> {
        let (shared, now_ms) = (self.shared(), self.clocks.now_ms());
        let records = shared.ledger.view();
        if records.tip().height.next() != height {
            return Ok(None);
        }
        let txs = shared.pool().take(limits::BLOCK);
        let proposer = Proposer { key: self.keys.vote.public(), beacon: &self.keys.beacon, round, now_ms };
        let proofs = lock(&shared.proofs).waiting();
        let pending = Pending { txs: &txs, proofs: &proofs };
        let proposal = propose(&shared.rules(), &*records, pending, &proposer);
        let ProposedBlock { block, changes, rejected } = match proposal {
            Ok(proposal) => proposal,
            Err(error) => return Err(outdated(&error).expect("only unknown rules keep a validator from proposing")),
        };
        shared.reject(&rejected);
        let candidate = EncodedBlock { id: block.header.id(), bytes: codec::encode(&block).into() };
        self.remember(block, changes);
        Ok(Some(candidate))
    }

    fn identify(&self, block: &[u8]) -> Option<BlockId> {
        decode(block).map(|block| block.header.id())
    }

    fn judge(&self, proposal: &BlockProposal, block: &Bytes) -> Result<BlockVerdict, LedgerError> {
        if lock(&self.valid).contains_key(&proposal.block) {
            return Ok(BlockVerdict::Valid);
        }
        decode(block).map_or(Ok(BlockVerdict::Invalid), |block| self.validate(proposal, block))
    }

    fn commit(&self, block: &Bytes, certificate: QuorumCertificate) -> Result<(), LedgerError> {
        let shared = self.shared();
        let known = lock(&self.valid).remove(&certificate.block);
        if let Some(ValidBlock { block, changes }) = known {
            let Header { height, proposer, time_ms, .. } = block.header;
            if proposer != self.keys.vote.public() {
                self.clocks.decided(time_ms, (height, proposer));
            }
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
        // A quorum found it valid, so if this node does not, its own state is wrong.
        let changes = changes.map_err(|error| {
            let (height, block) = (block.header.height, block.header.id());
            let cause = outdated(&error).unwrap_or(LedgerError::Damaged { what: "the state before a decided block" });
            tracing::error!(%height, %block, %error, "a decided block is invalid on this node: {cause}");
            cause
        })?;
        shared.commit(&DecidedBlock { block, certificate }, &changes)
    }

    fn note_synced(&self, is_synced: bool) {
        self.chain.set_synced(is_synced);
    }

    fn note_halt(&self, halt: Option<HaltReport>) {
        let before = self.chain.waiting_for();
        match (&before, &halt) {
            (None, Some(report)) => {
                let (height, seconds, why) = (report.height, report.elapsed.as_secs(), why_halted(report));
                let nodes = (!report.missing.is_empty()).then(|| names(&report.missing));
                tracing::warn!(%height, seconds, nodes, "the chain is halted: {why}");
            }
            (Some(WaitingFor { height, since_ms, .. }), None) => {
                let seconds = self.clocks.now_ms().saturating_sub(*since_ms) / 1000;
                tracing::info!(%height, seconds, "the chain continues: the block that it waited for is decided");
            }
            _ => {}
        }
        self.chain.set_waiting_for(halt.map(|HaltReport { height, elapsed, missing: validators, .. }| {
            let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            WaitingFor { height, since_ms: self.clocks.now_ms().saturating_sub(elapsed_ms), validators }
        }));
    }

    fn report(&self, evidence: Vec<Equivocation>) {
        evidence.into_iter().for_each(|found| self.reporter.report(found));
    }

    fn reached(&self, height: Height) -> BoxFuture<'static, ()> {
        let chain = self.chain.clone();
        async move { _ = chain.wait(height).await }.boxed()
    }

    fn work(&self) -> BoxFuture<'static, ()> {
        let chain = self.chain.clone();
        let work = async move {
            // Notified for each that arrives; what the last block left is there already.
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
    /// As [`judge_knowing`], with the signatures that were verified when their transactions were submitted.
    fn judge_block(&self, records: &dyn Records, block: &Block) -> Result<Changes, BlockError> {
        judge_knowing(&self.rules(), records, block, |id| self.verified().contains(id))
    }

    /// Drops from the pool what was valid when it was submitted and is not any more; what failed after costly checks
    /// waits for a block that charges it.
    fn reject(&self, rejected: &[(TxId, TxError)]) {
        let mut pool = self.pool();
        for (id, error) in rejected {
            if matches!(error, TxError::Charged(_)) {
                pool.expect_charge(id);
                continue;
            }
            tracing::debug!(tx = %id, %error, "pooled transaction is no longer valid; dropped");
            pool.drop_tx(id);
        }
    }
}

/// What the next block waits for; the nodes are named beside it.
fn why_halted(HaltReport { awaited, missing, .. }: &HaltReport) -> &'static str {
    match awaited {
        Awaited::Votes if missing.is_empty() => "all validators have voted, and no block has a quorum",
        Awaited::Votes => "its next block waits for the votes of these validators' nodes",
        Awaited::LastSeen if missing.is_empty() => "this validator does not vote before it knows what it has signed",
        Awaited::LastSeen => {
            "this validator does not vote before it knows what it has signed, and the nodes of these did not answer"
        }
    }
}

/// The names of nodes, as one text.
fn names(nodes: &[NodeId]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn decode(block: &[u8]) -> Option<Block> {
    codec::decode(block, limits::CONSENSUS_BODY).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_halt_says_what_is_missing() {
        let check = |awaited, missing: &[NodeId], expect: &str| {
            let report = HaltReport { height: Height(7), elapsed: Duration::ZERO, awaited, missing: missing.to_vec() };
            assert!(why_halted(&report).contains(expect), "{report:?}: {}", why_halted(&report));
        };
        let node = NodeId::new([1; 32]);
        check(Awaited::Votes, &[node], "the votes of these");
        check(Awaited::Votes, &[], "all validators have voted");
        check(Awaited::LastSeen, &[node], "these did not answer");
        check(Awaited::LastSeen, &[], "does not vote before");
    }
}
