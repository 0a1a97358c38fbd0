//! The state within a block: the records before it, and an overlay of changes.
//!
//! Reads see the overlay first. The changes of a transaction that fails are undone, so that it leaves no trace. There
//! are no rules of the ledger here.

use std::collections::{BTreeMap, btree_map::Entry};

use crate::{
    id::{AccountId, Epoch, Height, NodeId, ObjectId, VoteKey},
    ledger::{
        owners,
        roster::Rosters,
        state::{
            Account, Bonded, Charter, Commitment, CommitmentId, Doubt, Infrastructure, Key, NameRecord, ObjectRecord,
            Proposal, Provider, Record, Records, Renewal, Running, Tip, Validator,
        },
        tree::Nodes,
    },
};

/// Records with an overlay of changes.
pub struct Draft<'a> {
    base: &'a dyn Records,
    tip: Tip,
    records: BTreeMap<Key, Option<Record>>,
    rosters: Rosters,
    /// How to undo what was changed since [`Draft::begin`].
    undo: Option<Undo>,
}

/// The values from before a transaction's changes.
struct Undo {
    /// The running values, if they were changed.
    running: Option<Running>,
    /// For each change, in order, what the overlay had before: nothing, or this.
    records: Vec<(Key, Option<Option<Record>>)>,
}

/// What a draft changed, without the state tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftChanges {
    /// The new tip; its state root is still the parent's.
    pub tip: Tip,
    /// Each record touched.
    pub records: BTreeMap<Key, Option<Record>>,
    /// The rosters.
    pub rosters: Rosters,
}

impl std::fmt::Debug for Draft<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Draft").field("tip", &self.tip).field("records", &self.records).finish_non_exhaustive()
    }
}

impl<'a> Draft<'a> {
    /// The records, without changes yet.
    pub fn new(base: &'a dyn Records) -> Self {
        Self::with(base, DraftChanges { tip: base.tip(), records: BTreeMap::new(), rosters: base.rosters() })
    }

    /// The records, with these changes of an earlier draft of the same base.
    pub(super) fn with(base: &'a dyn Records, changes: DraftChanges) -> Self {
        let DraftChanges { tip, records, rosters } = changes;
        Self { base, tip, records, rosters, undo: None }
    }

    /// The changes.
    pub fn into_changes(self) -> DraftChanges {
        DraftChanges { tip: self.tip, records: self.records, rosters: self.rosters }
    }

    /// The changes so far.
    #[cfg(test)]
    pub(super) fn changes(&self) -> DraftChanges {
        DraftChanges { tip: self.tip.clone(), records: self.records.clone(), rosters: self.rosters.clone() }
    }

    /// Begins a savepoint: changes of records and running values can be undone until [`Draft::commit`].
    pub(super) fn begin(&mut self) {
        self.undo = Some(Undo { running: None, records: Vec::new() });
    }

    /// Makes the changes since [`Draft::begin`] permanent.
    pub(super) fn commit(&mut self) {
        self.undo = None;
    }

    /// Undoes the changes since [`Draft::begin`].
    pub(super) fn rollback(&mut self) {
        let Some(Undo { running, records }) = self.undo.take() else { return };
        if let Some(running) = running {
            self.tip.running = running;
        }
        for (key, before) in records.into_iter().rev() {
            match before {
                Some(record) => _ = self.records.insert(key, record),
                None => _ = self.records.remove(&key),
            }
        }
    }

    /// The tip, to change.
    pub(super) const fn tip_mut(&mut self) -> &mut Tip {
        &mut self.tip
    }

    /// Height of the block being executed.
    pub(super) const fn height(&self) -> Height {
        self.tip.height
    }

    /// The running values.
    pub(super) const fn running(&self) -> &Running {
        &self.tip.running
    }

    /// The running values, to change.
    pub(super) fn running_mut(&mut self) -> &mut Running {
        if let Some(undo) = &mut self.undo {
            undo.running.get_or_insert_with(|| self.tip.running.clone());
        }
        &mut self.tip.running
    }

    /// The account, to change, if it exists.
    pub(super) fn existing_account(&mut self, id: &AccountId) -> Option<&mut Account> {
        match self.record_mut(&Key::Account(*id)) {
            Some(Record::Account(account)) => Some(account),
            _ => None,
        }
    }

    /// The account, to change; one that does not exist begins with this block.
    pub(super) fn account_mut(&mut self, id: &AccountId) -> &mut Account {
        let begun = Account::begun(self.height());
        let record = self.record_mut(&Key::Account(*id)).get_or_insert_with(|| Record::Account(begun));
        match record {
            Record::Account(account) => account,
            _ => unreachable!("invariant: a key's record is of its kind"),
        }
    }

    /// The account owns one thing more: called where the record begins.
    pub(super) fn gain(&mut self, owner: &AccountId) {
        self.account_mut(owner).owns += 1;
    }

    /// The account owns one thing less.
    fn lose(&mut self, owner: &AccountId) {
        let account = self.account_mut(owner);
        account.owns = account.owns.checked_sub(1).expect("invariant: what an account owns is counted");
    }

    /// The accounts that this block touched and did not remove.
    pub(super) fn touched_accounts(&self) -> impl Iterator<Item = (AccountId, Account)> {
        let all = Key::Account(AccountId::LEAST)..=Key::Account(AccountId::GREATEST);
        let account = |(key, record): (&Key, &Option<Record>)| match (key, record) {
            (Key::Account(id), Some(Record::Account(account))) => Some((*id, *account)),
            _ => None,
        };
        self.records.range(all).filter_map(account)
    }

    /// The rosters; what changes them is not undone with a transaction.
    pub(super) const fn rosters_mut(&mut self) -> &mut Rosters {
        &mut self.rosters
    }

    /// The providers that this block touched.
    pub(super) fn touched_providers(&self) -> Vec<NodeId> {
        let all = Key::Provider(NodeId::LEAST)..=Key::Provider(NodeId::GREATEST);
        let node = |(key, _): (&Key, _)| if let Key::Provider(node) = key { Some(*node) } else { None };
        self.records.range(all).filter_map(node).collect()
    }

    /// The validator, if it votes, to change.
    pub(super) fn validator_mut(&mut self, key: &VoteKey) -> Option<&mut Validator> {
        match self.record_mut(&Key::Validator(*key)) {
            Some(Record::Validator(validator)) => Some(validator),
            _ => None,
        }
    }

    /// Writes a provider, and its index entries.
    pub(super) fn put_provider(&mut self, provider: Provider) {
        let before = self.provider(&provider.node).iter().flat_map(Provider::marks).collect();
        self.put_marks(before, provider.marks().collect());
        self.put(Key::Provider(provider.node), Record::Provider(provider));
    }

    /// A record's index entries become these.
    fn put_marks(&mut self, before: Vec<Key>, now: Vec<Key>) {
        before.iter().filter(|mark| !now.contains(mark)).for_each(|mark| self.remove(*mark));
        now.iter().filter(|mark| !before.contains(mark)).for_each(|mark| self.put(*mark, Record::Mark));
    }

    /// Writes a validator.
    pub(super) fn put_validator(&mut self, validator: Validator) {
        let key = validator.key;
        if validator.votes() {
            self.put(Key::Validator(key), Record::Validator(validator));
        } else {
            self.remove(Key::Validator(key));
            self.put(Key::FormerValidator(key), Record::Validator(validator));
        }
    }

    /// Schedules the return of a validator's bond.
    pub(super) fn list_unbonding(&mut self, until: Epoch, key: VoteKey) {
        self.put(Key::Unbonding(until, Bonded::Validator(key)), Record::Mark);
    }

    /// Writes the usage of an infrastructure, and its index entry; removes both when it is zero.
    pub(super) fn put_infrastructure(&mut self, infrastructure: Infrastructure) {
        let key = Key::Infrastructure(infrastructure.tag);
        if let Some(Record::Infrastructure(before)) = self.get(&key) {
            self.remove(before.mark());
        }
        if infrastructure.used == 0 {
            return self.remove(key);
        }
        self.put(infrastructure.mark(), Record::Mark);
        self.put(key, Record::Infrastructure(infrastructure));
    }

    /// Writes the charter.
    pub(super) fn put_charter(&mut self, charter: Charter) {
        self.put(Key::Charter, Record::Charter(charter));
    }

    /// Writes a proposal.
    pub(super) fn put_proposal(&mut self, proposal: Proposal) {
        self.put(Key::Proposal(proposal.number), Record::Proposal(proposal));
    }

    /// Writes a name.
    pub(super) fn put_name(&mut self, owner: AccountId, name: [u8; 32], record: NameRecord) {
        self.put(Key::Name(owner, name), Record::Name(record));
    }

    /// Removes a record that an account owns.
    pub(super) fn remove_owned(&mut self, owner: &AccountId, key: Key) {
        self.remove(key);
        self.lose(owner);
    }

    /// Writes a commitment, its index entries, and that its object has it.
    pub(super) fn put_commitment(&mut self, commitment: Commitment) {
        let before = self.commitment(&commitment.id);
        if before.is_none() {
            self.gain(&commitment.id.owner);
        }
        owners::note(self, &commitment.id, commitment.end, before.is_none());
        self.put_marks(before.iter().flat_map(Commitment::marks).collect(), commitment.marks().collect());
        self.put(Key::Commitment(commitment.id), Record::Commitment(commitment));
    }

    /// Removes a commitment, and its index entries.
    pub(super) fn remove_commitment(&mut self, id: CommitmentId) {
        let Some(before) = self.commitment(&id) else { return };
        self.put_marks(before.marks().collect(), Vec::new());
        self.remove(Key::Doubts(id));
        self.remove(Key::Renewal(id));
        self.remove_owned(&id.owner, Key::Commitment(id));
        owners::forget(self, &id);
    }

    /// Writes what rebuilders say of a commitment's columns.
    pub(super) fn put_doubts(&mut self, id: CommitmentId, doubts: Vec<Doubt>) {
        let key = Key::Doubts(id);
        if doubts.is_empty() { self.remove(key) } else { self.put(key, Record::Doubts(doubts)) }
    }

    /// Writes how a commitment is renewed.
    pub(super) fn put_renewal(&mut self, id: CommitmentId, renewal: Option<Renewal>) {
        let key = Key::Renewal(id);
        match renewal {
            Some(renewal) => self.put(key, Record::Renewal(renewal)),
            None => self.remove(key),
        }
    }

    /// The object, to change; one without owners that does not exist begins.
    pub(super) fn object_mut(&mut self, id: &ObjectId) -> &mut ObjectRecord {
        match self.record_mut(&Key::Object(*id)).get_or_insert_with(|| Record::Object(ObjectRecord::default())) {
            Record::Object(object) => object,
            _ => unreachable!("invariant: a key's record is of its kind"),
        }
    }

    /// Writes a record.
    pub(super) fn put(&mut self, key: Key, record: Record) {
        self.set(key, Some(record));
    }

    /// Removes a record.
    pub(super) fn remove(&mut self, key: Key) {
        self.set(key, None);
    }

    fn set(&mut self, key: Key, record: Option<Record>) {
        let before = self.records.insert(key, record);
        if let Some(undo) = &mut self.undo {
            undo.records.push((key, before));
        }
    }

    fn record_mut(&mut self, key: &Key) -> &mut Option<Record> {
        match self.records.entry(*key) {
            Entry::Occupied(entry) => {
                let record = entry.into_mut();
                if let Some(undo) = &mut self.undo {
                    undo.records.push((*key, Some(record.clone())));
                }
                record
            }
            Entry::Vacant(entry) => {
                if let Some(undo) = &mut self.undo {
                    undo.records.push((*key, None));
                }
                entry.insert(self.base.get(key))
            }
        }
    }
}

impl Nodes for Draft<'_> {
    fn node(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.base.node(key)
    }
}

impl Records for Draft<'_> {
    fn tip(&self) -> Tip {
        self.tip.clone()
    }

    fn rosters(&self) -> Rosters {
        self.rosters.clone()
    }

    fn get(&self, key: &Key) -> Option<Record> {
        self.records.get(key).cloned().unwrap_or_else(|| self.base.get(key))
    }

    fn scan(&self, first: &Key, last: &Key, limit: usize) -> Vec<(Key, Record)> {
        if first > last {
            return Vec::new();
        }
        let changed = || self.records.range(*first..=*last);
        // As many as the changes can hide are read on top.
        let base = self.base.scan(first, last, limit.saturating_add(changed().count()));
        let mut all: BTreeMap<Key, Option<Record>> =
            base.into_iter().map(|(key, record)| (key, Some(record))).collect();
        all.extend(changed().map(|(key, record)| (*key, record.clone())));
        all.into_iter().filter_map(|(key, record)| Some((key, record?))).take(limit).collect()
    }
}
