//! The ledger's records in memory: for tests and the simulator, and as the model that stores on disk are tested
//! against.

use std::collections::BTreeMap;

use crate::{
    id::Amount,
    ledger::{
        inventory,
        roster::Rosters,
        state::{Changes, Commitment, Key, Record, Records, Running, Slot, SlotState, Tip},
        tree::{MemoryNodes, Nodes},
    },
};

/// All records of one state, and the tree over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryRecords {
    tip: Tip,
    records: BTreeMap<Key, Record>,
    nodes: MemoryNodes,
    rosters: Rosters,
}

/// All money by where it is, summed from the records themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MoneySums {
    /// In accounts.
    pub balances: u128,
    /// Locked by providers and validators, and for proposals and names.
    pub bonds: u128,
    /// Locked in commitments, without what their providers were paid already.
    pub escrow: u128,
    /// The validators'.
    pub pool: u128,
    /// Destroyed.
    pub burnt: u128,
}

impl MemoryRecords {
    /// The state that a genesis begins with ([`crate::ledger::Genesis::changes`]).
    pub fn new(genesis: &Changes) -> Self {
        let (tip, rosters) = (genesis.tip.clone(), Rosters::default());
        let mut memory = Self { tip, records: BTreeMap::new(), nodes: MemoryNodes::default(), rosters };
        memory.commit(genesis);
        memory
    }

    /// Applies a block's changes.
    pub fn commit(&mut self, changes: &Changes) {
        self.tip = changes.tip.clone();
        for (key, record) in &changes.records {
            match record {
                Some(record) => _ = self.records.insert(*key, record.clone()),
                None => _ = self.records.remove(key),
            }
        }
        self.nodes.apply(&changes.tree);
        self.rosters = changes.rosters.clone();
    }

    /// The same without the records whose keys are such; for tests.
    #[cfg(test)]
    pub(super) fn without(&self, is_left_out: impl Fn(&Key) -> bool) -> Self {
        let mut rest = self.clone();
        rest.records.retain(|key, _| !is_left_out(key));
        rest
    }

    /// Makes the inventories of a state that has none: one that was restored, or loaded in bulk.
    pub fn reindex(&mut self) {
        let mut next = Some(inventory::FIRST);
        while let Some(from) = next {
            let (records, after) = inventory::reindex(self, &from);
            self.records.extend(records.into_iter().filter_map(|(key, record)| Some((key, record?))));
            next = after;
        }
    }

    /// All records, index entries included, in the order of keys.
    pub fn records(&self) -> impl Iterator<Item = (&Key, &Record)> {
        self.records.iter()
    }

    /// The sums of the records, not the tip's counters.
    pub fn sums(&self) -> MoneySums {
        let Running { burnt, pool, .. } = &self.tip.running;
        let mut sums = MoneySums { burnt: u128::from(burnt.0), pool: u128::from(pool.0), ..MoneySums::default() };
        for record in self.records.values() {
            match record {
                Record::Account(account) => sums.balances += u128::from(account.balance.0),
                Record::Provider(provider) => sums.bonds += u128::from(provider.bond.0),
                Record::Validator(validator) => sums.bonds += u128::from(validator.bond.0),
                Record::Proposal(proposal) => sums.bonds += u128::from(proposal.deposit.0),
                Record::Name(name) => sums.bonds += u128::from(name.deposit.0),
                Record::Commitment(commitment) => sums.escrow += u128::from(self.unpaid(commitment).0),
                _ => {}
            }
        }
        sums
    }

    /// All money, which must equal what was minted.
    pub fn total(&self) -> u128 {
        let MoneySums { balances, bonds, escrow, pool, burnt } = self.sums();
        balances + bonds + escrow + pool + burnt
    }

    /// What is left of a commitment's escrow after what it owes, and what is locked for its repair.
    fn unpaid(&self, commitment: &Commitment) -> Amount {
        let owed = |slot: &Slot| {
            let provider = self.provider(&slot.provider).expect("a provider with slots stays registered");
            slot.owes(provider.audited.pay.proofs.before(commitment.end), slot.rate(commitment.column_len))
        };
        let live = commitment.slots.iter().filter(|slot| slot.state == SlotState::Live);
        let left = live.fold(commitment.escrow, |left, slot| left.minus(owed(slot)).expect("an escrow covers it"));
        left.plus(commitment.fund).expect("money is conserved")
    }
}

impl Nodes for MemoryRecords {
    fn node(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.nodes.node(key)
    }
}

impl Records for MemoryRecords {
    fn tip(&self) -> Tip {
        self.tip.clone()
    }

    fn rosters(&self) -> Rosters {
        self.rosters.clone()
    }

    fn get(&self, key: &Key) -> Option<Record> {
        self.records.get(key).cloned()
    }

    fn scan(&self, first: &Key, last: &Key, limit: usize) -> Vec<(Key, Record)> {
        if first > last {
            return Vec::new();
        }
        self.records.range(*first..=*last).take(limit).map(|(key, record)| (*key, record.clone())).collect()
    }
}
