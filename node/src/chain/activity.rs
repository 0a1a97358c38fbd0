//! Answers queries for an account's transactions, each with a proof of its position in the chain.
//!
//! In goes an account, out come its newest transactions as of the newest block. Bounded by the number asked for, by the
//! bytes of an answer, and by those of the blocks that are read for it: each transaction may be in a block of its own.
//! Who wants more asks again, for those before.

use ostrakon_proto::{
    codec,
    id::{AccountId, Height},
    ledger::{
        state::{Key, Records},
        tx::{Header, Tx, TxList, TxTree},
    },
    light::{Activity, Answer, Inclusion, PastBlock, PastHeader, TxPlace, activity::ProvenTx},
    limits,
};

use super::{AnswerError, Chain, Shared, answers::item, store::LedgerError};

/// Bytes of the transactions in an answer, with their proofs; the rest is for a header with its certificate and the
/// account's record.
const TXS_BYTES: usize = limits::CHAIN_BODY - 2 * limits::TX;

/// Bytes of the blocks that are read for one answer, but for the last of them: no answer costs more than two full
/// blocks to read and to hash.
const READ_BYTES: usize = limits::BLOCK;

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
    applied: Listed,
    charged: Listed,
    /// Bytes of its transactions.
    bytes: usize,
}

/// One of its lists of transactions.
struct Listed {
    txs: Vec<Tx>,
    tree: TxTree,
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
        let (mut txs, mut left, mut read) = (Vec::new(), TXS_BYTES, 0);
        let mut source: Option<(Height, Source)> = None;
        for place in places.into_iter().take(query.limit) {
            let block = match source.take() {
                Some((height, block)) if height == place.height => block,
                _ if read >= READ_BYTES => {
                    more = true;
                    break;
                }
                _ => match self.source(tip, place.height)? {
                    Some(block) => {
                        read += block.bytes;
                        block
                    }
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
            Ok(PastBlock { block, txs, charged, .. }) => {
                let bytes = txs.iter().chain(&charged).map(|tx| codec::encode(tx).len()).sum();
                Ok(Some(Source { block, applied: Listed::new(txs), charged: Listed::new(charged), bytes }))
            }
            Err(AnswerError::Pruned { .. }) if height < self.ledger.first_block()? => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Listed {
    fn new(txs: Vec<Tx>) -> Self {
        let ids: Vec<_> = txs.iter().map(Tx::id).collect();
        Self { txs, tree: TxTree::new(&ids) }
    }
}

impl Source {
    fn entry(&self, place: TxPlace) -> Option<ProvenTx> {
        let TxPlace { list, index, .. } = place;
        let Listed { txs, tree } = match list {
            TxList::Applied => &self.applied,
            TxList::Charged => &self.charged,
        };
        let index = usize::try_from(index).ok()?;
        let (tx, proof) = (txs.get(index)?.clone(), tree.proof(index)?);
        Some(ProvenTx { tx, inclusion: Inclusion { block: self.block.clone(), list, proof } })
    }
}
