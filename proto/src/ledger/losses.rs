//! Losses: columns that providers do not have any more, and what they pay for them (ARCHITECTURE 5.9; SPEC, "Repair").
//!
//! A provider that was silent for too long is written off: its slots are lost, a bounded number in each block. It pays
//! for each from the bond behind it, when somebody else has rebuilt it, or after some time, or when its commitment
//! ends, whichever is first. Until then it may bring the column back and pay nothing. What it pays is first for the
//! repair; of the rest the owner gets 60 % and the others burn.

use crate::{
    id::{Amount, Epoch, NodeId},
    ledger::{
        draft::Draft,
        faults, inventory,
        money::{self, CONSERVED, Pool},
        repair::{self, bounty},
        slots,
        state::{Commitment, Fault, FaultReason, Held, Key, Records, SlotState},
    },
    limits,
    params::Params,
};

/// Percent of a slash beyond the bounty that the owner gets.
const OWNER_PERCENT: u128 = 60;

/// A slot's provider has lost its column.
pub(super) fn lose(draft: &mut Draft<'_>, params: &Params, commitment: &mut Commitment, index: u8, state: SlotState) {
    slots::detach(draft, commitment, index);
    let epoch = draft.running().clock.epoch;
    let slot = &mut commitment.slots[usize::from(index)];
    (slot.state, slot.since) = (state, epoch);
    repair::review(commitment, params, epoch);
}

/// Writes off what silent providers store, as much as one block may.
pub(super) fn sweep(draft: &mut Draft<'_>, params: &Params) {
    let (first, last) = (Key::WrittenOff(NodeId::LEAST), Key::WrittenOff(NodeId::GREATEST));
    let mut room = limits::SWEPT_SLOTS;
    while room > 0 {
        let next = draft.scan(&first, &last, 1).pop();
        let Some((Key::WrittenOff(node), _)) = next else { return };
        let provider = draft.provider(&node).expect("the index of those written off names providers that exist");
        let is_at_fault = provider.audited.missed >= params.audits.suspend_after;
        let state = if is_at_fault { SlotState::Lost } else { SlotState::Reported };
        let stored = inventory::stored(draft, node, room);
        room -= stored.len();
        for Held { commitment, index, .. } in stored {
            let mut commitment = draft.commitment(&commitment).expect("an inventory names commitments that exist");
            lose(draft, params, &mut commitment, index, state);
            draft.put_commitment(commitment);
        }
    }
}

/// Has providers pay for what they lost long ago, as much as one block may.
pub(super) fn forfeit_due(draft: &mut Draft<'_>, params: &Params) {
    let Some(due) = draft.running().clock.epoch.0.checked_sub(params.repair.forfeit_epochs).map(Epoch) else { return };
    for id in draft.marked(Key::Lost, due, limits::FORFEITS) {
        let mut commitment = draft.commitment(&id).expect("the index of losses names commitments that exist");
        let lost = |commitment: &Commitment, index: &u8| {
            let slot = &commitment.slots[usize::from(*index)];
            slot.state.is_lost() && slot.since <= due
        };
        let indexes: Vec<u8> = commitment.absent().filter(|index| lost(&commitment, index)).collect();
        for index in indexes {
            forfeit(draft, params, &mut commitment, index);
        }
        draft.put_commitment(commitment);
    }
}

/// The provider of a lost slot pays for it, unless it has: the bounty of its repair goes to the commitment's fund, the
/// rest to its owner, or burns.
pub(super) fn forfeit(draft: &mut Draft<'_>, params: &Params, commitment: &mut Commitment, index: u8) {
    let Commitment { code, column_len, id, .. } = *commitment;
    let slot = &mut commitment.slots[usize::from(index)];
    if !slot.state.is_lost() {
        return;
    }
    let for_repair = bounty(&params.repair, code, column_len, 1);
    let wanted = match slot.state {
        SlotState::Lost => for_repair.0.saturating_add(for_repair.0.div_ceil(2)).max(slot.collateral.0 / 10),
        _ => for_repair.0,
    };
    let taken = slots::charge(draft, slot, Amount(wanted));
    if taken > Amount::ZERO {
        let evidence = Fault::lost_column(&id, index, slot.since);
        faults::record(draft, slot.provider, FaultReason::Forfeited, evidence);
    }
    let for_repair = Amount(for_repair.0.min(taken.0));
    let rest = taken.minus(for_repair).expect("no more than was taken");
    commitment.fund = commitment.fund.plus(for_repair).expect(CONSERVED);
    let own = Amount(u64::try_from(u128::from(rest.0) * OWNER_PERCENT / 100).expect("a percentage of it is no more"));
    money::unlock(draft, &id.owner, own, Pool::Escrow);
    money::shift(draft, rest.minus(own).expect("a percentage of it is no more"), (Pool::Escrow, Pool::Burnt));
}
