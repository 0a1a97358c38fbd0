//! release: ends a commitment of the sender; and how any commitment ends.

use crate::ledger::{
    action::{ActionContext, capacity},
    draft::Draft,
    error::TxError,
    money::{self, Pool},
    state::{Commitment, Records, SlotState},
    tx::Release,
};

pub(super) fn apply(context: &mut ActionContext<'_, '_>, release: &Release) -> Result<(), TxError> {
    let Release { object, extent } = *release;
    let commitment =
        context.draft.commitment(&context.own(object, extent)).ok_or(TxError::NoCommitment { object, extent })?;
    close(context.draft, &commitment);
    Ok(())
}

/// Returns the remaining escrow to the owner, and frees the holders' capacity and collateral.
pub(in crate::ledger) fn close(draft: &mut Draft<'_>, commitment: &Commitment) {
    money::unlock(draft, &commitment.id.owner, commitment.escrow, Pool::Escrow);
    for slot in commitment.slots.iter().filter(|slot| slot.state == SlotState::Live) {
        capacity::free(draft, slot, commitment.column_len);
    }
    draft.remove_commitment(commitment.id);
}
