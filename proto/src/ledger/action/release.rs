//! release: ends a commitment of the sender; and how any commitment ends.
//!
//! A released commitment ends with the epoch in progress: its providers are paid for that if they prove it, so that
//! nobody releases just before a proof. All else returns to the owner immediately, the rest when it ends.

use crate::ledger::{
    action::ActionContext,
    draft::Draft,
    error::TxError,
    money::{self, CONSERVED, Pool},
    slots,
    state::{Commitment, Slot},
    tx::Release,
};

pub(super) fn apply(context: &mut ActionContext<'_, '_>, release: &Release) -> Result<(), TxError> {
    let Release { object, extent } = *release;
    let mut commitment = context.running(object, extent).ok_or(TxError::NoCommitment { object, extent })?;
    let end = commitment.end.min(context.epoch().after(1));
    let slots: Vec<Slot> = commitment.slots.clone();
    slots::renew(context.draft, &mut commitment, end, &slots);
    // What the epoch in progress may still cost stays.
    let kept = commitment.escrow.min(commitment.cap());
    let returned = commitment.escrow.minus(kept).expect(CONSERVED);
    money::unlock(context.draft, &context.account, returned, Pool::Escrow);
    context.draft.put_commitment(Commitment { escrow: kept, ..commitment });
    Ok(())
}

/// Ends a commitment: settles its slots, and returns the rest of the escrow to the owner.
pub(in crate::ledger) fn close(draft: &mut Draft<'_>, commitment: &Commitment) {
    let left = slots::end_all(draft, commitment);
    money::unlock(draft, &commitment.id.owner, left, Pool::Escrow);
    draft.remove_commitment(commitment.id);
}
