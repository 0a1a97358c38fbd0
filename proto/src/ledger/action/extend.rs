//! extend: pays for more epochs of what the sender has committed, at the price it was committed for.

use crate::ledger::{
    action::ActionContext,
    error::TxError,
    state::{Commitment, Records},
    tx::Extend,
};

pub(super) fn apply(context: &mut ActionContext<'_, '_>, extend: &Extend) -> Result<(), TxError> {
    let Extend { object, extent, end } = *extend;
    let epoch = context.epoch();
    // A commitment past its end only waits to be removed: its holders may have deleted the columns.
    let commitment = context.draft.commitment(&context.own(object, extent)).filter(|commitment| commitment.end > epoch);
    let commitment = commitment.ok_or(TxError::NoCommitment { object, extent })?;
    context.check_term(end, commitment.end)?;
    let more = context.lock_escrow(commitment.price, commitment.end, end)?;
    let escrow = commitment.escrow.plus(more).expect("money is conserved: an escrow is at most what was minted");
    context.draft.put_commitment(Commitment { end, escrow, ..commitment });
    Ok(())
}
