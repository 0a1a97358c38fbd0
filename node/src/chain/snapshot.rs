//! What this node offers to nodes that join late: snapshots of the state, and which blocks are not pruned.
//!
//! In come queries of [`crate::serve`], out go offers and chunks; [`Chain::tend`] makes snapshots and prunes blocks in
//! the background. Not here: joining late oneself ([`super::sync`]).

use std::sync::{OnceLock, atomic::AtomicBool};

use ostrakon_proto::{
    id::{Height, NodeId},
    ledger::{history::HistoryRange, snapshot::SnapshotChunk},
    light::CertifiedHeader,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use super::{
    Chain, Shared,
    store::LedgerError,
    sync::checkpoint::{Checkpoint, check},
};
use crate::metrics::SyncMetrics;

/// What a block waits for that is not decided for long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingFor {
    /// Height of the block.
    pub height: Height,
    /// Since when this node has worked on it, in milliseconds of Unix time.
    pub since_ms: u64,
    /// The nodes of the validators whose votes are missing.
    pub validators: Vec<NodeId>,
}

/// Whether this node is behind the others, and how it catches up.
#[derive(Debug)]
pub(super) struct SyncProgress {
    /// Whether it had all blocks of the nodes it asked.
    pub(super) synced: AtomicBool,
    /// What the next block waits for.
    pub(super) waiting_for: std::sync::Mutex<Option<WaitingFor>>,
    /// Held while blocks are fetched, or a snapshot is restored instead.
    pub(super) pulling: Mutex<()>,
    /// Notified when a node that was asked has pruned the blocks that this one needs.
    pub(super) pruned: Notify,
    /// The trusted checkpoint that the chain must contain.
    pub(super) checkpoint: OnceLock<Checkpoint>,
    /// What others sent.
    pub(super) metrics: SyncMetrics,
}

impl SyncProgress {
    pub(super) fn new(metrics: SyncMetrics) -> Self {
        Self {
            synced: AtomicBool::new(false),
            waiting_for: std::sync::Mutex::default(),
            pulling: Mutex::default(),
            pruned: Notify::new(),
            checkpoint: OnceLock::new(),
            metrics,
        }
    }
}

impl Chain {
    /// The snapshots that this node has, the newest last.
    pub async fn snapshots(&self) -> Vec<CertifiedHeader> {
        self.work(|shared| shared.ledger.snapshots()).await
    }

    /// The chunk of a snapshot that follows `after`; `None` when there is no such snapshot, or nothing follows.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed, or `after` is not a record of it.
    pub async fn chunk(&self, height: Height, after: Option<[u8; 32]>) -> Result<Option<SnapshotChunk>, LedgerError> {
        self.work(move |shared| shared.ledger.chunk(height, after)).await
    }

    /// A row of the history; `None` when this node has not all of it.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed.
    pub async fn past(&self, row: HistoryRange) -> Result<Option<Vec<[u8; 32]>>, LedgerError> {
        let read = move |shared: &Shared| {
            let mut failed = None;
            let hashes = row.read(|at| {
                shared.ledger.past(at).unwrap_or_else(|error| {
                    failed = Some(error);
                    None
                })
            });
            failed.map_or(Ok(hashes), Err)
        };
        self.work(read).await
    }

    /// The oldest block that is not pruned.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed.
    pub async fn first_block(&self) -> Result<Height, LedgerError> {
        self.work(|shared| shared.ledger.first_block()).await
    }

    /// The trusted checkpoint, if the operator set one.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        self.shared.sync.checkpoint.get().copied()
    }

    /// From now on the node stops if the chain has another block at this height.
    ///
    /// # Errors
    /// [`LedgerError::Checkpoint`] when it has another already.
    pub async fn hold_to(&self, checkpoint: Checkpoint) -> Result<(), LedgerError> {
        if let Some(decided) = self.block(checkpoint.height).await? {
            check(checkpoint, checkpoint.height, decided.block.header.id())?;
        }
        self.shared.sync.checkpoint.get_or_init(|| checkpoint);
        Ok(())
    }

    /// After each block, does the background work, until `stop`.
    pub async fn tend(&self, stop: CancellationToken) {
        let mut heads = self.subscribe();
        while !stop.is_cancelled() {
            match self.work(|shared| shared.ledger.tend()).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot prune old blocks or make a snapshot; retrying after the next block")
                }
            }
            stop.run_until_cancelled(heads.next()).await;
        }
    }
}
