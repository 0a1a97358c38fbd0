//! One add under way: what it needs everywhere, and what it must clean up.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{
    StreamExt,
    future::join_all,
    stream::{self, FuturesUnordered},
};
use ostrakon_net::{AskError, Peers, Workers, ask, lock};
use ostrakon_proto::{
    id::{NodeId, ObjectId},
    layout::Layout,
    limits,
    placement::Draw,
    seal::{ObjectKey, Sealer},
    sign::{Keypair, Purpose},
    wire::{
        Call, RefusalCode,
        put::{self, Open, Taken, UploadId},
    },
};
use tokio::{
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

/// Bytes of encoded rows in memory at most, in KiB.
const BUDGET_KIB: u32 = 64 * 1024;
/// A holder that does not open for this long is replaced.
const OPEN_PATIENCE: Duration = Duration::from_secs(5);
/// How often a holder is asked that is busy, or lags behind the ledger so that it does not see the draw yet.
const OPEN_ATTEMPTS: u32 = 3;
const OPEN_PAUSE: Duration = Duration::from_millis(300);
/// How often uploads that rest are kept alive: well before holders give them up.
const KEEP_ALIVE: Duration = Duration::from_secs(120);
/// Uploads that are kept alive at once.
const KEEP_ALIVE_AT_ONCE: usize = 32;
/// How long holders may take to hear that an upload is given up.
const ABORT_PATIENCE: Duration = Duration::from_secs(2);

/// One add.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) client: &'a Client,
    pub(crate) account: &'a Keypair,
    pub(crate) plan: Plan,
    pub(crate) events: &'a Events,
    pub(crate) key: Option<ObjectKey>,
    pub(crate) sealer: Option<Arc<Sealer>>,
    journal: Option<&'a Journal>,
    budget: Arc<Semaphore>,
    /// Uploads that were begun and brought no receipt.
    open: Mutex<Vec<Begun>>,
    /// The hash of a public object's rows so far.
    hash: Mutex<Whole>,
    sent: AtomicU64,
    held: AtomicU64,
}

/// An upload that was begun.
#[derive(Clone, Copy, Debug)]
struct Begun {
    upload: Upload,
    draw: Draw,
    reserve: u64,
    /// Whether this client began it, or took it over: else its holder does not listen to us.
    ours: bool,
}

/// What is asked of holders.
#[derive(Debug)]
pub(crate) struct Room {
    /// Bytes that a column has at most.
    pub(crate) reserve: u64,
    /// Uploads that an earlier run of this add began, by column and holder.
    pub(crate) begun: BTreeMap<(u8, NodeId), UploadId>,
}

impl<'a> Job<'a> {
    /// An add by this plan; of a private object when there is a key.
    pub(crate) fn new(
        client: &'a Client,
        account: &'a Keypair,
        plan: Plan,
        key: Option<ObjectKey>,
        events: &'a Events,
    ) -> Self {
        let budget = Arc::new(Semaphore::new(usize::try_from(BUDGET_KIB).expect("64 Ki")));
        let sealer = key.as_ref().map(|key| Arc::new(key.sealer()));
        let (open, hash, sent, held) = Default::default();
        Self { client, account, plan, events, key, sealer, journal: None, budget, open, hash, sent, held }
    }

    /// The same, written down in a journal, from where that ends.
    pub(crate) fn with_journal(self, journal: &'a Journal, layout: &Layout) -> Self {
        let mut open = Vec::new();
        for (extent, past) in &journal.past().extents {
            let reserve = layout.extent(*extent).map_or(0, |extent| extent.column_len);
            for PastUpload { index, provider, id, draw, .. } in past.uploads.iter().filter(|one| one.receipt.is_none())
            {
                let upload = Upload { extent: *extent, index: *index, provider: *provider, id: *id };
                open.push(Begun { upload, draw: *draw, reserve, ours: false });
            }
        }
        let hash = Mutex::new(journal.past().hash.clone());
        Self { journal: Some(journal), open: Mutex::new(open), hash, ..self }
    }

    /// Writes down what is about to be done, where that is wanted.
    pub(crate) fn record(&self, record: impl FnOnce() -> Record) -> Result<(), AddError> {
        Ok(self.journal.map_or(Ok(()), |journal| journal.record(&record()))?)
    }

    /// What an earlier run did of an extent.
    pub(crate) fn past_extent(&self, extent: u32) -> Option<&'a PastExtent> {
        self.journal?.past().extents.get(&extent)
    }

    /// The values of the rows that an earlier run read.
    pub(crate) fn past_rows(&self, extent: u32) -> Result<Vec<Vec<Node>>, AddError> {
        Ok(self.journal.map_or_else(|| Ok(Vec::new()), |journal| journal.rows(extent))?)
    }

    /// The object, when an earlier run read all of it.
    pub(crate) fn past_object(&self) -> Option<ObjectId> {
        self.journal?.past().object
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

    /// Holders have this much from an earlier run: whole columns of `kept`, and what the lanes say.
    pub(crate) fn note_held(&self, kept: usize, lanes: &[Lane], column_len: u64) {
        let early =
            |taken: &Taken| u64::from(taken.early.count_ones()) * u64::try_from(limits::CHUNK).expect("256 KiB");
        let taken = lanes.iter().map(|Lane { taken, .. }| column_len.min(taken.next + early(taken)));
        let kept = u64::try_from(kept).expect("at most 255") * column_len;
        self.held.fetch_add(kept + taken.sum::<u64>(), Ordering::Relaxed);
    }

    /// What went over the network, and what did not have to.
    pub(crate) fn traffic(&self) -> Traffic {
        Traffic {
            sent_bytes: self.sent.load(Ordering::Relaxed),
            held_bytes: self.held.load(Ordering::Relaxed),
            resumed: self.journal.is_some_and(|journal| !journal.past().extents.is_empty()),
        }
    }

    /// The way of columns to their holders.
    pub(crate) fn way(&self) -> Way<'_> {
        Way { peers: self.peers(), sent: &self.sent }
    }

    pub(crate) fn peers(&self) -> &dyn Peers {
        self.client.peers.as_ref()
    }

    pub(crate) fn workers(&self) -> &Workers {
        &self.client.workers
    }

    /// Room for a row of this many chunks; waits until rows before it are gone.
    pub(crate) async fn room(&self, chunks: usize) -> OwnedSemaphorePermit {
        let kib = u32::try_from(chunks * limits::CHUNK / 1024).unwrap_or(BUDGET_KIB).min(BUDGET_KIB);
        Arc::clone(&self.budget).acquire_many_owned(kib).await.expect("the semaphore is never closed")
    }

    /// A holder is given up.
    pub(crate) fn lose(&self, placing: &mut Placing, index: u8, reason: String) {
        if let Some(provider) = placing.give_up(index, reason.clone()) {
            self.events.tell(Event::HolderFailed { extent: placing.extent, index, provider, reason });
        }
    }

    /// Asks for room for these columns, each of its holder or, when that one will not, of the next of the draw. A
    /// holder where an earlier run of this add began goes on from there.
    pub(crate) async fn open(&self, placing: &mut Placing, indexes: &[u8], room: &Room) -> Result<Vec<Lane>, AddError> {
        let mut lanes = Vec::new();
        let mut waiting = FuturesUnordered::new();
        for index in indexes {
            let holder = placing.holder(*index).map(|candidate| candidate.provider);
            if let Some(provider) = holder.or_else(|| placing.replace(*index)) {
                waiting.push(self.open_one(self.begin(placing, (*index, provider), room)?));
            }
        }
        while let Some((upload, result)) = waiting.next().await {
            match result {
                Ok(taken) => lanes.push(Lane { upload, taken }),
                Err(reason) => {
                    self.lose(placing, upload.index, reason);
                    if let Some(provider) = placing.replace(upload.index) {
                        waiting.push(self.open_one(self.begin(placing, (upload.index, provider), room)?));
                    }
                }
            }
        }
        lanes.sort_by_key(|lane| lane.upload.index);
        Ok(lanes)
    }

    /// The upload that was begun for this column at this holder, or a new one, written down before it is asked for.
    fn begin(&self, placing: &Placing, (index, provider): (u8, NodeId), room: &Room) -> Result<Begun, AddError> {
        let (extent, before) = (placing.extent, room.begun.get(&(index, provider)));
        let id = before.map_or_else(|| UploadId(self.client.random()), |id| *id);
        if before.is_none() {
            self.record(|| Record::Upload { extent, index, provider, id })?;
        }
        let upload = Upload { extent, index, provider, id };
        let begun = Begun { upload, draw: placing.draw, reserve: room.reserve, ours: true };
        let mut open = lock(&self.open);
        open.retain(|open| open.upload != upload);
        open.push(begun);
        Ok(begun)
    }

    fn request(&self, begun: &Begun) -> Call<Taken> {
        let Plan { account, code, rules, .. } = &self.plan;
        let Begun { upload: Upload { extent, index, provider: holder, id: upload }, draw, reserve, .. } = *begun;
        let open = Open { upload, holder, account: *account, draw, extent, index, code: *code, reserve };
        let signature = self.account.sign(Purpose::Put, &rules.chain, &open);
        put::open(open, signature)
    }

    async fn open_one(&self, begun: Begun) -> (Upload, Result<Taken, String>) {
        let request = self.request(&begun);
        let asked = timeout(OPEN_PATIENCE, self.ask_to_open(begun.upload.provider, request)).await;
        let silent = || Err(format!("silent for {} s", OPEN_PATIENCE.as_secs()));
        let sane = |taken: Taken| match taken.next <= begun.reserve {
            true => Ok(taken),
            false => Err(format!("claims {} of {} bytes", taken.next, begun.reserve)),
        };
        (begun.upload, asked.unwrap_or_else(|_| silent()).and_then(sane))
    }

    async fn ask_to_open(&self, provider: NodeId, request: Call<Taken>) -> Result<Taken, String> {
        // One that lags behind the ledger by a moment denies what it allows then.
        let may_allow =
            |error: &AskError| error.is_refused_as(RefusalCode::Busy) || error.is_refused_as(RefusalCode::Denied);
        let mut attempts = 1;
        loop {
            match ask(self.peers(), provider, request.clone()).await {
                Err(error) if attempts < OPEN_ATTEMPTS && may_allow(&error) => sleep(OPEN_PAUSE).await,
                answer => return answer.map_err(|error| error.failure.to_string()),
            }
            attempts += 1;
        }
    }

    /// The upload became a column with a receipt.
    pub(crate) fn close(&self, upload: &Upload) {
        lock(&self.open).retain(|open| open.upload != *upload);
    }

    /// Holders give up uploads that rest. Those of extents that are sent wait for the last extent, so they are asked
    /// for again from time to time, which changes nothing else. Never ends.
    pub(crate) async fn keep_alive(&self) -> Infallible {
        loop {
            sleep(KEEP_ALIVE).await;
            let open: Vec<Begun> = lock(&self.open).iter().filter(|begun| begun.ours).copied().collect();
            let call =
                |begun: Begun| async move { ask(self.peers(), begun.upload.provider, self.request(&begun)).await };
            let calls: Vec<_> = open.into_iter().map(call).collect();
            let mut calls = stream::iter(calls).buffer_unordered(KEEP_ALIVE_AT_ONCE);
            while calls.next().await.is_some() {}
        }
    }

    /// Tells every holder whose upload came to nothing; whoever does not hear it forgets the upload in time.
    pub(crate) async fn abort(&self) {
        let open = std::mem::take(&mut *lock(&self.open));
        let aborts = open.iter().map(|begun| async move {
            let Upload { provider, id: upload, .. } = begun.upload;
            if !begun.ours {
                // A holder listens to whoever asked last.
                ask(self.peers(), provider, self.request(begun)).await?;
            }
            ask(self.peers(), provider, put::abort(upload)).await
        });
        let _late = timeout(ABORT_PATIENCE, join_all(aborts)).await;
    }

    /// Too few holders for the extent: what stands in the way.
    pub(crate) fn too_few(placing: &Placing, need: usize) -> AddError {
        AddError::TooFewHolders { extent: placing.extent, have: placing.kept(), need, failed: placing.failures() }
    }
}
