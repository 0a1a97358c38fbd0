//! One running add: what it needs everywhere, and what it must clean up however it ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{
    StreamExt,
    future::join_all,
    stream::{self, FuturesUnordered},
};
use ostrakon_net::{AskError, Failure, Peers, Workers, ask, awake, lock};
use ostrakon_proto::{
    id::{NodeId, ObjectId},
    layout::Layout,
    limits,
    placement::{Draw, RosterEntry},
    seal::{ObjectKey, Sealer},
    sign::{Keypair, Purpose},
    wire::{
        Call, RefusalCode,
        put::{self, Open, Opening, Taken, UploadId, WholeColumn},
    },
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};

use super::{
    AddError, Traffic,
    hash::{Node, Whole},
    journal::{
        Journal, Record,
        past::{PastExtent, PastUpload},
    },
    lanes::{Lane, Upload, Way},
    placing::Placing,
    plan::Plan,
};
use crate::{Client, Event, Events};

/// Encoded rows of all adds of a client in memory at most, in KiB.
const ROWS_KIB: u32 = 64 * 1024;

/// Memory for encoded rows, shared by all adds of a client.
pub(crate) fn row_memory() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(usize::try_from(ROWS_KIB).expect("64 Ki")))
}

/// A holder that does not open for this long is replaced.
const OPEN_WAIT: Duration = Duration::from_secs(5);
/// The same, of a holder that did not respond lately.
const OPEN_WAIT_SILENT: Duration = Duration::from_secs(1);
/// How long a holder is asked again that is busy, for example since it is behind the ledger and cannot verify the draw.
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// The same, when no other provider is left: a restarted node catches up within this.
const CATCH_UP_WAIT: Duration = Duration::from_secs(20);
/// Bytes a millisecond of a slow line, which a holder is not to blame for.
const SLOW_LINE: usize = 125;
const OPEN_PAUSE: Duration = Duration::from_millis(300);
/// How often idle uploads are kept alive: well before holders give them up.
const KEEP_ALIVE: Duration = Duration::from_secs(120);
/// Uploads that are kept alive concurrently.
const KEEP_ALIVE_CONCURRENT: usize = 32;
/// How long holders may take to be told that an upload is given up.
const ABORT_WAIT: Duration = Duration::from_secs(2);

/// One add. When it is dropped, before its end or after, holders are told of uploads that came to nothing, unless a
/// journal keeps them for the add to resume.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) client: &'a Client,
    pub(crate) account: &'a Keypair,
    pub(crate) plan: Plan,
    pub(crate) events: &'a Events,
    pub(crate) key: Option<ObjectKey>,
    pub(crate) sealer: Option<Arc<Sealer>>,
    pub(crate) way: Way,
    journal: Option<Journal>,
    /// Uploads that were started and brought no receipt.
    open: Mutex<Vec<Started>>,
    /// The hash of a public object's rows so far.
    hash: Mutex<Whole>,
    held: AtomicU64,
    /// Whether what was done so far is not worth resuming.
    in_vain: AtomicBool,
}

/// An upload that was started.
#[derive(Clone, Copy, Debug)]
struct Started {
    upload: Upload,
    draw: Draw,
    reserve: u64,
    /// Whether this client started it, or took it over: else its holder refuses what we ask of it.
    ours: bool,
}

/// A holder did not start an upload.
#[derive(Debug)]
struct Unopened {
    reason: String,
    /// It may do so later.
    busy: bool,
}

/// What is asked of holders.
#[derive(Debug, Default)]
pub(crate) struct Reservation {
    /// Bytes that a column has at most.
    pub(crate) reserve: u64,
    /// Uploads that an earlier run of this add started, by column and holder.
    pub(crate) started: BTreeMap<(u8, NodeId), UploadId>,
    /// Whole columns that go with the openings, by index.
    pub(crate) whole: Vec<WholeColumn>,
}

impl<'a> Job<'a> {
    /// An add by this plan; of a private object when there is a key.
    pub(crate) fn new(
        client: &'a Client,
        plan: Plan,
        key: Option<ObjectKey>,
        events: &'a Events,
    ) -> Result<Self, AddError> {
        let account = client.key()?;
        let sealer = key.as_ref().map(|key| Arc::new(key.sealer()));
        let (peers, lines) = (Arc::clone(&client.peers), Arc::clone(&client.lines));
        let way = Way { peers, lines, limit: None, sent: AtomicU64::new(0) };
        let (open, hash, held, in_vain) = Default::default();
        Ok(Self { client, account, plan, events, key, sealer, way, journal: None, open, hash, held, in_vain })
    }

    /// The same, recorded in a journal, from where that ends.
    pub(crate) fn with_journal(mut self, journal: Journal, layout: &Layout) -> Self {
        let mut open = Vec::new();
        for (extent, past) in &journal.past().extents {
            let reserve = layout.extent(*extent).map_or(0, |extent| extent.column_len);
            for past in past.uploads.iter().filter(|one| one.receipt.is_none()) {
                let PastUpload { index, provider, id, draw, ask, .. } = *past;
                let upload = Upload { extent: *extent, index, provider, id, ask };
                open.push(Started { upload, draw, reserve, ours: false });
            }
        }
        self.open = Mutex::new(open);
        self.hash = Mutex::new(journal.past().hash.clone());
        self.journal = Some(journal);
        self
    }

    /// The journal, which this job then writes no more.
    pub(crate) fn take_journal(&mut self) -> Option<Journal> {
        self.journal.take()
    }

    /// Records what is about to be done, where that is wanted.
    pub(crate) fn record(&self, record: impl FnOnce() -> Record) -> Result<(), AddError> {
        Ok(self.journal.as_ref().map_or(Ok(()), |journal| journal.record(&record()))?)
    }

    /// What an earlier run did of an extent.
    pub(crate) fn past_extent(&self, extent: u32) -> Option<&PastExtent> {
        self.journal.as_ref()?.past().extents.get(&extent)
    }

    /// The values of the rows that an earlier run read.
    pub(crate) fn past_rows(&self, extent: u32) -> Result<Vec<Vec<Node>>, AddError> {
        Ok(self.journal.as_ref().map_or_else(|| Ok(Vec::new()), |journal| journal.rows(extent))?)
    }

    /// The object, when an earlier run read all of it.
    pub(crate) fn past_object(&self) -> Option<ObjectId> {
        self.journal.as_ref()?.past().object
    }

    /// Whether a commit of an earlier run may still be on its way to a block.
    pub(crate) fn may_be_pending(&self) -> bool {
        self.past_object().is_some()
    }

    /// Takes the values of a public object's next bytes.
    pub(crate) fn hash_parts(&self, parts: &[Node]) {
        let mut hash = lock(&self.hash);
        parts.iter().for_each(|part| hash.push(*part));
    }

    /// BLAKE3 of a public object, all of whose rows were taken.
    pub(crate) fn hash(&self) -> Option<[u8; 32]> {
        lock(&self.hash).clone().finish()
    }

    /// Holders have this much from an earlier run: `whole` columns, and what the lanes say.
    pub(crate) fn note_held(&self, whole: usize, lanes: &[Lane], column_len: u64) {
        let early =
            |taken: &Taken| u64::from(taken.early.count_ones()) * u64::try_from(limits::CHUNK).expect("256 KiB");
        let taken = lanes.iter().map(|Lane { taken, .. }| column_len.min(taken.next + early(taken)));
        let whole = u64::try_from(whole).expect("at most 255") * column_len;
        self.held.fetch_add(whole + taken.sum::<u64>(), Ordering::Relaxed);
    }

    /// What went over the network, and what did not have to.
    pub(crate) fn traffic(&self) -> Traffic {
        Traffic {
            sent_bytes: self.way.sent.load(Ordering::Relaxed),
            held_bytes: self.held.load(Ordering::Relaxed),
            resumed: self.journal.as_ref().is_some_and(|journal| !journal.past().extents.is_empty()),
            columns_failed: Vec::new(),
            seconds: 0.0,
        }
    }

    pub(crate) fn peers(&self) -> &dyn Peers {
        self.client.peers.as_ref()
    }

    pub(crate) fn workers(&self) -> &Workers {
        &self.client.workers
    }

    /// Memory for a row of this many chunks; waits until rows before it are gone.
    pub(crate) async fn memory(&self, chunks: usize) -> OwnedSemaphorePermit {
        let kib = u32::try_from(chunks * limits::CHUNK / 1024).unwrap_or(ROWS_KIB).min(ROWS_KIB);
        Arc::clone(&self.client.row_memory).acquire_many_owned(kib).await.expect("the semaphore is never closed")
    }

    /// The column's holder is given up.
    pub(crate) fn lose(&self, placing: &mut Placing, index: u8, reason: String) {
        if let Some(provider) = placing.give_up(index, reason.clone()) {
            self.events.tell(Event::HolderFailed { extent: placing.extent, index, provider, reason });
        }
    }

    /// Asks for space for these columns, each of its holder or, when that one refuses, of the next of the draw. A
    /// holder where an earlier run of this add started an upload resumes it.
    pub(crate) async fn open(
        &self,
        placing: &mut Placing,
        indexes: &[u8],
        reservation: &Reservation,
    ) -> Result<Vec<Lane>, AddError> {
        let (mut lanes, mut busy) = (Vec::new(), BTreeSet::new());
        let mut waiting = FuturesUnordered::new();
        let start = |placing: &Placing, (index, holder), patience| {
            let whole = reservation.whole.get(usize::from(index));
            Ok::<_, AddError>(self.open_one(self.start(placing, (index, holder), reservation)?, whole, patience))
        };
        for index in indexes {
            let holder = placing.holder(*index).copied();
            if let Some(holder) = holder.or_else(|| placing.replace(*index)) {
                waiting.push(start(placing, (*index, holder), RETRY_WAIT)?);
            }
        }
        while let Some((Upload { index, provider, .. }, result)) = waiting.next().await {
            match result {
                Ok(lane) => {
                    lanes.push(lane);
                    continue;
                }
                Err(lost) if lost.busy && busy.insert(provider) => placing.defer(index),
                Err(lost) => self.lose(placing, index, lost.reason),
            }
            if let Some(holder) = placing.replace(index) {
                let patience = if busy.contains(&holder.provider) { CATCH_UP_WAIT } else { RETRY_WAIT };
                waiting.push(start(placing, (index, holder), patience)?);
            }
        }
        lanes.sort_by_key(|lane| lane.upload.index);
        Ok(lanes)
    }

    /// The upload that was started for this column at this holder, or a new one. It is recorded before it is asked for:
    /// the newest of a column says who its holder is.
    fn start(
        &self,
        placing: &Placing,
        (index, holder): (u8, RosterEntry),
        reservation: &Reservation,
    ) -> Result<Started, AddError> {
        let (provider, ask) = (holder.provider, holder.offer.price);
        let (extent, before) = (placing.extent, reservation.started.get(&(index, provider)));
        let id = before.map_or_else(|| UploadId(self.client.random()), |id| *id);
        self.record(|| Record::Upload { extent, index, provider, id, ask })?;
        let upload = Upload { extent, index, provider, id, ask };
        let started = Started { upload, draw: placing.draw, reserve: reservation.reserve, ours: true };
        let mut open = lock(&self.open);
        open.retain(|open| open.upload != upload);
        open.push(started);
        Ok(started)
    }

    fn request(&self, started: &Started, whole: Option<&WholeColumn>) -> Call<Opening> {
        let Plan { account, code, rules, .. } = &self.plan;
        let Started { upload, draw, reserve, .. } = *started;
        let Upload { extent, index, provider: holder, id: upload, ask } = upload;
        let (account, code, until) = (*account, *code, self.plan.receipt_end(draw));
        let open = Open { upload, holder, account, draw, extent, index, code, reserve, ask, until };
        let signature = self.account.sign(Purpose::Put, &rules.chain, &open);
        put::open(open, signature, whole)
    }

    /// Asks for one upload; a holder that is busy, again for `patience`.
    async fn open_one(
        &self,
        started: Started,
        whole: Option<&WholeColumn>,
        patience: Duration,
    ) -> (Upload, Result<Lane, Unopened>) {
        let provider = started.upload.provider;
        let wait = if self.client.backoff.is_unresponsive(&provider) { OPEN_WAIT_SILENT } else { OPEN_WAIT };
        // All columns share the line.
        let sent = whole.map_or(0, |whole| whole.manifest.len() + whole.chunk.len()) * usize::from(self.plan.code.n);
        let wait = wait + Duration::from_millis(u64::try_from(sent / SLOW_LINE).expect("seconds"));
        let request = self.request(&started, whole).within(wait);
        let retry_until = awake::now() + patience;
        let column = u64::try_from(whole.map_or(0, |whole| whole.chunk.len())).expect("a chunk");
        let result = loop {
            self.way.sent.fetch_add(column, Ordering::Relaxed);
            match ask(self.peers(), provider, request.clone()).await {
                Ok(Opening::Open(taken)) if taken.next > started.reserve => {
                    let reason = format!("claims to have stored {} of {} bytes", taken.next, started.reserve);
                    break Err(Unopened { reason, busy: false });
                }
                // The holder may have had no memory for the connection: the next one may be over TCP.
                Err(error)
                    if (error.is_refused_as(RefusalCode::Busy) || matches!(error.failure, Failure::Closed(_)))
                        && awake::now() < retry_until =>
                {
                    sleep(OPEN_PAUSE).await;
                }
                answer => break answer.map_err(|error| self.unopened(error)),
            }
        };
        if result.is_ok() {
            self.client.backoff.note_response(&provider);
        }
        let upload = started.upload;
        let lane = |opening| match opening {
            Opening::Open(taken) => Lane { upload, taken, receipt: None },
            Opening::Stored(receipt) => {
                Lane { upload, taken: Taken { next: started.reserve, early: 0 }, receipt: Some(receipt) }
            }
        };
        (upload, result.map(lane))
    }

    fn unopened(&self, error: AskError) -> Unopened {
        if matches!(error.failure, Failure::Timeout(_) | Failure::Unreachable(_)) {
            self.client.backoff.note_silent(error.node);
        }
        Unopened { busy: error.is_refused_as(RefusalCode::Busy), reason: error.failure.to_string() }
    }

    /// The add fails, and to do it again costs no more than to resume it: its journal goes.
    pub(crate) fn drop_journal(&self) {
        self.in_vain.store(true, Ordering::Relaxed);
    }

    /// The upload became a column with a receipt.
    pub(crate) fn close(&self, upload: &Upload) {
        lock(&self.open).retain(|open| open.upload != *upload);
    }

    /// Holders give up idle uploads. Those of extents that are sent wait for the last extent, so they are asked for
    /// again from time to time, which changes nothing else. Never ends.
    pub(crate) async fn keep_alive(&self) -> Infallible {
        loop {
            sleep(KEEP_ALIVE).await;
            let open: Vec<Started> = lock(&self.open).iter().filter(|started| started.ours).copied().collect();
            let call = |started: Started| async move {
                ask(self.peers(), started.upload.provider, self.request(&started, None)).await
            };
            let calls: Vec<_> = open.into_iter().map(call).collect();
            let mut calls = stream::iter(calls).buffer_unordered(KEEP_ALIVE_CONCURRENT);
            while calls.next().await.is_some() {}
        }
    }

    /// Tells every holder whose upload came to nothing, in the background and for seconds at most; one that is not
    /// reached forgets the upload in time.
    pub(crate) fn release(&self) {
        let open = std::mem::take(&mut *lock(&self.open));
        // Without a runtime there are no tasks left, nor connections.
        let Some(runtime) = Handle::try_current().ok().filter(|_| !open.is_empty()) else { return };
        let aborts: Vec<_> = open
            .into_iter()
            .map(|started| {
                let peers = Arc::clone(&self.client.peers);
                // A holder serves the client that asked last.
                let ask_first = (!started.ours).then(|| self.request(&started, None));
                async move {
                    let Upload { provider, id: upload, .. } = started.upload;
                    if let Some(request) = ask_first {
                        ask(peers.as_ref(), provider, request).await?;
                    }
                    ask(peers.as_ref(), provider, put::abort(upload)).await
                }
            })
            .collect();
        let told = async move { timeout(ABORT_WAIT, join_all(aborts)).await };
        self.client.background.spawn_on(told, &runtime);
    }

    /// Too few holders for the extent: what prevents it.
    pub(crate) fn too_few(placing: &Placing, need: usize) -> AddError {
        AddError::TooFewHolders { extent: placing.extent, have: placing.held(), need, failed: placing.failures() }
    }
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        let in_vain = self.in_vain.load(Ordering::Relaxed);
        if !in_vain && self.journal.as_ref().is_some_and(Journal::is_begun) {
            return;
        }
        if let Some(Err(error)) = self.journal.take().map(Journal::remove) {
            tracing::warn!(%error, "cannot delete the journal of an add that did not start");
        }
        self.release();
    }
}
