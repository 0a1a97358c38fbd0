//! A state in the making: the records below, and what was changed above them.
//!
//! Reads see the changes first. Drafts stack: a transaction works on one of its own, which is thrown away when it
//! fails, so that a refused transaction leaves no trace. Nothing here decides anything.

use std::collections::BTreeMap;

use crate::{
    id::{AccountId, Epoch, NodeId, ObjectId},
    ledger::state::{Account, Changes, Commitment, CommitmentId, EpochRecord, Provider, Records, Tip},
};

/// Records with changes on top.
pub struct Draft<'a> {
    base: &'a dyn Records,
    changes: Changes,
}

impl std::fmt::Debug for Draft<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Draft").field("changes", &self.changes).finish_non_exhaustive()
    }
}

impl<'a> Draft<'a> {
    /// The records as they are.
    pub fn new(base: &'a dyn Records) -> Self {
        Self { base, changes: Changes::new(base.tip()) }
    }

    /// What was changed.
    pub fn into_changes(self) -> Changes {
        self.changes
    }

    /// Adds the changes of a draft on top of this one.
    pub(super) fn absorb(&mut self, later: Changes) {
        self.changes.absorb(later);
    }

    /// What was changed so far.
    pub(super) const fn changes(&self) -> &Changes {
        &self.changes
    }

    /// The running values, to change.
    pub(super) const fn tip_mut(&mut self) -> &mut Tip {
        &mut self.changes.tip
    }

    /// The account, to change.
    pub(super) fn account_mut(&mut self, id: &AccountId) -> &mut Account {
        self.changes.accounts.entry(*id).or_insert_with(|| self.base.account(id))
    }

    /// The provider, to change; `None` when there is none.
    pub(super) fn provider_mut(&mut self, id: &NodeId) -> Option<&mut Provider> {
        if !self.changes.providers.contains_key(id) {
            let provider = self.base.provider(id)?;
            self.changes.providers.insert(*id, Some(provider));
        }
        self.changes.providers.get_mut(id)?.as_mut()
    }

    pub(super) fn put_provider(&mut self, provider: Provider) {
        self.changes.providers.insert(provider.node, Some(provider));
    }

    pub(super) fn put_commitment(&mut self, commitment: Commitment) {
        self.changes.commitments.insert(commitment.id, Some(commitment));
    }

    pub(super) fn remove_commitment(&mut self, id: CommitmentId) {
        self.changes.commitments.insert(id, None);
    }

    pub(super) fn set_epoch(&mut self, epoch: Epoch, record: Option<EpochRecord>) {
        self.changes.epochs.insert(epoch, record);
    }
}

impl Records for Draft<'_> {
    fn tip(&self) -> Tip {
        self.changes.tip.clone()
    }

    fn account(&self, id: &AccountId) -> Account {
        self.changes.accounts.get(id).copied().unwrap_or_else(|| self.base.account(id))
    }

    fn provider(&self, id: &NodeId) -> Option<Provider> {
        self.changes.providers.get(id).cloned().unwrap_or_else(|| self.base.provider(id))
    }

    fn providers(&self) -> Vec<Provider> {
        let base = self.base.providers().into_iter().map(|provider| (provider.node, Some(provider)));
        let mut all: BTreeMap<NodeId, Option<Provider>> = base.collect();
        all.extend(self.changes.providers.clone());
        all.into_values().flatten().collect()
    }

    fn commitment(&self, id: &CommitmentId) -> Option<Commitment> {
        self.changes.commitments.get(id).cloned().unwrap_or_else(|| self.base.commitment(id))
    }

    fn commitments_of(&self, object: &ObjectId, limit: usize) -> Vec<Commitment> {
        let changed = || {
            self.changes.commitments.range(CommitmentId::first_of(*object)..).take_while(|(id, _)| id.object == *object)
        };
        // As many as the changes can hide are read on top.
        let base = self.base.commitments_of(object, limit.saturating_add(changed().count()));
        let mut all: BTreeMap<CommitmentId, Option<Commitment>> =
            base.into_iter().map(|commitment| (commitment.id, Some(commitment))).collect();
        all.extend(changed().map(|(id, commitment)| (*id, commitment.clone())));
        all.into_values().flatten().take(limit).collect()
    }

    fn ending(&self, epoch: Epoch, limit: usize) -> Vec<CommitmentId> {
        let changed = &self.changes.commitments;
        let base = self.base.ending(epoch, limit.saturating_add(changed.len()));
        if changed.is_empty() {
            return base;
        }
        let end = |id: &CommitmentId| self.commitment(id).map(|commitment| (commitment.end, *id));
        let mut all: Vec<(Epoch, CommitmentId)> =
            base.iter().filter(|id| !changed.contains_key(id)).filter_map(end).collect();
        all.extend(
            changed.values().flatten().filter(|changed| changed.end <= epoch).map(|changed| (changed.end, changed.id)),
        );
        all.sort_unstable();
        all.into_iter().map(|(_, id)| id).take(limit).collect()
    }

    fn epoch(&self, epoch: Epoch) -> Option<EpochRecord> {
        self.changes.epochs.get(&epoch).cloned().unwrap_or_else(|| self.base.epoch(epoch))
    }
}
