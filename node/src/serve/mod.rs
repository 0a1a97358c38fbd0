//! The server: each request of another node is decoded, validated, acted on and answered, in a straight line.
//!
//! In come [`Inbound`] requests, none of them trusted; out go answers and refusals. [`put`], [`get`], [`manifest`] and
//! [`chain`] are the four protocols; [`uploads`] and [`credit`] are the state of put. What strangers can use up is
//! bounded here: concurrent requests, the bytes they hold, and requests that wait for a block.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use ostrakon_net::{Inbound, Workers, lock};
use ostrakon_proto::{
    id::NodeId,
    sign::Keypair,
    wire::{Frame, Protocol, Refusal, RefusalCode},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::{JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{
    chain::{Chain, order::InboxCell},
    retention::StorageLock,
    store::{Columns, StoreError},
};

mod chain;
pub mod credit;
mod get;
mod manifest;
mod put;
mod snapshot;
mod uploads;

use credit::Credit;
use uploads::UploadSessions;

/// Concurrent requests; the network layer queues or refuses more.
const TURNS: usize = 64;
/// Bytes of concurrent requests and their answers.
const BYTES: usize = 48 * 1024 * 1024;
/// Requests that wait for a block, of all nodes and of one.
const WAITING: usize = 1024;
const WAITING_PER_NODE: usize = 16;
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
    pub storage_lock: StorageLock,
    /// Shared with retention.
    pub credit: Arc<Credit>,
    /// The order's inbox for consensus messages, once this node may vote.
    pub inbox: InboxCell,
}

/// The server.
#[derive(Debug)]
pub struct Serve {
    parts: ServeParts,
    node: NodeId,
    uploads: Mutex<UploadSessions>,
    waiting: Mutex<BTreeMap<NodeId, usize>>,
    /// Permits to read a chunk of a snapshot.
    chunks: Semaphore,
}

impl Serve {
    /// The server of the node with `parts.keypair`.
    pub fn new(parts: ServeParts) -> Self {
        Self {
            node: parts.keypair.public(),
            parts,
            uploads: Mutex::default(),
            waiting: Mutex::default(),
            chunks: Semaphore::new(snapshot::CHUNKS),
        }
    }

    /// Answers what arrives at `inbound`, until `stop` or until the network ends.
    pub async fn run(self, mut inbound: mpsc::Receiver<Inbound>, stop: CancellationToken) {
        let (serve, turns, bytes) = (Arc::new(self), Arc::new(Semaphore::new(TURNS)), Arc::new(Semaphore::new(BYTES)));
        let (mut tasks, mut sweep) = (JoinSet::new(), interval(SWEEP_EVERY));
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(done) = tasks.join_next() => log_panic(done),
                _ = sweep.tick() => serve.sweep().await,
                next = next(&mut inbound, &turns) => {
                    let Some((request, turn)) = next else { break };
                    if let (Protocol::Consensus, Some(order)) = (request.protocol, serve.parts.inbox.get()) {
                        order.put(request);
                        continue;
                    }
                    tasks.spawn(serve.clone().answer(request, turn, bytes.clone()));
                }
            }
        }
        tasks.shutdown().await;
    }

    async fn answer(self: Arc<Self>, inbound: Inbound, turn: OwnedSemaphorePermit, bytes: Arc<Semaphore>) {
        let Inbound { from, protocol, request, reply } = inbound;
        let held = request.head.len() + request.body.len() + protocol.response_body_max();
        let held = u32::try_from(held).expect("the network bounds frames to a few MiB");
        let _held = bytes.acquire_many_owned(held).await.expect("the semaphore is never closed");
        let answer = match protocol {
            Protocol::Put => self.put(from, request).await,
            Protocol::Get => self.get(request).await,
            Protocol::Manifest => self.manifest(request).await,
            Protocol::Chain => self.chain(from, request, turn).await,
            // Those for a validator are passed to its order before.
            Protocol::Consensus => Err(Refusal::new(RefusalCode::NotFound, "this node is not a validator")),
        };
        match answer {
            Ok(frame) => reply.send(frame),
            Err(refusal) => {
                tracing::debug!(node = %from, ?protocol, %refusal, "request refused");
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

    /// Counts a waiting request of `node`, until the guard is dropped.
    fn wait_turn(&self, node: NodeId) -> Result<Waiting<'_>, Refusal> {
        let mut waiting = lock(&self.waiting);
        let all: usize = waiting.values().sum();
        if all >= WAITING || waiting.get(&node).is_some_and(|mine| *mine >= WAITING_PER_NODE) {
            return Err(Refusal::new(RefusalCode::Busy, "too many requests wait for a block on this node"));
        }
        *waiting.entry(node).or_default() += 1;
        Ok(Waiting { serve: self, node })
    }
}

/// The next request, once there is a permit for it.
async fn next(
    inbound: &mut mpsc::Receiver<Inbound>,
    turns: &Arc<Semaphore>,
) -> Option<(Inbound, OwnedSemaphorePermit)> {
    let turn = Arc::clone(turns).acquire_owned().await.expect("the semaphore is never closed");
    // Cancel-safe: the permit is released, and a request is only received with one.
    inbound.recv().await.map(|request| (request, turn))
}

/// A request must not stop the node: the client is refused, and the operator told.
fn log_panic(done: Result<(), JoinError>) {
    if let Err(error) = done {
        tracing::error!(%error, "request handler panicked; this is a bug");
    }
}

/// A request that waits.
struct Waiting<'a> {
    serve: &'a Serve,
    node: NodeId,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = lock(&self.serve.waiting);
        if let Some(count) = waiting.get_mut(&self.node) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.node);
            }
        }
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
        StoreError::Full { .. } => RefusalCode::Full,
        StoreError::UnknownUpload | StoreError::NotFound { .. } => RefusalCode::NotFound,
        StoreError::TooLong { .. } | StoreError::Range { .. } => RefusalCode::BadRequest,
        StoreError::TooEarly { .. } => RefusalCode::Busy,
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
