//! Reports columns of this node that are damaged or gone, so that others rebuild them: for the cost of that alone, and
//! before an audit asks for them, which would cost the whole epoch (ARCHITECTURE 5.9).
//!
//! In go the store and the ledger, once an epoch; out go reports. A damaged column is reported immediately, a missing
//! one only when it is still missing in a later epoch: its disk may just not be mounted. One that turns up again is
//! restored ([`super::returning`]). Not here: how damage is found ([`super::scrub`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ostrakon_proto::{
    ledger::{
        state::{CommitmentId, Slot, SlotState},
        tx::{Action, ReportLoss, batches},
    },
    sign::Keypair,
};

use super::{Repair, own};
use crate::{inventory, store::PlaceKey};

/// Columns reported in one epoch at most.
const REPORTS: usize = 4_096;

/// A slot of a commitment.
type SlotId = (CommitmentId, u8);

impl Repair {
    /// Reports what is lost, once an epoch. Never returns.
    pub(super) async fn report_losses(&self) {
        let (mut heads, mut missing) = (self.chain.subscribe(), self.missing.clone());
        let (mut done, mut since) = (None, BTreeMap::new());
        loop {
            let epoch = heads.see().epoch;
            let is_due = done != Some(epoch) || missing.has_changed().unwrap_or(false);
            if is_due
                && self.is_ready()
                && let Some(owner) = self.owner().await
            {
                let is_whole = missing.borrow_and_update().is_none_or(|missing| missing.columns == 0);
                let gone = if is_whole { BTreeSet::new() } else { self.gone().await };
                since.retain(|slot, _| gone.contains(slot));
                gone.iter().for_each(|slot| _ = since.entry(*slot).or_insert(epoch));
                let mut lost = self.damaged().await;
                lost.extend(since.iter().filter(|(_, since)| **since < epoch).map(|(slot, _)| *slot));
                self.report_lost(&owner, lost).await;
                done = Some(epoch);
            }
            heads.next().await;
        }
    }

    /// Slots of this node whose columns are damaged.
    async fn damaged(&self) -> BTreeSet<SlotId> {
        let (mut found, mut after) = (BTreeSet::new(), None::<PlaceKey>);
        while found.len() < REPORTS {
            let on = self.clone();
            // Not on the ledger's threads: a slow disk must not keep this node from voting.
            let look = move || {
                let live = |slot: &Slot| slot.state == SlotState::Live;
                on.chain.look(|records| own::page((&*on.columns, on.node()), records, after, live))
            };
            let page = self.workers.run(look).await;
            let page = page.inspect_err(|error| tracing::error!(%error, "cannot look for damaged columns"));
            let Some((slots, last)) = page.ok().flatten() else { break };
            found.extend(slots.iter().filter(|own| !own.is_whole).map(|own| (own.commitment.id, own.index)));
            after = Some(last);
        }
        found
    }

    /// Slots of this node whose columns are not here, some of them where they are many.
    async fn gone(&self) -> BTreeSet<SlotId> {
        let (mut found, mut next) = (BTreeSet::new(), Some(inventory::FIRST));
        while let Some(from) = next.filter(|_| found.len() < REPORTS) {
            let (chain, columns, node) = (self.chain.clone(), Arc::clone(&self.columns), self.node());
            let page = self.workers.run(move || inventory::page(&chain, &*columns, node, &from)).await;
            found.extend(page.missing.iter().map(|missing| (missing.commitment, missing.index)));
            next = page.next;
        }
        found
    }

    async fn report_lost(&self, owner: &Keypair, lost: BTreeSet<SlotId>) {
        let mut count = 0;
        let report = |(commitment, index)| Action::ReportLoss(ReportLoss { commitment, index });
        for action in batches(lost.into_iter().take(REPORTS).map(report).collect()) {
            count += self.submit_parts(owner, action, "report a column of this node as lost").await;
        }
        self.metrics.columns("reported", count);
        if count > 0 {
            tracing::warn!(columns = count, "told the ledger that columns of this node are lost: others rebuild them");
        }
    }
}
