//! Sends the columns of a repair where they are to be, and takes the receipts.
//!
//! Rows come from k other columns, or from this node's own store when it leaves. They are hashed on their way: what is
//! not what the commitment has named from the beginning is stored by nobody, and a target that calls them wrong is not
//! believed. One that fails is left out.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{
    StreamExt, TryStreamExt,
    future::join_all,
    stream::{self, BoxStream},
};
use ostrakon_net::{ask, lock};
use ostrakon_proto::{
    id::{Amount, ColumnId},
    layout::Layout,
    ledger::{
        state::Commitment,
        tx::{MadeColumn, Receipt, RepairedSlot},
    },
    limits,
    sign::{Purpose, verify},
    tree::TreeBuilder,
    wire::{
        RefusalCode,
        get::ReadAccess,
        put::{self, Open},
    },
};
use ostrakon_transfer::{
    columns::{ColumnKey, Columns as Readable, ExtentInfo, Holder, Wires},
    lanes::{self, Quorum, RowOut, Upload},
    rebuild::{rebuilt_rows, rows_of},
    rows::chunk_range,
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep, timeout},
};

use super::{
    ROWS_KIB,
    run::{BUSY_PAUSE, BUSY_WAIT, Destinations, JobError, Run},
};
use crate::serve::put::{last_epoch, place_of};

/// How long a target may take to be told that an upload is given up.
const ABORT_WAIT: Duration = Duration::from_secs(2);

/// Who stores a column now, or why nobody does.
pub(super) type Stored = Result<RepairedSlot, String>;

/// The hashes of the columns so far.
type Trees = Arc<Mutex<Vec<TreeBuilder>>>;

/// What is known once all rows were sent.
pub(super) struct Sent {
    /// How each lane ended: the bytes that were stored.
    lanes: Vec<Result<u64, String>>,
    /// Whether this node has all of its own column.
    own_kept: bool,
    /// What was made of columns that are not what their names say.
    pub(super) wrong: Vec<MadeColumn>,
}

impl Run<'_> {
    /// Sends all rows, and hashes the columns.
    pub(super) async fn send(&self, layout: &Layout, to: &Destinations) -> Result<Sent, JobError> {
        let (own_kept, indexes) = (AtomicBool::new(to.own.is_some()), to.indexes());
        let trees: Trees = Arc::new(Mutex::new(indexes.iter().map(|_| TreeBuilder::new()).collect()));
        let source = self.readable();
        let rows = match self.job.leaving {
            true => self.stored_rows(*layout, indexes.clone()),
            false => {
                let ready = |chunk_len| self.ready(*layout, chunk_len, true);
                rebuilt_rows(&source, *layout, indexes.clone(), ready).map_err(JobError::from).boxed()
            }
        };
        let rows = rows.and_then(|row| self.take_row(row, (to.own.as_ref(), &own_kept), &trees));
        // Nothing is in a hurry, and nobody is to be left out.
        let quorum = Quorum { least: usize::from(to.own.is_none()), wanted: to.lanes.len() };
        let sent = lanes::send(&self.way, &to.lanes, rows.boxed(), quorum).await;
        self.read.fetch_add(source.fetched_bytes(), Ordering::Relaxed);
        let lanes = sent?;
        let trees = std::mem::take(&mut *lock(&trees));
        let is_wrong = |(index, tree): (u8, TreeBuilder)| {
            let column = tree.finish().0;
            (column != self.commitment().slots[usize::from(index)].column).then_some(MadeColumn { index, column })
        };
        // Where all lanes ended early, nothing is known of the columns.
        let is_whole = own_kept.load(Ordering::Relaxed) || lanes.iter().any(Result::is_ok);
        let wrong = indexes.into_iter().zip(trees).filter_map(is_wrong).filter(|_| is_whole).collect();
        Ok(Sent { lanes, own_kept: own_kept.into_inner(), wrong })
    }

    /// The commitment's columns at their holders, readable by the ticket.
    pub(super) fn readable(&self) -> Readable {
        let Commitment { id, code, column_len, slots, .. } = self.commitment();
        let access = ReadAccess::Ticket(self.ticket());
        let keys = slots.iter().map(|slot| ColumnKey { id: slot.column, access }).collect();
        let mut holders = vec![Vec::new(); slots.len()];
        self.holders().for_each(|(index, provider)| holders[index].push(Holder { provider, live: true }));
        let info = ExtentInfo { extent: id.extent, code: *code, column_len: *column_len };
        let (peers, workers, lines) =
            (Arc::clone(&self.way.peers), self.on.workers.clone(), Arc::clone(&self.way.lines));
        Readable::new(info, keys, holders, Wires { peers, workers, lines })
    }

    /// Waits until a row may be read; its memory.
    pub(super) async fn ready(&self, layout: Layout, chunk_len: usize, from_others: bool) -> OwnedSemaphorePermit {
        let code = layout.code();
        if let Some(limit) = self.on.limits[0].as_ref().filter(|_| from_others) {
            limit.take(usize::from(code.k) * chunk_len).await;
        }
        let kib = u32::try_from(2 * usize::from(code.n) * limits::CHUNK / 1024).unwrap_or(ROWS_KIB).min(ROWS_KIB);
        Arc::clone(&self.on.memory).acquire_many_owned(kib).await.expect("the semaphore is never closed")
    }

    /// The rows of own columns, as they are stored here: who gets them checks them.
    fn stored_rows(&self, layout: Layout, indexes: Vec<u8>) -> BoxStream<'_, Result<RowOut, JobError>> {
        let columns: Vec<ColumnId> =
            indexes.iter().map(|index| self.commitment().slots[usize::from(*index)].column).collect();
        let rows = stream::iter(rows_of(&layout, self.commitment().id.extent));
        let read = move |row| {
            let (store, names) = (Arc::clone(&self.on.columns), columns.clone());
            async move {
                let chunk_len = layout.row(row).expect("a row of the layout").chunk_len();
                let permit = Some(self.ready(layout, chunk_len, false).await);
                let range = chunk_range(row, chunk_len);
                let read = move || {
                    let read = |name| store.read(name, range.start, range.length).map(|range| Some(range.bytes));
                    names.iter().map(read).collect::<Result<Vec<_>, _>>()
                };
                let chunks = self.on.workers.run(read).await?;
                let bytes: usize = chunks.iter().flatten().map(Bytes::len).sum();
                self.read.fetch_add(u64::try_from(bytes).expect("a few chunks"), Ordering::Relaxed);
                Ok(RowOut { offset: row.offset(), chunks, permit })
            }
        };
        rows.then(read).boxed()
    }

    /// Hashes the chunks, writes this node's own, the last of the row, and hands the others on.
    async fn take_row(
        &self,
        mut row: RowOut,
        (own, kept): (Option<&Open>, &AtomicBool),
        trees: &Trees,
    ) -> Result<RowOut, JobError> {
        let (chunks, trees) = (row.chunks.clone(), Arc::clone(trees));
        let hash = move || {
            let chunks = chunks.iter().flatten();
            lock(&trees).iter_mut().zip(chunks).for_each(|(tree, chunk)| tree.update(chunk));
        };
        self.on.workers.run(hash).await;
        let Some(open) = own else { return Ok(row) };
        let chunk = row.chunks.pop().flatten().expect("the last chunk is this node's");
        if kept.load(Ordering::Relaxed) {
            self.written.fetch_add(u64::try_from(chunk.len()).expect("a chunk"), Ordering::Relaxed);
            let (columns, upload, offset) = (Arc::clone(&self.on.columns), open.upload, row.offset);
            let written = self.on.workers.run(move || columns.write(upload, offset, chunk)).await;
            if let Err(error) = written {
                tracing::warn!(%error, "cannot store a repaired column here");
                kept.store(false, Ordering::Relaxed);
            }
        }
        Ok(row)
    }

    /// Brings the manifest to all that have their column, for their receipts.
    pub(super) async fn finish(&self, to: &Destinations, sent: Sent, manifest: &Bytes) -> Vec<Stored> {
        let Sent { lanes, own_kept, wrong } = sent;
        let is_wrong = |index| wrong.iter().any(|made| made.index == index);
        let there = to.lanes.iter().zip(lanes).map(|(lane, sent)| async move {
            let Upload { index, provider, .. } = lane.upload;
            match sent {
                _ if is_wrong(index) => Err(format!("column {index} does not match its id in the commitment")),
                Ok(sent) if sent == self.commitment().column_len => self.finish_there(&lane.upload, manifest).await,
                Ok(sent) => Err(format!("{provider} stored {sent} bytes")),
                Err(reason) => Err(format!("{provider}: {reason}")),
            }
        });
        let mut stored = join_all(there).await;
        if let Some(open) = to.own.as_ref().filter(|open| !is_wrong(open.index)) {
            stored.push(match own_kept {
                true => self.finish_here(open, manifest).await,
                false => Err("this node's store failed".to_owned()),
            });
        }
        stored
    }

    async fn finish_there(&self, upload: &Upload, manifest: &Bytes) -> Stored {
        let Upload { index, provider, id, ask: price, .. } = *upload;
        let busy_until = Instant::now() + BUSY_WAIT;
        let signed = loop {
            match ask(&*self.way.peers, provider, put::finish(id, manifest.clone())).await {
                Err(error)
                    if (error.is_disconnected() || error.is_refused_as(RefusalCode::Busy))
                        && Instant::now() < busy_until =>
                {
                    sleep(BUSY_PAUSE).await;
                }
                signed => break signed,
            }
        };
        let receipt = signed.map_err(|error| error.to_string())?;
        let said = self.receipt(index, price);
        let verified = verify(&provider, &receipt, Purpose::Receipt, &self.on.chain.rules().chain, &said);
        verified.map_err(|_| format!("{provider} signed another receipt"))?;
        Ok(RepairedSlot { index, provider, receipt })
    }

    async fn finish_here(&self, open: &Open, manifest: &Bytes) -> Stored {
        let Open { upload, index, ask, .. } = *open;
        let (columns, open, manifest) = (Arc::clone(&self.on.columns), open.clone(), manifest.clone());
        let expires = last_epoch(&self.on.chain.rules(), &open);
        let finish = move || {
            let (place, _) = place_of(&manifest, &open, expires).map_err(|refusal| refusal.to_string())?;
            columns.finish(upload, place, manifest).map_err(|error| error.to_string())
        };
        self.on.workers.run(finish).await?;
        let (said, chain) = (self.receipt(index, ask), self.on.chain.rules().chain);
        let receipt = self.on.keypair.sign(Purpose::Receipt, &chain, &said);
        Ok(RepairedSlot { index, provider: self.on.node(), receipt })
    }

    /// What who takes this column signs.
    fn receipt(&self, index: u8, ask: Amount) -> Receipt {
        Receipt { index, ask, ..self.commitment().receipt(self.assignment().draw) }
    }

    /// Tells all that gave no receipt that their upload is given up.
    pub(super) async fn abort(&self, to: &Destinations, done: &[u8]) {
        if let Some(own) = to.own.as_ref().filter(|own| !done.contains(&own.index)) {
            let (columns, upload) = (Arc::clone(&self.on.columns), own.upload);
            self.on.workers.run(move || columns.abort(upload)).await;
        }
        let lanes = to.lanes.iter().filter(|lane| !done.contains(&lane.upload.index));
        let told = lanes.map(|lane| ask(&*self.way.peers, lane.upload.provider, put::abort(lane.upload.id)));
        // They forget it by themselves later.
        let _told = timeout(ABORT_WAIT, join_all(told)).await;
    }
}
