//! The trait of the ledger's storage: one state at a time, and one durable commit for each block.
//!
//! In come decided blocks with the changes that the rules computed; out go views for the rules and blocks for peers.
//! Nothing is decided here. [`super::rocks::Rocks`] and [`super::memory::MemoryLedger`] implement it.

use std::{fmt, path::PathBuf};

use ostrakon_proto::{
    id::{AccountId, BlockId, ChainId, Height, TxId},
    ledger::{
        history::HistoryNode,
        snapshot::SnapshotChunk,
        state::{Changes, Records},
        tx::DecidedBlock,
    },
    light::{CertifiedHeader, Handover, TxPlace},
};

/// What light clients need of this block, if the validators change after it. `base` is the state before it.
pub(super) fn handover_of(base: &dyn Records, decided: &DecidedBlock, changes: &Changes) -> Option<Handover> {
    let header = &decided.block.header;
    (header.validators != header.next_validators).then(|| Handover {
        header: header.clone(),
        certificate: decided.certificate.clone(),
        next: changes.validator_set(base),
    })
}

/// Stores the ledger of one chain. All methods may block; callers are on the workers' pool.
///
/// # One state
/// A view shows one height, however many blocks are committed while it exists. A commit is durable and complete when it
/// returns, or had no effect. Blocks are committed in the order of heights by one caller at a time.
pub trait LedgerStore: Send + Sync + fmt::Debug + 'static {
    /// The records as of the last commit.
    fn view(&self) -> Box<dyn Records + '_>;

    /// Stores the block and its changes; does nothing for a block at or below the tip.
    ///
    /// # Errors
    /// [`LedgerError::Gap`] when a block before it is missing, [`LedgerError::Database`] when the disk failed: nothing
    /// more may then be committed until a restart.
    fn commit(&self, decided: &DecidedBlock, changes: &Changes) -> Result<(), LedgerError>;

    /// The block at this height, if there is one; height 0, the genesis, has none.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed or what it holds is damaged.
    fn block(&self, height: Height) -> Result<Option<DecidedBlock>, LedgerError>;

    /// The node of the history at this position ([`ostrakon_proto::ledger::history`]).
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed or what it holds is damaged.
    fn past(&self, position: u64) -> Result<Option<[u8; 32]>, LedgerError>;

    /// The first block from `from` on after which the validators change.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed or what it holds is damaged.
    fn handover(&self, from: Height) -> Result<Option<Handover>, LedgerError>;

    /// The height of the block that has this transaction, applied or charged.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed or what it holds is damaged.
    fn inclusion(&self, tx: &TxId) -> Result<Option<Height>, LedgerError>;

    /// The positions of transactions that touch the account, of those before `before`: newest first, at most `limit`.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed or what it holds is damaged.
    fn touching(&self, account: &AccountId, before: TxPlace, limit: usize) -> Result<Vec<TxPlace>, LedgerError>;

    /// The oldest block that is not pruned; there is a snapshot at or above it.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed or what it holds is damaged.
    fn first_block(&self) -> Result<Height, LedgerError> {
        Ok(Height(1))
    }

    /// The snapshots that [`LedgerStore::chunk`] reads, the newest last.
    fn snapshots(&self) -> Vec<CertifiedHeader> {
        Vec::new()
    }

    /// The chunk of the snapshot of this height that follows the record whose key hashes to `after`, or the first
    /// chunk. `None` when there is no such snapshot, or nothing follows.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed or what it holds is damaged, or `after` is not a record.
    fn chunk(&self, _height: Height, _after: Option<[u8; 32]>) -> Result<Option<SnapshotChunk>, LedgerError> {
        Ok(None)
    }

    /// Stores nodes of the history that were missing, all or none.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed.
    fn add_past(&self, _nodes: &[HistoryNode]) -> Result<(), LedgerError> {
        Ok(())
    }

    /// Does a part of the background work, beside commits: prepares snapshots, prunes old blocks. Returns whether there
    /// is more to do.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed or what it holds is damaged; it may be tried again later.
    fn tend(&self) -> Result<bool, LedgerError> {
        Ok(false)
    }
}

/// Why the ledger cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The caller skipped blocks.
    #[error("block {height} does not follow the ledger's tip {tip}: blocks between them are missing")]
    Gap {
        /// The block's height.
        height: Height,
        /// The tip's.
        tip: Height,
    },
    /// The disk failed: repair it and restart the node.
    #[error("ledger database failed: {reason}; nothing more is written: repair the disk and restart the node")]
    Database {
        /// The database's error.
        reason: String,
    },
    /// The network is not the one that the operator means.
    #[error(
        "block {height} is {got}, but the trusted checkpoint has {expected}: the node is on another chain; check \
         `checkpoint` in node.toml with a source that you trust, and if it is right, delete the node's directory \
         `chain`"
    )]
    Checkpoint {
        /// The height of the checkpoint.
        height: Height,
        /// The checkpoint's block.
        expected: BlockId,
        /// The chain's block.
        got: BlockId,
    },
    /// What is on disk is not what was written.
    #[error("ledger database is damaged: cannot read {what}; delete the node's directory `chain` to sync it again")]
    Damaged {
        /// The kind of record.
        what: &'static str,
    },
    /// The network uses rules that this program does not know: update it.
    #[error("from height {height} on the network uses rules of version {protocol}: update this program")]
    Outdated {
        /// The version.
        protocol: u32,
        /// The first height with these rules.
        height: Height,
    },
}

/// Why a ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenLedgerError {
    /// The directory holds another network's ledger.
    #[error("{} has the ledger of network {found}, but the genesis is {wanted}: use another directory", dir.display())]
    OtherChain {
        /// The directory.
        dir: PathBuf,
        /// The chain it holds.
        found: ChainId,
        /// The chain of the genesis.
        wanted: ChainId,
    },
    /// It was written by another version.
    #[error("{} has ledger format {found}, not {known}: use the version that wrote it, or delete it", dir.display())]
    Format {
        /// The directory.
        dir: PathBuf,
        /// The format found.
        found: u32,
        /// The format known.
        known: u32,
    },
    /// The database does not open: another process has it open, or it is damaged.
    #[error("cannot open the ledger in {}: {reason}", dir.display())]
    Database {
        /// The directory.
        dir: PathBuf,
        /// The database's error.
        reason: String,
    },
    /// It opens, but its first records cannot be read.
    #[error("cannot read the ledger in {}", dir.display())]
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// The record that cannot be read.
        #[source]
        source: LedgerError,
    },
}
