//! What the chain wants of the place that keeps it: one state at a time, and one durable commit a block.
//!
//! In come decided blocks with the changes that the rules computed; out go views for the rules and blocks for peers.
//! Nothing is decided here. The two keepers are [`super::rocks::Rocks`] and [`super::memory::MemoryLedger`].

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

/// What light clients need of this block, when others decide after it. `base` is the state before it.
pub(super) fn handover_of(base: &dyn Records, decided: &DecidedBlock, changes: &Changes) -> Option<Handover> {
    let header = &decided.block.header;
    (header.validators != header.next_validators).then(|| Handover {
        header: header.clone(),
        certificate: decided.certificate.clone(),
        next: changes.validator_set(base),
    })
}

/// Keeps the ledger of one chain. All methods may block; callers are on the workers' pool.
///
/// # One state
/// A view shows one height, however many blocks are committed while it lives. A commit is durable and whole when it
/// returns, or had no effect. Blocks are committed in the order of heights by one caller at a time.
pub trait LedgerStore: Send + Sync + fmt::Debug + 'static {
    /// The records as of the last commit.
    fn view(&self) -> Box<dyn Records + '_>;

    /// Keeps the block and its changes; a block at or below the tip is kept already, and nothing happens.
    ///
    /// # Errors
    /// [`LedgerError::Gap`] when a block before it is missing, [`LedgerError::Database`] when the disk failed: nothing
    /// more may then be committed until a restart.
    fn commit(&self, decided: &DecidedBlock, changes: &Changes) -> Result<(), LedgerError>;

    /// The block at this height, when there is one; genesis is none.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed or what it holds is damaged.
    fn block(&self, height: Height) -> Result<Option<DecidedBlock>, LedgerError>;

    /// The node of the history at this position ([`ostrakon_proto::ledger::history`]).
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed or what it holds is damaged.
    fn past(&self, position: u64) -> Result<Option<[u8; 32]>, LedgerError>;

    /// The first block from `from` on after which other validators decide.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed or what it holds is damaged.
    fn handover(&self, from: Height) -> Result<Option<Handover>, LedgerError>;

    /// The height of the block that has this transaction.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed or what it holds is damaged.
    fn inclusion(&self, tx: &TxId) -> Result<Option<Height>, LedgerError>;

    /// Where transactions are that touch the account, of those before this place: the newest first, at most `limit`.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed or what it holds is damaged.
    fn touching(&self, account: &AccountId, before: TxPlace, limit: usize) -> Result<Vec<TxPlace>, LedgerError>;

    /// The oldest block that is kept, or would be: older ones are pruned, and there is a snapshot above them.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed or what it holds is damaged.
    fn first_block(&self) -> Result<Height, LedgerError> {
        Ok(Height(1))
    }

    /// The states that are kept aside and can be had by [`LedgerStore::chunk`], the newest last.
    fn snapshots(&self) -> Vec<CertifiedHeader> {
        Vec::new()
    }

    /// The part of the snapshot of this height that follows the record whose key hashes to `after`, or the first.
    /// `None` when the snapshot is not kept, or nothing follows.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed or what it holds is damaged, or `after` is no record.
    fn chunk(&self, _height: Height, _after: Option<[u8; 32]>) -> Result<Option<SnapshotChunk>, LedgerError> {
        Ok(None)
    }

    /// Keeps nodes of the history that were missing, all or none.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed.
    fn keep_past(&self, _nodes: &[HistoryNode]) -> Result<(), LedgerError> {
        Ok(())
    }

    /// Does a part of what can wait: makes snapshots ready, deletes what is not kept any more. Commits go on meanwhile.
    /// Returns whether there is more to do.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed or what it holds is damaged. What can wait can wait longer.
    fn tend(&self) -> Result<bool, LedgerError> {
        Ok(false)
    }
}

/// Why the ledger cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The caller skipped blocks.
    #[error("block {height} does not follow the ledger's tip {tip}")]
    Gap {
        /// The block's height.
        height: Height,
        /// The tip's.
        tip: Height,
    },
    /// The disk failed: restart the node once it is repaired.
    #[error("the ledger's database failed: {reason}; nothing is written until the node is restarted")]
    Database {
        /// What the database said.
        reason: String,
    },
    /// The network is not the one that the operator means.
    #[error(
        "block {height} of this chain is {got}, and the node was given the checkpoint {expected}: it is on another \
         chain than those who made the checkpoint"
    )]
    Checkpoint {
        /// The height of the checkpoint.
        height: Height,
        /// Its block.
        expected: BlockId,
        /// The chain's.
        got: BlockId,
    },
    /// What is on disk is not what was written.
    #[error(
        "the ledger's database is damaged: {what} cannot be read; delete the node's chain directory to sync it again"
    )]
    Damaged {
        /// Which record.
        what: &'static str,
    },
    /// Update this program: the network goes on by rules that it does not know.
    #[error(
        "from height {height} on the network has version {protocol} of the rules: update this program and restart it"
    )]
    Outdated {
        /// The version.
        protocol: u32,
        /// The first height that it rules.
        height: Height,
    },
}

/// Why a ledger was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenLedgerError {
    /// The directory holds another network's ledger.
    #[error("{} has the ledger of chain {found}, the genesis is of {wanted}: use another directory", dir.display())]
    OtherChain {
        /// The directory.
        dir: PathBuf,
        /// The chain it holds.
        found: ChainId,
        /// The chain of the genesis.
        wanted: ChainId,
    },
    /// It was written by another version.
    #[error("{} is in ledger format {found}, this version reads format {known}", dir.display())]
    Format {
        /// The directory.
        dir: PathBuf,
        /// The format found.
        found: u32,
        /// The format known.
        known: u32,
    },
    /// The database does not open: another process has it, or it is damaged.
    #[error("cannot open the ledger in {}: {reason}", dir.display())]
    Database {
        /// The directory.
        dir: PathBuf,
        /// What the database said.
        reason: String,
    },
    /// It opens, but its first records cannot be read.
    #[error("cannot read the ledger in {}", dir.display())]
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// Which.
        #[source]
        source: LedgerError,
    },
}
