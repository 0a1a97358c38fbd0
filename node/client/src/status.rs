//! Status: where an object is stored by the ledger and, when asked for, by probing its holders.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, stream};
use ostrakon_proto::{
    id::{AccountId, Amount, Epoch, NodeId, ObjectId},
    json,
    ledger::state::{Commitment, CommitmentId, Domain, Renewal, SlotState},
    link::Link,
    manifest::Content,
    params::Code,
};
use serde::Serialize;
use tokio::time::timeout;

use crate::{
    Client, Error, OpenError, Survives,
    get::columns::{Columns, FailedColumn},
};

/// Holders that are probed concurrently.
const PROBES: usize = 64;
/// How long a holder may take for the first few bytes.
const PROBE_PATIENCE: Duration = Duration::from_secs(5);

/// How to look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusOptions {
    /// Whether every holder is asked for the first bytes of its column. For a private object this needs its key.
    pub probe: bool,
}

/// Where an object is stored, and what it survives. Of several commitments, the one that lasts longest counts.
///
/// Serialises with the field names of the command's `--json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The object.
    #[serde(rename = "cid")]
    pub object: ObjectId,
    /// Bytes of the file, or of the directory's pack. A link without its key does not tell whether a private file's
    /// mode and time are stored, nor does one of which no holder responds: then these 14 bytes count.
    pub size: u64,
    /// Its code.
    pub code: Code,
    /// Live columns, in the extent that has the fewest.
    pub live: usize,
    /// Repair starts when no more than this many are live, or one got no receipt when it was added.
    pub repair_threshold: u8,
    /// Its repair, if one is open.
    pub repair: Option<StatusRepair>,
    /// How many more columns may be lost.
    pub tolerates: usize,
    /// What may be lost, with the columns that are live.
    pub survives: Survives,
    /// Until when it is paid for, and by whom.
    #[serde(flatten)]
    pub lease: StatusLease,
    /// Every slot of every extent.
    pub slots: Vec<StatusSlot>,
}

/// Until when an object is paid for, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StatusLease {
    /// First epoch that is not paid for.
    pub expires_epoch: Epoch,
    /// When that epoch begins, in milliseconds of Unix time, estimated at the pace of the blocks so far.
    pub expires_ms: u64,
    /// The account that pays.
    pub owner: AccountId,
    /// How the ledger renews it then, if it does.
    pub renewal: Option<StatusRenewal>,
}

/// How the ledger renews an object by itself, all extents of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StatusRenewal {
    /// By so many epochs each time; of several extents the fewest.
    pub epochs: u64,
    /// What the next renewal costs at most, at the prices in force.
    pub costs: Amount,
    /// Whether the owner's balance pays for that now.
    pub is_covered: bool,
}

/// An open repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StatusRepair {
    /// The epoch in which it began, of several extents the first.
    pub since_epoch: Epoch,
    /// Extents that are to be repaired.
    pub extents: usize,
}

/// One slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatusSlot {
    /// Number of its extent.
    pub extent: u32,
    /// Index of its column.
    pub index: u8,
    /// The node that holds it.
    pub provider: NodeId,
    /// What that node fails together with; `None` when the ledger does not have the provider any more.
    #[serde(serialize_with = "json::text_of")]
    pub domain: Option<Domain>,
    /// Whether its column is there.
    #[serde(flatten)]
    pub state: StatusState,
}

/// Whether a column is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "snake_case")]
pub enum StatusState {
    /// The ledger lists it, and so did the holder if it was probed.
    Live,
    /// The holder gave no receipt for it.
    Missing,
    /// The holder had it, and lost it or does not respond.
    Lost,
    /// The ledger says that it is there, and the holder did not send it when it was probed, for this reason.
    Unreachable(String),
}

impl Client {
    /// Where the object is stored, until when, and what it survives.
    ///
    /// # Errors
    /// [`Error`] when the ledger has no such object, no node responds, or a probe cannot open the object.
    pub async fn status(&self, link: &Link, options: StatusOptions) -> Result<Status, Error> {
        let (_, commitments) = futures::try_join!(self.chain.head(), self.chain.object(link.object))?;
        let commitments = longest(commitments);
        let holders: Vec<NodeId> = slots_of(&commitments).map(|slot| slot.2.provider).collect();
        let providers = self.chain.providers(&holders).await?;
        let failed = if options.probe { self.probe(link).await? } else { BTreeMap::new() };
        let content = timeout(PROBE_PATIENCE, self.content(link, &holders)).await.ok().flatten();
        let slots: Vec<StatusSlot> = slots_of(&commitments)
            .map(|(extent, index, slot)| {
                let state = match (slot.state, failed.get(&(extent, index))) {
                    (SlotState::Missing, _) => StatusState::Missing,
                    (SlotState::Lost | SlotState::Reported | SlotState::Struck, _) => StatusState::Lost,
                    (SlotState::Live, Some(failed)) => StatusState::Unreachable(failed.reason.clone()),
                    (SlotState::Live, None) => StatusState::Live,
                };
                let domain = providers.get(&slot.provider).map(|provider| provider.domain.clone());
                StatusSlot { extent, index, provider: slot.provider, domain, state }
            })
            .collect();
        let mut status = self.summary(link.object, &commitments, slots);
        status.lease.renewal = self.renewal_of(&commitments).await?;
        Ok(Status { size: status.size.saturating_sub(content.map_or(0, Content::trailer)), ..status })
    }

    /// How these extents of an object are renewed; `None` if one of them is not.
    async fn renewal_of(&self, commitments: &[Commitment]) -> Result<Option<StatusRenewal>, Error> {
        let ids: Vec<CommitmentId> = commitments.iter().map(|commitment| commitment.id).collect();
        let renewals: Option<Vec<Renewal>> = self.chain.renewals(&ids).await?.into_iter().collect();
        let Some((renewals, first)) = renewals.zip(ids.first()) else { return Ok(None) };
        let fee = self.rules().params.fees.base.0;
        let cost = |(renewal, commitment): (&Renewal, &Commitment)| {
            commitment.cap().0.saturating_mul(renewal.epochs).saturating_add(fee)
        };
        let costs = renewals.iter().zip(commitments).map(cost).fold(0, u64::saturating_add);
        let is_covered = self.chain.account(first.owner).await?.balance.0 >= costs;
        let epochs = renewals.iter().map(|renewal| renewal.epochs).min().unwrap_or_default();
        Ok(Some(StatusRenewal { epochs, costs: Amount(costs), is_covered }))
    }

    fn summary(&self, object: ObjectId, commitments: &[Commitment], slots: Vec<StatusSlot>) -> Status {
        let first = commitments.first().expect("an object that was found has a commitment");
        let code = first.code;
        let live =
            |extent: u32| slots.iter().filter(|slot| slot.extent == extent && slot.state == StatusState::Live).count();
        let live = (0..first.extents).map(live).min().unwrap_or(0);
        let repair_threshold = self.rules().repair_threshold(code);
        let tickets = commitments.iter().filter_map(|commitment| commitment.ticket);
        let repair = tickets.clone().min().map(|since_epoch| StatusRepair { since_epoch, extents: tickets.count() });
        let expires_epoch = commitments.iter().map(|commitment| commitment.end).min().unwrap_or_default();
        // Providers that the ledger does not have any more may all be of one domain.
        let unknown = Domain { operator: String::new(), infrastructure: String::new(), region: String::new() };
        let survives = (0..first.extents).map(|extent| {
            let live = slots.iter().filter(|slot| slot.extent == extent && slot.state == StatusState::Live);
            Survives::of(code.k, live.map(|slot| slot.domain.as_ref().unwrap_or(&unknown)))
        });
        let survives = Survives::weakest(survives);
        Status {
            object,
            size: first.size,
            code,
            live,
            repair_threshold,
            repair,
            tolerates: live.saturating_sub(usize::from(code.k)),
            survives,
            lease: StatusLease {
                expires_epoch,
                expires_ms: self.chain.pace().starts_ms(expires_epoch),
                owner: first.id.owner,
                renewal: None,
            },
            slots,
        }
    }

    /// Asks every holder for the first bytes of its column; returns those that do not send them.
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
    commitments.iter().flat_map(|commitment| {
        (0..=u8::MAX).zip(&commitment.slots).map(|(index, slot)| (commitment.id.extent, index, slot))
    })
}
