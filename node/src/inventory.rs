//! Inventory: whether the columns that the ledger counts on are here.
//!
//! In come the ledger's commitments, page by page, and the store; out comes what is [`Missing`]: for the status, and
//! once for the log. It is taken when the node has all blocks, and again in each epoch as long as something is missing.
//! Nothing is changed. Not here: what is stored and no longer paid for ([`crate::retention`]).

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
            let epoch = heads.see().epoch;
            let missing = self.take().await;
            self.report(missing);
            if missing == Missing::default() {
                return;
            }
            heads.until(|head| head.epoch > epoch).await;
        }
    }

    /// Compares all commitments with the store.
    async fn take(&self) -> Missing {
        let (mut missing, mut next) = (Missing::default(), Some(CommitmentId::first_of(ObjectId::LEAST)));
        while let Some(from) = next {
            let on = self.clone();
            let (here, after) = self.workers.run(move || on.take_page(&from)).await;
            missing = Missing { columns: missing.columns + here.columns, bytes: missing.bytes + here.bytes };
            next = after;
        }
        missing
    }

    /// Compares some commitments, from this one on; and the one to continue with.
    fn take_page(&self, from: &CommitmentId) -> (Missing, Option<CommitmentId>) {
        let mut page = self.chain.look(|records| commitments(records, from));
        let next = if page.len() > PAGE { page.pop() } else { None };
        let mut missing = Missing::default();
        for commitment in &page {
            let mine = |slot: &&Slot| slot.provider == self.node && slot.state == SlotState::Live;
            for slot in commitment.slots.iter().filter(mine) {
                let stored = self.columns.column(&slot.column);
                if !stored.is_ok_and(|info| info.is_some_and(|info| !info.damaged)) {
                    missing.columns += 1;
                    missing.bytes += commitment.column_len;
                }
            }
        }
        (missing, next.map(|commitment| commitment.id))
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

/// A page of commitments from this one on, and one more if there is one.
fn commitments(records: &dyn Records, from: &CommitmentId) -> Vec<Commitment> {
    let (first, last) = (Key::Commitment(*from), Key::Commitment(CommitmentId::last_of(ObjectId::GREATEST)));
    let page = records.scan(&first, &last, PAGE + 1).into_iter();
    page.filter_map(|(_, record)| if let Record::Commitment(commitment) = record { Some(commitment) } else { None })
        .collect()
}
