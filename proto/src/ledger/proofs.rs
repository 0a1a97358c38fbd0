//! Storage proofs in a block: a list beside the transactions, in a lane of its own (SPEC, "Proofs of a block"); what a
//! provider is asked for in an epoch, and what its proof pays (ARCHITECTURE 5.8).
//!
//! A proof is no transaction: it has no account, nonce, fee or signature, since the leaves convince by themselves. So
//! transactions never push proofs out. A wrong proof is refused and costs nothing; silence is what `faults` settles.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

use crate::{
    audit::{self, ChallengedLeaf, LeavesError, StorageProof},
    codec,
    id::{AccountId, Amount, Epoch, NodeId},
    ledger::{
        draft::Draft,
        faults,
        inclusion::root_of,
        inventory,
        money::{self, CONSERVED, Pool},
        rules::Rules,
        state::{EpochRecord, Key, Pay, Provider, ProviderStatus, Record, Records},
    },
    limits,
    params::Audits,
    placement::DomainTags,
};

/// What a proof is of: a provider proves once an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize, Serialize)]
pub struct ProofKey {
    /// The provider.
    pub provider: NodeId,
    /// The epoch whose beacon challenged it.
    pub epoch: Epoch,
}

/// The proofs of a block, each key once.
pub type Proofs = BTreeMap<ProofKey, StorageProof>;

/// The root of the tree over a block's proofs, in the order of their keys.
pub fn proof_root(proofs: &Proofs) -> [u8; 32] {
    root_of(proofs.iter().map(|entry| blake3::derive_key("ostrakon proof leaf 1", &codec::encode(&entry))).collect())
}

/// Bytes that a block's proofs take in their lane.
pub(super) fn bytes_of(proofs: &Proofs) -> usize {
    proofs.iter().map(|(key, proof)| bytes_of_one(key, proof)).sum()
}

/// Bytes that one proof takes.
pub(super) fn bytes_of_one(key: &ProofKey, proof: &StorageProof) -> usize {
    codec::encode(&(key, proof)).len()
}

/// Whether a lane with this many bytes of proofs has space for another, however large it is.
pub(super) const fn has_space(bytes: usize) -> bool {
    bytes + limits::PROOF <= limits::PROOFS
}

/// What a provider is asked for in the epoch in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The leaves to show, in order.
    pub leaves: Vec<ChallengedLeaf>,
    /// The block time from which a proof counts.
    pub opens_ms: u64,
    /// The block time at which the epoch may be over.
    pub closes_ms: u64,
}

/// Why a proof does not count. It costs nothing: a good one may still come.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// It came too late, or too early.
    #[error("the proof is for epoch {}, the epoch in progress is {}", given.0, current.0)]
    Epoch {
        /// Its epoch.
        given: Epoch,
        /// The epoch in progress.
        current: Epoch,
    },
    /// Nothing is asked for before the epoch's beacon is complete.
    #[error("nothing is asked for yet in epoch {}: its beacon is not complete", .0.0)]
    NoBeacon(Epoch),
    /// No such provider.
    #[error("{0} is not a registered provider")]
    NoProvider(NodeId),
    /// The provider stored nothing when the epoch began, or has proven the epoch.
    #[error("{provider} has nothing to prove in epoch {}, or has proven it", epoch.0)]
    Nothing {
        /// The provider.
        provider: NodeId,
        /// The epoch.
        epoch: Epoch,
    },
    /// Wait.
    #[error(
        "{provider} may not prove the epoch yet: its window opens at block time {opens_ms} ms, and now is {now_ms} ms"
    )]
    NotOpen {
        /// The provider.
        provider: NodeId,
        /// The block time from which its proof counts.
        opens_ms: u64,
        /// The block's.
        now_ms: u64,
    },
    /// Not the leaves that are asked for.
    #[error(transparent)]
    Leaves(#[from] LeavesError),
}

/// What this provider is asked for in the epoch in progress: the state is that within or before the next block.
///
/// # Errors
/// [`AuditError`] when it is asked for nothing, or not yet.
pub fn challenge(records: &dyn Records, rules: &Rules, key: &ProofKey) -> Result<Challenge, AuditError> {
    let ProofKey { provider: node, epoch } = *key;
    let clock = records.tip().running.clock;
    if epoch != clock.epoch {
        return Err(AuditError::Epoch { given: epoch, current: clock.epoch });
    }
    let record = records.epoch(epoch).filter(|record| record.beacon.is_some());
    let (record, beacon) =
        record.and_then(|record| Some((record.clone(), record.beacon?))).ok_or(AuditError::NoBeacon(epoch))?;
    let provider = records.provider(&node).ok_or(AuditError::NoProvider(node))?;
    let bytes = provider.frozen_bytes(epoch);
    if bytes == 0 || provider.audited.open > epoch {
        return Err(AuditError::Nothing { provider: node, epoch });
    }
    let count = rules.params.audits.leaves_of(&provider, &record);
    let leaf = |point| {
        let (held, offset) = inventory::locate(records, node, epoch, point)
            .expect("invariant: an inventory has as many bytes as its provider's slots");
        ChallengedLeaf::at(held.column, held.column_len, offset)
    };
    let leaves = audit::points(&beacon, &node, bytes, count).into_iter().map(leaf).collect();
    let epoch_ms = rules.params.time.epoch_ms;
    let opens_ms = audit::opens_ms(&beacon, &node, record.start_ms, epoch_ms);
    Ok(Challenge { leaves, opens_ms, closes_ms: record.start_ms.saturating_add(epoch_ms) })
}

impl Challenge {
    /// Checks a proof of `provider` in a block with this time.
    ///
    /// # Errors
    /// [`AuditError`] when it is too early, or does not have the leaves.
    pub fn verify(&self, provider: NodeId, proof: &StorageProof, now_ms: u64) -> Result<(), AuditError> {
        let opens_ms = self.opens_ms;
        if now_ms < opens_ms {
            return Err(AuditError::NotOpen { provider, opens_ms, now_ms });
        }
        Ok(proof.verify(&self.leaves)?)
    }
}

impl Audits {
    /// Leaves that a provider must show in the epoch with this record.
    fn leaves_of(&self, provider: &Provider, record: &EpochRecord) -> u8 {
        let many = u32::try_from(record.roster.providers.groups()).is_ok_and(|count| count > self.few_providers);
        let is_clean = record.epoch.0.saturating_sub(provider.audited.clean_since.0) >= self.probation_epochs;
        if many && is_clean { self.proven_leaves } else { self.leaves }
    }
}

/// Checks a proof within a block, and pays for it; half of the validators' part goes to `proposer`, who included it.
pub(super) fn apply(
    draft: &mut Draft<'_>,
    rules: &Rules,
    (key, proof): (&ProofKey, &StorageProof),
    proposer: &AccountId,
) -> Result<(), AuditError> {
    challenge(draft, rules, key)?.verify(key.provider, proof, draft.running().time_ms)?;
    let ProofKey { provider: node, epoch } = *key;
    let mut provider = draft.provider(&node).ok_or(AuditError::NoProvider(node))?;
    faults::settle(draft, &mut provider);
    let bytes = provider.frozen_bytes(epoch);
    note(draft, &provider, bytes);
    let audited = &mut provider.audited;
    (audited.open, audited.missed) = (epoch.after(1), 0);
    audited.returned();
    audited.ramp(bytes, rules.params.audits.ramp_epochs);
    if provider.status == ProviderStatus::Suspended {
        provider.status = ProviderStatus::Active;
    }
    pay(draft, rules, &mut provider, epoch, proposer);
    draft.put_provider(provider);
    Ok(())
}

/// Counts a proof in the epoch's record.
fn note(draft: &mut Draft<'_>, provider: &Provider, bytes: u64) {
    let epoch = draft.running().clock.epoch;
    let mut record = draft.epoch(epoch).expect("invariant: the epoch in progress has a record");
    let (audit, bytes) = (&mut record.audit, u128::from(bytes));
    audit.providers = audit.providers.saturating_add(1);
    audit.proven = audit.proven.saturating_add(bytes);
    let tag = DomainTags::from(&provider.domain).infrastructure;
    if let Some(large) = audit.large.iter_mut().find(|large| large.tag == tag) {
        large.proven = large.proven.saturating_add(bytes);
    }
    draft.put(Key::Epoch(epoch), Record::Epoch(record));
}

/// Pays one epoch of all slots that have not ended.
fn pay(draft: &mut Draft<'_>, rules: &Rules, provider: &mut Provider, epoch: Epoch, proposer: &AccountId) {
    let (node, owner) = (provider.node, provider.owner);
    let pay = &mut provider.audited.pay;
    let (first, last) = (Key::Rate(node, pay.settled), Key::Rate(node, epoch));
    for (key, record) in draft.scan(&first, &last, usize::MAX) {
        let Record::Rate(ended) = record else { continue };
        pay.rate = pay.rate.minus(ended).expect(CONSERVED);
        draft.remove(key);
    }
    let Pay { rate, settled, proofs, earned } = *pay;
    let fee = u128::from(rate.0) * u128::from(rules.params.audits.fee_percent) / 100;
    let fee = Amount(u64::try_from(fee).expect("a percentage of it is no more"));
    let (for_proposer, own) = (Amount(fee.0 / 2), rate.minus(fee).expect("a fee is a part"));
    let earned = earned.plus(own).expect(CONSERVED);
    *pay = Pay { rate, settled: settled.max(epoch.after(1)), proofs: proofs.with(epoch), earned };
    money::unlock(draft, &owner, own, Pool::Escrow);
    money::unlock(draft, proposer, for_proposer, Pool::Escrow);
    money::shift(draft, fee.minus(for_proposer).expect("a half is a part"), (Pool::Escrow, Pool::Validators));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tx::tx_root;

    #[test]
    fn a_block_without_proofs_has_the_root_of_an_empty_tree() {
        let none = Proofs::new();
        assert_eq!(codec::decode::<Proofs>(&codec::encode(&none), limits::PROOFS), Ok(none.clone()));
        assert_eq!((proof_root(&none), bytes_of(&none)), (tx_root(&[]), 0));
    }

    #[test]
    fn a_lane_has_space_while_the_largest_proof_fits() {
        let fits = limits::PROOFS - limits::PROOF;
        assert!(has_space(0) && has_space(fits) && !has_space(fits + 1));
    }
}
