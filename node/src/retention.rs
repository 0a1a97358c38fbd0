//! Retention: which stored places stay, by the ledger alone (ARCHITECTURE 5.5, "Deletion").
//!
//! In come new blocks and the store's places, out go changes of their state. [`plan`] is the rule, pure; [`Retention`]
//! applies it: at the start and at each new epoch to every place, at each block to those that it commits.
//!
//! # Never by a stale ledger
//! A node that has lost blocks, or is still fetching them, does not know all commitments. So nothing is deleted unless
//! the node had every block when it last asked, and its newest block is recent by its own clock.

use std::{sync::Arc, time::Duration};

use ostrakon_net::Workers;
use ostrakon_proto::{
    id::{Epoch, Height, NodeId},
    ledger::{
        state::{CommitmentId, Records},
        tx::{Action, Commit, Repaired},
    },
    wire::chain::Head,
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{
    chain::{Chain, store::LedgerError},
    metrics::RetentionMetrics,
    node::Clock,
    serve::credit::Credit,
    store::{Columns, Place, PlaceKey, PlaceState, StoreError, StoredPlace},
};

/// Places checked at a time.
const PAGE: usize = 64;
/// Between two steps of the work that gives back disk space: most of the disk's time is for requests.
const REST: Duration = Duration::from_millis(50);
/// The greatest age of the newest block at which anything is deleted, in milliseconds.
const RECENT_MS: u64 = 30_000;

/// What the ledger has of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The current epoch.
    pub now: Epoch,
    /// Whether a commitment names this column, in this place, on this node.
    pub committed: bool,
    /// Epochs that a place stays in the trash.
    pub trash_epochs: u64,
}

/// A change to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceChange {
    /// A commitment pays for it.
    Commit,
    /// No commitment pays for it since this epoch: it moves to the trash.
    Trash(Epoch),
    /// It is deleted, if it still is in this state: one that was stored again meanwhile has a new receipt.
    Delete(PlaceState),
}

/// The change that a place needs, if any.
pub fn plan(state: PlaceState, facts: Facts) -> Option<PlaceChange> {
    match state {
        PlaceState::Committed if facts.committed => None,
        PlaceState::Committed => Some(PlaceChange::Trash(facts.now)),
        PlaceState::Temporary { .. } | PlaceState::Trash { .. } if facts.committed => Some(PlaceChange::Commit),
        PlaceState::Temporary { expires } => (facts.now > expires).then_some(PlaceChange::Delete(state)),
        PlaceState::Trash { since } => {
            (facts.now > since.after(facts.trash_epochs)).then_some(PlaceChange::Delete(state))
        }
    }
}

/// The task of retention.
#[derive(Clone, Debug)]
pub struct Retention {
    /// The ledger.
    pub chain: Chain,
    /// This node, as commitments name it.
    pub node: NodeId,
    /// The stored columns.
    pub columns: Arc<dyn Columns>,
    /// Threads for the disk.
    pub workers: Workers,
    /// Released for what is no longer temporary.
    pub credit: Arc<Credit>,
    /// The clock for the age of the newest block.
    pub clock: Clock,
    /// What is counted of its changes.
    pub metrics: RetentionMetrics,
}

/// How far retention has followed the chain.
#[derive(Clone, Copy, Debug)]
struct Followed {
    height: Height,
    epoch: Epoch,
}

/// Some places, checked.
#[derive(Debug)]
struct Page {
    last: PlaceKey,
    changes: Vec<(PlaceKey, PlaceChange)>,
}

impl Retention {
    /// Follows the ledger until `stop`.
    ///
    /// # Errors
    /// [`LedgerError`] when blocks cannot be read. Errors of the store are logged, and retried in the next epoch.
    pub async fn run(self, stop: CancellationToken) -> Result<(), LedgerError> {
        let (mut heads, mut done, mut has_more) = (self.chain.subscribe(), None, false);
        loop {
            let head = heads.see();
            if self.is_current(&head) {
                has_more |= done.is_none_or(|done: Followed| done.epoch != head.epoch);
                done = Some(self.follow(&head, done).await?);
            }
            let next = async {
                // A volume may take days to drain: blocks come first.
                while has_more {
                    has_more = self.on_store(|on| on.columns.compact()).await;
                    if timeout(REST, heads.next()).await.is_ok() {
                        return;
                    }
                }
                heads.next().await;
            };
            if stop.run_until_cancelled(next).await.is_none() {
                return Ok(());
            }
        }
    }

    fn is_current(&self, head: &Head) -> bool {
        // Until the store is open nothing is missed: whatever is then followed first is everything.
        !self.columns.is_opening()
            && self.chain.is_synced()
            && self.clock.now_ms() < head.time_ms.saturating_add(RECENT_MS)
    }

    async fn follow(&self, head: &Head, done: Option<Followed>) -> Result<Followed, LedgerError> {
        match done {
            Some(done) if done.epoch == head.epoch => self.commit_blocks(done.height, head.height).await?,
            _ => {
                self.credit.forget(head.epoch);
                self.check_all().await;
            }
        }
        Ok(Followed { height: head.height, epoch: head.epoch })
    }

    /// Marks places of this node that blocks after `from` up to `to` commit.
    async fn commit_blocks(&self, from: Height, to: Height) -> Result<(), LedgerError> {
        let mut height = from;
        while height < to {
            height = height.next();
            let Some(decided) = self.chain.block(height).await? else { continue };
            for action in decided.block.txs.iter().flat_map(|tx| tx.body.action.parts()) {
                match action {
                    Action::Commit(commit) => self.commit(places_of(&self.node, commit)).await,
                    Action::Repaired(repaired) => self.commit(self.repaired_places(repaired).await).await,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    async fn commit(&self, places: Vec<PlaceKey>) {
        for key in places {
            self.on_store(move |on| on.apply(&key, PlaceChange::Commit)).await;
        }
    }

    /// The places on this node that a repair names.
    async fn repaired_places(&self, repaired: &Repaired) -> Vec<PlaceKey> {
        let CommitmentId { object, extent, .. } = repaired.commitment;
        let mine = repaired.slots.iter().filter(|slot| slot.provider == self.node).map(|slot| slot.index);
        let (indexes, id): (Vec<u8>, _) = (mine.collect(), repaired.commitment);
        if indexes.is_empty() {
            return Vec::new();
        }
        // It may have ended since.
        let Some(commitment) = self.chain.read(move |records| records.commitment(&id)).await else { return Vec::new() };
        let slot = |index: u8| Some((index, commitment.slots.get(usize::from(index))?.column));
        let slots = indexes.into_iter().filter_map(slot);
        slots.map(|(index, column)| PlaceKey { column, object, extent, index }).collect()
    }

    /// Checks every place.
    async fn check_all(&self) {
        let mut after = None;
        loop {
            let Some(page) = self.on_store(move |on| on.check_page(after)).await else { break };
            after = Some(page.last);
            // One by one: each may wait for the disk, and others need the workers, too.
            for (key, change) in page.changes {
                self.on_store(move |on| on.apply(&key, change)).await;
            }
        }
    }

    async fn on_store<T: Send + 'static>(&self, work: impl FnOnce(&Self) -> T + Send + 'static) -> T {
        let on = self.clone();
        self.workers.run(move || work(&on)).await
    }

    /// Checks one page of places; `None` at the end.
    fn check_page(&self, after: Option<PlaceKey>) -> Option<Page> {
        let page = self.columns.places(after, PAGE);
        let page = page
            .inspect_err(|error| tracing::error!(%error, "cannot read the list of stored columns; retrying next epoch"))
            .ok()?;
        let trash_epochs = self.chain.rules().params.time.trash_epochs;
        let changes = self.chain.look(|records| {
            let change = |StoredPlace { place, state }: &StoredPlace| {
                let (now, committed) = (records.tip().running.clock.epoch, is_committed(records, &self.node, place));
                let change = plan(*state, Facts { now, committed, trash_epochs });
                if committed && change.is_none() {
                    // It may have been stored again since.
                    self.credit.settle(&place.key());
                }
                Some((place.key(), change?))
            };
            page.iter().filter_map(change).collect()
        });
        Some(Page { last: page.last()?.place.key(), changes })
    }

    fn apply(&self, key: &PlaceKey, change: PlaceChange) {
        let applied = match change {
            PlaceChange::Commit => self.columns.set_state(key, PlaceState::Committed).map(|()| true),
            PlaceChange::Trash(since) => self.columns.set_state(key, PlaceState::Trash { since }).map(|()| true),
            PlaceChange::Delete(state) => self.columns.purge(key, state),
        };
        match applied {
            Ok(false) => tracing::debug!(column = %key.column, "column was stored again, so it is not deleted"),
            Ok(true) => {
                match change {
                    PlaceChange::Delete(PlaceState::Temporary { expires }) => {
                        // For as long again.
                        let epochs = self.chain.rules().params.draw_epochs;
                        self.credit.expire(key, expires.after(epochs));
                    }
                    _ => self.credit.settle(key),
                }
                self.metrics.changed(change);
                tracing::debug!(column = %key.column, object = %key.object, ?change, "ledger changed a stored column");
            }
            Err(StoreError::NotFound { .. }) if change == PlaceChange::Commit => {
                let (column, object) = (key.column, key.object);
                tracing::warn!(%column, %object, "column is missing: a commitment names this node as its holder");
            }
            Err(error) => {
                tracing::error!(column = %key.column, %error, "cannot update a stored column; retrying next epoch")
            }
        }
    }
}

/// Whether a commitment names this column, in this place, on this node.
fn is_committed(records: &dyn Records, node: &NodeId, place: &Place) -> bool {
    let commitments = records.commitments_of(&place.object, usize::MAX);
    commitments.iter().filter(|commitment| commitment.id.extent == place.extent).any(|commitment| {
        let slot = commitment.slots.get(usize::from(place.index));
        slot.is_some_and(|slot| slot.provider == *node && slot.column == place.column)
    })
}

/// The places on this node for which `commit` shows a receipt.
fn places_of(node: &NodeId, commit: &Commit) -> Vec<PlaceKey> {
    let mine = commit.slots.iter().enumerate().filter(|(_, slot)| slot.provider == *node && slot.receipt.is_some());
    let key = |(index, slot): (usize, &ostrakon_proto::ledger::tx::SlotClaim)| PlaceKey {
        column: slot.column,
        object: commit.object,
        extent: commit.extent,
        index: u8::try_from(index).expect("a decided commit has at most 255 slots"),
    };
    mine.map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_stay_and_go_by_the_ledger() {
        let check = |state, now, committed, expect| {
            let facts = Facts { now: Epoch(now), committed, trash_epochs: 3 };
            assert_eq!(plan(state, facts), expect, "{state:?} {facts:?}");
        };
        let temporary = PlaceState::Temporary { expires: Epoch(5) };
        check(temporary, 0, false, None);
        check(temporary, 5, false, None);
        check(temporary, 6, false, Some(PlaceChange::Delete(temporary)));
        check(temporary, 5, true, Some(PlaceChange::Commit));
        check(temporary, 6, true, Some(PlaceChange::Commit));

        check(PlaceState::Committed, 9, true, None);
        check(PlaceState::Committed, 9, false, Some(PlaceChange::Trash(Epoch(9))));

        let trash = PlaceState::Trash { since: Epoch(9) };
        check(trash, 9, false, None);
        check(trash, 12, false, None);
        check(trash, 13, false, Some(PlaceChange::Delete(trash)));
        check(trash, 12, true, Some(PlaceChange::Commit));
        check(trash, 99, true, Some(PlaceChange::Commit));
        check(trash, 1, false, None);
        check(PlaceState::Trash { since: Epoch(u64::MAX) }, u64::MAX, false, None);
    }
}
