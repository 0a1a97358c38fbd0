//! Answers queries for an account's transactions, each with a proof of its position in the chain.
//!
//! In goes an account, out come its newest transactions as of the newest block. Bounded by the number asked for, as
//! each may be in a block of its own that must be read, and by the bytes of an answer.

use ostrakon_proto::{
    codec,
    id::{AccountId, Height, TxId},
    ledger::{
        state::{Key, Records},
        tx::{Header, Tx, tx_proof},
    },
    light::{Activity, Answer, Inclusion, PastBlock, PastHeader, TxPlace, activity::ProvenTx},
    limits,
};

use super::{AnswerError, Chain, Shared, answers::item, store::LedgerError};

/// Bytes of the transactions in an answer, with their proofs; the rest is for a header with its certificate and the
/// account's record.
const TXS_BYTES: usize = limits::CHAIN_BODY - 2 * limits::TX;

/// The transactions of an account to return.
#[derive(Clone, Copy, Debug)]
pub struct ActivityPage {
    /// The account.
    pub account: AccountId,
    /// Only those before this place.
    pub before: Option<TxPlace>,
    /// The most to return.
    pub limit: usize,
}

/// A block with transactions of the account.
struct Source {
    block: PastHeader,
    txs: Vec<Tx>,
    ids: Vec<TxId>,
}

impl Chain {
    /// The newest transactions that touch an account.
    ///
    /// # Errors
    /// [`AnswerError`] when this node cannot prove an answer.
    pub async fn activity(&self, query: ActivityPage) -> Result<Answer<Activity>, AnswerError> {
        self.answer(move |shared, records, tip| shared.activity(records, tip, &query)).await
    }
}

impl Shared {
    fn activity(&self, records: &dyn Records, tip: &Header, query: &ActivityPage) -> Result<Activity, AnswerError> {
        let account = item(records, tip.height, &Key::Account(query.account))?;
        // The answer's block cannot prove a later one.
        let end = TxPlace::start_of(tip.height.next());
        let before = query.before.map_or(end, |before| before.min(end));
        let places = self.ledger.touching(&query.account, before, query.limit.saturating_add(1))?;
        let mut more = places.len() > query.limit;
        let (mut txs, mut left) = (Vec::new(), TXS_BYTES);
        let mut source: Option<(Height, Source)> = None;
        for place in places.into_iter().take(query.limit) {
            let block = match source.take() {
                Some((height, block)) if height == place.height => block,
                _ => match self.source(tip, place.height)? {
                    Some(block) => block,
                    // It was pruned while the answer was made, and so were all before it.
                    None => break,
                },
            };
            let entry = block.entry(place).ok_or(LedgerError::Damaged { what: "touches" })?;
            source = Some((place.height, block));
            let Some(rest) = left.checked_sub(codec::encode(&entry).len()) else {
                more = true;
                break;
            };
            left = rest;
            txs.push((place.height, entry));
        }
        // Looked up last: what was found before is from there on, or was pruned.
        let first = self.ledger.first_block()?;
        let txs: Vec<ProvenTx> = txs.into_iter().filter(|(height, _)| *height >= first).map(|(_, tx)| tx).collect();
        more &= !txs.is_empty();
        Ok(Activity { account, first, more, txs })
    }

    /// The block of this height; `None` when it is pruned.
    fn source(&self, tip: &Header, height: Height) -> Result<Option<Source>, AnswerError> {
        match self.past_block(tip, height) {
            Ok(PastBlock { block, txs, .. }) => {
                let ids = txs.iter().map(Tx::id).collect();
                Ok(Some(Source { block, txs, ids }))
            }
            Err(AnswerError::Pruned { .. }) if height < self.ledger.first_block()? => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Source {
    fn entry(&self, place: TxPlace) -> Option<ProvenTx> {
        let index = usize::try_from(place.index).ok()?;
        let (tx, proof) = (self.txs.get(index)?.clone(), tx_proof(&self.ids, index)?);
        Some(ProvenTx { tx, inclusion: Inclusion { block: self.block.clone(), proof } })
    }
}
