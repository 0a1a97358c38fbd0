//! What a node that begins late needs of this one: snapshots of the state, and word of which blocks are still here.
//!
//! In go questions of [`crate::serve`], out come offers and parts of them; [`Chain::tend`] is the work behind it, for
//! which nobody waits. Not here: beginning late oneself ([`super::sync`]).

use std::sync::{Arc, OnceLock, atomic::AtomicBool};

use ostrakon_proto::{
    id::Height,
    ledger::{history::HistoryRange, snapshot::SnapshotChunk},
    light::CertifiedHeader,
};
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use super::{
    Chain,
    store::LedgerError,
    sync::checkpoint::{Checkpoint, check},
};

/// How far this node is behind the others, and what it does about it.
#[derive(Debug, Default)]
pub(super) struct Lag {
    /// Whether it had all the blocks that those it asked had.
    pub(super) synced: AtomicBool,
    /// Held while blocks are followed, or a snapshot is taken instead.
    pub(super) pulling: Mutex<()>,
    /// Rung when blocks that are wanted are pruned where they were asked for.
    pub(super) pruned: Notify,
    /// A block that the chain must have.
    pub(super) checkpoint: OnceLock<Checkpoint>,
}

impl Chain {
    /// The snapshots that can be had here, the newest last.
    pub async fn snapshots(&self) -> Vec<CertifiedHeader> {
        let shared = Arc::clone(&self.shared);
        self.shared.workers.run(move || shared.ledger.snapshots()).await
    }

    /// The part of a snapshot that follows `after`; `None` when it is not here, or nothing follows.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed, or `after` is no record of it.
    pub async fn chunk(&self, height: Height, after: Option<[u8; 32]>) -> Result<Option<SnapshotChunk>, LedgerError> {
        let shared = Arc::clone(&self.shared);
        self.shared.workers.run(move || shared.ledger.chunk(height, after)).await
    }

    /// A row of the history; `None` when not all of it is here.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed.
    pub async fn past(&self, row: HistoryRange) -> Result<Option<Vec<[u8; 32]>>, LedgerError> {
        let shared = Arc::clone(&self.shared);
        let read = move || {
            let mut failed = None;
            let hashes = row.read(|at| {
                shared.ledger.past(at).unwrap_or_else(|error| {
                    failed = Some(error);
                    None
                })
            });
            failed.map_or(Ok(hashes), Err)
        };
        self.shared.workers.run(read).await
    }

    /// The oldest block that is kept, or would be.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed.
    pub async fn first_block(&self) -> Result<Height, LedgerError> {
        let shared = Arc::clone(&self.shared);
        self.shared.workers.run(move || shared.ledger.first_block()).await
    }

    /// The block that the operator believes in, if one was given.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        self.shared.lag.checkpoint.get().copied()
    }

    /// From now on the chain has this block, or the node stops.
    ///
    /// # Errors
    /// [`LedgerError::Checkpoint`] when it has another already.
    pub async fn hold_to(&self, checkpoint: Checkpoint) -> Result<(), LedgerError> {
        let shared = Arc::clone(&self.shared);
        let known = self.shared.workers.run(move || shared.ledger.block(checkpoint.height)).await?;
        if let Some(decided) = known {
            check(checkpoint, checkpoint.height, decided.block.header.id())?;
        }
        self.shared.lag.checkpoint.get_or_init(|| checkpoint);
        Ok(())
    }

    /// After each block, does what can wait, until `stop`.
    pub async fn tend(&self, stop: CancellationToken) {
        let mut heads = self.subscribe();
        while !stop.is_cancelled() {
            let shared = Arc::clone(&self.shared);
            match self.shared.workers.run(move || shared.ledger.tend()).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "what is old is not deleted, or a snapshot is not made"),
            }
            stop.run_until_cancelled(heads.next()).await;
        }
    }
}
