//! What providers store that are written off is lost a bounded number in a block, the most endangered first.

use super::{
    repairs::{Stored, stored},
    world::World,
};
use crate::{
    id::{Amount, Epoch, NodeId, ObjectId},
    ledger::{
        draft::Draft,
        faults, losses, repair, slots,
        state::{Commitment, CommitmentId, Key, Record, Records, SlotState},
    },
    limits,
};

/// Commitments, each with a column on the same twelve providers.
const COMMITMENTS: u32 = 400;
/// Slots of each that are written off.
const DOOMED: [u8; 2] = [9, 11];

/// The commitments, in no order of theirs.
fn ids(made: &Commitment) -> Vec<CommitmentId> {
    let object = |number: u32| ObjectId::new(*blake3::hash(&number.to_be_bytes()).as_bytes());
    (0..COMMITMENTS).map(|number| CommitmentId { object: object(number), ..made.id }).collect()
}

/// Commits copies of what is stored, of which so many have one to eight columns that nobody stores. Two of the
/// providers are written off then.
fn crowd<'a>(world: &'a World, made: &Commitment, endangered: usize) -> Draft<'a> {
    let (mut draft, params, epoch) = (Draft::new(&world.state), &world.rules.params, world.epoch());
    for (number, id) in ids(made).into_iter().enumerate() {
        let absent = if number < endangered { number % 8 + 1 } else { 0 };
        let mut copy = Commitment { id, escrow: Amount::ZERO, end: Epoch(1_000), ticket: None, ..made.clone() };
        let mut slots = copy.slots.clone();
        for slot in &mut slots[..absent] {
            (slot.state, slot.collateral) = (SlotState::Missing, Amount::ZERO);
        }
        for (index, slot) in (0..).zip(&mut slots).skip(absent) {
            slots::begin(&mut draft, &copy, index, slot);
        }
        copy.slots = slots;
        repair::review(&mut copy, params, epoch);
        draft.put_commitment(copy);
    }
    draft.running_mut().clock.epoch = epoch.after(params.repair.suspect_epochs + 1);
    DOOMED.iter().for_each(|index| silence(&mut draft, made.slots[usize::from(*index)].provider));
    draft
}

/// A provider has proven nothing for so long that it is written off.
fn silence(draft: &mut Draft<'_>, node: NodeId) {
    let mut provider = draft.provider(&node).expect("registered");
    faults::settle(draft, &mut provider);
    assert!(provider.audited.written_off);
    draft.put_provider(provider);
}

/// Writes off what one block may. Out come the commitments that lost their two slots, which they do together, and how
/// many slots that are.
fn sweep(draft: &mut Draft<'_>, at: &Stored) -> (Vec<CommitmentId>, usize) {
    let made = at.made();
    let all: Vec<CommitmentId> = ids(&made).into_iter().chain([made.id]).collect();
    let live = |draft: &Draft<'_>| -> Vec<usize> {
        all.iter().map(|id| draft.commitment(id).expect("none ends").live()).collect()
    };
    let before = live(draft);
    losses::sweep(draft, &at.world.rules.params);
    let lost: Vec<usize> = before.iter().zip(live(draft)).map(|(before, after)| before - after).collect();
    assert!(lost.iter().all(|lost| [0, DOOMED.len()].contains(lost)), "{lost:?}");
    let done = all.iter().zip(&lost).filter(|(_, lost)| **lost > 0).map(|(id, _)| *id).collect();
    (done, lost.iter().sum())
}

#[test]
fn what_is_endangered_is_written_off_before_the_rest() {
    let at = stored(&[]);
    let mut draft = crowd(&at.world, &at.made(), 20);
    let endangered = draft.tickets(usize::MAX);
    assert_eq!(endangered.len(), 20);
    let (done, slots) = sweep(&mut draft, &at);
    assert!(endangered.iter().all(|id| done.contains(id)), "the first block has all");
    assert_eq!(slots, limits::SWEPT_SLOTS);
    let mut left = DOOMED.len() * (ids(&at.made()).len() + 1) - slots;
    while left > 0 {
        let (_, slots) = sweep(&mut draft, &at);
        assert_eq!(slots, left.min(limits::SWEPT_SLOTS));
        left -= slots;
    }
    for node in DOOMED.map(|index| at.holder(index)) {
        assert_eq!(draft.provider(&node).map(|provider| provider.used), Some(0));
    }
    assert_eq!(sweep(&mut draft, &at), (vec![], 0));
}

#[test]
fn a_block_looks_at_some_of_many_tickets_and_the_next_one_continues() {
    let at = stored(&[]);
    let mut draft = crowd(&at.world, &at.made(), 100);
    let endangered = draft.tickets(usize::MAX);
    let (first, second) = endangered.split_at(limits::SWEPT_TICKETS);
    let place = |draft: &Draft<'_>| match draft.get(&Key::Sweep) {
        Some(Record::Sweep(place)) => Some(place.commitment),
        _ => None,
    };
    let (done, _) = sweep(&mut draft, &at);
    assert!(first.iter().all(|id| done.contains(id)), "in the order of tickets");
    assert_eq!(place(&draft), Some(second[0]));
    let (also_done, _) = sweep(&mut draft, &at);
    assert!(second.iter().all(|id| done.contains(id) || also_done.contains(id)));
    assert_eq!(place(&draft), None);

    // Another one is written off: it begins again.
    silence(&mut draft, at.holder(10));
    let before: Vec<CommitmentId> = draft.tickets(limits::SWEPT_TICKETS);
    losses::sweep(&mut draft, &at.world.rules.params);
    let states = before.iter().map(|id| draft.commitment(id).expect("none ends").slots[10].state);
    assert!(states.into_iter().all(|state| state == SlotState::Lost));
}
