//! One repair: who takes which column, and what is reported of it.
//!
//! In goes a job, which the ledger gave this node; out comes a transaction with the receipts of those who took columns.
//! A target that refuses is replaced by the next of the draw, and one that fails later is left out: the ticket stays
//! for what it should have stored. Not here: rows and receipts, which are `send`'s.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use bytes::Bytes;
use futures::future::join_all;
use ostrakon_net::ask;
use ostrakon_proto::{
    codec,
    id::NodeId,
    layout::Layout,
    ledger::{
        repair::Assignment,
        state::{Commitment, CommitmentId, Records, SlotState},
        tx::{Action, MadeColumn, Repaired, RepairedSlot},
    },
    manifest::Manifest,
    placement::RosterEntry,
    wire::{
        self, RefusalCode,
        get::RepairTicket,
        put::{self, Open, OpenRepair, UploadId},
    },
};
use ostrakon_transfer::{
    lanes::{Lane, Upload, Way},
    rows::NotEnoughColumns,
};
use tokio::time::{Instant, sleep};

use super::{
    Job, Repair,
    plan::{End, Targets},
};
use crate::{chain::submit::SubmitError, serve::put::judge_repair, store::StoreError};

/// How long a target is asked again that is busy, for example a block behind.
pub(super) const BUSY_WAIT: Duration = Duration::from_secs(20);
/// The pause before it is asked again.
pub(super) const BUSY_PAUSE: Duration = Duration::from_millis(500);
/// How often a repair is reported that is in no block yet.
const REPORTS: u32 = 10;

/// Why a repair came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum JobError {
    #[error("no holder sends the object's manifest; the last one: {0}")]
    NoManifest(String),
    #[error("the object's manifest is not what the commitment says: {0}")]
    Manifest(String),
    #[error("no provider that was drawn takes a column; the last one: {0}")]
    NoTarget(String),
    #[error(transparent)]
    NotEnough(#[from] NotEnoughColumns),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no column was stored; the last reason: {0}")]
    NotStored(String),
    #[error("the ledger does not take it: {0}")]
    Refused(#[from] SubmitError),
    #[error("no block has the report")]
    NotReported,
    #[error("rebuilt columns do not match their ids in the commitment: the object was inconsistent when it was added")]
    Inconsistent,
    #[error("this node's own column is damaged")]
    Damaged,
}

/// Where columns go: to other nodes, and one to this node itself.
#[derive(Default)]
pub(super) struct Destinations {
    pub(super) lanes: Vec<Lane>,
    pub(super) own: Option<Open>,
}

impl Destinations {
    /// The columns, those of the lanes first.
    pub(super) fn indexes(&self) -> Vec<u8> {
        self.lanes.iter().map(|lane| lane.upload.index).chain(self.own.iter().map(|open| open.index)).collect()
    }
}

/// One destination that is ready.
enum Ready {
    There(Lane),
    Here(Open),
}

/// A job at work.
pub(super) struct Run<'a> {
    pub(super) on: &'a Repair,
    pub(super) job: &'a Job,
    pub(super) way: Way,
    /// Bytes that were read, and those that were written here.
    pub(super) read: AtomicU64,
    pub(super) written: AtomicU64,
}

impl Repair {
    /// Does the job, and says how it ended.
    pub(super) async fn do_job(&self, job: &Job) -> End {
        let (lines, limit) = (Arc::clone(&self.lines), self.limits[1].clone());
        let way = Way { peers: self.chain.peers(), lines, limit, sent: AtomicU64::new(0) };
        let run = Run { on: self, job, way, read: AtomicU64::new(0), written: AtomicU64::new(0) };
        let CommitmentId { object, extent, .. } = job.commitment.id;
        let began = Instant::now();
        match run.perform().await {
            Ok(columns) => {
                let (read_bytes, written) = (run.read.into_inner(), run.written.into_inner());
                let (written_bytes, seconds) = (written + run.way.sent.into_inner(), began.elapsed().as_secs_f64());
                let (what, counted) = if job.leaving {
                    ("moved columns to other providers", "moved")
                } else {
                    ("repaired an object", "rebuilt")
                };
                self.metrics.columns(counted, columns.len());
                self.metrics.moved(read_bytes, written_bytes);
                tracing::info!(%object, extent, ?columns, read_bytes, written_bytes, seconds, "{what}");
                End::Done
            }
            Err(JobError::Inconsistent) => End::Hopeless(job.assignment.draw.epoch),
            Err(error) => {
                self.metrics.failed();
                tracing::warn!(%object, extent, %error, "a repair failed; it is tried again while this node may do it");
                End::Failed
            }
        }
    }
}

impl Run<'_> {
    /// The columns that are stored and reported.
    async fn perform(&self) -> Result<Vec<u8>, JobError> {
        let (manifest, bytes) = self.manifest().await?;
        let to = self.open().await?;
        let layout = manifest.layout();
        let sent = self.send(&layout, &to).await;
        let sent = match sent {
            Ok(sent) => sent,
            Err(error) => {
                self.abort(&to, &[]).await;
                return Err(error);
            }
        };
        let wrong = sent.wrong.clone();
        let (mut slots, mut reason) = (Vec::new(), String::new());
        for stored in self.finish(&to, sent, &bytes).await {
            match stored {
                Ok(slot) => slots.push(slot),
                Err(failed) => reason = failed,
            }
        }
        let done: Vec<u8> = slots.iter().map(|slot| slot.index).collect();
        self.abort(&to, &done).await;
        let failure = self.note_wrong(&layout, &wrong).await;
        if slots.is_empty() {
            return Err(failure.unwrap_or(JobError::NotStored(reason)));
        }
        let reported = self.report(slots).await?;
        failure.map_or(Ok(reported), Err)
    }

    /// What is done about columns that are not what their names say.
    async fn note_wrong(&self, layout: &Layout, wrong: &[MadeColumn]) -> Option<JobError> {
        let index = wrong.first()?.index;
        if self.job.leaving {
            let (columns, name) = (Arc::clone(&self.on.columns), self.commitment().slots[usize::from(index)].column);
            // It is not served any more, and counts as missing.
            let scrubbed = self.on.workers.run(move || columns.scrub_column(&name)).await;
            return Some(scrubbed.err().map_or(JobError::Damaged, JobError::Store));
        }
        self.report_wrong(layout, wrong).await;
        Some(JobError::Inconsistent)
    }

    pub(super) fn commitment(&self) -> &Commitment {
        &self.job.commitment
    }

    pub(super) fn assignment(&self) -> &Assignment {
        &self.job.assignment
    }

    pub(super) fn ticket(&self) -> RepairTicket {
        RepairTicket { commitment: self.commitment().id, draw: self.assignment().draw.epoch }
    }

    /// Nodes that have columns by the ledger, with their indexes.
    pub(super) fn holders(&self) -> impl Iterator<Item = (usize, NodeId)> {
        let slots = self.commitment().slots.iter().enumerate();
        slots.filter(|(_, slot)| slot.state == SlotState::Live).map(|(index, slot)| (index, slot.provider))
    }

    /// The object's manifest, from here or from a holder, checked against the commitment.
    async fn manifest(&self) -> Result<(Manifest, Bytes), JobError> {
        let object = self.commitment().id.object;
        let columns = Arc::clone(&self.on.columns);
        let here = self.on.workers.run(move || columns.manifest(&object)).await.ok().flatten();
        let mut last = "none is listed".to_owned();
        let bytes = match here.filter(|bytes| Manifest::object_id(bytes) == object) {
            Some(bytes) => bytes,
            None => 'asked: {
                for (_, holder) in self.holders().filter(|(_, holder)| *holder != self.on.node()) {
                    match ask(&*self.way.peers, holder, wire::manifest::manifest(object)).await {
                        Ok(bytes) => break 'asked bytes,
                        Err(error) => last = error.to_string(),
                    }
                }
                return Err(JobError::NoManifest(last));
            }
        };
        let manifest = Manifest::decode(&bytes).map_err(|error| JobError::Manifest(error.to_string()))?;
        let Commitment { id, code, column_len, slots, .. } = self.commitment();
        let listed = manifest.layout().extent(id.extent).zip(usize::try_from(id.extent).ok());
        let listed = listed.and_then(|(layout, number)| Some((layout, manifest.extents.get(number)?)));
        let is_same = listed.is_some_and(|(layout, extent)| {
            layout.column_len == *column_len && extent.columns.iter().eq(slots.iter().map(|slot| &slot.column))
        });
        if manifest.code != *code || !is_same {
            return Err(JobError::Manifest("code, length or columns differ".to_owned()));
        }
        Ok((manifest, bytes))
    }

    /// Asks providers of the draw until each column has one that takes it, or none is left.
    async fn open(&self) -> Result<Destinations, JobError> {
        let (mut targets, mut to) = (Targets::new(self.assignment()), Destinations::default());
        let mut last = "none can take one within the domain rule".to_owned();
        loop {
            let asked = targets.choose();
            if asked.is_empty() {
                break;
            }
            let answers = asked.iter().map(|(index, target)| self.open_one(*index, target));
            for ((index, target), answer) in asked.iter().zip(join_all(answers).await) {
                match answer {
                    Ok(Ready::There(lane)) => to.lanes.push(lane),
                    Ok(Ready::Here(open)) => to.own = Some(open),
                    Err(reason) => {
                        tracing::debug!(node = %target.provider, index, reason, "a target does not take a column");
                        targets.refuse(*index);
                        last = format!("{}: {reason}", target.provider);
                    }
                }
            }
        }
        if to.lanes.is_empty() && to.own.is_none() { Err(JobError::NoTarget(last)) } else { Ok(to) }
    }

    async fn open_one(&self, index: u8, target: &RosterEntry) -> Result<Ready, String> {
        let (ticket, leaving) = (self.ticket(), self.job.leaving);
        let provider = target.provider;
        let name = codec::encode(&(ticket, index, self.on.node(), provider));
        let name = blake3::derive_key("ostrakon repair upload 1", &name);
        let upload = UploadId(*name.first_chunk().expect("of 32"));
        let asked = OpenRepair { upload, ticket, index, leaving };
        if provider == self.on.node() {
            return self.open_here(asked).await.map(Ready::Here);
        }
        let busy_until = Instant::now() + BUSY_WAIT;
        loop {
            match ask(&*self.way.peers, provider, put::repair(asked)).await {
                Ok(taken) => {
                    let (extent, ask) = (self.commitment().id.extent, target.offer.price);
                    let upload = Upload { extent, index, provider, id: upload, ask };
                    return Ok(Ready::There(Lane { upload, taken, receipt: None }));
                }
                Err(error) if error.is_refused_as(RefusalCode::Busy) && Instant::now() < busy_until => {
                    sleep(BUSY_PAUSE).await;
                }
                Err(error) => return Err(error.failure.to_string()),
            }
        }
    }

    /// Reserves space in this node's own store, as another target does.
    async fn open_here(&self, asked: OpenRepair) -> Result<Open, String> {
        let (rules, node) = (self.on.chain.rules(), self.on.node());
        let own = self.on.offers.borrow().as_ref().map(|offer| offer.capacity);
        let judge = move |records: &dyn Records| judge_repair(&rules, records, (node, node), (&asked, own));
        let (open, ..) = self.on.chain.read(judge).await.map_err(|refusal| refusal.to_string())?;
        let (columns, reserve) = (Arc::clone(&self.on.columns), open.reserve);
        let begun = self.on.workers.run(move || {
            // From its first byte: what an earlier job left may be wrong.
            columns.abort(asked.upload);
            columns.begin(asked.upload, reserve)
        });
        begun.await.map(|_| open).map_err(|error| error.to_string())
    }

    /// Reports who stores what now: all together, or what the ledger takes of it.
    async fn report(&self, mut slots: Vec<RepairedSlot>) -> Result<Vec<u8>, JobError> {
        slots.sort_by_key(|slot| slot.index);
        match self.report_some(&slots).await {
            Err(JobError::Refused(error)) if slots.len() > 1 => {
                tracing::debug!(%error, "the ledger does not take a repair as a whole");
                let mut done = Vec::new();
                for slot in slots {
                    if let Ok(index) = self.report_some(&[slot]).await {
                        done.extend(index);
                    }
                }
                if done.is_empty() { Err(JobError::Refused(error)) } else { Ok(done) }
            }
            reported => reported,
        }
    }

    async fn report_some(&self, slots: &[RepairedSlot]) -> Result<Vec<u8>, JobError> {
        let (commitment, rebuilder) = (self.commitment().id, self.on.node());
        let repaired = Repaired { commitment, rebuilder, draw: self.ticket().draw, slots: slots.to_vec() };
        let mut heads = self.on.chain.subscribe();
        for _ in 0..REPORTS {
            let sent = self.on.submit(&self.job.owner, Action::Repaired(repaired.clone())).await;
            if self.is_reported(slots).await {
                return Ok(slots.iter().map(|slot| slot.index).collect());
            }
            match sent {
                Err(error) if matches!(error.refusal().code, RefusalCode::Invalid | RefusalCode::Charged) => {
                    return Err(error.into());
                }
                sent => {
                    let error = sent.err().map(|error| error.to_string());
                    tracing::debug!(?error, "no block has a repair yet; it is reported again");
                }
            }
            heads.next().await;
        }
        Err(JobError::NotReported)
    }

    /// Whether the ledger has all of them.
    async fn is_reported(&self, slots: &[RepairedSlot]) -> bool {
        let id = self.commitment().id;
        let wanted: BTreeMap<u8, NodeId> = slots.iter().map(|slot| (slot.index, slot.provider)).collect();
        let look = move |records: &dyn Records| {
            let Some(commitment) = records.commitment(&id) else { return false };
            let has = |(index, provider): (&u8, &NodeId)| {
                let slot = &commitment.slots[usize::from(*index)];
                slot.state == SlotState::Live && slot.provider == *provider
            };
            wanted.iter().all(has)
        };
        self.on.chain.read(look).await
    }
}
