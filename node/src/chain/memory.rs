//! The ledger in memory, for the simulator: it outlives the node that uses it, as a disk does.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use ostrakon_net::lock;
use ostrakon_proto::{
    id::{AccountId, Height, TxId},
    ledger::{
        Genesis, MemoryRecords, Rosters,
        state::{Changes, Key, Record, Records, Tip},
        tree::Nodes,
        tx::DecidedBlock,
    },
    light::{Handover, TxPlace, activity::accounts_of},
};

use super::store::{LedgerError, LedgerStore, handover_of};

/// The ledger in memory.
#[derive(Debug)]
pub struct MemoryLedger {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Copied on commit only while a view of it exists.
    records: Arc<MemoryRecords>,
    blocks: BTreeMap<Height, DecidedBlock>,
    txs: BTreeMap<TxId, Height>,
    touches: BTreeSet<(AccountId, TxPlace)>,
    history: BTreeMap<u64, [u8; 32]>,
    handovers: BTreeMap<Height, Handover>,
}

impl MemoryLedger {
    /// The ledger as it is at the genesis.
    pub fn new(genesis: &Genesis) -> Self {
        let records = Arc::new(MemoryRecords::new(&genesis.changes()));
        Self {
            state: Mutex::new(State {
                records,
                blocks: BTreeMap::new(),
                txs: BTreeMap::new(),
                touches: BTreeSet::new(),
                history: BTreeMap::new(),
                handovers: BTreeMap::new(),
            }),
        }
    }
}

impl LedgerStore for MemoryLedger {
    fn view(&self) -> Box<dyn Records + '_> {
        Box::new(View(Arc::clone(&lock(&self.state).records)))
    }

    fn commit(&self, decided: &DecidedBlock, changes: &Changes) -> Result<(), LedgerError> {
        let mut state = lock(&self.state);
        let (height, tip) = (decided.block.header.height, state.records.tip().height);
        if height <= tip {
            return Ok(());
        }
        if height != tip.next() {
            return Err(LedgerError::Gap { height, tip });
        }
        if let Some(handover) = handover_of(&*state.records, decided, changes) {
            state.handovers.insert(height, handover);
        }
        Arc::make_mut(&mut state.records).commit(changes);
        for (place, tx) in decided.block.places() {
            state.txs.insert(tx.id(), height);
            state.touches.extend(accounts_of(tx, place.list).map(|account| (account, place)));
        }
        state.history.extend(changes.history.iter().copied());
        state.blocks.insert(height, decided.clone());
        Ok(())
    }

    fn block(&self, height: Height) -> Result<Option<DecidedBlock>, LedgerError> {
        Ok(lock(&self.state).blocks.get(&height).cloned())
    }

    fn past(&self, position: u64) -> Result<Option<[u8; 32]>, LedgerError> {
        Ok(lock(&self.state).history.get(&position).copied())
    }

    fn handover(&self, from: Height) -> Result<Option<Handover>, LedgerError> {
        Ok(lock(&self.state).handovers.range(from..).next().map(|(_, handover)| handover.clone()))
    }

    fn inclusion(&self, tx: &TxId) -> Result<Option<Height>, LedgerError> {
        Ok(lock(&self.state).txs.get(tx).copied())
    }

    fn touching(&self, account: &AccountId, before: TxPlace, limit: usize) -> Result<Vec<TxPlace>, LedgerError> {
        let (state, first) = (lock(&self.state), TxPlace::start_of(Height(0)));
        let range = state.touches.range((*account, first)..(*account, before.max(first)));
        Ok(range.rev().take(limit).map(|(_, place)| *place).collect())
    }
}

/// The records at one height.
#[derive(Debug)]
struct View(Arc<MemoryRecords>);

impl Nodes for View {
    fn node(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.node(key)
    }
}

impl Records for View {
    fn tip(&self) -> Tip {
        self.0.tip()
    }

    fn rosters(&self) -> Rosters {
        self.0.rosters()
    }

    fn get(&self, key: &Key) -> Option<Record> {
        self.0.get(key)
    }

    fn scan(&self, first: &Key, last: &Key, limit: usize) -> Vec<(Key, Record)> {
        self.0.scan(first, last, limit)
    }
}
