//! The ledger's records in memory: for tests, the simulator, and as the model that stores on disk are checked against.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    id::{AccountId, Epoch, NodeId, ObjectId},
    ledger::state::{Account, Changes, Commitment, CommitmentId, EpochRecord, Provider, Records, Tip},
};

/// All records of one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    tip: Tip,
    accounts: BTreeMap<AccountId, Account>,
    providers: BTreeMap<NodeId, Provider>,
    commitments: BTreeMap<CommitmentId, Commitment>,
    ends: BTreeSet<(Epoch, CommitmentId)>,
    epochs: BTreeMap<Epoch, EpochRecord>,
}

/// Where all money is, summed from the records themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sums {
    /// In accounts.
    pub balances: u128,
    /// Locked by providers.
    pub bonds: u128,
    /// Locked in commitments.
    pub escrow: u128,
    /// Destroyed.
    pub burnt: u128,
}

impl Memory {
    /// The state that a genesis begins with ([`crate::ledger::Genesis::changes`]).
    pub fn new(genesis: &Changes) -> Self {
        let mut memory = Self {
            tip: genesis.tip.clone(),
            accounts: BTreeMap::new(),
            providers: BTreeMap::new(),
            commitments: BTreeMap::new(),
            ends: BTreeSet::new(),
            epochs: BTreeMap::new(),
        };
        memory.commit(genesis);
        memory
    }

    /// Takes over what a block changed.
    pub fn commit(&mut self, changes: &Changes) {
        self.tip = changes.tip.clone();
        self.accounts.extend(&changes.accounts);
        for (id, provider) in &changes.providers {
            put(&mut self.providers, *id, provider.clone());
        }
        for (id, commitment) in &changes.commitments {
            if let Some(new) = commitment {
                self.ends.insert((new.end, *id));
            }
            let old = put(&mut self.commitments, *id, commitment.clone());
            if let Some(old) = old.filter(|old| commitment.as_ref().is_none_or(|new| new.end != old.end)) {
                self.ends.remove(&(old.end, *id));
            }
        }
        for (epoch, record) in &changes.epochs {
            put(&mut self.epochs, *epoch, record.clone());
        }
    }

    /// Where all money is: the sums of the records, not the tip's counters.
    pub fn sums(&self) -> Sums {
        Sums {
            balances: self.accounts.values().map(|account| u128::from(account.balance.0)).sum(),
            bonds: self.providers.values().map(|provider| u128::from(provider.bond.0)).sum(),
            escrow: self.commitments.values().map(|commitment| u128::from(commitment.escrow.0)).sum(),
            burnt: u128::from(self.tip.burnt.0),
        }
    }

    /// All money: what was minted, if the rules are right.
    pub fn total(&self) -> u128 {
        let Sums { balances, bonds, escrow, burnt } = self.sums();
        balances + bonds + escrow + burnt
    }
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) -> Option<V> {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    }
}

impl Records for Memory {
    fn tip(&self) -> Tip {
        self.tip.clone()
    }

    fn account(&self, id: &AccountId) -> Account {
        self.accounts.get(id).copied().unwrap_or_default()
    }

    fn provider(&self, id: &NodeId) -> Option<Provider> {
        self.providers.get(id).cloned()
    }

    fn providers(&self) -> Vec<Provider> {
        self.providers.values().cloned().collect()
    }

    fn commitment(&self, id: &CommitmentId) -> Option<Commitment> {
        self.commitments.get(id).cloned()
    }

    fn commitments_of(&self, object: &ObjectId, limit: usize) -> Vec<Commitment> {
        let from = self.commitments.range(CommitmentId::first_of(*object)..);
        from.take_while(|(id, _)| id.object == *object).take(limit).map(|(_, commitment)| commitment.clone()).collect()
    }

    fn ending(&self, epoch: Epoch, limit: usize) -> Vec<CommitmentId> {
        self.ends.iter().take_while(|(end, _)| *end <= epoch).take(limit).map(|(_, id)| *id).collect()
    }

    fn epoch(&self, epoch: Epoch) -> Option<EpochRecord> {
        self.epochs.get(&epoch).cloned()
    }
}
