//! What a block does before its transactions: epochs begin, commitments and proposals end, and bonds return; and after
//! them: an epoch's beacon.
//!
//! An epoch's roster is frozen from the state before the block that begins it, and its beacon takes the signatures of
//! that block and those after it. So a provider is offered, priced or moved before the randomness is known that draws
//! with it. The beacon also gives the turns to propose a new order, so that nobody can choose keys whose turns are in a
//! row, or fall on the same place of each epoch.

use std::cmp::Reverse;

use crate::{
    beacon::{self, BeaconSignature},
    id::{ChainId, Epoch},
    ledger::{
        action,
        draft::Draft,
        faults, inventory, losses, money, proofs, pulse,
        rules::Rules,
        state::{EpochAudit, EpochClock, EpochRecord, Key, LargeInfrastructure, ProofSpace, Record, Records},
    },
    limits,
};

/// Begins a block of the epoch that `clock` says.
pub(super) fn begin(draft: &mut Draft<'_>, rules: &Rules, clock: EpochClock) {
    let epoch = clock.epoch;
    let turned = epoch > draft.running().clock.epoch;
    draft.running_mut().clock = clock;
    if turned {
        let before = in_progress(draft, Epoch(epoch.0 - 1));
        faults::excuse(draft, &before);
        money::share_pool(draft);
        forget(draft, rules, epoch);
        // Before anything ends, so that roster and inventories are what the last block left.
        freeze(draft, &clock);
    }
    faults::settle_due(draft);
    faults::forget(draft);
    end_commitments(draft, rules, epoch);
    losses::sweep(draft, &rules.params);
    losses::forfeit_due(draft, &rules.params);
    inventory::forget(draft);
    if turned {
        action::expire(draft, epoch);
    }
    for (until, bonded) in draft.unbonding(epoch, limits::UNBONDINGS) {
        action::pay_back(draft, until, bonded);
    }
}

/// Records the epoch with the roster of this moment.
pub(super) fn freeze(draft: &mut Draft<'_>, clock: &EpochClock) {
    let EpochClock { epoch, start_ms, first, .. } = *clock;
    let rosters = draft.rosters_mut();
    rosters.freeze(epoch);
    let roster = rosters.summary();
    let (space, audit) = (ProofSpace::default(), to_prove(draft));
    let record = EpochRecord { epoch, start_ms, first, beacon: None, roster, space, audit };
    draft.put(Key::Epoch(epoch), Record::Epoch(record));
}

/// What an epoch that begins now has to prove.
fn to_prove(draft: &Draft<'_>) -> EpochAudit {
    let frozen = draft.running().stored;
    let (first, last) = (Key::Stored(Reverse(u128::MAX), [0; 16]), Key::Stored(Reverse(0), [u8::MAX; 16]));
    let largest = draft.scan(&first, &last, limits::LARGE_INFRASTRUCTURES).into_iter();
    let large = largest.filter_map(|(key, _)| match key {
        Key::Stored(Reverse(stored), tag) if stored.saturating_mul(20) > frozen => {
            Some(LargeInfrastructure { tag, frozen: stored, proven: 0 })
        }
        _ => None,
    });
    EpochAudit { frozen, large: large.collect(), ..EpochAudit::default() }
}

/// Ends a block, after its transactions: mixes in its proposer's signature, and completes the epoch's beacon when it
/// was the last one needed. After that, counts whether the bytes of the block's proofs left space for another.
pub(super) fn end(draft: &mut Draft<'_>, rules: &Rules, signature: &BeaconSignature, proof_bytes: usize) {
    let (height, running) = (draft.height(), draft.running_mut());
    running.mix = beacon::mix(&running.mix, signature);
    pulse::record(draft, rules);
    let clock = draft.running().clock;
    if clock.has_beacon {
        let (record, has_space) = (in_progress(draft, clock.epoch), proofs::has_space(proof_bytes));
        let space = record.space.after_block(has_space);
        draft.put(Key::Epoch(clock.epoch), Record::Epoch(EpochRecord { space, ..record }));
    }
    if clock.completes_beacon(height, &rules.params.time) {
        let running = draft.running_mut();
        running.clock.has_beacon = true;
        let beacon = epoch_beacon(&rules.chain, &running.mix, clock.epoch);
        running.turns_seed = beacon;
        let record = in_progress(draft, clock.epoch);
        draft.put(Key::Epoch(clock.epoch), Record::Epoch(EpochRecord { beacon: Some(beacon), ..record }));
    }
}

fn in_progress(draft: &Draft<'_>, epoch: Epoch) -> EpochRecord {
    draft.epoch(epoch).expect("invariant: the epoch in progress has a record")
}

/// Removes the epochs whose draws have expired: one, or more when `draw_epochs` was lowered.
fn forget(draft: &mut Draft<'_>, rules: &Rules, epoch: Epoch) {
    let Some(old) = epoch.0.checked_sub(rules.params.draw_epochs) else { return };
    for (key, _) in draft.scan(&Key::Epoch(Epoch(0)), &Key::Epoch(Epoch(old)), limits::EPOCH_REMOVALS) {
        if let Key::Epoch(epoch) = key {
            draft.rosters_mut().forget(epoch);
        }
        draft.remove(key);
    }
}

/// Renews or ends expired commitments until their slots are as many as one block may end; the others wait for the next.
/// None waits until it is not known any more which epochs its providers had proven by its end.
fn end_commitments(draft: &mut Draft<'_>, rules: &Rules, epoch: Epoch) {
    // First, so that none is renewed.
    let mut room = end_unreadable(draft, rules, epoch, limits::ENDING_SLOTS);
    let overdue = Epoch(epoch.0.saturating_sub(limits::PROVEN_EPOCHS / 2));
    loop {
        let next = draft.ending(epoch, limits::ENDING_SLOTS);
        let count = next.len();
        for id in next {
            let commitment = draft.commitment(&id).expect("the index by end names commitments that exist");
            room = match room.checked_sub(commitment.slots.len()) {
                Some(left) => left,
                None if commitment.end < overdue => 0,
                None => return,
            };
            if !action::renew(draft, &rules.params, &commitment) {
                action::close(draft, &rules.params, commitment);
            }
        }
        if count < limits::ENDING_SLOTS {
            return;
        }
    }
}

/// Ends what could not be read for so long that nobody will bring enough of it back, until it has `room` slots. Out
/// comes how many more may end.
fn end_unreadable(draft: &mut Draft<'_>, rules: &Rules, epoch: Epoch, mut room: usize) -> usize {
    let Some(due) = epoch.0.checked_sub(rules.params.repair.lost_epochs).map(Epoch) else { return room };
    for id in draft.marked(Key::Unreadable, due, room) {
        let commitment = draft.commitment(&id).expect("the index of the unreadable names commitments that exist");
        let Some(left) = room.checked_sub(commitment.slots.len()) else { break };
        room = left;
        action::close(draft, &rules.params, commitment);
    }
    room
}

/// The epoch's beacon, from the mix after the last signature that it takes (ARCHITECTURE 5.5).
fn epoch_beacon(chain: &ChainId, mix: &[u8; 32], epoch: Epoch) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("ostrakon epoch beacon 3");
    hasher.update(chain.bytes()).update(&epoch.0.to_le_bytes()).update(mix).finalize().into()
}
