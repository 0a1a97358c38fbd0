//! One add under way: what it needs everywhere, and what it must clean up.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::{
    StreamExt,
    future::join_all,
    stream::{self, FuturesUnordered},
};
use ostrakon_net::{Peers, Workers};
use ostrakon_proto::{
    id::NodeId,
    limits,
    placement::Draw,
    seal::{ObjectKey, Sealer},
    sign::{Keypair, Purpose},
    wire::put::{Open, Request, Response, UploadId},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};

use super::{
    AddError,
    lanes::{Failure, Upload, put},
    placing::Placing,
    plan::Plan,
};
use crate::{Client, Event, Events, chain::lock};

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
    budget: Arc<Semaphore>,
    /// Uploads that were begun and brought no receipt, each with its request.
    open: Mutex<Vec<(Upload, Request)>>,
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
        Self { client, account, plan, events, key, sealer, budget, open: Mutex::default() }
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

    /// Asks for room for these columns, each of its holder or, when that one will not, of the next of the draw.
    pub(crate) async fn open(&self, placing: &mut Placing, indexes: &[u8], reserve: u64) -> Vec<Upload> {
        let mut uploads = Vec::new();
        let mut waiting = FuturesUnordered::new();
        for index in indexes {
            let holder = placing.holder(*index).map(|candidate| candidate.provider);
            if let Some(provider) = holder.or_else(|| placing.replace(*index)) {
                waiting.push(self.open_one(self.upload(placing, *index, provider), placing.draw, reserve));
            }
        }
        while let Some((upload, result)) = waiting.next().await {
            match result {
                Ok(()) => uploads.push(upload),
                Err(reason) => {
                    self.lose(placing, upload.index, reason);
                    if let Some(provider) = placing.replace(upload.index) {
                        waiting.push(self.open_one(
                            self.upload(placing, upload.index, provider),
                            placing.draw,
                            reserve,
                        ));
                    }
                }
            }
        }
        uploads.sort_by_key(|upload| upload.index);
        uploads
    }

    fn upload(&self, placing: &Placing, index: u8, provider: NodeId) -> Upload {
        Upload { extent: placing.extent, index, provider, id: UploadId(self.client.random()) }
    }

    async fn open_one(&self, upload: Upload, draw: Draw, reserve: u64) -> (Upload, Result<(), String>) {
        let Plan { account, code, rules, .. } = &self.plan;
        let Upload { extent, index, provider, id } = upload;
        let open = Open { upload: id, holder: provider, account: *account, draw, extent, index, code: *code, reserve };
        let signature = self.account.sign(Purpose::Put, &rules.chain, &open);
        let request = Request::Open { open, signature };
        lock(&self.open).push((upload, request.clone()));
        let asked = timeout(OPEN_PATIENCE, self.ask_to_open(provider, &request)).await;
        let silent = || Err(format!("silent for {} s", OPEN_PATIENCE.as_secs()));
        (upload, asked.unwrap_or_else(|_| silent()))
    }

    async fn ask_to_open(&self, provider: NodeId, request: &Request) -> Result<(), String> {
        for _ in 1..OPEN_ATTEMPTS {
            match put(self.peers(), provider, request, Bytes::new()).await {
                Err(Failure::Busy(_) | Failure::Denied(_)) => sleep(OPEN_PAUSE).await,
                answer => return opened(answer),
            }
        }
        opened(put(self.peers(), provider, request, Bytes::new()).await)
    }

    /// The upload became a column with a receipt.
    pub(crate) fn close(&self, upload: &Upload) {
        lock(&self.open).retain(|(open, _)| open != upload);
    }

    /// Holders give up uploads that rest. Those of extents that are sent wait for the last extent, so they are asked
    /// for again from time to time, which changes nothing else. Never ends.
    pub(crate) async fn keep_alive(&self) -> Infallible {
        loop {
            sleep(KEEP_ALIVE).await;
            let open = lock(&self.open).clone();
            let calls = open.iter().map(|(upload, request)| put(self.peers(), upload.provider, request, Bytes::new()));
            let calls: Vec<_> = calls.collect();
            let mut calls = stream::iter(calls).buffer_unordered(KEEP_ALIVE_AT_ONCE);
            while calls.next().await.is_some() {}
        }
    }

    /// Tells every holder whose upload came to nothing; whoever does not hear it forgets the upload in time.
    pub(crate) async fn abort(&self) {
        let open = std::mem::take(&mut *lock(&self.open));
        let aborts = open.iter().map(|(upload, _)| async move {
            put(self.peers(), upload.provider, &Request::Abort { upload: upload.id }, Bytes::new()).await
        });
        let _late = timeout(ABORT_PATIENCE, join_all(aborts)).await;
    }

    /// Too few holders for the extent: what stands in the way.
    pub(crate) fn too_few(placing: &Placing, need: usize) -> AddError {
        AddError::TooFewHolders { extent: placing.extent, have: placing.kept(), need, failed: placing.failures() }
    }
}

fn opened(answer: Result<Response, Failure>) -> Result<(), String> {
    match answer.map_err(Failure::into_reason)? {
        Response::Ready { next: 0 } => Ok(()),
        _ => Err("answered something else".to_owned()),
    }
}
