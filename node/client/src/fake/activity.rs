//! An account's transactions, as a fake node reports them.

use ostrakon_proto::{
    codec,
    id::{AccountId, Height},
    ledger::{
        state::{Key, Records},
        tree::prove,
    },
    light::{
        Activity, ProvenRecord, TxPlace,
        activity::{ProvenTx, accounts_of},
    },
    limits,
};

use super::Shared;

impl Shared {
    /// All that touch the account, below `before`, the newest first.
    pub(super) fn activity(&self, account: AccountId, before: Option<TxPlace>, limit: u32) -> Activity {
        let key = Key::Account(account);
        let value = self.ledger.get(&key).map(|record| codec::encode(&record));
        let key = key.to_bytes();
        let proof = prove(&self.ledger, self.ledger.tip().height.0, &key).expect("the tree is whole");
        let mut txs = Vec::new();
        for decided in self.decided.iter().rev() {
            for (place, tx) in decided.block.places().rev() {
                let touches = accounts_of(tx, place.list).any(|touched| touched == account);
                if touches && before.is_none_or(|before| place < before) {
                    txs.push(ProvenTx { tx: tx.clone(), inclusion: self.at(place) });
                }
            }
        }
        let limit = usize::try_from(limit).expect("a count").min(limits::ACTIVITY);
        let more = txs.len() > limit;
        txs.truncate(limit);
        Activity { account: ProvenRecord { key, value, proof }, first: Height(1), more, txs }
    }
}
