//! What this node says of an account's transactions, each with the proof of its place.
//!
//! In goes whose, out come the newest of them as of the newest block. Bounded twice: by how many are asked for, as each
//! may be in a block of its own that must be read, and by the bytes of an answer.

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

use super::{Chain, NoAnswer, Shared, answers::item, store::LedgerError};

/// Bytes of the transactions in an answer, with their proofs: the rest of it are a header with its certificate and the
/// account's record.
const ROOM: usize = limits::CHAIN_BODY - 2 * limits::TX;

/// Which transactions are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Which {
    /// Whose.
    pub account: AccountId,
    /// Only those before this place.
    pub before: Option<TxPlace>,
    /// How many at most.
    pub limit: usize,
}

/// A block from which some are taken.
struct Source {
    block: PastHeader,
    txs: Vec<Tx>,
    ids: Vec<TxId>,
}

impl Chain {
    /// The newest transactions that touch an account.
    ///
    /// # Errors
    /// [`NoAnswer`] says why there is no answer.
    pub async fn activity(&self, which: Which) -> Result<Answer<Activity>, NoAnswer> {
        self.answer(move |shared, records, tip| shared.activity(records, tip, &which)).await
    }
}

impl Shared {
    fn activity(&self, records: &dyn Records, tip: &Header, which: &Which) -> Result<Activity, NoAnswer> {
        let account = item(records, tip.height, &Key::Account(which.account))?;
        // A block that came after the answer's is none that the answer could prove.
        let end = TxPlace::start_of(tip.height.next());
        let before = which.before.map_or(end, |before| before.min(end));
        let places = self.ledger.touching(&which.account, before, which.limit.saturating_add(1))?;
        let mut more = places.len() > which.limit;
        let (mut txs, mut room) = (Vec::new(), ROOM);
        let mut source: Option<(Height, Source)> = None;
        for place in places.into_iter().take(which.limit) {
            let block = match source.take() {
                Some((height, block)) if height == place.height => block,
                _ => match self.source(tip, place.height)? {
                    Some(block) => block,
                    // It was deleted while the answer was made, and so were all before it.
                    None => break,
                },
            };
            let entry = block.entry(place).ok_or(LedgerError::Damaged { what: "touches" })?;
            source = Some((place.height, block));
            let Some(left) = room.checked_sub(codec::encode(&entry).len()) else {
                more = true;
                break;
            };
            room = left;
            txs.push((place.height, entry));
        }
        // Looked up at last: what was there before is there, or below it.
        let first = self.ledger.first_block()?;
        let txs: Vec<ProvenTx> = txs.into_iter().filter(|(height, _)| *height >= first).map(|(_, tx)| tx).collect();
        more &= !txs.is_empty();
        Ok(Activity { account, first, more, txs })
    }

    /// The block of this height; `None` when it is deleted.
    fn source(&self, tip: &Header, height: Height) -> Result<Option<Source>, NoAnswer> {
        match self.past_block(tip, height) {
            Ok(PastBlock { block, txs, .. }) => {
                let ids = txs.iter().map(Tx::id).collect();
                Ok(Some(Source { block, txs, ids }))
            }
            Err(NoAnswer::Pruned { .. }) if height < self.ledger.first_block()? => Ok(None),
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
