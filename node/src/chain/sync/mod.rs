//! How a node that is far behind takes a snapshot instead of all blocks.
//!
//! In come offers and chunks of other nodes, none of them believed: a header counts when the validators that this node
//! trusts decided it ([`Trust`]), a chunk when the header's state root proves it. Out comes a ledger beside the one
//! that the node runs on ([`Restorer`]); when it is whole the task ends with [`SyncError::Restored`], and the node is
//! to be started again. [`plan`] chooses, [`fetch`] asks, [`checkpoint`] is what an operator believes in,
//! and [`past`] comes after.
//!
//! # When
//! Once at the start, as soon as anybody answers, if there is a snapshot far enough ahead; and again whenever the
//! blocks that the node wants turn out to be pruned. Otherwise blocks are followed one by one ([`super::follow`]),
//! which rests while a snapshot is fetched.

use std::{sync::Arc, time::Duration};

use ostrakon_net::peer_id_text;
use ostrakon_proto::{
    id::{Height, NodeId},
    ledger::{Genesis, snapshot::BadSnapshot},
    light::{CertifiedHeader, Handover, Trust},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    Chain,
    follow::Sources,
    rocks::restore::{Place, RestoreError, Restorer},
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
use plan::Candidate;

/// Nodes asked at most.
const ASKED: usize = 64;
/// Pause before others are asked again.
const PAUSE: Duration = Duration::from_secs(5);
/// Pause when it takes a person, or a new block, to go on.
const LONG_PAUSE: Duration = Duration::from_secs(60);

/// What an operator chose of it.
#[derive(Clone, Debug)]
pub struct SyncSettings {
    /// Where the next ledger grows.
    pub place: Place,
    /// A snapshot that is less blocks ahead is not worth it.
    pub lead: u64,
}

/// Why the task ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// A newer ledger lies ready: start the node again.
    #[error("a newer state of the ledger is ready: the node starts again with it")]
    Restored,
    /// The next ledger cannot be kept.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The next ledger cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenLedgerError),
}

/// Why one attempt brought nothing.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error("nobody who may have a snapshot answers")]
    Nobody,
    #[error("the block of the checkpoint {0} is not to be had: it is pruned, or not decided yet")]
    Checkpoint(Checkpoint),
    #[error("all who had the snapshot are gone")]
    Gone,
    #[error(transparent)]
    Bad(BadSnapshot),
    #[error(transparent)]
    Failed(#[from] SyncError),
}

/// The task.
#[derive(Debug)]
pub struct SnapshotSync {
    chain: Chain,
    genesis: Genesis,
    /// Nodes of the genesis.
    known: Vec<NodeId>,
    settings: SyncSettings,
}

impl SnapshotSync {
    /// Watches over `chain`, whose validators, providers and `known` may have snapshots.
    pub fn new(chain: Chain, genesis: Genesis, known: Vec<NodeId>, settings: SyncSettings) -> Self {
        Self { chain, genesis, known, settings }
    }

    /// Takes a snapshot when one is needed, until `stop`.
    ///
    /// # Errors
    /// [`SyncError::Restored`] when one was taken, or why none can be kept.
    pub async fn run(self, stop: CancellationToken) -> Result<(), SyncError> {
        let mut lead = self.settings.lead;
        loop {
            let Some(tried) = stop.run_until_cancelled(Box::pin(self.attempt(lead))).await else { return Ok(()) };
            let rested = match tried {
                Ok(()) => {
                    // From here on only a block that nobody has any more asks for a snapshot, be it ever so near.
                    lead = 0;
                    stop.run_until_cancelled(self.chain.shared.lag.pruned.notified()).await
                }
                Err(AttemptError::Failed(error)) => return Err(error),
                Err(error @ (AttemptError::Nobody | AttemptError::Gone)) => {
                    tracing::debug!(%error, "no snapshot yet");
                    stop.run_until_cancelled(sleep(PAUSE)).await
                }
                Err(error) => {
                    tracing::warn!(%error, "no snapshot is taken");
                    stop.run_until_cancelled(sleep(LONG_PAUSE)).await
                }
            };
            if rested.is_none() {
                return Ok(());
            }
        }
    }

    /// Asks for snapshots, and takes the best if it is worth it.
    async fn attempt(&self, lead: u64) -> Result<(), AttemptError> {
        let fetch = self.fetch().await;
        let offers = fetch.offers().await;
        if offers.is_empty() {
            return Err(AttemptError::Nobody);
        }
        let (tip, workers) = (self.chain.head().height, self.chain.workers());
        let all = offers.into_iter().flat_map(|(node, offers)| offers.into_iter().map(move |offer| (node, offer)));
        let offers: Vec<_> = all.filter(|(_, offer)| offer.header.height > tip).collect();
        let trusts = self.trusts(&fetch).await?;
        let handovers = match offers.iter().all(|(_, offer)| plan::believe(&trusts, &[], offer).is_ok()) {
            true => Vec::new(),
            false => fetch.handovers(tip.next()).await,
        };
        let believes = |(node, offer): &(NodeId, CertifiedHeader)| match plan::believe(&trusts, &handovers, offer) {
            Ok(_) => true,
            Err(error) => {
                let height = offer.header.height;
                tracing::warn!(peer = peer_id_text(node), %height, %error, "a snapshot is not believed");
                false
            }
        };
        let believed: Vec<_> = offers.into_iter().filter(believes).collect();
        let (place, genesis) = (self.settings.place.clone(), self.genesis.clone());
        let begun = workers.run(move || place.unfinished(&genesis)).await;
        match plan::choose(believed, begun.as_ref(), tip, lead) {
            Some(candidate) => {
                let led = plan::believe(&trusts, &handovers, &candidate.offer).unwrap_or_default();
                Box::pin(self.restore(&fetch, candidate, led)).await
            }
            None if begun.is_some() => {
                let place = self.settings.place.clone();
                Ok(workers.run(move || place.give_up()).await.map_err(SyncError::Ledger)?)
            }
            None => Ok(()),
        }
    }

    async fn fetch(&self) -> Fetch {
        Fetch::new(self.chain.peers(), sources(&self.chain, &self.known).await)
    }

    /// What a snapshot's header is checked against: the checkpoint where it is newer, else what this node has itself,
    /// which begins with the genesis.
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
        let (shared, genesis) = (Arc::clone(&self.chain.shared), self.genesis.clone());
        let trust = move || {
            let records = shared.ledger.view();
            let (tip, set) = (records.tip(), records.validator_set());
            let newest = shared.ledger.block(tip.height)?.map(|decided| decided.block.header);
            let known = newest.and_then(|header| Trust::checkpoint(genesis.id(), tip.block, &header, set).ok());
            Ok(known.unwrap_or_else(|| Trust::genesis(&genesis)))
        };
        let trust: Result<Trust, LedgerError> = self.chain.workers().run(trust).await;
        Ok(trust.map_err(SyncError::Ledger)?)
    }

    /// Takes the snapshot from those who have it. Blocks are not followed meanwhile.
    async fn restore(&self, fetch: &Fetch, candidate: Candidate, led: Vec<Handover>) -> Result<(), AttemptError> {
        let _alone = self.chain.shared.lag.pulling.lock().await;
        let Candidate { offer, sources } = candidate;
        let height = offer.header.height;
        tracing::info!(%height, sources = sources.len(), "far behind: taking a snapshot of the ledger");
        let (place, genesis, begun) = (self.settings.place.clone(), self.genesis.clone(), offer.clone());
        let workers = self.chain.workers();
        let opened = workers.run(move || Restorer::open(&place, &genesis, &begun)).await;
        let mut restorer = opened.map_err(SyncError::Open)?;
        let mut parts = fetch.parts(height, &sources);
        let mut chunk = None;
        while !restorer.restoring().is_complete() {
            let (node, part) = match chunk.take() {
                Some((node, Ok(part))) => (node, part),
                none => {
                    if let Some((node, Err(error))) = none {
                        parts.failed(node, &error);
                    }
                    parts.next(restorer.restoring().after()).await.ok_or(AttemptError::Gone)?
                }
            };
            let last = part.last();
            let take = workers.run(move || {
                let taken = restorer.take(&part);
                (restorer, taken)
            });
            // The next is asked for before this one is proven: most are honest.
            let ((taking, taken), following) = tokio::join!(take, parts.next_at_once(last));
            restorer = taking;
            match taken {
                Ok(()) => chunk = following,
                Err(RestoreError::Bad(BadSnapshot::Chunk(error))) => {
                    tracing::warn!(peer = peer_id_text(&node), %error, "a peer sent a wrong part of a snapshot");
                    parts.lied(node);
                }
                Err(error) => return Err(refused(error)),
            }
        }
        let decided = fetch.block(&offer, &sources).await.ok_or(AttemptError::Gone)?;
        let own = self.chain.handovers(Height(1), |_| true).await.map_err(SyncError::Ledger)?;
        let handovers = [own, led].concat();
        workers.run(move || restorer.finish(&decided, &handovers)).await.map_err(refused)?;
        tracing::info!(%height, "the snapshot is whole, and proven by its block");
        Err(SyncError::Restored.into())
    }
}

/// Who may have what this node lacks: validators, providers and `known`, some of them.
async fn sources(chain: &Chain, known: &[NodeId]) -> Vec<NodeId> {
    let registered = chain.read(|records| records.providers()).await;
    let others = known.iter().copied().chain(registered.into_iter().map(|provider| provider.node));
    let mut all = Sources::new(&chain.peers().local(), &chain.validators(), others).all();
    all.truncate(ASKED);
    all
}

/// Nobody has the checkpoint's block. If those whom this node trusts decided another, it is on another chain.
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
