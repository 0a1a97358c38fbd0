//! Turns to propose: whose they are, and what missing one costs.
//!
//! In comes the round that a block was proposed in; out goes who had a turn before and let it pass. Who did is skipped
//! for a while, so that a dead validator costs one timeout now and then, not one each time round.

use std::collections::BTreeSet;

use crate::{
    id::Height,
    ledger::{
        draft::Draft,
        rotation::Rotation,
        state::{Records, Validator},
    },
};

/// Heights that the first missed turn is skipped for; each further one doubles it.
const SKIP: u64 = 16;
/// Times it doubles: to 256 heights, after which a validator is given another chance.
const DOUBLINGS: u32 = 4;

/// Whose turns they are at the height after `records`.
pub fn rotation(records: &dyn Records) -> Rotation {
    let height = records.tip().height.next();
    let validators = records.validators();
    let skipped = validators.iter().filter(|validator| validator.skipped_until >= height);
    let skipped: BTreeSet<_> = skipped.map(|validator| validator.key).collect();
    Rotation::new(records.validator_set(), skipped)
}

/// Notes in the block's draft who let a turn pass before `round`, and that the block's proposer did not.
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
