//! A slot begins and ends: its bytes and collateral at its provider, its place in the inventory, and its pay
//! (ARCHITECTURE 5.8).
//!
//! A provider is paid for all its slots together, when it proves an epoch; a slot counts the epochs that its provider
//! had proven when it was last settled. So what it owes follows whenever it is settled: at its end, and when its price
//! or its end changes.
//!
//! Invariant "capacity is counted": a provider's `used` is the sum over its live slots, its `collateral` that over
//! these and those that it lost and has not paid for; an infrastructure's `used` is that of its providers, and `stored`
//! that of all. A provider's domain cannot change while it stores anything, so no count moves.

use crate::{
    id::{Amount, Epoch},
    ledger::{
        draft::Draft,
        faults, inventory,
        money::{self, CONSERVED, Pool},
        rules::price_per_epoch,
        state::{Commitment, DepartedSlot, Frozen, Held, Provider, Records, Slot, SlotState},
    },
    placement::DomainTags,
};

const COUNTED: &str = "capacity is counted";
const REGISTERED: &str = "a provider with slots stays registered";

impl Slot {
    /// What one epoch of it costs.
    pub fn rate(&self, column_len: u64) -> Amount {
        price_per_epoch(column_len, self.ask)
    }
}

impl Commitment {
    /// The inventory entry of a live slot.
    pub(super) const fn held(&self, index: u8, slot: &Slot) -> Held {
        let Self { id, column_len, .. } = *self;
        Held { commitment: id, index, column: slot.column, column_len, since: slot.since, left: None }
    }

    /// What is kept of a live slot that leaves its provider.
    fn departed(&self, index: u8) -> DepartedSlot {
        let Slot { provider, column, since, .. } = self.slots[usize::from(index)];
        DepartedSlot { provider, index, column, column_len: self.column_len, since }
    }
}

impl Provider {
    /// Bytes that it had when `epoch`, the one in progress, began.
    pub const fn frozen_bytes(&self, epoch: Epoch) -> u64 {
        if self.audited.frozen.epoch.0 == epoch.0 { self.audited.frozen.bytes } else { self.used }
    }

    /// Keeps what it had when the epoch in progress began, before that changes.
    pub(super) fn freeze(&mut self, epoch: Epoch) {
        let bytes = self.frozen_bytes(epoch);
        self.audited.frozen = Frozen { epoch, bytes };
        if bytes == 0 {
            // There is nothing to prove of this epoch.
            self.audited.open = self.audited.open.max(epoch.after(1));
        }
    }
}

/// Settles what the provider did before, and hands it over to be changed.
fn change(draft: &mut Draft<'_>, slot: &Slot, bytes: impl Fn(u128) -> Option<u128>) -> Provider {
    let mut provider = draft.provider(&slot.provider).expect(REGISTERED);
    faults::settle(draft, &mut provider);
    provider.freeze(draft.running().clock.epoch);
    let tag = DomainTags::from(&provider.domain).infrastructure;
    let mut infrastructure = draft.infrastructure(&tag);
    infrastructure.used = bytes(infrastructure.used).expect(COUNTED);
    draft.put_infrastructure(infrastructure);
    let running = draft.running_mut();
    running.stored = bytes(running.stored).expect(COUNTED);
    provider
}

/// A live slot of this commitment begins; the caller has checked that its provider has bytes and bond for it.
pub(super) fn begin(draft: &mut Draft<'_>, commitment: &Commitment, index: u8, slot: &mut Slot) {
    let bytes = commitment.column_len;
    let mut provider = change(draft, slot, |stored| stored.checked_add(bytes.into()));
    provider.used = provider.used.checked_add(bytes).expect(COUNTED);
    provider.collateral = provider.collateral.plus(slot.collateral).expect(COUNTED);
    slot.since = draft.running().clock.epoch;
    begin_pay(draft, &mut provider, (commitment.end, bytes), slot);
    inventory::add(draft, slot.provider, commitment.held(index, slot));
    draft.put_provider(provider);
}

/// A live slot of this commitment ends, and so much of its collateral is free; out comes what it owes, which is paid
/// already.
fn end(draft: &mut Draft<'_>, commitment: &Commitment, (index, slot): (u8, &Slot), freed: Amount) -> Amount {
    let bytes = commitment.column_len;
    let mut provider = change(draft, slot, |stored| stored.checked_sub(bytes.into()));
    provider.used = provider.used.checked_sub(bytes).expect(COUNTED);
    provider.collateral = provider.collateral.minus(freed).expect(COUNTED);
    let due = end_pay(draft, &mut provider, (commitment.end, bytes), slot);
    inventory::leave(draft, slot.provider, &commitment.held(index, slot));
    draft.put_provider(provider);
    due
}

/// All live slots of a commitment end; out comes what is left of its escrow.
pub(super) fn end_all(draft: &mut Draft<'_>, commitment: &Commitment) -> Amount {
    let (mut escrow, mut departed) = (commitment.escrow, Vec::new());
    for (index, slot) in (0..=u8::MAX).zip(&commitment.slots).filter(|(_, slot)| slot.state == SlotState::Live) {
        let due = end(draft, commitment, (index, slot), slot.collateral);
        escrow = escrow.minus(due).expect(CONSERVED);
        departed.push(commitment.departed(index));
    }
    inventory::depart(draft, commitment.id, departed);
    escrow
}

/// A live slot's provider does not store it any more; what it owes is settled. Its collateral stays until it is paid
/// for, or free.
pub(super) fn detach(draft: &mut Draft<'_>, commitment: &mut Commitment, index: u8) {
    let slot = commitment.slots[usize::from(index)];
    let due = end(draft, commitment, (index, &slot), Amount::ZERO);
    commitment.escrow = commitment.escrow.minus(due).expect(CONSERVED);
    inventory::depart(draft, commitment.id, vec![commitment.departed(index)]);
}

/// Takes up to `wanted` from the bond behind a slot that its provider does not store any more, into escrow; the rest of
/// that bond is free. Out comes what was taken.
pub(super) fn charge(draft: &mut Draft<'_>, slot: &mut Slot, wanted: Amount) -> Amount {
    let behind = std::mem::take(&mut slot.collateral);
    if behind == Amount::ZERO {
        return Amount::ZERO;
    }
    let mut provider = draft.provider(&slot.provider).expect(REGISTERED);
    let taken = wanted.min(behind).min(provider.bond);
    provider.collateral = provider.collateral.minus(behind).expect(COUNTED);
    provider.bond = provider.bond.minus(taken).expect("no more is taken than there is");
    draft.put_provider(provider);
    money::shift(draft, taken, (Pool::Bonds, Pool::Escrow));
    taken
}

/// The commitment ends at `end` from now on, and each live slot is what `next` says: what it owes so far is settled.
pub(super) fn renew(draft: &mut Draft<'_>, commitment: &mut Commitment, end: Epoch, next: &[Slot]) {
    let bytes = commitment.column_len;
    for (slot, next) in commitment.slots.iter_mut().zip(next).filter(|(_, next)| next.state == SlotState::Live) {
        let mut provider = draft.provider(&slot.provider).expect(REGISTERED);
        let due = end_pay(draft, &mut provider, (commitment.end, bytes), slot);
        commitment.escrow = commitment.escrow.minus(due).expect(CONSERVED);
        let more = next.collateral.minus(slot.collateral).expect("a price that is in force does not fall");
        provider.collateral = provider.collateral.plus(more).expect(COUNTED);
        *slot = *next;
        begin_pay(draft, &mut provider, (end, bytes), slot);
        draft.put_provider(provider);
    }
    commitment.end = end;
}

/// The provider's next proofs pay for the slot, until its end.
fn begin_pay(draft: &mut Draft<'_>, provider: &mut Provider, (end, bytes): (Epoch, u64), slot: &mut Slot) {
    let (pay, rate) = (&mut provider.audited.pay, slot.rate(bytes));
    pay.rate = pay.rate.plus(rate).expect(CONSERVED);
    slot.base = pay.proofs.count;
    let ending = inventory::rate(draft, slot.provider, end).plus(rate).expect(CONSERVED);
    inventory::put_rate(draft, slot.provider, end, ending);
}

/// The provider's next proofs do not pay for the slot any more; out comes what those since it was settled have paid.
fn end_pay(draft: &mut Draft<'_>, provider: &mut Provider, (end, bytes): (Epoch, u64), slot: &Slot) -> Amount {
    let (pay, rate) = (&mut provider.audited.pay, slot.rate(bytes));
    if end >= pay.settled {
        pay.rate = pay.rate.minus(rate).expect(CONSERVED);
        let ending = inventory::rate(draft, slot.provider, end).minus(rate).expect(CONSERVED);
        inventory::put_rate(draft, slot.provider, end, ending);
    }
    slot.owes(pay.proofs.before(end), rate)
}

impl Slot {
    /// What it owes when its provider has proven so many epochs before its end.
    pub(super) fn owes(&self, proven: u64, rate: Amount) -> Amount {
        let epochs = proven.saturating_sub(self.base);
        rate.0.checked_mul(epochs).map(Amount).expect(CONSERVED)
    }
}
