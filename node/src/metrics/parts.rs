//! The counts of each part of the node, with their names and the words of their labels.
//!
//! Each struct has a method for each thing that happens, and registers its counts under the part's prefix. A count that
//! the part can be asked for is a gauge, which is set when the node writes its status. Not here: who calls.

use std::{sync::atomic::AtomicU64, time::Duration};

use ostrakon_net::metrics::{Labels, Registry, Seconds};
use ostrakon_proto::{
    id::{Epoch, Height},
    ledger::vote::VoteKind,
    wire::{consensus::ConsensusRequest, put::PutResponse},
};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Unit,
};

use crate::{chain::mempool::PoolError, retention::PlaceChange, store::Usage};

/// A gauge of something that cannot be negative.
type Level = Gauge<u64, AtomicU64>;

/// What a store makes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synced {
    /// A column's file, or a pack.
    Data,
    /// A directory's names.
    Directory,
    /// The index.
    Index,
}

/// The stored columns.
#[derive(Clone, Debug, Default)]
pub struct StoreMetrics {
    sync: Family<Labels<1>, Seconds>,
    written: Counter,
    read: Counter,
    packs: Level,
    columns: Level,
    bytes: Family<Labels<1>, Level>,
}

impl StoreMetrics {
    /// Counts a sync that took this long.
    pub fn synced(&self, what: Synced, duration: Duration) {
        let word = match what {
            Synced::Data => "data",
            Synced::Directory => "directory",
            Synced::Index => "index",
        };
        self.sync.get_or_create(&[("of", word)]).observe(duration);
    }

    /// Counts bytes written to columns and packs.
    pub fn wrote(&self, bytes: u64) {
        self.written.inc_by(bytes);
    }

    /// Counts bytes of columns that were read to be sent.
    pub fn read(&self, bytes: u64) {
        self.read.inc_by(bytes);
    }

    /// The store is this full.
    pub fn set_usage(&self, usage: &Usage) {
        self.columns.set(usage.columns);
        self.packs.set(usage.packs);
        for (state, bytes) in [
            ("used", usage.used_bytes),
            ("temporary", usage.temporary_bytes),
            ("trash", usage.trash_bytes),
            ("promised", usage.promised_bytes),
            ("free", usage.free_bytes),
        ] {
            self.bytes.get_or_create(&[("state", state)]).set(bytes);
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "How long it took to make columns' data, directories or the index durable";
        registry.register_with_unit("sync", help, Unit::Seconds, self.sync.clone());
        registry.register_with_unit("written", "Bytes written to columns and packs", Unit::Bytes, self.written.clone());
        registry.register_with_unit("read", "Bytes of columns read for other nodes", Unit::Bytes, self.read.clone());
        registry.register("packs", "Packs of small columns", self.packs.clone());
        registry.register("columns", "Columns stored", self.columns.clone());
        let help = "Bytes of columns stored, temporary, in the trash and promised to uploads, and bytes free";
        registry.register("bytes", help, self.bytes.clone());
    }
}

/// The ledger's storage, and the newest block.
#[derive(Clone, Debug, Default)]
pub struct LedgerMetrics {
    /// How long it took to store a block durably.
    pub commit: Seconds,
    height: Level,
    epoch: Level,
    synced: Level,
    peers: Level,
}

impl LedgerMetrics {
    /// The newest block is at this height; whether the node is synced, and how many nodes it is connected to.
    pub fn set(&self, height: Height, epoch: Epoch, synced: bool, peers: usize) {
        self.height.set(height.0);
        self.epoch.set(epoch.0);
        self.synced.set(u64::from(synced));
        self.peers.set(u64::try_from(peers).unwrap_or(u64::MAX));
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "How long it took to store a block and its changes durably";
        registry.register_with_unit("commit", help, Unit::Seconds, self.commit.clone());
        registry.register("height", "Height of the newest block", self.height.clone());
        registry.register("epoch", "Epoch of the newest block", self.epoch.clone());
        registry.register("synced", "1 while this node has all blocks of the others, else 0", self.synced.clone());
        registry.register("peers", "Nodes that this node is connected to", self.peers.clone());
    }
}

/// What the ledger's handle counts.
#[derive(Clone, Debug, Default)]
pub struct ChainMetrics {
    /// Blocks and snapshots that other nodes sent.
    pub sync: SyncMetrics,
    /// Transactions that wait for a block.
    pub pool: PoolMetrics,
}

/// Blocks and snapshots that other nodes sent.
#[derive(Clone, Debug, Default)]
pub struct SyncMetrics {
    /// Blocks of other nodes that were committed.
    pub blocks: Counter,
    /// Times that a source of blocks was backed off from.
    pub backoffs: Counter,
    /// Chunks of snapshots that were valid.
    pub chunks: Counter,
}

impl SyncMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("blocks", "Blocks of other nodes that were committed", self.blocks.clone());
        registry.register("backoffs", "Back-offs from nodes that send blocks", self.backoffs.clone());
        registry.register("chunks", "Chunks of snapshots that were received and are valid", self.chunks.clone());
    }
}

/// Transactions that wait for a block.
#[derive(Clone, Debug, Default)]
pub struct PoolMetrics {
    refused: Family<Labels<1>, Counter>,
    transactions: Level,
}

impl PoolMetrics {
    /// Counts a transaction that was refused.
    pub fn refuse(&self, error: &PoolError) {
        let reason = match error {
            PoolError::Used { .. } => "nonce_used",
            PoolError::Ahead { .. } => "nonce_ahead",
            PoolError::Underpriced { .. } => "underpriced",
            PoolError::AccountFull { .. } => "account_full",
            PoolError::Full => "full",
        };
        self.refused.get_or_create(&[("reason", reason)]).inc();
    }

    /// This many transactions wait.
    pub fn set_len(&self, count: usize) {
        self.transactions.set(u64::try_from(count).unwrap_or(u64::MAX));
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("transactions", "Transactions that wait for a block", self.transactions.clone());
        registry.register("refused", "Transactions that the mempool refused", self.refused.clone());
    }
}

/// How late votes are. In fine buckets: what is told by them is a difference.
#[derive(Clone, Debug)]
struct VoteDelays(Family<Labels<1>, Seconds>);

impl Default for VoteDelays {
    fn default() -> Self {
        Self(Family::new_with_constructor(Seconds::fine))
    }
}

/// The order, on a validator.
#[derive(Clone, Debug, Default)]
pub struct OrderMetrics {
    /// How long it took to make the consensus write-ahead log durable.
    pub log_sync: Seconds,
    /// How long it took to make the sign state durable.
    pub sign_state_sync: Seconds,
    height: Seconds,
    vote_delay: VoteDelays,
    decided: Family<Labels<1>, Counter>,
    received: Family<Labels<1>, Counter>,
    refused: Family<Labels<1>, Counter>,
}

impl OrderMetrics {
    /// Counts a block that was decided in `round`, `duration` after this validator had started its height.
    pub fn decided(&self, round: u32, duration: Duration) {
        let round = match round {
            0 => "0",
            1 => "1",
            2 => "2",
            _ => "3+",
        };
        self.decided.get_or_create(&[("round", round)]).inc();
        self.height.observe(duration);
    }

    /// Counts a vote of another validator, which was here so long after its round had begun here.
    pub fn voted(&self, kind: VoteKind, delay: Duration) {
        let word = match kind {
            VoteKind::Prevote => "prevote",
            VoteKind::Precommit => "precommit",
        };
        self.vote_delay.0.get_or_create(&[("vote", word)]).observe(delay);
    }

    /// Counts a message of another validator, before it is verified.
    pub fn received(&self, message: &ConsensusRequest) {
        let word = match message {
            ConsensusRequest::Proposal(_) => "proposal",
            ConsensusRequest::Vote(_) => "vote",
            ConsensusRequest::Polka(_) => "polka",
            ConsensusRequest::Round(_) => "round",
            ConsensusRequest::LastSeen(_) => "last_seen",
            ConsensusRequest::Block { .. } => "block",
        };
        self.received.get_or_create(&[("message", word)]).inc();
    }

    /// Counts a message that was dropped because it is invalid, with the reason in a word.
    pub fn refuse(&self, reason: &'static str) {
        self.refused.get_or_create(&[("reason", reason)]).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "How long it took to make the consensus write-ahead log durable";
        registry.register_with_unit("log_sync", help, Unit::Seconds, self.log_sync.clone());
        let help = "How long it took to make the sign state durable";
        registry.register_with_unit("sign_state_sync", help, Unit::Seconds, self.sign_state_sync.clone());
        let help = "Time from the start of a height to its decision";
        registry.register_with_unit("height", help, Unit::Seconds, self.height.clone());
        let help = "Time from the start of a round here until a vote of another validator was here, late ones included";
        registry.register_with_unit("vote_delay", help, Unit::Seconds, self.vote_delay.0.clone());
        registry.register("decided", "Blocks decided, by the round that decided them", self.decided.clone());
        registry.register("received", "Messages of other validators, before they are verified", self.received.clone());
        registry.register("refused", "Messages that were dropped, by reason", self.refused.clone());
    }
}

/// Columns that others upload.
#[derive(Clone, Debug, Default)]
pub struct UploadMetrics {
    opened: Counter,
    finished: Counter,
    received: Counter,
}

impl UploadMetrics {
    /// Counts what a request had done when it was answered with this.
    pub fn answered(&self, response: &PutResponse) {
        match response {
            PutResponse::Opened(_) => _ = self.opened.inc(),
            PutResponse::Receipt(_) => _ = self.finished.inc(),
            PutResponse::Ready { .. } | PutResponse::Aborted => {}
        }
    }

    /// Counts so many bytes of a column.
    pub fn received(&self, bytes: usize) {
        self.received.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("opened", "Uploads opened, or opened again", self.opened.clone());
        registry.register("finished", "Uploads answered with a receipt", self.finished.clone());
        registry.register_with_unit("received", "Bytes of columns received", Unit::Bytes, self.received.clone());
    }
}

/// Columns that the ledger changed.
#[derive(Clone, Debug, Default)]
pub struct RetentionMetrics {
    changes: Family<Labels<1>, Counter>,
}

impl RetentionMetrics {
    /// Counts a change to a place.
    pub fn changed(&self, change: PlaceChange) {
        let word = match change {
            PlaceChange::Commit => "commit",
            PlaceChange::Trash(_) => "trash",
            PlaceChange::Delete(_) => "delete",
        };
        self.changes.get_or_create(&[("change", word)]).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "changes",
            "Stored columns that were committed, trashed or deleted, by change",
            self.changes.clone(),
        );
    }
}

/// Repairs that this node did, and what it told the ledger of its own columns.
#[derive(Clone, Debug, Default)]
pub struct RepairMetrics {
    columns: Family<Labels<1>, Counter>,
    failures: Counter,
    read: Counter,
    written: Counter,
}

impl RepairMetrics {
    /// Counts so many columns: `rebuilt` or `moved` to other nodes, or those of this node that were `reported` as lost
    /// or `returned`.
    pub fn columns(&self, what: &'static str, count: usize) {
        self.columns.get_or_create(&[("what", what)]).inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Counts a repair that came to nothing.
    pub fn failed(&self) {
        self.failures.inc();
    }

    /// Counts bytes that a repair read, and those that it wrote here and to others.
    pub fn moved(&self, read: u64, written: u64) {
        self.read.inc_by(read);
        self.written.inc_by(written);
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "columns",
            "Columns rebuilt, moved, reported as lost or returned, by what was done",
            self.columns.clone(),
        );
        registry.register("failures", "Repairs that failed and are retried", self.failures.clone());
        registry.register_with_unit("read", "Bytes that repairs read", Unit::Bytes, self.read.clone());
        registry.register_with_unit("written", "Bytes that repairs wrote", Unit::Bytes, self.written.clone());
    }
}
