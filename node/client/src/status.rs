//! Status: how an object stands, by the ledger and, when asked for, by its holders' own word.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, stream};
use ostrakon_proto::{
    id::{AccountId, Epoch, NodeId, ObjectId},
    ledger::state::{Commitment, Domain, Provider, SlotState},
    link::Link,
    params::Code,
    placement::{Caps, Dimension, Tolerance, tolerance},
};
use tokio::time::timeout;

use crate::{
    Client, Error, OpenError,
    get::columns::{Columns, FailedColumn},
};

/// Holders that are probed at once.
const PROBES: usize = 64;
/// How long a holder may take for the first few bytes.
const PROBE_PATIENCE: Duration = Duration::from_secs(5);

/// How to look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusOptions {
    /// Whether every holder is asked for the first bytes of its column. A private object's need its key.
    pub probe: bool,
}

/// How an object stands. Of several commitments, the one that lasts longest counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The object.
    pub object: ObjectId,
    /// Bytes of it.
    pub size: u64,
    /// Its code.
    pub code: Code,
    /// Columns that are there, in the extent where they are fewest.
    pub live: usize,
    /// Repair starts when no more than this many are.
    pub repair_threshold: u8,
    /// How many more may vanish.
    pub tolerates: usize,
    /// What whole domains may vanish.
    pub domains: Tolerance,
    /// First epoch that is not paid for.
    pub expires_epoch: Epoch,
    /// Who pays.
    pub owner: AccountId,
    /// Every slot of every extent.
    pub slots: Vec<StatusSlot>,
}

/// One slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusSlot {
    /// Of which extent.
    pub extent: u32,
    /// Its index.
    pub index: u8,
    /// Who keeps it.
    pub provider: NodeId,
    /// What that one fails together with; `None` when the ledger does not know the provider any more.
    pub domain: Option<Domain>,
    /// Whether it is there.
    pub state: StatusState,
}

/// Whether a column is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusState {
    /// The ledger says so, and so did the holder if it was asked.
    Live,
    /// The ledger says that it is not.
    Missing,
    /// The ledger says so, and the holder does not give it, for this reason.
    Silent(String),
}

impl Client {
    /// How the object stands.
    ///
    /// # Errors
    /// [`Error`] when the ledger has no such object, no node responds, or a probe cannot open the object.
    pub async fn status(&self, link: &Link, options: StatusOptions) -> Result<Status, Error> {
        let commitments = longest(self.chain.object(link.object).await?);
        let holders: Vec<NodeId> = slots_of(&commitments).map(|slot| slot.2.provider).collect();
        let providers = self.chain.providers(&holders).await?;
        let silent = if options.probe { self.probe(link).await? } else { BTreeMap::new() };
        let slots: Vec<StatusSlot> = slots_of(&commitments)
            .map(|(extent, index, slot)| {
                let state = match (slot.state, silent.get(&(extent, index))) {
                    (SlotState::Missing, _) => StatusState::Missing,
                    (SlotState::Live, Some(failed)) => StatusState::Silent(failed.reason.clone()),
                    (SlotState::Live, None) => StatusState::Live,
                };
                let domain = providers.get(&slot.provider).map(|provider| provider.domain.clone());
                StatusSlot { extent, index, provider: slot.provider, domain, state }
            })
            .collect();
        Ok(self.summary(link.object, &commitments, slots))
    }

    fn summary(&self, object: ObjectId, commitments: &[Commitment], slots: Vec<StatusSlot>) -> Status {
        let first = commitments.first().expect("an object that was found has a commitment");
        let code = first.code;
        let live =
            |extent: u32| slots.iter().filter(|slot| slot.extent == extent && slot.state == StatusState::Live).count();
        let live = (0..first.extents).map(live).min().unwrap_or(0);
        let repair_threshold = self.rules().repair_threshold(code);
        let domains = (0..first.extents).map(|extent| tolerance(code, repair_threshold, &worst(&slots, extent))).min();
        Status {
            object,
            size: first.size,
            code,
            live,
            repair_threshold,
            tolerates: live.saturating_sub(usize::from(code.k)),
            domains: domains.unwrap_or(Tolerance::Nodes),
            expires_epoch: commitments.iter().map(|commitment| commitment.end).min().unwrap_or_default(),
            owner: first.id.owner,
            slots,
        }
    }

    /// Asks every holder for the first bytes of its column; gives those that do not have it.
    async fn probe(&self, link: &Link) -> Result<BTreeMap<(u32, u8), FailedColumn>, OpenError> {
        let opened = self.open(link).await?;
        let mut probes = Vec::new();
        for columns in opened.extents.iter().map(|extent| &extent.columns) {
            probes.extend((0..usize::from(columns.code.n)).map(|index| probe_column(columns, index)));
        }
        let failed: Vec<Option<FailedColumn>> = stream::iter(probes).buffer_unordered(PROBES).collect().await;
        let failed = failed.into_iter().flatten();
        Ok(failed.map(|failed| ((failed.extent, failed.index), failed)).collect())
    }
}

async fn probe_column(columns: &Columns, index: usize) -> Option<FailedColumn> {
    let probed = timeout(PROBE_PATIENCE, columns.probe(index)).await;
    probed.unwrap_or_else(|_| Err(columns.late(index, PROBE_PATIENCE))).err()
}

/// Of each extent the commitment that lasts longest.
fn longest(commitments: Vec<Commitment>) -> Vec<Commitment> {
    let mut best: BTreeMap<u32, Commitment> = BTreeMap::new();
    for commitment in commitments {
        let known = best.get(&commitment.id.extent);
        if known.is_none_or(|known| known.end < commitment.end) {
            best.insert(commitment.id.extent, commitment);
        }
    }
    best.into_values().collect()
}

fn slots_of(commitments: &[Commitment]) -> impl Iterator<Item = (u32, u8, &ostrakon_proto::ledger::state::Slot)> {
    commitments
        .iter()
        .flat_map(|commitment| (0u8..).zip(&commitment.slots).map(|(index, slot)| (commitment.id.extent, index, slot)))
}

/// How many columns of the extent share one domain, at worst, on each dimension.
fn worst(slots: &[StatusSlot], extent: u32) -> Caps {
    let most = |dimension: Dimension| {
        let mut counts: BTreeMap<&str, u8> = BTreeMap::new();
        for domain in slots.iter().filter(|slot| slot.extent == extent).filter_map(|slot| slot.domain.as_ref()) {
            *counts.entry(dimension.of(domain)).or_default() += 1;
        }
        counts.into_values().max().unwrap_or(0)
    };
    Caps {
        operator: most(Dimension::Operator),
        infrastructure: most(Dimension::Infrastructure),
        region: most(Dimension::Region),
    }
}

impl Client {
    /// All providers of the network, in the order of node ids.
    ///
    /// # Errors
    /// [`Error`] when no node responds.
    pub async fn providers(&self) -> Result<Vec<Provider>, Error> {
        Ok(self.chain.all_providers().await?)
    }
}
