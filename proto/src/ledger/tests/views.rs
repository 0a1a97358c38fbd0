//! A draft shows what its changes would make of the records: the same as committing them.

use proptest::prelude::*;

use super::world::{World, code, domain};
use crate::{
    id::{AccountId, Amount, Epoch, Height, NodeId, ObjectId},
    ledger::{
        Draft, Listing, MemoryRecords,
        draft::DraftChanges,
        state::{
            Account, Audited, Changes, Commitment, CommitmentId, EpochAudit, EpochRecord, Key, ObjectRecord,
            ProofSpace, Provider, ProviderStatus, Record, Records,
        },
        tree::Patch,
    },
    placement::Roster,
};

/// Few keys, so that changes meet.
#[derive(Clone, Debug)]
enum Change {
    Account(u8, u64),
    Provider(u8, u64),
    Commit { object: u8, extent: u32, owner: u8, end: u64 },
    End { object: u8, extent: u32, owner: u8 },
    Epoch(u64, Option<u8>),
    Burnt(u64),
}

fn change() -> impl Strategy<Value = Change> {
    let key = || (0..3u8, 0..2u32, 0..3u8);
    prop_oneof![
        (0..5u8, any::<u64>()).prop_map(|(id, balance)| Change::Account(id, balance)),
        (0..5u8, any::<u64>()).prop_map(|(id, capacity)| Change::Provider(id, capacity)),
        (key(), 0..6u64).prop_map(|((object, extent, owner), end)| Change::Commit { object, extent, owner, end }),
        key().prop_map(|(object, extent, owner)| Change::End { object, extent, owner }),
        (0..4u64, any::<Option<u8>>()).prop_map(|(epoch, beacon)| Change::Epoch(epoch, beacon)),
        any::<u64>().prop_map(Change::Burnt),
    ]
}

fn key(object: u8, extent: u32, owner: u8) -> CommitmentId {
    CommitmentId { object: ObjectId::new([object; 32]), extent, owner: AccountId::new([owner; 32]) }
}

fn make(draft: &mut Draft<'_>, change: &Change) {
    match *change {
        Change::Account(id, balance) => draft.account_mut(&AccountId::new([id; 32])).balance = Amount(balance),
        Change::Provider(id, capacity) => {
            let node = NodeId::new([id; 32]);
            let before = draft.provider(&node).unwrap_or_else(|| provider(node, capacity));
            draft.put_provider(Provider { capacity, ..before });
        }
        Change::Commit { object, extent, owner, end } => {
            draft.put_commitment(commitment(key(object, extent, owner), Epoch(end)));
        }
        Change::Burnt(amount) => draft.running_mut().burnt = Amount(amount),
        Change::End { object, extent, owner } => draft.remove_commitment(key(object, extent, owner)),
        Change::Epoch(epoch, beacon) => {
            let epoch = Epoch(epoch);
            match beacon.map(|byte| EpochRecord {
                epoch,
                start_ms: 0,
                first: Height(1),
                beacon: Some([byte; 32]),
                roster: Roster::default().summary(),
                space: ProofSpace::default(),
                audit: EpochAudit::default(),
            }) {
                Some(record) => draft.put(Key::Epoch(epoch), Record::Epoch(record)),
                None => draft.remove(Key::Epoch(epoch)),
            }
        }
    }
}

fn provider(node: NodeId, capacity: u64) -> Provider {
    Provider {
        owner: AccountId::new([0; 32]),
        node,
        addresses: vec![],
        domain: domain(0),
        price: Amount(1),
        capacity,
        used: 0,
        bond: Amount(u64::MAX),
        collateral: Amount(0),
        status: ProviderStatus::Active,
        listing: Listing::default(),
        audited: Audited::default(),
    }
}

fn commitment(id: CommitmentId, end: Epoch) -> Commitment {
    Commitment {
        id,
        size: 1,
        extents: 2,
        code: code("1/2"),
        column_len: 64,
        slots: vec![],
        start: Epoch(0),
        end,
        until: end,
        escrow: Amount(0),
        fund: Amount(0),
        ticket: None,
    }
}

type Seen = (Vec<Account>, Vec<Provider>, Vec<Commitment>, Vec<Vec<CommitmentId>>, Vec<Option<ObjectRecord>>);

/// Everything that a reader can ask, within the few keys.
fn see(records: &dyn Records) -> Seen {
    let accounts = (0..5).map(|id| records.account(&AccountId::new([id; 32]))).collect();
    let mut providers = records.providers();
    providers.extend((0..5).filter_map(|id| records.provider(&NodeId::new([id; 32]))));
    let limits = [0, 1, 2, 5, usize::MAX];
    let objects = (0..3).map(|object| ObjectId::new([object; 32]));
    let commitments = objects.flat_map(|object| limits.map(|limit| records.commitments_of(&object, limit)).concat());
    let ending = (0..7).flat_map(|epoch| limits.map(|limit| records.ending(Epoch(epoch), limit)));
    let owners = (0..3).map(|object| records.object(&ObjectId::new([object; 32]))).collect();
    (accounts, providers, commitments.collect(), ending.collect(), owners)
}

fn changes(base: &dyn Records, list: &[Change]) -> DraftChanges {
    let mut draft = Draft::new(base);
    list.iter().for_each(|change| make(&mut draft, change));
    draft.into_changes()
}

/// Takes over what a draft changed; the state tree is no matter here.
fn commit(state: &mut MemoryRecords, DraftChanges { tip, records, rosters }: DraftChanges) {
    state.commit(&Changes { tip, records, tree: Patch::default(), history: vec![], rosters });
}

proptest! {
    #[test]
    fn a_draft_shows_what_committing_would_make(
        below in prop::collection::vec(change(), 0..30),
        first in prop::collection::vec(change(), 0..15),
        second in prop::collection::vec(change(), 0..15),
    ) {
        let mut state: MemoryRecords = World::new().state;
        let first_changes = changes(&state.clone(), &below);
        commit(&mut state, first_changes);
        let mut draft = Draft::new(&state);
        first.iter().for_each(|change| make(&mut draft, change));
        let later = changes(&draft, &second);
        let mut committed = state.clone();
        commit(&mut committed, draft.changes());
        prop_assert_eq!(see(&draft), see(&committed));
        // What is undone never was, what is kept stays.
        let before = draft.changes();
        draft.begin();
        second.iter().for_each(|change| make(&mut draft, change));
        draft.rollback();
        prop_assert_eq!(draft.changes(), before);
        draft.begin();
        second.iter().for_each(|change| make(&mut draft, change));
        commit(&mut committed, later);
        prop_assert_eq!(see(&draft), see(&committed));
        draft.commit();
        draft.rollback();
        prop_assert_eq!(see(&draft), see(&committed));
        for epoch in (0..4).map(Epoch) {
            prop_assert_eq!(draft.epoch(epoch), committed.epoch(epoch));
        }
    }
}
