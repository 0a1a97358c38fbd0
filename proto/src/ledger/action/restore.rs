//! restore and report-loss: a provider brings back a column that it had lost, or says that it lost one.
//!
//! A column comes back with a leaf of it that the newest beacon asks for, as long as nobody has rebuilt it: then
//! nothing has to be repaired, and nothing is paid.

use crate::{
    audit::ChallengedLeaf,
    ledger::{
        action::ActionContext,
        collateral::collateral,
        error::TxError,
        faults, losses,
        repair::{self, RepairError, returning_point},
        slots,
        state::{Commitment, FaultReason, Provider, ProviderStatus, Records, SlotState},
        tx::{ReportLoss, Restore},
    },
    tree,
};

pub(super) fn apply(context: &mut ActionContext<'_, '_>, restore: &Restore) -> Result<(), TxError> {
    let mut commitment = context.any_running(&restore.commitment)?;
    let index = restore.index;
    let slot = commitment.slots.get(usize::from(index)).copied().filter(|slot| slot.state.is_lost());
    let mut slot = slot.ok_or(RepairError::NotLost { index })?;
    let mut provider = context.own_provider(slot.provider).map_err(|_| RepairError::NotLost { index })?;
    check_room(context, &provider, &commitment, index)?;
    check_leaf(context, &commitment, restore)?;
    let bonds = &context.rules.params.bonds;
    // It may have paid for it already.
    let again = collateral(bonds, commitment.column_len, slot.ask).max(slot.collateral);
    provider.collateral = provider.collateral.minus(slot.collateral).expect("capacity is counted");
    provider.audited.returned();
    context.draft.put_provider(provider);
    (slot.collateral, slot.state) = (again, SlotState::Live);
    slots::begin(context.draft, &commitment, index, &mut slot);
    commitment.slots[usize::from(index)] = slot;
    repair::review(&mut commitment, &context.rules.params, context.epoch());
    context.draft.put_commitment(commitment);
    Ok(())
}

/// Checks that the provider has the bytes and the bond for the column, and has not left.
fn check_room(
    context: &ActionContext<'_, '_>,
    provider: &Provider,
    commitment: &Commitment,
    index: u8,
) -> Result<(), RepairError> {
    let slot = &commitment.slots[usize::from(index)];
    let bonds = &context.rules.params.bonds;
    let need = collateral(bonds, commitment.column_len, slot.ask).minus(slot.collateral).unwrap_or_default();
    let (free, bond) = (provider.capacity.saturating_sub(provider.used), provider.free_bond(bonds));
    let has_left = matches!(provider.status, ProviderStatus::Exited { .. });
    // Another of its columns may have come to it meanwhile.
    let has_another =
        commitment.slots.iter().any(|other| other.state == SlotState::Live && other.provider == provider.node);
    if has_left || has_another {
        return Err(RepairError::NotLost { index });
    }
    if free < commitment.column_len || bond < need {
        return Err(RepairError::NoSpace { provider: provider.node, free, bond });
    }
    Ok(())
}

/// Checks the leaf that the beacon asks for.
fn check_leaf(context: &ActionContext<'_, '_>, commitment: &Commitment, restore: &Restore) -> Result<(), RepairError> {
    let Restore { index, epoch: given, ref leaf, .. } = *restore;
    let newest = context.draft.running().clock.drawable().unwrap_or_default();
    let known = (given <= newest && newest.0 - given.0 <= 1).then(|| context.draft.epoch(given)?.beacon).flatten();
    let beacon = known.ok_or(RepairError::Stale { given, newest })?;
    let slot = &commitment.slots[usize::from(index)];
    let point = returning_point(&beacon, commitment, index);
    let ChallengedLeaf { column, column_len, leaf: number } =
        ChallengedLeaf::at(slot.column, commitment.column_len, point);
    Ok(tree::verify_leaf(&column, column_len, number, &leaf.data, &leaf.siblings)?)
}

pub(super) fn report(context: &mut ActionContext<'_, '_>, report: &ReportLoss) -> Result<(), TxError> {
    let mut commitment = context.any_running(&report.commitment)?;
    let index = report.index;
    let slot = commitment.slots.get(usize::from(index)).filter(|slot| slot.state == SlotState::Live);
    let slot = slot.ok_or(RepairError::NotStored { index })?;
    context.own_provider(slot.provider).map_err(|_| RepairError::NotStored { index })?;
    let (provider, evidence) = (slot.provider, *context.tx.bytes());
    losses::lose(context.draft, &context.rules.params, &mut commitment, index, SlotState::Reported);
    faults::record(context.draft, provider, FaultReason::LossReported, evidence);
    context.draft.put_commitment(commitment);
    Ok(())
}
