//! Answers queries of the ledger, with proofs.
//!
//! In come keys, ids and heights, out come answers as of the newest block: each has that block's header and
//! certificate, and its content is proven against the header (`proto/light`). Not here: who asks, and how much at a
//! time ([`crate::serve`]).

use ostrakon_proto::{
    codec,
    id::{Epoch, Height, ObjectId, TxId},
    ledger::{
        history::{self, HistoryProof},
        state::{EpochRecord, Key, Records},
        tree,
        tx::{Block, DecidedBlock, Header, Tx, TxList, tx_proof},
    },
    light::{
        Answer, BasisQuery, CertifiedHeader, Handover, Inclusion, PastBlock, PastHeader, ProvenRecord, UploadBasis,
        object_keys,
    },
    params::Code,
    placement::{self, Caps, DrawSeed, PlacementError, RosterTree},
};

use super::{Chain, Shared, store::LedgerError};

/// Why a query cannot be answered with a proof.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// No validator signed the genesis, so there is nothing to prove an answer with.
    #[error("this node has no block yet; try again in a moment")]
    NoBlock,
    /// The block is not decided yet, or this node is behind.
    #[error("this node has no block {height} yet; its newest is {tip}")]
    NotYet {
        /// The height asked for.
        height: Height,
        /// The newest one.
        tip: Height,
    },
    /// The block was deleted.
    #[error("block {height} is pruned on this node; ask another node")]
    Pruned {
        /// The height asked for.
        height: Height,
    },
    /// The epoch has not begun, or its draws have expired.
    #[error("this node has no roster of epoch {epoch}: the epoch has not begun, or its draws have expired")]
    NoEpoch {
        /// The epoch asked for.
        epoch: Epoch,
    },
    /// The network cannot carry the code.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Chain {
    /// The newest block's header.
    ///
    /// # Errors
    /// [`AnswerError::NoBlock`] while there is none.
    pub async fn tip(&self) -> Result<Answer<()>, AnswerError> {
        self.answer(|_, _, _| Ok(())).await
    }

    /// The records with these keys.
    ///
    /// # Errors
    /// [`AnswerError`] when this node cannot prove an answer.
    pub async fn items(&self, keys: Vec<Key>) -> Result<Answer<Vec<ProvenRecord>>, AnswerError> {
        self.answer(move |_, records, tip| items(records, tip.height, &keys)).await
    }

    /// The block that has this transaction, if one has.
    ///
    /// # Errors
    /// [`AnswerError`] when this node cannot prove an answer.
    pub async fn inclusion(&self, tx: TxId) -> Result<Answer<Option<Inclusion>>, AnswerError> {
        let inclusion = move |shared: &Shared, _: &dyn Records, tip: &Header| {
            // The answer's block cannot prove a later one.
            let Some(height) = shared.ledger.inclusion(&tx)?.filter(|height| *height <= tip.height) else {
                return Ok(None);
            };
            let PastBlock { block, txs, charged, .. } = shared.past_block(tip, height)?;
            let included = [(TxList::Applied, txs), (TxList::Charged, charged)].into_iter().find_map(|(list, txs)| {
                let ids: Vec<TxId> = txs.iter().map(Tx::id).collect();
                let proof = tx_proof(&ids, ids.iter().position(|id| *id == tx)?)?;
                Some(Inclusion { block: block.clone(), list, proof })
            });
            Ok(Some(included.ok_or(LedgerError::Damaged { what: "txs" })?))
        };
        self.answer(inclusion).await
    }

    /// The block of this height.
    ///
    /// # Errors
    /// [`AnswerError`] when this node cannot prove an answer.
    pub async fn past_block(&self, height: Height) -> Result<Answer<PastBlock>, AnswerError> {
        self.answer(move |shared, _, tip| shared.past_block(tip, height)).await
    }

    /// As much of a roster as shows the outcome of this draw; all of a small one.
    ///
    /// # Errors
    /// [`AnswerError`] when this node has no such roster, or the network cannot carry the code.
    pub async fn draw(&self, seed: DrawSeed, code: Code) -> Result<Answer<RosterTree>, AnswerError> {
        let part = move |_: &Shared, records: &dyn Records, _: &Header| {
            let (epoch, rosters) = (seed.draw.epoch, records.rosters());
            let found = records.epoch(epoch).zip(rosters.of(epoch));
            let (EpochRecord { roster: summary, .. }, roster) = found.ok_or(AnswerError::NoEpoch { epoch })?;
            let caps = Caps::of(&summary, code, records.params().min_domains)?;
            Ok(placement::shown(roster, &summary, &seed, (code, &caps)))
        };
        self.answer(part).await
    }

    /// All that an upload is planned by.
    ///
    /// # Errors
    /// [`AnswerError`] when this node cannot prove an answer.
    pub async fn basis(&self, query: BasisQuery) -> Result<Answer<UploadBasis>, AnswerError> {
        let basis = move |_: &Shared, records: &dyn Records, tip: &Header| {
            let (keys, roster) = query.gather(records);
            Ok(UploadBasis { records: items(records, tip.height, &keys)?, roster })
        };
        self.answer(basis).await
    }

    /// All that a read of the object begins with.
    ///
    /// # Errors
    /// [`AnswerError`] when this node cannot prove an answer.
    pub async fn object(&self, object: ObjectId) -> Result<Answer<Vec<ProvenRecord>>, AnswerError> {
        self.answer(move |_, records, tip| items(records, tip.height, &object_keys(object, records))).await
    }

    /// Handovers from `from` on, in their order, until `fits` refuses one.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk failed.
    pub async fn handovers(
        &self,
        from: Height,
        mut fits: impl FnMut(&Handover) -> bool + Send + 'static,
    ) -> Result<Vec<Handover>, LedgerError> {
        let read = move |shared: &Shared| {
            let (mut all, mut from) = (Vec::new(), from);
            while let Some(handover) = shared.ledger.handover(from)?.filter(|handover| fits(handover)) {
                from = handover.header.height.next();
                all.push(handover);
            }
            Ok(all)
        };
        self.work(read).await
    }

    /// The result of `find`, as of one block.
    pub(super) async fn answer<T: Send + 'static>(
        &self,
        find: impl FnOnce(&Shared, &dyn Records, &Header) -> Result<T, AnswerError> + Send + 'static,
    ) -> Result<Answer<T>, AnswerError> {
        let answer = move |shared: &Shared| {
            let view = shared.ledger.view();
            let tip = shared.certified(view.tip().height)?;
            let said = find(shared, &*view, &tip.header)?;
            Ok(Answer { tip, said })
        };
        self.work(answer).await
    }
}

impl Shared {
    /// The header of this height; the newest is in memory.
    fn certified(&self, height: Height) -> Result<CertifiedHeader, AnswerError> {
        if height == Height(0) {
            return Err(AnswerError::NoBlock);
        }
        if let Some(newest) = self.newest().certified.as_ref().filter(|newest| newest.header.height == height) {
            return Ok(newest.clone());
        }
        let decided = self.ledger.block(height)?.ok_or(LedgerError::Damaged { what: "blocks" })?;
        Ok(CertifiedHeader { header: decided.block.header, certificate: decided.certificate })
    }

    pub(super) fn past_block(&self, tip: &Header, height: Height) -> Result<PastBlock, AnswerError> {
        if height == Height(0) || height > tip.height {
            return Err(AnswerError::NotYet { height, tip: tip.height });
        }
        let decided = self.ledger.block(height)?.ok_or(AnswerError::Pruned { height })?;
        let proof = if height < tip.height { Some(self.prove_past(tip, height)?) } else { None };
        let DecidedBlock { block: Block { header, txs, charged, proofs }, certificate } = decided;
        Ok(PastBlock { block: PastHeader { header, proof }, certificate, txs, charged, proofs })
    }

    fn prove_past(&self, tip: &Header, height: Height) -> Result<HistoryProof, LedgerError> {
        // A node of the history is missing only if the disk failed.
        let read = |position| self.ledger.past(position).ok().flatten();
        history::prove(read, tip.height.0, height).ok_or(LedgerError::Damaged { what: "history" })
    }
}

fn items(records: &dyn Records, version: Height, keys: &[Key]) -> Result<Vec<ProvenRecord>, AnswerError> {
    keys.iter().map(|key| item(records, version, key)).collect()
}

pub(super) fn item(records: &dyn Records, version: Height, key: &Key) -> Result<ProvenRecord, AnswerError> {
    let value = records.get(key).map(|record| codec::encode(&record));
    let key = key.to_bytes();
    let proof = tree::prove(records, version.0, &key).map_err(|_| LedgerError::Damaged { what: "nodes" })?;
    Ok(ProvenRecord { key, value, proof })
}
