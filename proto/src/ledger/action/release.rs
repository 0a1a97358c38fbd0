//! release: ends a commitment of the sender; and how any commitment ends.
//!
//! A released commitment ends with the epoch in progress: its providers are paid for that if they prove it, so that
//! nobody releases just before a proof. All else returns to the owner immediately, the rest when it ends.

use crate::{
    id::Amount,
    ledger::{
        action::ActionContext,
        draft::Draft,
        error::TxError,
        losses,
        money::{self, CONSERVED, Pool},
        repair, slots,
        state::{Commitment, Slot},
        tx::Release,
    },
    params::Params,
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
    commitment.escrow = kept;
    repair::review(&mut commitment, &context.rules.params, context.epoch());
    context.draft.put_renewal(commitment.id, None);
    context.draft.put_commitment(commitment);
    Ok(())
}

/// Ends a commitment: settles its slots, has providers pay for those that they lost, and returns the rest of the money
/// to the owner.
pub(in crate::ledger) fn close(draft: &mut Draft<'_>, params: &Params, mut commitment: Commitment) {
    let lost: Vec<u8> = commitment.absent().collect();
    for index in lost {
        losses::forfeit(draft, params, &mut commitment, index);
    }
    let left = end(draft, &commitment);
    money::unlock(draft, &commitment.id.owner, left, Pool::Escrow);
}

/// Ends a commitment; out comes what is left of its money, still in escrow.
pub(super) fn end(draft: &mut Draft<'_>, commitment: &Commitment) -> Amount {
    let left = slots::end_all(draft, commitment).plus(commitment.fund).expect(CONSERVED);
    draft.remove_commitment(commitment.id);
    left
}
