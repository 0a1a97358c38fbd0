//! An account's transactions, as a fake node reports them and makes false claims about them.

use bytes::Bytes;
use ostrakon_proto::{
    codec,
    id::{AccountId, Amount, Height, TxId},
    ledger::{
        state::{Key, Records},
        tree::prove,
        tx::{Action, Tx, tx_proof},
    },
    light::{
        Activity, Answer, Inclusion, PastBlock, ProvenRecord, TxPlace,
        activity::{ProvenTx, accounts_of},
    },
    limits,
    wire::{Frame, chain},
};

use super::{Lie, Shared, ok};

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

impl Lie {
    /// Lies that only this answer can have; all but the last are found out by the client that receives them.
    pub(crate) const ABOUT_ACTIVITY: [Self; 6] =
        [Self::OtherAmount, Self::Others, Self::Turned, Self::Skipped, Self::Behind, Self::Unpaid];

    /// What is said instead of `honest`; `others` are transactions that do not touch the account.
    pub(super) fn activity(self, honest: Frame, others: Vec<ProvenTx>) -> Frame {
        let Ok(mut answer) = codec::decode::<Answer<Activity>>(&honest.body, limits::CHAIN_BODY) else {
            return honest;
        };
        let Activity { account, txs, .. } = &mut answer.said;
        let Some(Key::Account(account)) = Key::from_bytes(&account.key) else { return honest };
        let is_sent = |entry: &ProvenTx| entry.tx.body.account == account;
        match self {
            Self::OtherAmount => txs.iter_mut().for_each(|entry| {
                if let Action::Transfer(transfer) = &mut entry.tx.body.action {
                    transfer.amount = Amount(transfer.amount.0 + 1);
                }
            }),
            Self::Others => txs.splice(0..0, others).for_each(drop),
            Self::Turned => txs.reverse(),
            Self::Skipped => {
                if let Some(second) = txs.iter().enumerate().filter(|(_, entry)| is_sent(entry)).nth(1) {
                    let at = second.0;
                    txs.remove(at);
                }
            }
            Self::Behind => {
                let at = txs.iter().position(is_sent);
                at.map(|at| txs.remove(at));
            }
            Self::Unpaid => txs.retain(is_sent),
            _ => return honest,
        }
        ok(&chain::ChainResponse::Answer, Bytes::from(codec::encode(&answer)))
    }
}
