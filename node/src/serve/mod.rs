//! The server: each request of another node is decoded, validated, acted on and answered, in a straight line.
//!
//! In come [`Inbound`] requests, none of them trusted; out go answers and refusals. [`put`], [`get`], [`manifest`] and
//! [`chain`] are the four protocols; [`uploads`] and [`credit`] are the state of put, and [`tickets`] what repairs may.
//! Each class of requests has its own queue and turns (ARCHITECTURE 6, "Admission"): what is slow in one delays no
//! other. A request that waits for a block, or for another one's finish, has no turn meanwhile. Not here: the order in
//! which sources get their turns (`ostrakon_net::admission`), and votes, which are the order's.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use ostrakon_net::{
    Inbound, Requests, Workers,
    admission::{Limits, Quota},
    lock,
};
use ostrakon_proto::{
    id::NodeId,
    sign::Keypair,
    wire::{Frame, Protocol, Refusal, RefusalCode, RequestClass},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{
    chain::Chain,
    metrics::UploadMetrics,
    register::ProviderOffer,
    store::{Columns, StoreError},
};

mod chain;
pub mod credit;
mod get;
mod manifest;
mod place_locks;
pub(crate) mod put;
mod snapshot;
pub(crate) mod tickets;
mod unpaid;
mod uploads;

use credit::Credit;
use place_locks::PlaceLocks;
use tickets::Readers;
use uploads::UploadSessions;

/// KiB of requests that wait for a block or a validator: of all, of strangers, of those of one network, and of one
/// node.
const WAITING: Limits = Limits { all: 8192, strangers: 6144, prefix: 512, node: 64 };
/// How often idle uploads are dropped.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// What the server is made of.
#[derive(Debug)]
pub struct ServeParts {
    /// The node's key, which signs receipts.
    pub keypair: Keypair,
    /// The ledger.
    pub chain: Chain,
    /// The stored columns.
    pub columns: Arc<dyn Columns>,
    /// Threads for disk and hashing.
    pub workers: Workers,
    /// Shared with retention.
    pub credit: Arc<Credit>,
    /// What the operator has the node offer, as that changes.
    pub offers: watch::Receiver<Option<ProviderOffer>>,
    /// What is counted of uploads.
    pub metrics: UploadMetrics,
}

/// Threads that read and write the ledger for others, and for this node's followers.
pub(crate) const CHAIN_THREADS: usize = 4;

/// Requests of a class that are acted on concurrently.
const fn turns(class: RequestClass) -> usize {
    match class {
        RequestClass::Consensus => 1,
        // As many as have a thread: what would wait for one waits in the queue, where turns are fair.
        RequestClass::Chain => CHAIN_THREADS,
        RequestClass::Bulk => 32,
        // Each may read a mebibyte from everywhere on the disk.
        RequestClass::Background => 2,
    }
}

/// The server.
#[derive(Debug)]
pub struct Serve {
    parts: ServeParts,
    node: NodeId,
    uploads: Mutex<UploadSessions>,
    waiting: Quota,
    finishing: PlaceLocks,
    readers: Readers,
}

impl Serve {
    /// The server of the node with `parts.keypair`.
    pub fn new(parts: ServeParts) -> Self {
        Self {
            node: parts.keypair.public(),
            parts,
            uploads: Mutex::default(),
            waiting: Quota::new(WAITING),
            finishing: PlaceLocks::default(),
            readers: Readers::default(),
        }
    }

    /// Answers `requests`, except consensus messages, until `stop` or until the network ends.
    pub async fn run(self, requests: Requests, stop: CancellationToken) {
        let (serve, mut classes) = (Arc::new(self), JoinSet::new());
        for class in RequestClass::ALL.into_iter().filter(|class| *class != RequestClass::Consensus) {
            classes.spawn(serve.clone().serve(class, requests.clone(), stop.clone()));
        }
        drop(requests);
        let mut sweep = interval(SWEEP_EVERY);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                done = classes.join_next() => match done {
                    Some(done) => log_panic(done),
                    None => break,
                },
                _ = sweep.tick() => serve.sweep().await,
            }
        }
    }

    /// Answers the requests of one class.
    async fn serve(self: Arc<Self>, class: RequestClass, requests: Requests, stop: CancellationToken) {
        let (turns, mut tasks) = (Arc::new(Semaphore::new(turns(class))), JoinSet::new());
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(done) = tasks.join_next() => log_panic(done),
                next = next(&requests, class, &turns) => {
                    let Some((request, turn)) = next else { break };
                    tasks.spawn(self.clone().answer(request, turn));
                }
            }
        }
        tasks.shutdown().await;
    }

    async fn answer(self: Arc<Self>, inbound: Inbound, turn: OwnedSemaphorePermit) {
        let Inbound { source, protocol, request, reply } = inbound;
        let answer = match protocol {
            Protocol::Put => self.put(source.node, request, turn).await,
            Protocol::Get => self.get(source.node, request).await,
            Protocol::Manifest => self.manifest(request).await,
            Protocol::Chain => self.chain(source, request, turn).await,
            Protocol::Consensus => Err(not_a_validator()),
        };
        match answer {
            Ok(frame) => reply.send(frame),
            Err(refusal) => {
                tracing::debug!(node = %source.node, ?protocol, %refusal, "request refused");
                reply.refuse(&refusal);
            }
        }
    }

    /// Drops idle uploads.
    async fn sweep(&self) {
        let stale = lock(&self.uploads).expire(Instant::now());
        if stale.is_empty() {
            return;
        }
        stale.iter().for_each(|upload| self.parts.credit.release(upload));
        self.on_columns(move |columns| stale.iter().for_each(|upload| columns.abort(*upload))).await;
    }

    /// Runs `work` with the stored columns, on the workers.
    async fn on_columns<T: Send + 'static>(&self, work: impl FnOnce(&dyn Columns) -> T + Send + 'static) -> T {
        let columns = Arc::clone(&self.parts.columns);
        self.parts.workers.run(move || work(&*columns)).await
    }
}

/// Refuses consensus messages until this node takes part in the order.
pub async fn refuse_votes(requests: Requests, voting: CancellationToken) {
    while let Some(Some(inbound)) = voting.run_until_cancelled(requests.next(RequestClass::Consensus)).await {
        inbound.reply.refuse(&not_a_validator());
    }
}

fn not_a_validator() -> Refusal {
    Refusal::new(RefusalCode::NotFound, "this node is not a validator")
}

/// The next request, once there is a turn for it.
async fn next(
    requests: &Requests,
    class: RequestClass,
    turns: &Arc<Semaphore>,
) -> Option<(Inbound, OwnedSemaphorePermit)> {
    let turn = Arc::clone(turns).acquire_owned().await.expect("the semaphore is never closed");
    // Cancel-safe: the permit is released, and a request is only received with one.
    requests.next(class).await.map(|request| (request, turn))
}

/// A request must not stop the node: the client is refused, and the operator told.
fn log_panic(done: Result<(), JoinError>) {
    if let Err(error) = done {
        tracing::error!(%error, "request handler panicked; this is a bug");
    }
}

/// The request in a frame's head.
fn decode<T: BorshDeserialize + BorshSerialize>(frame: &Frame) -> Result<T, Refusal> {
    frame.decode().map_err(|error| Refusal::new(RefusalCode::BadRequest, error))
}

/// The frame that answers with `head` and `body`.
fn answer<T: BorshSerialize>(head: T, body: Bytes) -> Frame {
    Frame::new(&Ok::<T, Refusal>(head), body)
}

fn no_body(frame: &Frame) -> Result<(), Refusal> {
    if frame.body.is_empty() {
        Ok(())
    } else {
        Err(Refusal::new(RefusalCode::BadRequest, "this request must have an empty body"))
    }
}

/// The refusal for an error of the store. Details of this machine's failures are for its operator, not for strangers.
fn refuse_store(error: StoreError) -> Refusal {
    let code = match &error {
        StoreError::Full { .. } | StoreError::NoVolume => RefusalCode::Full,
        // Of any column that is not stored: nothing for the log.
        StoreError::Unavailable => return Refusal::new(RefusalCode::Internal, error),
        StoreError::UnknownUpload | StoreError::NotFound { .. } => RefusalCode::NotFound,
        StoreError::TooLong { .. } | StoreError::Range { .. } => RefusalCode::BadRequest,
        StoreError::TooEarly { .. } | StoreError::Opening => RefusalCode::Busy,
        StoreError::Mismatch { .. } | StoreError::WrongManifest { .. } | StoreError::Corrupt { .. } => {
            RefusalCode::Corrupt
        }
        _ => RefusalCode::Internal,
    };
    if code != RefusalCode::Internal {
        return Refusal::new(code, error);
    }
    tracing::error!(%error, "store failed; a request cannot be answered");
    Refusal::new(code, "the node's store failed; use another holder")
}

#[cfg(test)]
mod tests;
