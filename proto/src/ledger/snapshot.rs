//! Snapshots: how a node begins with the state of a block instead of all blocks before it (SPEC, "Snapshots").
//!
//! In come a [`CertifiedHeader`] header that is believed, and [`SnapshotChunk`]s in their order from anybody; out come
//! [`SnapshotPart`]s for a store to keep, and at last the [`Changes`] that make them a state. All that a chunk says is
//! proven against the header's state root when it comes. What the tree has not follows from what it has: indexes from
//! the records ([`Record::mark`]), the tip from the header and the record of the running values, and the history from
//! the peaks in that record, whose root the header names.
//!
//! Not here: why the header is believed ([`crate::light`]), and who is asked.

use borsh::{BorshDeserialize, BorshSerialize};

pub use crate::ledger::tree::snapshot::{BadChunk, SnapshotChunk, chunk};
use crate::{
    codec,
    ledger::{
        state::{Changes, Key, Record, Running, Tip},
        tree::{
            Patch,
            snapshot::{EncodedNode, EncodedRecord, TreeRestore},
        },
    },
    light::CertifiedHeader,
    limits,
};

/// What a store keeps of one chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotPart {
    /// Records, with those of the indexes.
    pub records: Vec<(Key, Record)>,
    /// Nodes of the state tree.
    pub nodes: Vec<EncodedNode>,
}

/// Why a snapshot does not become a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadSnapshot {
    /// Whoever sent the chunk is at fault: ask another for the same.
    #[error(transparent)]
    Chunk(#[from] BadChunk),
    /// The chain has records that this program cannot read: take a newer version of it.
    #[error("the state has records that this version cannot read: take a newer one")]
    Foreign,
    /// Two thirds of the validators certified a header that its own state contradicts: nobody's state can be believed.
    #[error("the running values of the state are not those of its header")]
    Running,
    /// Chunks are missing: take them first.
    #[error("the state is not complete")]
    Incomplete,
}

/// A state that is being restored. Its canonical bytes, kept in one step with each [`SnapshotPart`], are where it goes
/// on.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SnapshotRestore {
    block: CertifiedHeader,
    tree: TreeRestore,
    running: Option<Running>,
}

impl SnapshotRestore {
    /// Nothing yet of the state after this block, which is believed to be decided.
    pub fn new(block: CertifiedHeader) -> Self {
        let tree = TreeRestore::new(block.header.state, block.header.height.0);
        Self { block, tree, running: None }
    }

    /// The block whose state it is.
    pub fn block(&self) -> &CertifiedHeader {
        &self.block
    }

    /// What the next chunk comes after.
    pub fn after(&self) -> Option<[u8; 32]> {
        self.tree.after()
    }

    /// Whether all chunks are there.
    pub fn is_complete(&self) -> bool {
        self.tree.is_complete()
    }

    /// Takes the next chunk.
    ///
    /// # Errors
    /// [`BadSnapshot`] when it is not the one, or says what cannot be; then all is as it was.
    pub fn take(&mut self, chunk: &SnapshotChunk) -> Result<SnapshotPart, BadSnapshot> {
        let mut tree = self.tree.clone();
        // Only what is proven is read.
        let nodes = tree.take(chunk)?;
        let read: Result<Vec<_>, _> = chunk.records().iter().map(read).collect();
        let mut records = read?;
        let running = records.iter().find_map(|(_, record)| match record {
            Record::Running(running) => Some(running.clone()),
            _ => None,
        });
        let marks: Vec<_> = records.iter().filter_map(|(_, record)| Some((record.mark()?, Record::Mark))).collect();
        records.extend(marks);
        self.tree = tree;
        self.running = running.or_else(|| self.running.take());
        Ok(SnapshotPart { records, nodes })
    }

    /// What makes the parts a state: the tip, the root of the tree, and what stands of the history.
    ///
    /// # Errors
    /// [`BadSnapshot`] when chunks are missing, or the state is not that of the header.
    pub fn finish(&self) -> Result<Changes, BadSnapshot> {
        let header = &self.block.header;
        let root = self.tree.finish().ok_or(BadSnapshot::Incomplete)?;
        let running = self.running.clone().ok_or(BadSnapshot::Running)?;
        let history = &running.history;
        let is_of_header =
            history.len() == header.height.0 && history.root() == header.history && running.time_ms == header.time_ms;
        if !is_of_header {
            return Err(BadSnapshot::Running);
        }
        let history = history.standing();
        let tip = Tip { height: header.height, block: header.id(), state: header.state, running };
        let tree = Patch { root: header.state, nodes: vec![root], stale: Vec::new() };
        Ok(Changes { tip, records: [].into(), tree, history })
    }
}

/// A record of the tree, as the ledger reads it.
fn read((key, value): &EncodedRecord) -> Result<(Key, Record), BadSnapshot> {
    let key = Key::from_bytes(key).filter(Key::is_proven).ok_or(BadSnapshot::Foreign)?;
    let record = codec::decode(value, limits::CHAIN_BODY).map_err(|_| BadSnapshot::Foreign)?;
    Ok((key, record))
}
