//! Columns that the ledger counts as lost and that are here: brought back, each with the leaf that the newest beacon
//! asks for, until somebody else has rebuilt it.
//!
//! Looked for when the node has all blocks, and again in each epoch: a node that was away for too long finds its
//! columns written off. Not here: what coming back costs, which is the ledger's rule.

use std::{collections::BTreeSet, sync::Arc};

use ostrakon_proto::{
    audit::ChallengedLeaf,
    id::Epoch,
    ledger::{
        repair::returning_point,
        state::{Records, SlotState},
        tx::{Action, Restore, batches},
    },
    sign::Keypair,
};

use super::{Repair, own};
use crate::{audit::proof, store::PlaceKey};

/// Columns brought back in one epoch at most: each takes the space of a leaf and its path in a block.
const RETURNS: usize = 1_024;

/// The newest epoch that can be drawn, and its beacon.
fn newest_beacon(records: &dyn Records) -> Option<(Epoch, [u8; 32])> {
    let newest = records.tip().running.clock.drawable()?;
    Some((newest, records.epoch(newest)?.beacon?))
}

impl Repair {
    /// Brings back what is here and counts as lost, once an epoch. Never returns.
    pub(super) async fn bring_back(&self) {
        let (mut heads, mut done) = (self.chain.subscribe(), None);
        loop {
            let head = heads.see();
            if done != Some(head.epoch)
                && self.is_ready()
                && let Some(owner) = self.owner().await
            {
                self.restore_all(&owner).await;
                done = Some(head.epoch);
            }
            heads.next().await;
        }
    }

    async fn restore_all(&self, owner: &Keypair) {
        let (mut after, mut left) = (None, RETURNS);
        let mut seen = BTreeSet::new();
        while left > 0 {
            let on = self.clone();
            let page = self.workers.run(move || on.restores(after)).await;
            let Some((restores, last)) = page else { return };
            after = Some(last);
            let is_new = |restore: &Restore| seen.insert((restore.commitment, restore.index));
            let restores: Vec<Restore> = restores.into_iter().filter(is_new).take(left).collect();
            left -= restores.len();
            self.restore(owner, restores).await;
        }
    }

    /// What brings back the lost slots of one page of places, and the last of these.
    fn restores(&self, after: Option<PlaceKey>) -> Option<(Vec<Restore>, PlaceKey)> {
        let (columns, node) = (Arc::clone(&self.columns), self.node());
        let look = |records: &dyn Records| {
            let page = own::page((&*columns, node), records, after, |slot| slot.state.is_lost());
            (page, newest_beacon(records))
        };
        let (page, beacon) = self.chain.look(look);
        let page = page.inspect_err(|error| tracing::error!(%error, "cannot look for columns that count as lost"));
        let (slots, last) = page.ok()??;
        let Some((epoch, beacon)) = beacon else { return Some((vec![], last)) };
        let restore = |own::OwnSlot { commitment, index, .. }: own::OwnSlot| {
            // Another of its columns came to this node meanwhile.
            if commitment.slots.iter().any(|slot| slot.state == SlotState::Live && slot.provider == node) {
                return None;
            }
            let column = commitment.slots[usize::from(index)].column;
            let point = returning_point(&beacon, &commitment, index);
            let asked = ChallengedLeaf::at(column, commitment.column_len, point);
            let made = proof::make(&*columns, &[asked]);
            let made = made.inspect_err(|error| tracing::warn!(%column, %error, "cannot bring a lost column back"));
            let leaf = made.ok()?.leaves.pop()?;
            Some(Restore { commitment: commitment.id, index, epoch, leaf })
        };
        Some((slots.into_iter().filter(|own| own.is_whole).filter_map(restore).collect(), last))
    }

    async fn restore(&self, owner: &Keypair, restores: Vec<Restore>) {
        let mut count = 0;
        for action in batches(restores.into_iter().map(Action::Restore).collect()) {
            count += self.submit_parts(owner, action, "restore a column that the ledger counts as lost").await;
        }
        self.metrics.columns("returned", count);
        if count > 0 {
            tracing::info!(columns = count, "told the ledger that columns which it counts as lost are here");
        }
    }
}
