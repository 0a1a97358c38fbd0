//! Inventory: whether the columns that the ledger counts on are here.
//!
//! In come the ledger's commitments, page by page, and the store; out comes what is [`Missing`]: for the status, and
//! once for the log. It is taken when the node has all blocks, and again in each epoch as long as something is missing,
//! and when columns have gone. Nothing is changed. Not here: what is stored and no longer paid for
//! ([`crate::retention`]), and what the ledger is told of it ([`crate::repair`]).

use std::sync::Arc;

use ostrakon_net::Workers;
use ostrakon_proto::{
    id::{NodeId, ObjectId},
    ledger::state::{Commitment, CommitmentId, Key, Record, Records, Slot, SlotState},
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{chain::Chain, store::Columns};

/// Commitments read at a time.
const PAGE: usize = 64;

/// Columns that this node has to store and cannot serve, each as often as a commitment names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// How many.
    pub columns: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The task of the inventory.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// The ledger.
    pub chain: Chain,
    /// This node, as commitments name it.
    pub node: NodeId,
    /// The stored columns.
    pub columns: Arc<dyn Columns>,
    /// Threads for the disk.
    pub workers: Workers,
    /// Gets what is missing; nothing before it is known.
    pub missing: watch::Sender<Option<Missing>>,
}

impl Inventory {
    /// Takes the inventory until nothing is missing, or until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        // Cancelled or not: nothing is left to do.
        let _stopped = stop.run_until_cancelled(self.take_all()).await;
    }

    async fn take_all(&self) {
        let mut heads = self.chain.subscribe();
        loop {
            heads.until(|_| self.chain.is_synced() && !self.columns.is_opening()).await;
            let (epoch, mut most) = (heads.see().epoch, self.columns.usage().columns);
            let missing = self.take().await;
            self.report(missing);
            let mut is_due = || {
                let stored = self.columns.usage().columns;
                most = most.max(stored);
                missing != Missing::default() || stored < most
            };
            heads.until(|head| is_due() && head.epoch > epoch).await;
        }
    }

    /// Compares all commitments with the store.
    async fn take(&self) -> Missing {
        let (mut missing, mut next) = (Missing::default(), Some(FIRST));
        while let Some(from) = next {
            let on = self.clone();
            let page = self.workers.run(move || page(&on.chain, &*on.columns, on.node, &from)).await;
            for slot in page.missing {
                missing = Missing { columns: missing.columns + 1, bytes: missing.bytes + slot.bytes };
            }
            next = page.next;
        }
        missing
    }

    fn report(&self, missing: Missing) {
        let before = self.missing.send_replace(Some(missing));
        let Missing { columns, bytes } = missing;
        match before {
            Some(before) if before == missing => {}
            _ if columns > 0 => tracing::warn!(
                columns,
                bytes,
                "the ledger counts on columns of this node that are not here: mount the volumes that `ostrakon-node \
                 volume ls` reports as missing, and restart the node. What is on a lost disk is lost"
            ),
            Some(_) => tracing::info!("all columns that the ledger counts on are here again"),
            None => {}
        }
    }
}

/// The first commitment there could be.
pub(crate) const FIRST: CommitmentId = CommitmentId::first_of(ObjectId::LEAST);

/// A slot of this node whose column is missing or damaged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MissingSlot {
    /// Its commitment.
    pub(crate) commitment: CommitmentId,
    /// Its index in that.
    pub(crate) index: u8,
    /// Bytes of its column.
    bytes: u64,
}

/// What is missing of some commitments, and the one to continue with.
#[derive(Clone, Debug)]
pub(crate) struct InventoryPage {
    /// What is missing.
    pub(crate) missing: Vec<MissingSlot>,
    /// The next commitment; `None` at the end.
    pub(crate) next: Option<CommitmentId>,
}

/// Compares some commitments of the ledger, from this one on, with what is stored. May block on the disk.
pub(crate) fn page(chain: &Chain, columns: &dyn Columns, node: NodeId, from: &CommitmentId) -> InventoryPage {
    let mut page = chain.look(|records| commitments(records, from));
    let next = if page.len() > PAGE { page.pop() } else { None };
    let mut missing = Vec::new();
    for Commitment { id, slots, column_len, .. } in &page {
        let is_mine = |(_, slot): &(u8, &Slot)| slot.provider == node && slot.state == SlotState::Live;
        for (index, slot) in (0..=u8::MAX).zip(slots).filter(is_mine) {
            let stored = columns.column(&slot.column);
            if !stored.is_ok_and(|info| info.is_some_and(|info| !info.damaged)) {
                missing.push(MissingSlot { commitment: *id, index, bytes: *column_len });
            }
        }
    }
    InventoryPage { missing, next: next.map(|commitment| commitment.id) }
}

/// A page of commitments from this one on, and one more if there is one.
fn commitments(records: &dyn Records, from: &CommitmentId) -> Vec<Commitment> {
    let (first, last) = (Key::Commitment(*from), Key::Commitment(CommitmentId::last_of(ObjectId::GREATEST)));
    let page = records.scan(&first, &last, PAGE + 1).into_iter();
    page.filter_map(|(_, record)| if let Record::Commitment(commitment) = record { Some(commitment) } else { None })
        .collect()
}
