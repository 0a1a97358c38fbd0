//! Losses: columns that providers do not have any more, and what they pay for them (ARCHITECTURE 5.9; SPEC, "Repair").
//!
//! A provider that was silent for too long is written off: its slots are lost, a bounded number in each block, the most
//! endangered first. Those are what has a ticket already, in the order of tickets, which begins again whenever another
//! provider is written off. After them comes the rest, provider by provider. A commitment loses together whatever it
//! has on providers that are written off, so that its ticket has the place that it will keep.
//!
//! A provider pays for each slot from the bond behind it, when somebody else has rebuilt it, or after some time, or
//! when its commitment ends, whichever is first. Until then it may bring the column back and pay nothing. What it pays
//! is first for the repair; of the rest the owner gets 60 % and the others burn.

use crate::{
    id::{Amount, Epoch, NodeId},
    ledger::{
        draft::Draft,
        faults, inventory,
        money::{self, CONSERVED, Pool},
        repair::{self, TicketPlace, bounty},
        slots,
        state::{Commitment, CommitmentId, Fault, FaultReason, Held, Key, Record, Records, SlotState},
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

/// A provider is written off: what has a ticket is looked at from the first on, for its columns.
pub(super) fn begin_sweep(draft: &mut Draft<'_>) {
    draft.put(Key::Sweep, Record::Sweep(TicketPlace::FIRST));
}

/// Writes off what silent providers store, as much as one block may.
pub(super) fn sweep(draft: &mut Draft<'_>, params: &Params) {
    if next_written_off(draft).is_some() {
        let room = sweep_tickets(draft, params, limits::SWEPT_SLOTS);
        sweep_inventories(draft, params, room);
    }
}

/// Writes off what they store of commitments that have a ticket. Out comes what is left of the `room` for slots.
fn sweep_tickets(draft: &mut Draft<'_>, params: &Params, mut room: usize) -> usize {
    let Some(Record::Sweep(from)) = draft.get(&Key::Sweep) else { return room };
    for (looked_at, place) in from.and_after(draft, limits::SWEPT_TICKETS + 1).into_iter().enumerate() {
        if room == 0 || looked_at == limits::SWEPT_TICKETS {
            draft.put(Key::Sweep, Record::Sweep(place));
            return room;
        }
        room = room.saturating_sub(write_off(draft, params, &place.commitment));
    }
    draft.remove(Key::Sweep);
    room
}

/// Writes off whatever they store, one provider after the other, while there is `room` for slots.
fn sweep_inventories(draft: &mut Draft<'_>, params: &Params, mut room: usize) {
    while room > 0 {
        let Some(node) = next_written_off(draft) else { return };
        for Held { commitment, .. } in inventory::stored(draft, node, room) {
            if room > 0 {
                room = room.saturating_sub(write_off(draft, params, &commitment));
            }
        }
    }
}

fn next_written_off(draft: &Draft<'_>) -> Option<NodeId> {
    let (first, last) = (Key::WrittenOff(NodeId::LEAST), Key::WrittenOff(NodeId::GREATEST));
    let next = draft.scan(&first, &last, 1).pop();
    next.and_then(|(key, _)| if let Key::WrittenOff(node) = key { Some(node) } else { None })
}

/// A commitment loses all that providers store of it that are written off; out comes how many slots that are.
fn write_off(draft: &mut Draft<'_>, params: &Params, id: &CommitmentId) -> usize {
    let mut commitment = draft.commitment(id).expect("tickets and inventories name commitments that exist");
    let live = (0..=u8::MAX).zip(&commitment.slots).filter(|(_, slot)| slot.state == SlotState::Live);
    let lost = live.filter_map(|(index, slot)| Some((index, lost_state(draft, params, &slot.provider)?)));
    let lost: Vec<(u8, SlotState)> = lost.collect();
    for (index, state) in &lost {
        lose(draft, params, &mut commitment, *index, *state);
    }
    if !lost.is_empty() {
        draft.put_commitment(commitment);
    }
    lost.len()
}

/// The state of the slots that a provider loses, if it is written off.
fn lost_state(draft: &Draft<'_>, params: &Params, node: &NodeId) -> Option<SlotState> {
    // Most are not, and the mark is read faster than the provider.
    draft.get(&Key::WrittenOff(*node))?;
    let provider = draft.provider(node).expect("the index of those written off names providers that exist");
    let is_at_fault = provider.audited.missed >= params.audits.suspend_after;
    Some(if is_at_fault { SlotState::Lost } else { SlotState::Reported })
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
