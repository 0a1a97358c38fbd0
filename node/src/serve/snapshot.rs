//! chain/1 for those who begin late: which snapshots this node has, and their parts.
//!
//! A part is read from disk and proven when it is asked for, which takes longer than other answers: one at a time, so
//! that strangers do not take the whole machine, and who comes meanwhile is told to ask another.

use bytes::Bytes;
use ostrakon_proto::{
    codec,
    id::Height,
    ledger::history::HistoryRange,
    limits,
    wire::{Frame, Refusal, RefusalCode, chain::Response},
};

use super::{Serve, answer, chain::refuse_ledger};

/// Parts that are read at once.
pub(super) const CHUNKS: usize = 1;

impl Serve {
    pub(super) async fn snapshots(&self) -> Frame {
        let mut offers = self.parts.chain.snapshots().await;
        offers.drain(..offers.len().saturating_sub(limits::SNAPSHOTS));
        answer(Response::Hints, codec::encode(&offers).into())
    }

    pub(super) async fn part(&self, height: Height, after: Option<[u8; 32]>) -> Result<Frame, Refusal> {
        let _turn =
            self.chunks.try_acquire().map_err(|_| Refusal::new(RefusalCode::Busy, "snapshots are busy here"))?;
        let chunk = self.parts.chain.chunk(height, after).await.map_err(|error| refuse_ledger(&error))?;
        let none =
            || Refusal::new(RefusalCode::NotFound, format!("there is no more of a snapshot of height {height} here"));
        let body: Bytes = codec::encode(&chunk.ok_or_else(none)?).into();
        Ok(answer(Response::Chunk, body))
    }

    pub(super) async fn past(&self, row: HistoryRange) -> Result<Frame, Refusal> {
        if !row.is_valid() {
            return Err(Refusal::new(RefusalCode::BadRequest, "no tree of the history is cut like this"));
        }
        let _turn = self.chunks.try_acquire().map_err(|_| Refusal::new(RefusalCode::Busy, "the past is busy here"))?;
        let hashes = self.parts.chain.past(row).await.map_err(|error| refuse_ledger(&error))?;
        let hashes = hashes.ok_or_else(|| Refusal::new(RefusalCode::NotFound, "not all of this history is here"))?;
        Ok(answer(Response::Hints, codec::encode(&hashes).into()))
    }

    /// Refuses blocks that are not kept any more, so that who asks need not wait for them.
    pub(super) async fn kept(&self, from: Height) -> Result<(), Refusal> {
        let first = self.parts.chain.first_block().await.map_err(|error| refuse_ledger(&error))?;
        if from >= first {
            return Ok(());
        }
        let newest = self.parts.chain.snapshots().await.pop().map(|offer| offer.header.height);
        let newest = newest.map_or_else(String::new, |height| format!(": take the snapshot of block {height}"));
        Err(Refusal::new(RefusalCode::Pruned, format!("blocks before {first} are pruned here{newest}")))
    }
}
