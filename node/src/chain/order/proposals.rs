//! The work on one height's proposals: blocks are built, validated and fetched, on the workers and over the network.
//!
//! In come wishes of the session, out come finished jobs, one at a time. Not here: which blocks are known and which are
//! missing ([`super::blocks`]), and what follows from a finished job ([`super::session`]).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use ostrakon_net::{Peers, Workers, ask};
use ostrakon_proto::{
    id::{BlockId, Height, NodeId},
    ledger::vote::{QuorumCertificate, SignedProposal},
    wire::consensus,
};
use tokio::time::Instant;

use super::{BlockVerdict, EncodedBlock, Ledger, OrderError, blocks::Blocks, wal::WalEntry};
use crate::chain::store::LedgerError;

/// How long a validator may take to hand over a block.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);

/// A job that is done.
pub(super) enum Done {
    /// A block was built for this round; `None` when the height is no longer the next.
    Built(u32, Result<Option<EncodedBlock>, LedgerError>),
    /// A proposed block was validated.
    Validated(SignedProposal, Result<BlockVerdict, LedgerError>),
    /// A validator was asked for a block; `None` when it did not send it.
    Fetched(BlockId, NodeId, Option<(SignedProposal, Bytes)>),
}

/// The proposals of one height.
pub(super) struct Proposals {
    height: Height,
    ledger: Arc<dyn Ledger>,
    workers: Workers,
    peers: Arc<dyn Peers>,
    jobs: FuturesUnordered<BoxFuture<'static, Done>>,
    pub(super) blocks: Blocks,
}

impl Proposals {
    /// Those that the log has.
    pub(super) fn restore(
        log: &[WalEntry],
        height: Height,
        (ledger, workers): (Arc<dyn Ledger>, Workers),
        peers: Arc<dyn Peers>,
    ) -> Self {
        Self { height, ledger, workers, peers, jobs: FuturesUnordered::new(), blocks: Blocks::restore(log) }
    }

    /// The next job that is done; `None` when none runs. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Done> {
        self.jobs.next().await
    }

    /// Builds a block for this round.
    pub(super) fn build(&mut self, round: u32) {
        let (ledger, workers, height) = (Arc::clone(&self.ledger), self.workers.clone(), self.height);
        self.jobs
            .push(Box::pin(async move { Done::Built(round, workers.run(move || ledger.build(height, round)).await) }));
    }

    /// Validates the proposed block, if it is here and was not found valid already.
    pub(super) fn validate(&mut self, signed: SignedProposal) {
        let Some(block) = self.blocks.take_unjudged(&signed.proposal.block) else { return };
        let (ledger, workers) = (Arc::clone(&self.ledger), self.workers.clone());
        self.jobs.push(Box::pin(async move {
            Done::Validated(signed, workers.run(move || ledger.judge(&signed.proposal, &block)).await)
        }));
    }

    /// Asks validators for missing blocks that are due by `now`.
    pub(super) fn fetch_missing(&mut self, now: Instant) {
        while let Some((block, node)) = self.blocks.question(now) {
            self.fetch(block, node);
        }
    }

    fn fetch(&mut self, block: BlockId, node: NodeId) {
        let (peers, call) = (Arc::clone(&self.peers), consensus::block(self.height, block).within(FETCH_TIMEOUT));
        self.jobs.push(Box::pin(async move { Done::Fetched(block, node, ask(&*peers, node, call).await.ok()) }));
    }

    /// The id of these bytes, if they are a block in canonical form.
    pub(super) fn identify(&self, block: &[u8]) -> Option<BlockId> {
        self.ledger.identify(block)
    }

    /// Commits the decided block to the ledger.
    pub(super) fn commit(
        &self,
        certificate: QuorumCertificate,
    ) -> impl Future<Output = Result<(), OrderError>> + use<> {
        let block = self.blocks.bytes(&certificate.block).cloned();
        let block = block.expect("invariant: the engine decides no block that was not validated here");
        tracing::debug!(height = %certificate.height, round = certificate.round, block = %certificate.block, "decided");
        let (ledger, workers) = (Arc::clone(&self.ledger), self.workers.clone());
        async move { Ok(workers.run(move || ledger.commit(&block, certificate)).await?) }
    }

    /// Ends when the height is decided.
    pub(super) fn reached(&self) -> BoxFuture<'static, ()> {
        self.ledger.reached(self.height)
    }

    /// The ledger that they extend.
    pub(super) fn ledger(&self) -> &dyn Ledger {
        &*self.ledger
    }
}
