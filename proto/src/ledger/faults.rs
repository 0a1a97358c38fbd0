//! Faults: epochs that providers did not prove, what follows from them, and what excuses them (ARCHITECTURE 5.8).
//!
//! Only silence is a fault: a wrong proof is refused and costs nothing. Providers with something to prove stand in a
//! queue by the first epoch that is not settled; each block settles a bounded number of those that are due, so that the
//! silent are touched too. One epoch missed is not paid; after several in a row a provider is suspended, until it
//! proves again. Epochs for which it announced to be away are not paid, and count for nothing else. Where very much was
//! missed in many places, or blocks had no space for proofs, all who missed are excused: but nobody who stores less
//! than a fifth can excuse himself.
//!
//! Each epoch that a provider did not prove leaves a record of why, with the hash of what it was asked, and so do
//! losses that it reports or pays for. They are for people to read: nothing follows from them, and they are forgotten.

use crate::{
    audit,
    id::{Epoch, NodeId},
    ledger::{
        draft::Draft,
        losses,
        state::{
            Bonded, EpochAudit, EpochClock, EpochRecord, Fault, FaultReason, Key, Provider, ProviderStatus, Record,
            Records, outside,
        },
    },
    limits,
    params::Params,
};

/// Epochs in a row that are excused, at most.
const EXCUSED_IN_A_ROW: u32 = 3;

impl Provider {
    /// The keys of its index entries.
    pub(super) fn marks(&self) -> impl Iterator<Item = Key> {
        let unbonding = match self.status {
            ProviderStatus::Exited { until } => Some(Key::Unbonding(until, Bonded::Provider(self.node))),
            _ => None,
        };
        let unproven = self.last_to_prove().map(|_| Key::Unproven(self.audited.open, self.node));
        let written_off = (self.audited.written_off && self.used > 0).then_some(Key::WrittenOff(self.node));
        unbonding.into_iter().chain(unproven).chain(written_off)
    }

    /// The last epoch of which it has something to prove: none, or one that is over, or any.
    fn last_to_prove(&self) -> Option<Epoch> {
        let frozen = self.audited.frozen;
        let last = if self.used > 0 { Epoch(u64::MAX) } else { frozen.epoch };
        (self.used > 0 || frozen.bytes > 0 && last >= self.audited.open).then_some(last)
    }
}

/// Settles the epochs before the one in progress: those that the provider has not proven by now are missed.
pub(super) fn settle(draft: &mut Draft<'_>, provider: &mut Provider) {
    let clock = draft.running().clock;
    let (Some(last), Some(before)) = (provider.last_to_prove(), clock.epoch.0.checked_sub(1)) else { return };
    let (first, last) = (provider.audited.open, last.min(Epoch(before)));
    if first > last {
        return;
    }
    let stood = (provider.status, provider.audited.written_off);
    judge(provider, &clock, (first, last), &draft.params());
    let (status, written_off) = stood;
    let suspended = (provider.status != status).then_some(FaultReason::Suspended);
    let written_off = (provider.audited.written_off && !written_off).then_some(FaultReason::WrittenOff);
    if written_off.is_some() {
        losses::begin_sweep(draft);
    }
    record_silence(draft, provider, (first, last), suspended.into_iter().chain(written_off));
}

/// What follows for the provider from having proven none of the epochs from `first` to `last`.
fn judge(provider: &mut Provider, clock: &EpochClock, (first, last): (Epoch, Epoch), params: &Params) {
    let Params { audits, repair, .. } = params;
    let (audited, before) = (&mut provider.audited, Epoch(clock.epoch.0 - 1));
    audited.open = clock.epoch;
    // Whether they are excused or not: what is not proven has to be somewhere else.
    let since = *audited.silent_since.get_or_insert(first);
    if provider.used == 0 {
        // Nothing is left that it could be silent about.
        audited.returned();
    } else if counted(outside(audited.maintenance, since, before)) >= repair.suspect_epochs {
        (audited.written_off, audited.proven_bytes) = (true, 0);
    }
    let unannounced = || outside(audited.maintenance, first, last);
    let excused: u32 = unannounced().map(|(first, last)| clock.excused_of(first, last)).sum();
    let missed = u32::try_from(counted(unannounced())).unwrap_or(u32::MAX).saturating_sub(excused);
    if missed == 0 {
        return;
    }
    audited.missed = audited.missed.saturating_add(missed);
    audited.clean_since = clock.epoch;
    if audited.missed >= audits.suspend_after && provider.status == ProviderStatus::Active {
        provider.status = ProviderStatus::Suspended;
    }
}

/// Records the silence of a provider in each of the epochs from `first` to `last` that are recent, and what followed
/// from the last of them.
fn record_silence(
    draft: &mut Draft<'_>,
    provider: &Provider,
    (first, last): (Epoch, Epoch),
    consequences: impl Iterator<Item = FaultReason>,
) {
    let (clock, node) = (draft.running().clock, provider.node);
    let oldest = Epoch(clock.epoch.0.saturating_sub(limits::PROVEN_EPOCHS));
    let mut consequences = Some(consequences);
    for epoch in (first.max(oldest).0..=last.0).map(Epoch) {
        // What was asked in an epoch is known for as long as its record is.
        let Some(beacon) = draft.epoch(epoch).and_then(|record| record.beacon) else { continue };
        let unproven = provider.frozen_bytes(epoch);
        let reason = if provider.audited.maintenance.is_some_and(|planned| planned.covers(epoch)) {
            FaultReason::Maintenance
        } else if clock.excused_of(epoch, epoch) > 0 {
            FaultReason::Excused
        } else {
            FaultReason::Missed
        };
        let followed = consequences.take_if(|_| epoch == last).into_iter().flatten();
        let evidence = audit::silence(&beacon, &node, unproven);
        let reasons = [reason].into_iter().chain(followed).map(|reason| (reason, evidence)).collect();
        note(draft, (epoch, node), Fault { unproven, reasons });
    }
}

/// Records something against a provider in the epoch in progress.
pub(super) fn record(draft: &mut Draft<'_>, node: NodeId, reason: FaultReason, evidence: [u8; 32]) {
    let epoch = draft.running().clock.epoch;
    note(draft, (epoch, node), Fault { unproven: 0, reasons: [(reason, evidence)].into() });
}

/// Adds to what there is against a provider of an epoch; a reason keeps its first evidence.
fn note(draft: &mut Draft<'_>, (epoch, node): (Epoch, NodeId), more: Fault) {
    let before = draft.fault(epoch, &node);
    let Fault { unproven, reasons } = before.clone().unwrap_or_default();
    let reasons = more.reasons.into_iter().chain(reasons).collect();
    let fault = Fault { unproven: unproven.max(more.unproven), reasons };
    if before.as_ref() != Some(&fault) {
        draft.put(Key::Fault(epoch, node), Record::Fault(fault));
    }
}

/// Forgets what is long ago, as much as one block may.
pub(super) fn forget(draft: &mut Draft<'_>) {
    let epoch = draft.running().clock.epoch;
    let Some(old) = epoch.0.checked_sub(limits::PROVEN_EPOCHS + 1).map(Epoch) else { return };
    let (first, last) = (Key::Fault(Epoch(0), NodeId::LEAST), Key::Fault(old, NodeId::GREATEST));
    for (key, _) in draft.scan(&first, &last, limits::FAULT_REMOVALS) {
        draft.remove(key);
    }
}

/// How many epochs these ranges have.
fn counted(ranges: impl Iterator<Item = (Epoch, Epoch)>) -> u64 {
    ranges.map(|(first, last)| last.0 - first.0 + 1).sum()
}

/// Settles providers that have been silent, as many as one block may.
pub(super) fn settle_due(draft: &mut Draft<'_>) {
    let Some(last) = draft.running().clock.epoch.0.checked_sub(1) else { return };
    let (first, last) = (Key::Unproven(Epoch(0), NodeId::LEAST), Key::Unproven(Epoch(last), NodeId::GREATEST));
    for (key, _) in draft.scan(&first, &last, limits::JUDGED) {
        let Key::Unproven(_, node) = key else { continue };
        let mut provider = draft.provider(&node).expect("the index of silent providers names those that exist");
        settle(draft, &mut provider);
        draft.put_provider(provider);
    }
}

/// An epoch is over, and the clock is the next one's: notes whether those who missed it are excused.
pub(super) fn excuse(draft: &mut Draft<'_>, ended: &EpochRecord) {
    let before = draft.running().clock.excused;
    let in_a_row = (before >> 1).trailing_ones();
    let is_excused = in_a_row < EXCUSED_IN_A_ROW && is_excused(ended);
    draft.running_mut().clock.excused = before | u64::from(is_excused);
}

/// Whether those who missed an epoch are excused: proofs had no space, or what is missing is too much, and too widely
/// spread, to be their fault.
pub(super) fn is_excused(ended: &EpochRecord) -> bool {
    let EpochRecord { space, audit, .. } = ended;
    let is_crowded = space.with_space.saturating_mul(4) < space.blocks;
    is_crowded || is_storm(audit)
}

/// Whether so much is missing of what was to be proven, each infrastructure counted up to a twentieth of all, that it
/// is a fifth; or more than half, of two infrastructures at least.
fn is_storm(audit: &EpochAudit) -> bool {
    let (all, missing) = (audit.frozen, audit.frozen.saturating_sub(audit.proven));
    let of_large = || audit.large.iter().map(|large| large.frozen.saturating_sub(large.proven));
    let twentieth = all / 20;
    let beyond: u128 = of_large().map(|missing| missing.saturating_sub(twentieth)).sum();
    let spread = missing.saturating_sub(beyond);
    let is_of_one = of_large().any(|of_one| of_one == missing);
    (all > 0 && spread.saturating_mul(5) >= all) || (missing.saturating_mul(2) > all && !is_of_one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::state::LargeInfrastructure;

    /// Of each infrastructure, what was to be proven and what was.
    fn audit(infrastructures: &[(u128, u128)]) -> EpochAudit {
        let frozen: u128 = infrastructures.iter().map(|(frozen, _)| frozen).sum();
        let proven = infrastructures.iter().map(|(_, proven)| proven).sum();
        let large = infrastructures.iter().filter(|(of_one, _)| of_one * 20 > frozen);
        let large =
            large.map(|(frozen, proven)| LargeInfrastructure { tag: [0; 16], frozen: *frozen, proven: *proven });
        EpochAudit { frozen, providers: 1, proven, large: large.collect() }
    }

    #[test]
    fn storms_are_wide_and_nobody_makes_one_alone() {
        let check = |desc: &str, infrastructures: &[(u128, u128)], expect| {
            assert_eq!(is_storm(&audit(infrastructures)), expect, "{desc}");
        };
        check("nothing to prove", &[], false);
        check("all proven", &[(50, 50), (50, 50)], false);
        check("a quarter in one", &[(25, 0), (25, 25), (25, 25), (25, 25)], false);
        check("all but one in one", &[(990, 0), (10, 10)], false);
        check("all of the only one", &[(100, 0)], false);
        check("two of three", &[(33, 0), (33, 0), (34, 34)], true);
        check("half of two", &[(50, 0), (50, 50)], false);
        let ten = |missing: u128| -> Vec<(u128, u128)> {
            (0..10).map(|_| (24, 24 - missing)).chain((0..76).map(|_| (10, 10))).collect()
        };
        check("24 % across ten", &ten(24), true);
        check("19 % across ten", &ten(19), false);
        let many: Vec<_> = (0..100).map(|number| (10, if number < 21 { 0 } else { 10 })).collect();
        check("21 % of small ones", &many, true);
    }
}
