//! The order: validators agree on the next block by Tendermint consensus, and each signs what was decided.
//!
//! In come blocks to build on ([`Ledger`]) and messages of other validators ([`Requests`]); out go messages, decided
//! blocks with their certificates, and evidence of equivocation. [`Order`] runs one height after the other from parts
//! that each own one idea:
//!
//! - [`core`] is the consensus engine, [`session`] runs it for one height, with that height's [`proposals`]
//!   ([`blocks`]) and [`timers`] ([`delays`], [`rounds`]); [`pace`] says when the next height starts.
//! - [`halt`] reports whose votes a height waits for that takes long.
//! - [`messages`] is the exchange with the other validators: [`outbox`], [`received`], and [`catch_up`] for decided
//!   blocks that this validator missed. [`signatures`] bounds what it costs to check them.
//! - [`signer`] is what survives a crash: the write-ahead log ([`wal`]) and the sign state ([`sign_state`]).
//! - [`guard`] keeps two processes with one key from both signing: [`signing_status`], [`last_seen`], [`leases`].
//!
//! The order knows blocks as bytes with an id; the rules are the ledger's.
//!
//! # What is promised
//! - No two blocks of one height are decided while validators that break the rules have less than a third of the power.
//! - This validator never equivocates: it signs one value for a height, round and step, whatever instant it dies at;
//!   and when its disk was restored to an earlier state, it signs nothing until it can no longer contradict itself.
//! - When the write-ahead log or the sign state cannot be written, the order ends with an error: it never signs what it
//!   has not recorded.
//!
//! # Time
//! All time is tokio's and nothing is random: a simulated network replays exactly.

use std::{fmt, io, sync::Arc};

use ostrakon_net::{Inbound, Peers, Requests, Workers};
use ostrakon_proto::{id::ChainId, sign::Keypair, wire::consensus::Incarnation};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::store::LedgerError;
use crate::metrics::OrderMetrics;

mod blocks;
mod catch_up;
mod context;
mod core;
mod delays;
mod guard;
mod halt;
mod last_seen;
mod leases;
pub mod ledger;
mod messages;
mod outbox;
mod pace;
mod proposals;
mod received;
mod rounds;
mod session;
pub mod sign_state;
mod signatures;
mod signer;
mod signing_status;
mod timers;
pub mod wal;

pub use halt::{Awaited, HaltReport};
pub use ledger::{BlockVerdict, Committee, EncodedBlock, Equivocation, Ledger};

use context::BftValidators;
use guard::Guard;
use last_seen::QueryContext;
use messages::{Arrivals, Messages};
use proposals::Proposals;
use session::{Session, SessionParts};
use sign_state::SignStore;
use signer::Signer;
use signing_status::Findings;
use wal::Wal;

/// What an order is made of.
#[derive(Clone, Debug)]
pub struct OrderParts {
    /// The network.
    pub chain: ChainId,
    /// The validator's vote key.
    pub key: Keypair,
    /// The ledger to extend.
    pub ledger: Arc<dyn Ledger>,
    /// The network's other nodes.
    pub peers: Arc<dyn Peers>,
    /// Their requests, of which those of consensus/1 are taken.
    pub requests: Requests,
    /// Threads on which blocks are built and validated, and files written.
    pub workers: Workers,
    /// The consensus write-ahead log, in the chain's directory.
    pub wal: Arc<dyn Wal>,
    /// The sign state, beside the vote key.
    pub signatures: Arc<dyn SignStore>,
    /// Names this process among those with the same key: never used before.
    pub incarnation: Incarnation,
    /// What it counts.
    pub metrics: OrderMetrics,
}

/// Why the order ended. Nothing was sent that is not recorded; restart the node when the cause is repaired.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// The ledger cannot be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The write-ahead log cannot be read or written.
    #[error(
        "cannot read or write the consensus write-ahead log; stopping to avoid equivocation: free space on the disk or \
         repair it, and restart the node"
    )]
    Wal(#[source] io::Error),
    /// The sign state cannot be read or written.
    #[error(
        "cannot read or write the file `sign-state`; stopping to avoid equivocation: free space on the disk or repair \
         it, and restart the node"
    )]
    SignState(#[source] io::Error),
    /// The system gave no thread.
    #[error("cannot start the consensus thread: {0}")]
    Thread(#[source] io::Error),
    /// The sign state does not decode.
    #[error(
        "the file `sign-state` is damaged; stopping to avoid equivocation: move it away and restart the node, which \
         signs again only when that is safe"
    )]
    Damaged,
}

/// The order's task.
pub struct Order {
    ledger: Arc<dyn Ledger>,
    workers: Workers,
    messages: Messages,
    signer: Signer,
    guard: Guard,
    /// When the last height started, or ended if this validator took no part in it; `None` before the first.
    last_start: Option<Instant>,
}

/// How a height ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// Its block is decided.
    Decided,
    /// It is not, and whether this validator may sign must be checked again.
    Watched,
    /// The node stops.
    Stopped,
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order").field("key", &self.signer.me()).finish_non_exhaustive()
    }
}

impl Order {
    /// The order of the validator with `parts.key`.
    pub fn new(parts: OrderParts) -> Self {
        let OrderParts { chain, key, ledger, peers, requests, workers, wal, signatures, incarnation, metrics } = parts;
        let messages = Messages::new((key.public(), chain), peers, Arrivals::new(requests), &ledger, metrics);
        let signer = Signer::new((key, chain), incarnation, workers.clone(), wal, signatures);
        Self { ledger, workers, messages, signer, guard: Guard::default(), last_start: None }
    }

    /// Decides one height after the other until `stop`.
    ///
    /// # Errors
    /// [`OrderError`] when something cannot be recorded.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), OrderError> {
        self.signer.load().await?;
        while !stop.is_cancelled() {
            let ledger = Arc::clone(&self.ledger);
            let committee = self.workers.run(move || ledger.committee()).await;
            match self.height(&committee, &stop).await? {
                Ended::Decided => _ = self.last_start.get_or_insert_with(Instant::now),
                Ended::Watched => self.guard.note_slow(committee.height),
                Ended::Stopped => break,
            }
        }
        Ok(())
    }

    async fn height(&mut self, committee: &Committee, stop: &CancellationToken) -> Result<Ended, OrderError> {
        let (height, rotation, mut last) = (committee.height, &committee.rotation, self.last_start.take());
        self.messages.start_height(committee);
        let validators = BftValidators::new(rotation.clone());
        let Some(validators) = validators.filter(|_| rotation.set().power(&self.signer.me()).is_some()) else {
            return self.look_on(committee, stop).await;
        };
        if self.guard.is_unknown() {
            // Other validators may ask for what they sent before this node restarted, even before it votes again.
            for entry in self.signer.read_log(height).await? {
                self.messages.received.record(&entry);
            }
        }
        loop {
            if let Some(ended) = self.check_status(committee, stop).await? {
                return Ok(ended);
            }
            if let Some(ended) = self.rest(committee, last.take(), stop).await? {
                return Ok(ended);
            }
            if !self.guard.expire(self.signer.has_signed()) {
                break;
            }
        }
        self.last_start = Some(Instant::now());
        let log = self.signer.read_log(height).await?;
        let peers = Arc::clone(&self.messages.peers);
        let proposals = Proposals::restore(&log, height, (Arc::clone(&self.ledger), self.workers.clone()), peers);
        let Self { messages, signer, guard, .. } = self;
        Session::new(SessionParts { committee, messages, signer, guard }, &validators, proposals, log).run(stop).await
    }

    /// A node that is not a validator waits until the height is decided.
    async fn look_on(&mut self, committee: &Committee, stop: &CancellationToken) -> Result<Ended, OrderError> {
        let mut reached = self.ledger.reached(committee.height);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Ended::Stopped),
                () = &mut reached => return Ok(Ended::Decided),
                inbound = self.messages.arrivals.next() => self.receive_early(inbound, committee),
            }
        }
    }

    /// Finds out whether this validator may sign, where that is not known; `Some` when the height ended before.
    async fn check_status(
        &mut self,
        committee: &Committee,
        stop: &CancellationToken,
    ) -> Result<Option<Ended>, OrderError> {
        let (height, set) = (committee.height, committee.rotation.set());
        if !self.guard.needs_check(height, Instant::now()) {
            return Ok(None);
        }
        let (key, chain) = (self.signer.me(), self.signer.chain);
        if set.is_quorum(set.power(&key).map_or(0, u128::from)) {
            return self.recover(committee, stop).await;
        }
        let mut reached = self.ledger.reached(height);
        self.messages.halt.begin(Instant::now());
        let mut query = self.guard.open_query(set, || QueryContext {
            peers: Arc::clone(&self.messages.peers),
            signer: self.signer.identity(),
            set: set.clone(),
            nodes: committee.nodes.clone(),
        });
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Some(Ended::Stopped)),
                () = self.messages.halt.until_due() => {
                    self.messages.report_halt(committee, Awaited::LastSeen, query.missing());
                }
                () = &mut reached => {
                    // The query stays open: on a busy chain it would otherwise never be answered.
                    self.guard.keep_query(query);
                    return Ok(Some(Ended::Decided));
                }
                answers = query.answered() => {
                    let (signed, has_record) = (self.signer.progress(), self.signer.has_record());
                    self.guard.conclude(&Findings { key, chain, set, height, signed, has_record, answers });
                    self.guard.keep_query(query);
                    if self.guard.may_sign() {
                        self.signer.start_record().await?;
                    }
                    return Ok(None);
                }
                inbound = self.messages.arrivals.next() => self.receive_early(inbound, committee),
            }
        }
    }

    /// A validator that decides alone has nobody to ask what it signed: it takes over the blocks of its own that other
    /// nodes have, and resumes. To wait for a later height would be to wait forever.
    async fn recover(&mut self, committee: &Committee, stop: &CancellationToken) -> Result<Option<Ended>, OrderError> {
        let (mut reached, mut recovered) = (self.ledger.reached(committee.height), self.ledger.recover());
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Some(Ended::Stopped)),
                done = &mut recovered => { done?; break },
                inbound = self.messages.arrivals.next() => self.receive_early(inbound, committee),
            }
        }
        self.guard.allow();
        Ok(futures::FutureExt::now_or_never(&mut reached).map(|()| Ended::Decided))
    }

    /// Handles a request while no engine runs: answers questions, buffers messages.
    fn receive_early(&mut self, inbound: Inbound, committee: &Committee) {
        if let Some(message) = self.messages.open(inbound, committee, |_| None)
            && let Some(own) = self.messages.buffer(message, committee, committee.height)
        {
            self.guard.saw_own(&own, committee.height, &self.signer);
        }
    }
}

#[cfg(test)]
mod tests;
