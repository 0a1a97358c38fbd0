//! Restores a ledger from a snapshot, in a directory beside the old ledger that replaces it when it is complete.
//!
//! In come chunks, out comes a directory that [`Rocks::open`] opens. Each chunk is one write, with the progress, so
//! that a restart resumes where the last one ended. Not here: which nodes are asked.
//!
//! ```text
//! chain.new      being restored; meta "restoring" -> SnapshotRestore
//! chain.ready    complete, and newer than `chain`, which it replaces when the node starts
//! ```

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use ostrakon_proto::{
    codec,
    id::ChainId,
    ledger::{
        Genesis, inventory,
        snapshot::{BadSnapshot, SnapshotChunk, SnapshotRestore},
        tx::DecidedBlock,
    },
    light::{CertifiedHeader, Handover},
};
use rocksdb::WriteBatch;

use super::{FIRST, FORMAT, HANDOVERS, META, NODES, RECORDS, Rocks, SINCE};
use crate::chain::store::{LedgerError, LedgerStore, OpenLedgerError};

const RESTORING: &[u8] = b"restoring";

/// The directories of a node's ledger, and of one that is being restored.
#[derive(Clone, Debug)]
pub struct LedgerDirs {
    dir: PathBuf,
}

/// Why a chunk or a snapshot was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// It is invalid.
    #[error(transparent)]
    Bad(#[from] BadSnapshot),
    /// It cannot be stored.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl LedgerDirs {
    /// The directories in a node's data directory.
    pub fn new(data: &Path) -> Self {
        Self { dir: data.to_owned() }
    }

    /// The directory of the ledger that the node runs on.
    pub fn chain(&self) -> PathBuf {
        self.dir.join("chain")
    }

    /// Every directory that a ledger may be in; the first is that of [`Self::chain`].
    pub fn all(&self) -> Vec<PathBuf> {
        vec![self.chain(), self.new_chain(), self.ready_chain()]
    }

    fn new_chain(&self) -> PathBuf {
        self.dir.join("chain.new")
    }

    fn ready_chain(&self) -> PathBuf {
        self.dir.join("chain.ready")
    }

    /// Replaces the old ledger by a restored one, if there is one. Call it before the ledger is opened; if interrupted,
    /// it is done again.
    ///
    /// # Errors
    /// [`io::Error`] when the disk failed.
    pub fn settle(&self) -> io::Result<bool> {
        if !self.ready_chain().exists() {
            return Ok(false);
        }
        remove(&self.chain())?;
        fs::rename(self.ready_chain(), self.chain())?;
        File::open(&self.dir)?.sync_all()?;
        Ok(true)
    }

    /// Deletes a restoration that is not wanted any more.
    ///
    /// # Errors
    /// [`LedgerError::Database`] when the disk failed.
    pub fn give_up(&self) -> Result<(), LedgerError> {
        remove(&self.new_chain()).map_err(super::database)
    }

    /// The snapshot whose restoration was interrupted, if there is one.
    pub fn unfinished(&self, genesis: &Genesis) -> Option<CertifiedHeader> {
        if !self.new_chain().exists() {
            return None;
        }
        let rocks = Rocks::open_raw(&self.new_chain()).ok()?;
        let restoring = rocks.restoring(&genesis.id()).ok()??;
        Some(restoring.block().clone())
    }
}

impl Rocks {
    /// The progress of a restoration of this network's state.
    fn restoring(&self, chain: &ChainId) -> Result<Option<SnapshotRestore>, LedgerError> {
        let is_same = self.read::<u32>(META, b"format")? == Some(FORMAT)
            && self.read::<ChainId>(META, b"chain")?.as_ref() == Some(chain);
        if is_same { self.read(META, RESTORING) } else { Ok(None) }
    }
}

impl Rocks {
    /// Makes the inventories of providers, which a snapshot does not have.
    fn reindex(&self) -> Result<(), LedgerError> {
        let mut next = Some(inventory::FIRST);
        while let Some(from) = next {
            let (records, after) = inventory::reindex(&*self.view(), &from);
            let mut batch = WriteBatch::default();
            for (key, record) in &records {
                match record {
                    Some(record) => batch.put_cf(self.family(RECORDS), key.to_bytes(), codec::encode(record)),
                    None => batch.delete_cf(self.family(RECORDS), key.to_bytes()),
                }
            }
            self.db.write(batch).map_err(super::database)?;
            next = after;
        }
        // What was written without a sync is made durable before the directory takes its place.
        self.db.flush_wal(true).map_err(super::database)
    }
}

/// A ledger that is being restored.
#[derive(Debug)]
pub struct Restorer {
    dirs: LedgerDirs,
    rocks: Rocks,
    restoring: SnapshotRestore,
}

impl Restorer {
    /// Starts to restore this snapshot, or resumes; the restoration of another one is deleted.
    ///
    /// # Errors
    /// [`OpenLedgerError`] when the disk failed.
    pub fn open(dirs: &LedgerDirs, genesis: &Genesis, offer: &CertifiedHeader) -> Result<Self, OpenLedgerError> {
        let dir = dirs.new_chain();
        let failed = |reason: String| OpenLedgerError::Database { dir: dir.clone(), reason };
        let damaged = |source| OpenLedgerError::Damaged { dir: dir.clone(), source };
        let is_same = dirs.unfinished(genesis).is_some_and(|known| known.header == offer.header);
        if !is_same {
            remove(&dir).map_err(|error| failed(error.to_string()))?;
        }
        let rocks = Rocks::open_raw(&dir)?;
        let restoring = match rocks.restoring(&genesis.id()).map_err(damaged)? {
            Some(restoring) => restoring,
            None => {
                let restoring = SnapshotRestore::new(offer.clone());
                let mut batch = WriteBatch::default();
                rocks.stage_format(&mut batch, &genesis.id());
                batch.put_cf(rocks.family(META), RESTORING, codec::encode(&restoring));
                rocks.write(batch).map_err(damaged)?;
                restoring
            }
        };
        Ok(Self { dirs: dirs.clone(), rocks, restoring })
    }

    /// The progress.
    pub fn restoring(&self) -> &SnapshotRestore {
        &self.restoring
    }

    /// Verifies and stores the next chunk.
    ///
    /// # Errors
    /// [`RestoreError`] when it is invalid, or cannot be stored; nothing has changed then.
    pub fn take(&mut self, chunk: &SnapshotChunk) -> Result<(), RestoreError> {
        let mut restoring = self.restoring.clone();
        let part = restoring.take(chunk)?;
        let (mut batch, rocks) = (WriteBatch::default(), &self.rocks);
        for (key, record) in &part.records {
            batch.put_cf(rocks.family(RECORDS), key.to_bytes(), codec::encode(record));
        }
        part.nodes.iter().for_each(|(key, node)| batch.put_cf(rocks.family(NODES), key, node));
        batch.put_cf(rocks.family(META), RESTORING, codec::encode(&restoring));
        // Not synced: what is lost in a power cut is fetched again, and the end is synced.
        rocks.db.write(batch).map_err(super::database)?;
        self.restoring = restoring;
        Ok(())
    }

    /// Makes it the ledger that the node starts with next. `decided` is the block of the snapshot, `handovers` the
    /// known ones before it.
    ///
    /// # Errors
    /// [`RestoreError`] when the state is incomplete, or the disk failed.
    pub fn finish(self, decided: &DecidedBlock, handovers: &[Handover]) -> Result<(), RestoreError> {
        let Self { dirs, rocks, restoring } = self;
        let changes = restoring.finish()?;
        let height = changes.tip.height;
        let mut batch = WriteBatch::default();
        rocks.stage(&mut batch, &changes);
        rocks.stage_block(&mut batch, decided);
        rocks.stage_touches(&mut batch, &decided.block);
        for handover in handovers {
            let height = handover.header.height.0.to_be_bytes();
            batch.put_cf(rocks.family(HANDOVERS), height, codec::encode(handover));
        }
        batch.put_cf(rocks.family(META), FIRST, codec::encode(&height));
        // It offers what it is made of, as the nodes do that it has this from.
        batch.put_cf(rocks.family(META), SINCE, codec::encode(&0u64));
        batch.delete_cf(rocks.family(META), RESTORING);
        rocks.write(batch)?;
        // Inventories follow without the rosters, which the next start reads.
        rocks.rosters.note(height, changes.rosters);
        rocks.reindex()?;
        drop(rocks);
        let moved = remove(&dirs.ready_chain())
            .and_then(|()| fs::rename(dirs.new_chain(), dirs.ready_chain()))
            .and_then(|()| File::open(&dirs.dir)?.sync_all());
        Ok(moved.map_err(super::database)?)
    }
}

/// Deletes a directory that may be missing.
fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
