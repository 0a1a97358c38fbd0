//! Missed turns to propose: who is skipped, and for how long.
//!
//! In goes the round that a block was proposed in: the proposers of earlier rounds missed their turn. They are skipped
//! for some heights, so that a dead validator costs one timeout now and then, and not one in each of its turns.

use std::collections::BTreeSet;

use crate::{
    id::Height,
    ledger::{
        draft::Draft,
        rotation::Rotation,
        state::{Records, Validator},
    },
};

/// Heights that a validator is skipped for after its first missed turn; each further one doubles it.
const SKIP: u64 = 16;
/// Times it doubles: to 256 heights.
const DOUBLINGS: u32 = 4;

/// The rotation at the height after `records`.
pub fn rotation(records: &dyn Records) -> Rotation {
    let (tip, validators) = (records.tip(), records.validators());
    let skipped = validators.iter().filter(|validator| validator.skipped_until >= tip.height.next());
    let skipped: BTreeSet<_> = skipped.map(|validator| validator.key).collect();
    Rotation::new(records.validator_set(), skipped, &tip.running.turns_seed)
}

/// Records in the block's draft who missed a turn before `round`, and that the block's proposer did not.
pub(super) fn note(draft: &mut Draft<'_>, base: &dyn Records, round: u32) {
    let (height, rotation) = (draft.height(), rotation(base));
    let Some(proposer) = rotation.proposer(height, round) else { return };
    let missed: BTreeSet<_> = (0..round).filter_map(|round| rotation.proposer(height, round)).collect();
    for key in missed.into_iter().filter(|key| *key != proposer) {
        if let Some(validator) = draft.validator_mut(&key) {
            miss(validator, height);
        }
    }
    let forgiven = base.validator(&proposer).is_some_and(|validator| validator.missed > 0);
    if let Some(validator) = forgiven.then(|| draft.validator_mut(&proposer)).flatten() {
        (validator.missed, validator.skipped_until) = (0, Height(0));
    }
}

fn miss(validator: &mut Validator, height: Height) {
    let heights = SKIP << validator.missed.min(DOUBLINGS);
    validator.missed = validator.missed.saturating_add(1);
    validator.skipped_until = Height(height.0.saturating_add(heights));
}
