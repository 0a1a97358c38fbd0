//! What this node says of the ledger, with the proofs that make it believed.
//!
//! In come keys, ids and heights, out come answers as of the newest block: each has that block's header and
//! certificate, and what is said is proven against the header (`proto/light`). Not here: who asks, and how much at once
//! ([`crate::serve`]).

use std::sync::Arc;

use ostrakon_proto::{
    codec,
    id::{Height, TxId},
    ledger::{
        history::{self, HistoryProof},
        state::{Key, Records},
        tree,
        tx::{Header, Tx, tx_proof},
    },
    light::{Answer, CertifiedHeader, Handover, Inclusion, PastBlock, PastHeader, ProvenRecord},
};

use super::{Chain, Shared, store::LedgerError};

/// Why there is no proven answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoAnswer {
    /// Genesis alone is signed by nobody.
    #[error("this node has no block yet: try again in a moment")]
    NoBlock,
    /// It is still to come.
    #[error("this node has no block {height}, its newest is {tip}")]
    NotYet {
        /// What was asked for.
        height: Height,
        /// What there is.
        tip: Height,
    },
    /// It is deleted.
    #[error("block {height} is not kept here")]
    Pruned {
        /// What was asked for.
        height: Height,
    },
    /// This node failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Chain {
    /// The newest block's header.
    ///
    /// # Errors
    /// [`NoAnswer`] while there is none.
    pub async fn tip(&self) -> Result<Answer<()>, NoAnswer> {
        self.answer(|_, _, _| Ok(())).await
    }

    /// The records with these keys.
    ///
    /// # Errors
    /// [`NoAnswer`] says why there is none.
    pub async fn items(&self, keys: Vec<Key>) -> Result<Answer<Vec<ProvenRecord>>, NoAnswer> {
        let items = move |_: &Shared, records: &dyn Records, tip: &Header| {
            keys.iter().map(|key| item(records, tip.height, key)).collect()
        };
        self.answer(items).await
    }

    /// The block that has this transaction, if one has.
    ///
    /// # Errors
    /// [`NoAnswer`] says why there is none.
    pub async fn inclusion(&self, tx: TxId) -> Result<Answer<Option<Inclusion>>, NoAnswer> {
        let inclusion = move |shared: &Shared, _: &dyn Records, tip: &Header| {
            // A block that came after the answer's is none that the answer could prove.
            let Some(height) = shared.ledger.inclusion(&tx)?.filter(|height| *height <= tip.height) else {
                return Ok(None);
            };
            let PastBlock { block, txs, .. } = shared.past_block(tip, height)?;
            let ids: Vec<TxId> = txs.iter().map(Tx::id).collect();
            let index = ids.iter().position(|id| *id == tx).ok_or(LedgerError::Damaged { what: "txs" })?;
            Ok(tx_proof(&ids, index).map(|proof| Inclusion { block, proof }))
        };
        self.answer(inclusion).await
    }

    /// The block of this height.
    ///
    /// # Errors
    /// [`NoAnswer`] says why there is none.
    pub async fn past_block(&self, height: Height) -> Result<Answer<PastBlock>, NoAnswer> {
        self.answer(move |shared, _, tip| shared.past_block(tip, height)).await
    }

    /// Handovers from `from` on, in their order, as long as `room` has a place.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed.
    pub async fn handovers(
        &self,
        from: Height,
        mut room: impl FnMut(&Handover) -> bool + Send + 'static,
    ) -> Result<Vec<Handover>, LedgerError> {
        let shared = Arc::clone(&self.shared);
        let read = move || {
            let (mut all, mut from) = (Vec::new(), from);
            while let Some(handover) = shared.ledger.handover(from)?.filter(|handover| room(handover)) {
                from = handover.header.height.next();
                all.push(handover);
            }
            Ok(all)
        };
        self.shared.workers.run(read).await
    }

    /// What `say` finds, as of one block.
    pub(super) async fn answer<T: Send + 'static>(
        &self,
        say: impl FnOnce(&Shared, &dyn Records, &Header) -> Result<T, NoAnswer> + Send + 'static,
    ) -> Result<Answer<T>, NoAnswer> {
        let shared = Arc::clone(&self.shared);
        let answer = move || {
            let view = shared.ledger.view();
            let tip = shared.certified(view.tip().height)?;
            let said = say(&shared, &*view, &tip.header)?;
            Ok(Answer { tip, said })
        };
        self.shared.workers.run(answer).await
    }
}

impl Shared {
    /// The header of this height: the newest is known without the disk.
    fn certified(&self, height: Height) -> Result<CertifiedHeader, NoAnswer> {
        if height == Height(0) {
            return Err(NoAnswer::NoBlock);
        }
        if let Some(newest) = self.newest().certified.as_ref().filter(|newest| newest.header.height == height) {
            return Ok(newest.clone());
        }
        let decided = self.ledger.block(height)?.ok_or(LedgerError::Damaged { what: "blocks" })?;
        Ok(CertifiedHeader { header: decided.block.header, certificate: decided.certificate })
    }

    pub(super) fn past_block(&self, tip: &Header, height: Height) -> Result<PastBlock, NoAnswer> {
        if height == Height(0) || height > tip.height {
            return Err(NoAnswer::NotYet { height, tip: tip.height });
        }
        let decided = self.ledger.block(height)?.ok_or(NoAnswer::Pruned { height })?;
        let proof = if height < tip.height { Some(self.prove_past(tip, height)?) } else { None };
        let block = PastHeader { header: decided.block.header, proof };
        Ok(PastBlock { block, certificate: decided.certificate, txs: decided.block.txs })
    }

    fn prove_past(&self, tip: &Header, height: Height) -> Result<HistoryProof, LedgerError> {
        // What was read is there unless the disk failed; it then fails once more, and says why.
        let read = |position| self.ledger.past(position).ok().flatten();
        history::prove(read, tip.height.0, height).ok_or(LedgerError::Damaged { what: "history" })
    }
}

pub(super) fn item(records: &dyn Records, version: Height, key: &Key) -> Result<ProvenRecord, NoAnswer> {
    let value = records.get(key).map(|record| codec::encode(&record));
    let key = key.to_bytes();
    let proof = tree::prove(records, version.0, &key).map_err(|_| LedgerError::Damaged { what: "nodes" })?;
    Ok(ProvenRecord { key, value, proof })
}
