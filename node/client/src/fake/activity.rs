//! An account's transactions, as a fake node reports them.

use ostrakon_proto::{
    codec,
    id::{AccountId, Height, TxId},
    ledger::{
        state::{Key, Records},
        tree::prove,
        tx::{Tx, tx_proof},
    },
    light::{
        Activity, Inclusion, PastBlock, ProvenRecord, TxPlace,
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
            let ids: Vec<TxId> = decided.block.txs.iter().map(Tx::id).collect();
            let height = decided.block.header.height;
            for (index, tx) in decided.block.txs.iter().enumerate().rev() {
                let place = TxPlace { height, index: u32::try_from(index).expect("few") };
                if before.is_none_or(|before| place < before) && accounts_of(tx).any(|touched| touched == account) {
                    let PastBlock { block, .. } = self.past_block(height);
                    let inclusion = Inclusion { block, proof: tx_proof(&ids, index).expect("it is there") };
                    txs.push(ProvenTx { tx: tx.clone(), inclusion });
                }
            }
        }
        let limit = usize::try_from(limit).expect("a count").min(limits::ACTIVITY);
        let more = txs.len() > limit;
        txs.truncate(limit);
        Activity { account: ProvenRecord { key, value, proof }, first: Height(1), more, txs }
    }
}
