//! release: ends what the sender has committed; and how a commitment ends, whoever ends it.

use crate::ledger::{
    action::{ActionContext, capacity},
    draft::Draft,
    error::TxError,
    money::{self, Pool},
    state::{Commitment, Records, SlotState},
    tx::Release,
};

pub(super) fn apply(step: &mut ActionContext<'_, '_>, release: &Release) -> Result<(), TxError> {
    let Release { object, extent } = *release;
    let commitment =
        step.draft.commitment(&step.own(object, extent)).ok_or(TxError::NoCommitment { object, extent })?;
    close(step.draft, &commitment);
    Ok(())
}

/// Gives the escrow that is left back to the owner, and the holders their room.
pub(in crate::ledger) fn close(draft: &mut Draft<'_>, commitment: &Commitment) {
    money::unlock(draft, &commitment.id.owner, commitment.escrow, Pool::Escrow);
    for slot in commitment.slots.iter().filter(|slot| slot.state == SlotState::Live) {
        capacity::free(draft, &slot.provider, commitment.column_len);
    }
    draft.remove_commitment(commitment.id);
}
