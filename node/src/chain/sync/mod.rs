//! Snapshot sync: how a node that is far behind restores a snapshot instead of replaying all blocks.
//!
//! In come offers and chunks of other nodes, none of them trusted: a header counts when the validators that this node
//! trusts decided it ([`Trust`]), a chunk when the header's state root proves it. Out comes a ledger beside the one
//! that the node runs on ([`Restorer`]); when it is complete the task ends with [`SyncError::Restored`], and the node
//! must be started again. [`plan`] chooses, [`fetch`] asks, [`checkpoint`] is what the operator trusts, and [`past`]
//! fetches the history afterwards.
//!
//! # When
//! Once at the start, as soon as a node answers, if there is a snapshot far enough ahead; and again whenever the blocks
//! that the node needs turn out to be pruned. Otherwise blocks are followed one by one ([`super::follow`]), which
//! pauses while a snapshot is restored.

use std::time::Duration;

use ostrakon_proto::{
    id::{Height, NodeId},
    ledger::{Genesis, snapshot::BadSnapshot},
    light::{CertifiedHeader, Handover, Trust},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    Chain, Shared,
    follow::BlockSources,
    rocks::restore::{LedgerDirs, RestoreError, Restorer},
    store::{LedgerError, OpenLedgerError},
};

pub mod checkpoint;
mod fetch;
pub mod past;
mod plan;
#[cfg(test)]
mod tests;

use checkpoint::Checkpoint;
use fetch::Fetch;
use plan::SnapshotChoice;

/// The most nodes that are asked.
const ASKED: usize = 64;
/// Pause before nodes are asked again.
const PAUSE: Duration = Duration::from_secs(5);
/// Pause when only the operator or a new block can help.
const LONG_PAUSE: Duration = Duration::from_secs(60);

/// Settings of snapshot sync.
#[derive(Clone, Debug)]
pub struct SyncSettings {
    /// The directories of the ledger, and of the one being restored.
    pub dirs: LedgerDirs,
    /// A snapshot is restored only if it is more than this many blocks ahead.
    pub lead_blocks: u64,
}

/// Why the task ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// A restored ledger is ready: start the node again.
    #[error("a snapshot of the ledger is restored; the node starts again with it")]
    Restored,
    /// The restored ledger cannot be stored.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger being restored cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenLedgerError),
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error("no node that may have a snapshot responds")]
    NoAnswer,
    #[error(
        "no node has the block of the trusted checkpoint {0}: it is not decided yet, or pruned; if so, set \
         `checkpoint` in node.toml to a newer block, from `ostrakon-node status` of a node that you trust"
    )]
    Checkpoint(Checkpoint),
    #[error("no node that had the snapshot responds any more")]
    Gone,
    #[error(transparent)]
    Bad(BadSnapshot),
    #[error(transparent)]
    Failed(#[from] SyncError),
}

/// The task of snapshot sync.
#[derive(Debug)]
pub struct SnapshotSync {
    chain: Chain,
    genesis: Genesis,
    /// Nodes of the genesis.
    known: Vec<NodeId>,
    settings: SyncSettings,
}

impl SnapshotSync {
    /// Syncs `chain`, whose validators, providers and `known` may have snapshots.
    pub fn new(chain: Chain, genesis: Genesis, known: Vec<NodeId>, settings: SyncSettings) -> Self {
        Self { chain, genesis, known, settings }
    }

    /// Restores a snapshot when one is needed, until `stop`.
    ///
    /// # Errors
    /// [`SyncError::Restored`] when one is restored, else why none can be stored.
    pub async fn run(self, stop: CancellationToken) -> Result<(), SyncError> {
        let mut lead = self.settings.lead_blocks;
        loop {
            let Some(tried) = stop.run_until_cancelled(Box::pin(self.attempt(lead))).await else { return Ok(()) };
            let rested = match tried {
                Ok(()) => {
                    // From here on only a block that no node has any more asks for a snapshot, however near.
                    lead = 0;
                    stop.run_until_cancelled(self.chain.shared.sync.pruned.notified()).await
                }
                Err(AttemptError::Failed(error)) => return Err(error),
                Err(error @ (AttemptError::NoAnswer | AttemptError::Gone)) => {
                    tracing::debug!(%error, "no snapshot yet; asking again soon");
                    stop.run_until_cancelled(sleep(PAUSE)).await
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot restore a snapshot; trying again in a minute");
                    stop.run_until_cancelled(sleep(LONG_PAUSE)).await
                }
            };
            if rested.is_none() {
                return Ok(());
            }
        }
    }

    /// Asks for snapshots, and restores the best if it is far enough ahead.
    async fn attempt(&self, lead: u64) -> Result<(), AttemptError> {
        let fetch = self.fetch().await;
        let offers = fetch.offers().await;
        if offers.is_empty() {
            return Err(AttemptError::NoAnswer);
        }
        let (tip, workers) = (self.chain.head().height, self.chain.workers());
        let all = offers.into_iter().flat_map(|(node, offers)| offers.into_iter().map(move |offer| (node, offer)));
        let offers: Vec<_> = all.filter(|(_, offer)| offer.header.height > tip).collect();
        let trusts = self.trusts(&fetch).await?;
        let handovers = match offers.iter().all(|(_, offer)| plan::verify(&trusts, &[], offer).is_ok()) {
            true => Vec::new(),
            false => fetch.handovers(tip.next()).await,
        };
        let is_trusted = |(node, offer): &(NodeId, CertifiedHeader)| match plan::verify(&trusts, &handovers, offer) {
            Ok(_) => true,
            Err(error) => {
                let height = offer.header.height;
                tracing::warn!(
                    %node,
                    %height,
                    %error,
                    "node offers a snapshot that trusted validators did not certify"
                );
                false
            }
        };
        let trusted: Vec<_> = offers.into_iter().filter(is_trusted).collect();
        let (dirs, genesis) = (self.settings.dirs.clone(), self.genesis.clone());
        let begun = workers.run(move || dirs.unfinished(&genesis)).await;
        match plan::choose(trusted, begun.as_ref(), tip, lead) {
            Some(candidate) => {
                let led = plan::verify(&trusts, &handovers, &candidate.offer).unwrap_or_default();
                Box::pin(self.restore(&fetch, candidate, led)).await
            }
            None if begun.is_some() => {
                let dirs = self.settings.dirs.clone();
                Ok(workers.run(move || dirs.give_up()).await.map_err(SyncError::Ledger)?)
            }
            None => Ok(()),
        }
    }

    async fn fetch(&self) -> Fetch {
        Fetch::new(self.chain.peers(), sources(&self.chain, &self.known).await)
    }

    /// What a snapshot's header is verified against: the checkpoint if it is newer, else this node's own ledger, which
    /// starts with the genesis.
    async fn trusts(&self, fetch: &Fetch) -> Result<Vec<Trust>, AttemptError> {
        let own = self.own_trust().await?;
        let Some(checkpoint) = self.chain.checkpoint().filter(|known| known.height > own.height()) else {
            return Ok(vec![own]);
        };
        let header = fetch.header(checkpoint).await.map_err(|others| elsewhere(checkpoint, &own, &others))?;
        let sets = [self.genesis.validator_set(), self.chain.read(|records| records.validator_set()).await];
        let chain = self.genesis.id();
        let known = sets.into_iter().find_map(|set| Trust::checkpoint(chain, checkpoint.block, &header, set).ok());
        Ok(vec![known.ok_or(AttemptError::Checkpoint(checkpoint))?, own])
    }

    async fn own_trust(&self) -> Result<Trust, AttemptError> {
        let genesis = self.genesis.clone();
        let trust = move |shared: &Shared| {
            let records = shared.ledger.view();
            let (tip, set) = (records.tip(), records.validator_set());
            let newest = shared.ledger.block(tip.height)?.map(|decided| decided.block.header);
            let known = newest.and_then(|header| Trust::checkpoint(genesis.id(), tip.block, &header, set).ok());
            Ok(known.unwrap_or_else(|| Trust::genesis(&genesis)))
        };
        let trust: Result<Trust, LedgerError> = self.chain.work(trust).await;
        Ok(trust.map_err(SyncError::Ledger)?)
    }

    /// Restores the snapshot from the nodes that have it. Blocks are not followed while it runs.
    async fn restore(&self, fetch: &Fetch, candidate: SnapshotChoice, led: Vec<Handover>) -> Result<(), AttemptError> {
        let _alone = self.chain.shared.sync.pulling.lock().await;
        let SnapshotChoice { offer, sources } = candidate;
        let height = offer.header.height;
        tracing::info!(%height, sources = sources.len(), "far behind; restoring a snapshot of the ledger");
        let (dirs, genesis, begun) = (self.settings.dirs.clone(), self.genesis.clone(), offer.clone());
        let workers = self.chain.workers();
        let opened = workers.run(move || Restorer::open(&dirs, &genesis, &begun)).await;
        let mut restorer = opened.map_err(SyncError::Open)?;
        let mut chunks = fetch.chunks(height, &sources);
        let mut chunk = None;
        while !restorer.restoring().is_complete() {
            let (node, part) = match chunk.take() {
                Some((node, Ok(part))) => (node, part),
                none => {
                    if let Some((node, Err(error))) = none {
                        chunks.failed(node, &error);
                    }
                    chunks.next(restorer.restoring().after()).await.ok_or(AttemptError::Gone)?
                }
            };
            let last = part.last();
            let take = workers.run(move || {
                let taken = restorer.take(&part);
                (restorer, taken)
            });
            // The next is requested before this one is verified: most nodes are honest.
            let ((taking, taken), following) = tokio::join!(take, chunks.try_next(last));
            restorer = taking;
            match taken {
                Ok(()) => {
                    self.chain.shared.sync.metrics.chunks.inc();
                    chunk = following;
                }
                Err(RestoreError::Bad(BadSnapshot::Chunk(error))) => {
                    tracing::warn!(%node, %error, "node sent an invalid snapshot chunk");
                    chunks.sent_invalid(node);
                }
                Err(error) => return Err(refused(error)),
            }
        }
        let decided = fetch.block(&offer, &sources).await.ok_or(AttemptError::Gone)?;
        let own = self.chain.handovers(Height(1), |_| true).await.map_err(SyncError::Ledger)?;
        let handovers = [own, led].concat();
        workers.run(move || restorer.finish(&decided, &handovers)).await.map_err(refused)?;
        tracing::info!(%height, "snapshot restored and proven by its block");
        Err(SyncError::Restored.into())
    }
}

/// Nodes that may have what this node lacks: validators, providers and `known`, at most [`ASKED`].
async fn sources(chain: &Chain, known: &[NodeId]) -> Vec<NodeId> {
    let registered = chain.read(|records| records.providers()).await;
    let others = known.iter().copied().chain(registered.into_iter().map(|provider| provider.node));
    let mut all = BlockSources::new(&chain.peers().local(), &chain.validators(), others).all();
    all.truncate(ASKED);
    all
}

/// No node has the checkpoint's block. If trusted validators decided another one, the node is on a different chain.
fn elsewhere(checkpoint: Checkpoint, own: &Trust, others: &[CertifiedHeader]) -> AttemptError {
    let is_decided = |other: &&CertifiedHeader| own.check(&other.header, &other.certificate).is_ok();
    let decided = others.iter().filter(is_decided).find(|other| other.header.height == checkpoint.height);
    let refused = decided.and_then(|other| checkpoint::check(checkpoint, checkpoint.height, other.header.id()).err());
    refused.map_or(AttemptError::Checkpoint(checkpoint), |error| SyncError::Ledger(error).into())
}

fn refused(error: RestoreError) -> AttemptError {
    match error {
        RestoreError::Bad(bad) => AttemptError::Bad(bad),
        RestoreError::Ledger(error) => SyncError::Ledger(error).into(),
    }
}
