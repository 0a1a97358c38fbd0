//! Columns that are not what their owner named, and what this node reports of them (SPEC, "Repair").
//!
//! In goes what was rebuilt, out goes a transaction. Where more than k columns can be read they are compared: leaves
//! that are no part of a codeword prove that the extent was encoded wrongly. Where they agree, or are too few, the name
//! is wrong, and this node reports what it made. Not here: what follows from a report, which are the ledger's rules.

use bytes::Bytes;
use futures::future::join_all;
use ostrakon_net::ask;
use ostrakon_proto::{
    audit::LeafProof,
    erasure,
    layout::Layout,
    ledger::tx::{Action, ColumnLeaf, Inconsistent, MadeColumn, Mismatch},
    limits,
    params::Code,
    tree::{Range, group_of_leaf},
    wire::get::{self, GetRequest, ReadAccess},
};
use ostrakon_transfer::{
    columns::{ColumnRead, Columns},
    rebuild::rows_of,
    rows::chunk_range,
};

use super::run::Run;

/// A chunk, and the index of its column.
type Chunk = (usize, Bytes);

impl Run<'_> {
    /// Reports columns that are not what their names say.
    pub(super) async fn report_wrong(&self, layout: &Layout, made: &[MadeColumn]) {
        let (commitment, rebuilder) = (self.commitment().id, self.on.node());
        let (object, extent) = (commitment.object, commitment.extent);
        let columns: Vec<u8> = made.iter().map(|made| made.index).collect();
        tracing::error!(
            %object, extent, ?columns,
            "rebuilt columns do not match their ids in the commitment: the object was inconsistent when it was added"
        );
        let action = match self.inconsistent(layout).await {
            Some(proof) => Action::Inconsistent(proof),
            // The ledger asks only who is drawn first.
            None if self.assignment().rebuilder != rebuilder => return,
            None => {
                let draw = self.assignment().draw.epoch;
                Action::Mismatch(Mismatch { commitment, rebuilder, draw, columns: made.to_vec() })
            }
        };
        if let Err(error) = self.on.submit(&self.job.owner, action).await {
            tracing::warn!(%object, extent, %error, "the ledger does not take a report of wrong columns");
        }
    }

    /// Leaves of one number, of k + 1 columns, that are no part of a codeword; `None` where all agree, or too few can
    /// be read.
    async fn inconsistent(&self, layout: &Layout) -> Option<Inconsistent> {
        let source = self.readable();
        let mut from: Vec<usize> = self.holders().map(|(index, _)| index).collect();
        for row in rows_of(layout, self.commitment().id.extent) {
            let chunk_len = layout.row(row)?.chunk_len();
            let _memory = self.ready(*layout, chunk_len, true).await;
            let chunks = some(&source, &mut from, chunk_range(row, chunk_len)).await?;
            let code = layout.code();
            let differs = self.on.workers.run(move || difference(code, &chunks)).await;
            if let Some(at) = differs {
                let offset = row.offset() + u64::try_from(at).expect("within a chunk");
                return self.prove(offset / u64::try_from(limits::LEAF).expect("1 KiB"), &from).await;
            }
        }
        None
    }

    /// The leaves of this number of the first k + 1 of these columns.
    async fn prove(&self, leaf: u64, from: &[usize]) -> Option<Inconsistent> {
        let need = usize::from(self.commitment().code.k) + 1;
        let leaves = join_all(from.iter().take(need).map(|index| self.leaf(*index, leaf))).await;
        let leaves = leaves.into_iter().collect::<Option<_>>()?;
        Some(Inconsistent { commitment: self.commitment().id, leaf, leaves })
    }

    async fn leaf(&self, index: usize, leaf: u64) -> Option<ColumnLeaf> {
        let Range { start, length } = group_of_leaf(leaf);
        let slot = &self.commitment().slots[index];
        let request = GetRequest { column: slot.column, access: ReadAccess::Ticket(self.ticket()), start, length };
        let (response, group) = ask(&*self.way.peers, slot.provider, get::range(&request)).await.ok()?;
        let leaf = LeafProof::of_group(self.commitment().column_len, leaf, &group, &response.siblings).ok()?;
        Some(ColumnLeaf { index: u8::try_from(index).ok()?, leaf })
    }
}

/// The range of the first k + 1 columns of `from` that can be read; those that cannot leave it.
async fn some(source: &Columns, from: &mut Vec<usize>, range: Range) -> Option<Vec<Chunk>> {
    loop {
        let asked = from.get(..=usize::from(source.code.k))?;
        let read = join_all(asked.iter().map(|index| whole(source, *index, range))).await;
        let failed: Vec<usize> =
            asked.iter().zip(&read).filter(|(_, read)| read.is_none()).map(|(at, _)| *at).collect();
        if failed.is_empty() {
            return Some(asked.iter().copied().zip(read.into_iter().flatten()).collect());
        }
        from.retain(|index| !failed.contains(index));
    }
}

async fn whole(source: &Columns, index: usize, range: Range) -> Option<Bytes> {
    loop {
        match source.read(index, range).await {
            ColumnRead::Bytes(bytes) => return Some(bytes),
            ColumnRead::Retry => {}
            ColumnRead::NoHolder => return None,
        }
    }
}

/// The first byte at which the last of k + 1 chunks is not what follows from the others.
fn difference(code: Code, chunks: &[Chunk]) -> Option<usize> {
    let ((last, have), others) = chunks.split_last()?;
    let mut cells: Vec<Option<&[u8]>> = vec![None; usize::from(code.n)];
    others.iter().for_each(|(index, chunk)| cells[*index] = Some(chunk));
    let made = erasure::reconstruct(code, &cells, &[*last])?.pop()?;
    made.iter().zip(have).position(|(made, have)| made != have)
}
