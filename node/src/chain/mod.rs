//! This node's ledger: stored on disk, extended or followed block by block, queried and submitted to.
//!
//! [`Chain`] is the handle that the rest of the node holds. [`store`] is the trait of the ledger's storage ([`rocks`],
//! [`memory`]), [`mempool`] holds transactions that wait for a block, [`submit`] gets them there by way of [`judge`]
//! and [`broadcast`]; [`order`] makes blocks with the other validators ([`order_ledger`] is the ledger as it sees it),
//! [`proofs`] holds storage proofs that wait for one,
//! and [`follow`] and [`sync`] fetch those that others have, through [`ask`]. [`answers`] and [`activity`] answer
//! queries with proofs, and [`evidence`] reports equivocation. The rules themselves are `ostrakon_proto::ledger`'s.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use ostrakon_net::{Peers, Workers, lock};
use ostrakon_proto::{
    id::{ChainId, Height, NodeId, TxId},
    ledger::{
        BlockError, Rules, execute_knowing,
        state::{Changes, Key, Record, Records, Tip},
        tx::DecidedBlock,
    },
    light::CertifiedHeader,
    wire::chain::Head,
};
use tokio::sync::Notify;

mod activity;
mod answers;
mod broadcast;
mod clocks;
pub mod evidence;
pub mod follow;
mod heads;
mod invalid_senders;
mod judge;
mod lag;
pub mod memory;
pub mod mempool;
pub mod order;
pub mod order_ledger;
mod proofs;
pub mod rocks;
mod snapshot;
pub mod store;
pub mod submit;
pub mod sync;
mod verified;

pub use activity::ActivityPage;
pub use answers::AnswerError;
pub use heads::HeadWatcher;
pub use snapshot::WaitingFor;

use broadcast::TxBroadcast;
use heads::Heads;
use invalid_senders::InvalidSenders;
use judge::BegunBlocks;
use mempool::Mempool;
use proofs::ProofPool;
use snapshot::SyncProgress;
use store::{LedgerError, LedgerStore};
use verified::Verified;

use crate::metrics::ChainMetrics;

/// A handle to the ledger; clones share it.
#[derive(Clone)]
pub struct Chain {
    shared: Arc<Shared>,
}

/// What a chain is made of.
#[derive(Debug)]
pub struct ChainParts {
    /// The network.
    pub id: ChainId,
    /// The ledger's storage.
    pub ledger: Arc<dyn LedgerStore>,
    /// Threads on which it is read, written and verified.
    pub workers: Workers,
    /// The network's other nodes.
    pub peers: Arc<dyn Peers>,
    /// What it counts.
    pub metrics: ChainMetrics,
}

struct Shared {
    /// The rules for the block after the tip.
    rules: Mutex<Arc<Rules>>,
    ledger: Arc<dyn LedgerStore>,
    workers: Workers,
    peers: Arc<dyn Peers>,
    pool: Mutex<Mempool>,
    proofs: Mutex<ProofPool>,
    checks: Checks,
    broadcast: TxBroadcast,
    /// Notified when the pool has something for the next block.
    work: Notify,
    heads: Heads,
    newest: Mutex<Newest>,
    sync: SyncProgress,
}

/// What the checks of transactions remember.
#[derive(Default)]
struct Checks {
    verified: Mutex<Verified>,
    invalid_senders: Mutex<InvalidSenders>,
    begun: BegunBlocks,
}

/// What is in memory of the newest block.
struct Newest {
    /// Its header and certificate; `None` before the first commit since the start.
    certified: Option<CertifiedHeader>,
    /// The nodes of the validators that decide the next block.
    validators: Vec<NodeId>,
}

/// Why a block was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The block is wrong: do not trust the node that sent it.
    #[error("invalid block at height {height}: {source}")]
    Block {
        /// Its height.
        height: Height,
        /// The rule that it breaks.
        source: BlockError,
    },
    /// It cannot be stored: the node must stop.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain").field("head", &self.head().height).finish_non_exhaustive()
    }
}

impl Chain {
    /// The chain that `parts.ledger` stores.
    pub async fn open(parts: ChainParts) -> Self {
        let view = Arc::clone(&parts.ledger);
        let ChainParts { id, ledger, workers, peers, metrics } = parts;
        let of_tip = move |records: &dyn Records| (head_of(records), validators_of(records), Rules::at(id, records));
        let (head, validators, rules) = workers.run(move || of_tip(&*view.view())).await;
        let shared = Shared {
            rules: Mutex::new(Arc::new(rules)),
            ledger,
            workers,
            peers,
            pool: Mutex::new(Mempool::default().counting(metrics.pool)),
            proofs: Mutex::default(),
            checks: Checks::default(),
            broadcast: TxBroadcast::default(),
            work: Notify::new(),
            heads: Heads::new(head),
            newest: Mutex::new(Newest { certified: None, validators }),
            sync: SyncProgress::new(metrics.sync),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The network's other nodes.
    pub fn peers(&self) -> Arc<dyn Peers> {
        Arc::clone(&self.shared.peers)
    }

    /// Threads on which it is read and written.
    pub fn workers(&self) -> Workers {
        self.shared.workers.clone()
    }

    /// The rules for the block after the tip; governance may change them with any block.
    pub fn rules(&self) -> Arc<Rules> {
        self.shared.rules()
    }

    /// The nodes of the validators that decide the next block, in the same order on every node: a transaction must
    /// reach them to get into a block.
    pub fn validators(&self) -> Vec<NodeId> {
        self.shared.newest().validators.clone()
    }

    /// The tip.
    pub fn head(&self) -> Head {
        self.shared.heads.current()
    }

    /// The tip as it moves.
    pub fn subscribe(&self) -> HeadWatcher {
        self.shared.heads.follow()
    }

    /// Waits until the tip is at `height` or above. Cancel-safe.
    pub async fn wait(&self, height: Height) -> Head {
        self.subscribe().until(|head| head.height >= height).await
    }

    /// Whether this node had all blocks of the nodes it asked, when it last asked.
    pub fn is_synced(&self) -> bool {
        self.shared.sync.synced.load(Ordering::Relaxed)
    }

    fn set_synced(&self, synced: bool) {
        self.shared.sync.synced.store(synced, Ordering::Relaxed);
    }

    /// What the next block waits for, when it takes long and this node votes on it.
    pub fn waiting_for(&self) -> Option<WaitingFor> {
        lock(&self.shared.sync.waiting_for).clone()
    }

    fn set_waiting_for(&self, waiting_for: Option<WaitingFor>) {
        *lock(&self.shared.sync.waiting_for) = waiting_for;
    }

    /// The result of `question` on the records of one height.
    pub async fn read<T: Send + 'static>(&self, question: impl FnOnce(&dyn Records) -> T + Send + 'static) -> T {
        self.work(move |shared| question(&*shared.ledger.view())).await
    }

    /// As [`Chain::read`], inside blocking work.
    pub fn look<T>(&self, question: impl FnOnce(&dyn Records) -> T) -> T {
        question(&*self.shared.ledger.view())
    }

    /// The decided block at `height`, when there is one.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed.
    pub async fn block(&self, height: Height) -> Result<Option<DecidedBlock>, LedgerError> {
        self.work(move |shared| shared.ledger.block(height)).await
    }

    /// Verifies a decided block from another node, and commits it with its changes.
    async fn accept(&self, decided: DecidedBlock) -> Result<(), AcceptError> {
        self.work(move |shared| shared.accept(&decided)).await
    }

    /// Runs `work` on the workers.
    async fn work<T: Send + 'static>(&self, work: impl FnOnce(&Shared) -> T + Send + 'static) -> T {
        let shared = Arc::clone(&self.shared);
        self.shared.workers.run(move || work(&shared)).await
    }
}

impl Shared {
    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn pool(&self) -> MutexGuard<'_, Mempool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn verified(&self) -> MutexGuard<'_, Verified> {
        self.checks.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn invalid_senders(&self) -> MutexGuard<'_, InvalidSenders> {
        self.checks.invalid_senders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(&self, decided: &DecidedBlock) -> Result<(), AcceptError> {
        let height = decided.block.header.height;
        let known = |id: &TxId| self.verified().contains(id);
        let executed = execute_knowing(&self.rules(), &*self.ledger.view(), decided, known);
        let changes = executed.map_err(|source| match outdated(&source) {
            Some(outdated) => AcceptError::Ledger(outdated),
            None => AcceptError::Block { height, source },
        })?;
        Ok(self.commit(decided, &changes)?)
    }

    /// First durable, then visible: what a reader saw is never undone.
    fn commit(&self, decided: &DecidedBlock, changes: &Changes) -> Result<(), LedgerError> {
        if let Some(checkpoint) = self.sync.checkpoint.get() {
            sync::checkpoint::check(*checkpoint, changes.tip.height, changes.tip.block)?;
        }
        self.ledger.commit(decided, changes)?;
        let before = self.rules();
        if changes.records.contains_key(&Key::Params) || before.fee_factor != changes.tip.running.fee_factor {
            let rules = Rules::at(before.chain, &*self.ledger.view());
            *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
        }
        let DecidedBlock { block, certificate } = decided;
        let certified = CertifiedHeader { header: block.header.clone(), certificate: certificate.clone() };
        self.newest().certified = Some(certified);
        let nonces = changes.records.iter().filter_map(|(key, record)| match (key, record) {
            (Key::Account(id), Some(Record::Account(account))) => Some((*id, account.nonce)),
            _ => None,
        });
        self.pool().advance(changes.tip.height, nonces);
        lock(&self.proofs).advance(changes.tip.running.clock.epoch, &decided.block.proofs);
        if before.fee_factor < changes.tip.running.fee_factor {
            let rules = self.rules();
            self.pool().drop_if(|tx| tx.check_fee(&rules).is_err());
        }
        if changes.records.keys().any(|key| matches!(key, Key::Validator(_))) {
            let validators = validators_of(&*self.ledger.view());
            self.newest().validators = validators;
        }
        self.heads.advance(head_of(&*self.ledger.view()));
        if self.pool().is_ready() {
            self.work.notify_one();
        }
        Ok(())
    }
}

/// The error that this program is too old, if that is why a block cannot be verified.
fn outdated(error: &BlockError) -> Option<LedgerError> {
    match *error {
        BlockError::Upgrade { protocol, height } => Some(LedgerError::Outdated { protocol, height }),
        _ => None,
    }
}

fn validators_of(records: &dyn Records) -> Vec<NodeId> {
    let voting = records.validators().into_iter().filter(|validator| validator.voting_power() > 0);
    voting.map(|validator| validator.node).collect()
}

fn head_of(records: &dyn Records) -> Head {
    let Tip { height, block, state, running } = records.tip();
    Head {
        height,
        block,
        epoch: running.clock.epoch,
        time_ms: running.time_ms,
        state,
        minted: running.minted,
        burnt: running.burnt,
        fee_factor: running.fee_factor,
    }
}

#[cfg(test)]
mod tests;
