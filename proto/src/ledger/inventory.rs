//! Inventories: what each provider stores, and which column is at a point of its bytes (ARCHITECTURE 5.8).
//!
//! An inventory is the chain's own, so that no provider chooses what it is asked for. It is kept as entries and sums of
//! them ([`super::state::Held`]); a change is four small sums, whatever its size. The inventory that an epoch froze is
//! read from the same entries: they say when they began and ended, and those that ended in the epoch stay until it is
//! over. All follow from commitments and departed slots: [`reindex`] makes them for a state that came as a snapshot.

use std::collections::BTreeMap;

use crate::{
    id::{Amount, Epoch, NodeId, ObjectId},
    ledger::{
        draft::Draft,
        money::CONSERVED,
        state::{
            Commitment, CommitmentId, DepartedSlot, Held, HeldId, HeldSum, Key, Prefix, Record, Records, SlotState,
        },
    },
    limits,
};

/// Entries that are read in one step.
const PAGE: usize = 256;

/// The column at this point of the bytes that `node` had when `epoch`, the one in progress, began; and the point's
/// offset in it. `None` past the last byte.
pub fn locate(records: &dyn Records, node: NodeId, epoch: Epoch, point: u64) -> Option<(Held, u64)> {
    let (mut prefix, mut rest) = (Prefix::ROOT, point);
    while let Some((first, last)) = prefix.children() {
        let sums = records.scan(&Key::HeldSum(node, first), &Key::HeldSum(node, last), usize::MAX);
        let mut bytes_of = sums.into_iter().filter_map(|(key, record)| match (key, record) {
            (Key::HeldSum(_, prefix), Record::HeldSum(sum)) => Some((prefix, sum.frozen_bytes(epoch))),
            _ => None,
        });
        prefix = bytes_of.find_map(|(prefix, bytes)| skip(&mut rest, bytes).then_some(prefix))?;
    }
    let (mut first, last) = prefix.places();
    loop {
        let page = records.scan(&Key::Held(node, first), &Key::Held(node, last), PAGE);
        for (_, record) in &page {
            let Record::Held(held) = record else { continue };
            if skip(&mut rest, held.frozen_bytes(epoch)) {
                return Some((*held, rest));
            }
        }
        match page.last() {
            Some((Key::Held(_, place), _)) if page.len() == PAGE => first = after(*place)?,
            _ => return None,
        }
    }
}

/// Up to `limit` columns that `node` stores now.
pub(super) fn stored(records: &dyn Records, node: NodeId, limit: usize) -> Vec<Held> {
    let mut prefix = Prefix::ROOT;
    while let Some((first, last)) = prefix.children() {
        let sums = records.scan(&Key::HeldSum(node, first), &Key::HeldSum(node, last), usize::MAX);
        let stores = |(key, record)| match (key, record) {
            (Key::HeldSum(_, prefix), Record::HeldSum(sum)) if sum.has_any() => Some(prefix),
            _ => None,
        };
        match sums.into_iter().find_map(stores) {
            Some(next) => prefix = next,
            None => return Vec::new(),
        }
    }
    let (first, last) = prefix.places();
    let all = records.scan(&Key::Held(node, first), &Key::Held(node, last), usize::MAX).into_iter();
    let stored = |(_, record)| if let Record::Held(held) = record { Some(held) } else { None };
    all.filter_map(stored).filter(|held| held.left.is_none()).take(limit).collect()
}

/// Whether the point is in the next `bytes`; if not, it moves before those.
const fn skip(rest: &mut u64, bytes: u64) -> bool {
    if *rest < bytes {
        return true;
    }
    *rest -= bytes;
    false
}

fn after(place: HeldId) -> Option<HeldId> {
    u128::from_be_bytes(place).checked_add(1).map(u128::to_be_bytes)
}

/// A provider stores a column from now on.
pub(super) fn add(draft: &mut Draft<'_>, node: NodeId, held: Held) {
    let epoch = draft.running().clock.epoch;
    draft.put(Key::Held(node, held.id()), Record::Held(held));
    sums(draft, node, &held, |sum| sum.with(&held, epoch));
}

/// A provider stores a column no longer; it stays while it may be asked for.
pub(super) fn leave(draft: &mut Draft<'_>, node: NodeId, held: &Held) {
    let epoch = draft.running().clock.epoch;
    let key = Key::Held(node, held.id());
    match held.frozen_bytes(epoch) {
        0 => draft.remove(key),
        _ => draft.put(key, Record::Held(Held { left: Some(epoch), ..*held })),
    }
    sums(draft, node, held, |sum| sum.without(held.column_len, epoch));
}

/// Changes the sums of the parts that an entry is in; one that says nothing any more goes.
fn sums(draft: &mut Draft<'_>, node: NodeId, held: &Held, change: impl Fn(HeldSum) -> HeldSum) {
    let epoch = draft.running().clock.epoch;
    for prefix in Prefix::of(&held.id()) {
        let key = Key::HeldSum(node, prefix);
        let before = match draft.get(&key) {
            Some(Record::HeldSum(sum)) => sum,
            _ => HeldSum::default(),
        };
        let sum = change(before);
        if sum.is_over(epoch) { draft.remove(key) } else { draft.put(key, Record::HeldSum(sum)) }
    }
}

/// Slots of a commitment left their providers in the epoch in progress.
pub(super) fn depart(draft: &mut Draft<'_>, commitment: CommitmentId, slots: Vec<DepartedSlot>) {
    let epoch = draft.running().clock.epoch;
    let frozen = slots.into_iter().filter(|slot| slot.since < epoch);
    let key = Key::Departed(epoch, commitment);
    let mut departed = match draft.get(&key) {
        Some(Record::Departed(slots)) => slots,
        _ => Vec::new(),
    };
    departed.extend(frozen);
    if !departed.is_empty() {
        draft.put(key, Record::Departed(departed));
    }
}

/// Forgets slots that left in epochs that are over, as many as one block may.
pub(super) fn forget(draft: &mut Draft<'_>) {
    let epoch = draft.running().clock.epoch;
    let Some(last) = epoch.0.checked_sub(1).map(Epoch) else { return };
    let first = Key::Departed(Epoch(0), CommitmentId::first_of(ObjectId::LEAST));
    let last = Key::Departed(last, CommitmentId::last_of(ObjectId::GREATEST));
    let mut room = limits::DEPARTED_SLOTS;
    for (key, record) in draft.scan(&first, &last, limits::DEPARTED_SLOTS) {
        let (Key::Departed(left, commitment), Record::Departed(slots)) = (key, record) else { continue };
        let Some(after) = room.checked_sub(slots.len()) else { return };
        room = after;
        for slot in &slots {
            let held = slot.held(left, commitment);
            draft.remove(Key::Held(slot.provider, held.id()));
            sums(draft, slot.provider, &held, |sum| sum);
        }
        draft.remove(key);
    }
}

/// The price of one epoch of a provider's slots that end in `end`.
pub(super) fn rate(records: &dyn Records, node: NodeId, end: Epoch) -> Amount {
    match records.get(&Key::Rate(node, end)) {
        Some(Record::Rate(rate)) => rate,
        _ => Amount::ZERO,
    }
}

/// Writes that price.
pub(super) fn put_rate(draft: &mut Draft<'_>, node: NodeId, end: Epoch, rate: Amount) {
    let key = Key::Rate(node, end);
    if rate == Amount::ZERO { draft.remove(key) } else { draft.put(key, Record::Rate(rate)) }
}

/// Where [`reindex`] begins.
pub const FIRST: Key = Key::Commitment(CommitmentId::first_of(ObjectId::LEAST));

/// The entries of inventories that follow from some records, beginning with the one at `from`, on top of those that
/// `base` has from the records before; and where to continue. `base` is to have no entries at [`FIRST`].
pub fn reindex(base: &dyn Records, from: &Key) -> (BTreeMap<Key, Option<Record>>, Option<Key>) {
    let departed = Key::Departed(Epoch(0), CommitmentId::first_of(ObjectId::LEAST));
    let (last, then) = match from {
        Key::Commitment(_) => (Key::Commitment(CommitmentId::last_of(ObjectId::GREATEST)), Some(departed)),
        _ => (Key::Departed(Epoch(u64::MAX), CommitmentId::last_of(ObjectId::GREATEST)), None),
    };
    let mut page = base.scan(from, &last, PAGE + 1);
    let next = if page.len() > PAGE { page.pop().map(|(key, _)| key) } else { then };
    let mut draft = Draft::new(base);
    for (key, record) in &page {
        match (key, record) {
            (_, Record::Commitment(commitment)) => list(&mut draft, commitment),
            (Key::Departed(left, commitment), Record::Departed(slots)) if *left == draft.running().clock.epoch => {
                for slot in slots {
                    add(&mut draft, slot.provider, slot.held(*left, *commitment));
                }
            }
            // Those of epochs that are over are not asked for any more.
            _ => {}
        }
    }
    (draft.into_changes().records, next)
}

/// Lists the live slots of a commitment in the inventories, and their rates by its end.
fn list(draft: &mut Draft<'_>, commitment: &Commitment) {
    for (index, slot) in (0..=u8::MAX).zip(&commitment.slots).filter(|(_, slot)| slot.state == SlotState::Live) {
        add(draft, slot.provider, commitment.held(index, slot));
        let provider = draft.provider(&slot.provider).expect("a provider with slots stays registered");
        if commitment.end >= provider.audited.pay.settled {
            let before = rate(draft, slot.provider, commitment.end);
            let sum = before.plus(slot.rate(commitment.column_len)).expect(CONSERVED);
            put_rate(draft, slot.provider, commitment.end, sum);
        }
    }
}
