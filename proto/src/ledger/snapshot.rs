//! Snapshots: how a node starts from the state of a block instead of replaying all blocks (SPEC, "Snapshots").
//!
//! In go a verified [`CertifiedHeader`], and [`SnapshotChunk`]s in order from any peer; out come [`SnapshotPart`]s for
//! a store to write, and at the end the [`Changes`] that make them a state. Each chunk is proven against the header's
//! state root when it arrives. What the tree does not contain is derived from what it does: index entries from the
//! records ([`Record::marks`]), the tip from the header and the record of running values, and the history from the
//! peaks in that record, whose root the header contains.
//!
//! Not here: why the header is trusted ([`crate::light`]), and which node is asked.

use borsh::{BorshDeserialize, BorshSerialize};

pub use crate::ledger::tree::snapshot::{BadChunk, SnapshotChunk, chunk};
use crate::{
    codec,
    ledger::{
        roster::Rosters,
        state::{Changes, Key, Record, Running, Tip},
        tree::{
            Patch,
            snapshot::{EncodedNode, EncodedRecord, TreeRestore},
        },
    },
    light::CertifiedHeader,
    limits,
};

/// What a store writes for one chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotPart {
    /// Records, index entries included.
    pub records: Vec<(Key, Record)>,
    /// Nodes of the state tree.
    pub nodes: Vec<EncodedNode>,
}

/// Why a snapshot cannot be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadSnapshot {
    /// The chunk's sender is at fault: ask another node for the same chunk.
    #[error(transparent)]
    Chunk(#[from] BadChunk),
    /// The chain has records that this program cannot read: update it.
    #[error("the state has records that this program cannot read: update it to a newer version")]
    Foreign,
    /// Two thirds of the validators certified a header that its own state contradicts.
    #[error("the state contradicts its certified header: the validators of this chain cannot be trusted")]
    Running,
    /// Chunks are missing: fetch them first.
    #[error("the snapshot is not complete: chunks are missing")]
    Incomplete,
}

/// A state being restored. Its canonical bytes, written in one batch with each [`SnapshotPart`], let a restart resume.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SnapshotRestore {
    block: CertifiedHeader,
    tree: TreeRestore,
    running: Option<Running>,
}

impl SnapshotRestore {
    /// An empty restore of the state after this block, which the caller has verified to be decided.
    pub fn new(block: CertifiedHeader) -> Self {
        let tree = TreeRestore::new(block.header.state, block.header.height.0);
        Self { block, tree, running: None }
    }

    /// The block whose state it is.
    pub fn block(&self) -> &CertifiedHeader {
        &self.block
    }

    /// The key hash that the next chunk comes after; `None` for the first chunk.
    pub fn after(&self) -> Option<[u8; 32]> {
        self.tree.after()
    }

    /// Whether all chunks were accepted.
    pub fn is_complete(&self) -> bool {
        self.tree.is_complete()
    }

    /// Verifies and accepts the next chunk.
    ///
    /// # Errors
    /// [`BadSnapshot`] when the chunk is invalid or not the next one; then nothing has changed.
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
        let marks: Vec<_> =
            records.iter().flat_map(|(_, record)| record.marks()).map(|mark| (mark, Record::Mark)).collect();
        records.extend(marks);
        self.tree = tree;
        self.running = running.or_else(|| self.running.take());
        Ok(SnapshotPart { records, nodes })
    }

    /// The changes that make the parts a state: the tip, the root of the tree, and the peaks of the history.
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
        let history = history.nodes();
        let tip = Tip { height: header.height, block: header.id(), state: header.state, running };
        let tree = Patch { root: header.state, nodes: vec![root], stale: Vec::new() };
        // The store reads the rosters from the records.
        Ok(Changes { tip, records: [].into(), tree, history, rosters: Rosters::default() })
    }
}

/// Decodes a record of the tree.
fn read((key, value): &EncodedRecord) -> Result<(Key, Record), BadSnapshot> {
    let key = Key::from_bytes(key).filter(Key::is_proven).ok_or(BadSnapshot::Foreign)?;
    let record = codec::decode(value, limits::CHAIN_BODY).map_err(|_| BadSnapshot::Foreign)?;
    Ok((key, record))
}
