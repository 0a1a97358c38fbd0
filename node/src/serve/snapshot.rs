//! chain/1 for nodes that join late: the snapshots of this node, and their chunks.
//!
//! A chunk is read from disk and proven when it is requested, which takes longer than other answers: such requests are
//! a class of their own, with few turns.

use bytes::Bytes;
use ostrakon_proto::{
    codec,
    id::Height,
    ledger::history::HistoryRange,
    limits,
    wire::{
        Frame, Refusal,
        RefusalCode::{BadRequest, NotFound, Pruned},
        chain::ChainResponse,
    },
};

use super::{Serve, answer, chain::refuse_ledger};

impl Serve {
    pub(super) async fn snapshots(&self) -> Frame {
        let mut offers = self.parts.chain.snapshots().await;
        offers.drain(..offers.len().saturating_sub(limits::SNAPSHOTS));
        answer(ChainResponse::Hints, codec::encode(&offers).into())
    }

    pub(super) async fn chunk_of_snapshot(&self, height: Height, after: Option<[u8; 32]>) -> Result<Frame, Refusal> {
        let chunk = self.parts.chain.chunk(height, after).await.map_err(refuse_ledger)?;
        let none = || {
            Refusal::new(
                NotFound,
                format!("this node does not have this part of the snapshot of block {height}; ask another node"),
            )
        };
        let body: Bytes = codec::encode(&chunk.ok_or_else(none)?).into();
        Ok(answer(ChainResponse::Chunk, body))
    }

    pub(super) async fn past(&self, row: HistoryRange) -> Result<Frame, Refusal> {
        if !row.is_valid() {
            return Err(Refusal::new(BadRequest, "invalid range of block hashes"));
        }
        let hashes = self.parts.chain.past(row).await.map_err(refuse_ledger)?;
        let hashes = hashes.ok_or_else(|| {
            Refusal::new(NotFound, "this node does not have all block hashes of this range; ask another node")
        })?;
        Ok(answer(ChainResponse::Hints, codec::encode(&hashes).into()))
    }

    /// Refuses pruned blocks, so that the client does not wait for them.
    pub(super) async fn check_not_pruned(&self, from: Height) -> Result<(), Refusal> {
        let first = self.parts.chain.first_block().await.map_err(refuse_ledger)?;
        if from >= first {
            return Ok(());
        }
        let newest = self.parts.chain.snapshots().await.pop().map(|offer| offer.header.height);
        let newest = newest.map_or_else(String::new, |height| format!(": restore the snapshot of block {height}"));
        Err(Refusal::new(Pruned, format!("blocks before {first} are pruned on this node{newest}")))
    }
}
